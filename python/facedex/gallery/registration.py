"""From pictures to stored faces: which are accepted, which are rejected and why, and how they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice
from ..errors import ArgumentError, DuplicateFaceError, FacedexError, RegistrationError
from ..inputs import describe, is_single, list_images
from ..options import FacePolicy, OnExisting
from ..records import Duplicate, PersonId, RegisteredFace, Registration, Rejection
from ..results import Analysis, bbox_of, choose_face, embedding_of
from ..search import Search
from ..store import NewFace, Owner, Receipt, Store
from .photos import Renditions, filename_of
from .policy import Enrolment

if TYPE_CHECKING:
    from ..engine import Engine
    from ..inputs import ImageInput

    Images = ImageInput | Iterable[ImageInput]
    Entry = tuple[PersonId, Images] | tuple[PersonId, Images, str | dict[str, Any] | None]

Progress = Callable[[int, int], object]
"""Called with the number that is done and the number of all."""

BATCH = 64
"""Pictures analysed side by side before their answers are given."""

DETAILS = ("name", "email", "info", "retain_until")
"""What may be known of a person besides the id."""

_PHOTOS = 8  # kept originals in memory at once while a person is built anew
_NEAREST = 2  # people asked of the search: the person, and the closest other


@dataclass(frozen=True, slots=True)
class Rules:
    """How a registration is to be done.

    Attributes
    ----------
    on_existing : {"error", "add", "replace"}
    faces : {"one", "largest"}
    min_face : int or None
    strict : bool
        Whether a face that resembles another person is refused, whatever the gallery's rules say.
    """

    on_existing: OnExisting
    faces: FacePolicy
    min_face: int | None
    strict: bool = False

    def __post_init__(self) -> None:
        check_choice("on_existing", self.on_existing, OnExisting)
        check_choice("faces", self.faces, FacePolicy)


class Registrar:
    """Registers people, each in one transaction.

    Parameters
    ----------
    engine : Engine
    store : Store
    search : Search
        Of the same gallery.
    policy : Enrolment
    threshold : float
        From this similarity on a face is taken for another person's.
    renditions : Renditions
        Makes what is kept of the pictures.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        search: Search,
        policy: Enrolment,
        threshold: float,
        renditions: Renditions,
    ) -> None:
        self._engine = engine
        self._store = store
        self._search = search
        self._policy = policy
        self._threshold = threshold
        self._renditions = renditions

    @property
    def engine(self) -> Engine:
        """What looks at pictures."""
        return self._engine

    def take(self, engine: Engine, store: Store, search: Search, threshold: float) -> None:
        """Go on with another pack; nobody is registering meanwhile."""
        self._engine, self._store, self._search, self._threshold = engine, store, search, threshold

    def register(self, who: Enrolee, rules: Rules) -> Registration:
        """Register one person; raises what `facedex.Gallery.register` says."""
        self._store.check_registration(who.person_id, who.details, rules.on_existing)
        analyses: Sequence[Analysis | FacedexError]
        if who.single:
            analyses = [self._engine.analyze(self._renditions.taken(who.pictures[0]), **self._asked(rules))]
        else:
            analyses = self._engine.analyze_many(map(self._renditions.taken, who.pictures), **self._asked(rules))
        return self._keep(who, analyses, rules)

    def register_vectors(self, who: Enrolee, vectors: NDArray[np.float32], rules: Rules) -> Registration:
        """Register one person from embeddings without pictures; raises what `register_templates` says."""
        who.new = [NewFace((0.0, 0.0, 0.0, 0.0), 0.0, vector) for vector in vectors]
        who.sources = list(range(len(vectors)))
        self._store.check_registration(who.person_id, who.details, rules.on_existing)
        return self._commit(who, rules)

    def register_many(
        self, people: Sequence[Entry], rules: Rules, progress: Progress | None
    ) -> list[Registration | FacedexError]:
        """Register many, whose pictures are analysed side by side: one answer for each, in order."""
        answers: list[Registration | FacedexError] = []
        batch: list[Enrolee | FacedexError] = []
        waiting = 0
        for number, entry in enumerate(people, 1):
            try:
                who = enrolee_of(entry)
                self._store.check_registration(who.person_id, who.details, rules.on_existing)
                batch.append(who)
                waiting += len(who.pictures)
            except FacedexError as error:
                batch.append(error)
            if waiting >= BATCH or number == len(people):
                answers += self._keep_batch(batch, rules)
                batch, waiting = [], 0
                if progress is not None:
                    progress(number, len(people))
        return answers

    def rebuild(self, person_id: PersonId, rules: Rules) -> Registration:
        """Register a person anew from the kept originals; raises what `facedex.Gallery.rebuild_person` says."""
        kept = [photo for photo in self._store.photos(person_id) if photo.rendition == "original"]
        if not kept:
            raise RegistrationError(
                f"no original photo of {person_id!r} is kept; register or add_photo in a gallery that was opened with "
                "photos='original'"
            )
        who = Enrolee(person_id, [photo.filename or f"photo {photo.photo_id}" for photo in kept], False, {})
        for start in range(0, len(kept), _PHOTOS):
            some = [photo.photo_id for photo in kept[start : start + _PHOTOS]]
            analyses = self._engine.analyze_many(map(self._store.photo_bytes, some), **self._asked(rules))
            for source, (photo_id, analysis) in enumerate(zip(some, analyses, strict=True), start):
                who.take(source, analysis, rules.faces, self._policy, photo_id)
        who.check()
        receipt = self._store.rebuild(
            person_id,
            [photo.photo_id for photo in kept],
            who.new,
            room=self._policy.room,
            admit=lambda: self._admit(who, rules.strict),
            forget=self._search.forget,
        )
        return who.registration(receipt, self._policy)

    def _asked(self, rules: Rules) -> dict[str, Any]:
        return {"min_face": rules.min_face, **self._policy.asked._asdict()}

    def _keep_batch(self, batch: Sequence[Enrolee | FacedexError], rules: Rules) -> list[Registration | FacedexError]:
        enrolees = [who for who in batch if isinstance(who, Enrolee)]
        pictures = [self._renditions.taken(picture) for who in enrolees for picture in who.pictures]
        analyses = iter(self._engine.analyze_many(pictures, **self._asked(rules)) if pictures else [])
        answers: list[Registration | FacedexError] = []
        for who in batch:
            try:
                if isinstance(who, FacedexError):
                    raise who
                answers.append(self._keep(who, [next(analyses) for _ in who.pictures], rules))
            except FacedexError as error:
                answers.append(error)
        return answers

    def _keep(self, who: Enrolee, analyses: Sequence[Analysis | FacedexError], rules: Rules) -> Registration:
        for source, analysis in enumerate(analyses):
            who.take(source, analysis, rules.faces, self._policy, self._renditions)
        who.check()
        return self._commit(who, rules)

    def _commit(self, who: Enrolee, rules: Rules) -> Registration:
        receipt = self._store.register(
            who.person_id,
            who.new,
            who.details,
            on_existing=rules.on_existing,
            room=self._policy.room,
            admit=lambda: self._admit(who, rules.strict),
            forget=self._search.forget,
        )
        return who.registration(receipt, self._policy)

    def _admit(self, who: Enrolee, strict: bool) -> None:
        """Look for the faces under other ids, while nobody else can register: of two at once, one sees the other.

        Raises
        ------
        DuplicateFaceError
            When there is one, and the rules refuse it.
        """
        what = "refuse" if strict else self._policy.duplicates
        if what == "ignore":
            return
        self._search.sync()
        found = [(source, other) for source, other in zip(who.sources, self._others(who), strict=True) if other]
        who.warnings = [
            Duplicate(source, owner.person_id, owner.name, similarity, self._threshold)
            for source, (owner, similarity) in found
        ]
        if who.warnings and what == "refuse":
            first = max(who.warnings, key=lambda warning: warning.similarity)
            raise DuplicateFaceError(
                f"the face in {describe(who.pictures[first.source])} resembles {first.person_id!r} with a similarity "
                f"of {first.similarity:.3f}, which reaches the threshold of {first.threshold:.3f}; register it under "
                "that id, or without strict",
                person_id=first.person_id,
                measured=first.similarity,
                limit=first.threshold,
            )

    def _others(self, who: Enrolee) -> list[tuple[Owner, float] | None]:
        """Find for each new face the closest face of another person that reaches the threshold."""
        closest: list[tuple[Owner, float] | None] = [None] * len(who.new)
        pending = list(range(len(who.new))) if len(self._search) else []
        k = _NEAREST
        while pending:
            probes = np.stack([who.new[place].embedding for place in pending])
            _, similarities, faces = self._search.search_people(probes, k)
            owners = self._store.owners(set(faces.ravel().tolist()))
            again = []
            for place, row, scores in zip(pending, faces.tolist(), similarities.tolist(), strict=True):
                reached = [(owners.get(face), score) for face, score in zip(row, scores, strict=True)]
                others = [
                    (owner, score)
                    for owner, score in reached
                    if score >= self._threshold and owner and owner.intact and not who.is_named(owner.person_id)
                ]
                if others:
                    closest[place] = others[0]
                elif len(scores) == k and scores[-1] >= self._threshold:
                    again.append(place)  # all so near are the person's own, or nobody's: look further
            pending, k = again, 8 * k
        return closest


@dataclass(slots=True)
class Enrolee:
    """One person to be registered.

    Attributes
    ----------
    person_id : str or int
    pictures : list of ImageInput
    single : bool
        Whether one picture was given, whose error is then raised itself.
    details : dict
        name, email, info.
    new : list of NewFace
        The faces that were accepted.
    sources : list of int
        The place of the picture of each.
    warnings : list of Duplicate
    """

    person_id: PersonId
    pictures: list[ImageInput]
    single: bool
    details: dict[str, Any]
    new: list[NewFace] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    warnings: list[Duplicate] = field(default_factory=list)
    _rejected: list[Rejection] = field(default_factory=list)

    def is_named(self, person_id: PersonId) -> bool:
        """Tell whether this is the person of that id; 7 and "7" are the same person."""
        return str(self.person_id) == str(person_id)

    def take(
        self,
        source: int,
        analysis: Analysis | FacedexError,
        faces: FacePolicy,
        policy: Enrolment,
        photo: Renditions | int,
    ) -> None:
        """Choose the face of a picture, and make what is kept of it; or tell the photo that is kept of it already.

        Raises
        ------
        FacedexError
            That of the picture, when one was given and it is rejected.
        """
        picture = self.pictures[source]
        try:
            if isinstance(analysis, FacedexError):
                raise analysis
            face = choose_face(analysis, faces, picture)
            policy.check(face, picture)
            bbox = bbox_of(face.bbox)
            seen = picture if analysis.source is None else analysis.source
            kept = photo if isinstance(photo, int) else photo.of_face(seen, bbox, filename_of(picture))
            quality = None if face.quality is None else float(face.quality.unified_score)
            self.new.append(NewFace(bbox, float(face.det_score), embedding_of(face), kept, quality))
            self.sources.append(source)
        except FacedexError as error:
            if self.single:
                raise
            self._rejected.append(Rejection(source, describe(picture), error))

    def check(self) -> None:
        """Refuse a person of whom no picture was accepted.

        Raises
        ------
        RegistrationError
        """
        if not self.new:
            reasons = "; ".join(map(_reason, self._rejected[:3]))
            raise RegistrationError(
                f"none of {len(self.pictures)} pictures of {self.person_id!r} was accepted: {reasons}",
                rejected=tuple(self._rejected),
            )

    def registration(self, receipt: Receipt, policy: Enrolment) -> Registration:
        """Tell what was stored, from what the store gave."""
        stored, rejected = [], list(self._rejected)
        for face_id, source, face in zip(receipt.face_ids, self.sources, self.new, strict=True):
            if face_id is not None:
                stored.append(RegisteredFace(face_id, source, face.bbox, face.det_score, face.quality))
            elif policy.room is not None:
                error = policy.room.full(policy.room.max_faces + receipt.face_ids.count(None))
                rejected.append(Rejection(source, describe(self.pictures[source]), error))
        rejected.sort(key=lambda rejection: rejection.source)
        kept = {face.source for face in stored}
        warnings = tuple(warning for warning in self.warnings if warning.source in kept)
        return Registration(receipt.person_id, tuple(stored), tuple(rejected), warnings, receipt.replaced)


def _reason(rejection: Rejection) -> str:
    """Tell why a picture was refused; most errors name it themselves."""
    told = str(rejection.error)
    return told if rejection.text in told else f"{rejection.text}: {told}"


def enrolee(person_id: PersonId, images: Images, **details: Any) -> Enrolee:
    """Say who is registered from what.

    Raises
    ------
    ArgumentError
        When there is no picture.
    """
    pictures = list_images(images)
    if not pictures:
        raise ArgumentError(f"images of {person_id!r} must be one picture or several, got none")
    return Enrolee(person_id, pictures, is_single(images), details)


def enrolee_of(entry: Any) -> Enrolee:
    """Read one entry of a batch: (person_id, images), (person_id, images, name) or (person_id, images, details).

    Raises
    ------
    ArgumentError
        When it is something else.
    """
    if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
        found = type(entry).__name__
        raise ArgumentError(f"a person must be (person_id, images) or (person_id, images, name), got {found}")
    person_id, images, *name = entry
    details = name[0] if name and isinstance(name[0], dict) else {"name": name[0] if name else None}
    unknown = details.keys() - DETAILS
    if unknown:
        raise ArgumentError(f"details must be of {', '.join(DETAILS)}, got {', '.join(map(repr, unknown))}")
    return enrolee(person_id, images, **details)
