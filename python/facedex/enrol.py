"""From pictures to stored faces: which are accepted, which are rejected and why, and how they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .choose import FacePolicy, bbox_of, check_choice, embedding_of, one_face
from .errors import ArgumentError, DuplicateFaceError, FacedexError, RegistrationError
from .inputs import described, is_one, listed
from .policy import Enrolment
from .records import Duplicate, PersonId, RegisteredFace, Registration, Rejection
from .results import Analysis
from .search import LocalSearch
from .store import NewFace, OnExisting, Owner, Receipt, SqlStore

if TYPE_CHECKING:
    from .engine import Engine
    from .inputs import ImageInput

    Images = ImageInput | Iterable[ImageInput]
    Entry = tuple[PersonId, Images] | tuple[PersonId, Images, str | None]

Progress = Callable[[int, int], object]
"""Called with the number that is done and the number of all."""

BATCH = 64
"""Pictures analysed side by side before their answers are given."""

_NEAREST = 4  # faces asked of the search, before it is asked for more


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
    store : SqlStore
    search : LocalSearch
        Of the same gallery.
    policy : Enrolment
    threshold : float
        From this similarity on a face is taken for another person's.
    """

    def __init__(
        self, engine: Engine, store: SqlStore, search: LocalSearch, policy: Enrolment, threshold: float
    ) -> None:
        self._engine = engine
        self._store = store
        self._search = search
        self._policy = policy
        self._threshold = threshold

    def register(self, who: Enrolee, rules: Rules) -> Registration:
        """Register one person; raises what `facedex.Gallery.register` says."""
        self._store.check(who.person_id, who.details, rules.on_existing)
        analyses: Sequence[Analysis | FacedexError]
        if who.single:
            analyses = [self._engine.analyze(who.pictures[0], min_face=rules.min_face)]
        else:
            analyses = self._engine.analyze_many(who.pictures, min_face=rules.min_face)
        return self._keep(who, analyses, rules)

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
                self._store.check(who.person_id, who.details, rules.on_existing)
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

    def _keep_batch(self, batch: Sequence[Enrolee | FacedexError], rules: Rules) -> list[Registration | FacedexError]:
        pictures = [picture for who in batch if isinstance(who, Enrolee) for picture in who.pictures]
        analyses = iter(self._engine.analyze_many(pictures, min_face=rules.min_face) if pictures else [])
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
        who.take(analyses, rules.faces, self._policy)
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
                f"the face in {described(who.pictures[first.source])} resembles {first.person_id!r} with a similarity "
                f"of {first.similarity:.3f}, which reaches the threshold of {first.threshold:.3f}; register it under "
                "that id, or without strict",
                person_id=first.person_id,
                measured=first.similarity,
                limit=first.threshold,
            )

    def _others(self, who: Enrolee) -> list[tuple[Owner, float] | None]:
        """Find for each new face the closest face of another person that reaches the threshold."""
        stored = len(self._search)
        closest: list[tuple[Owner, float] | None] = [None] * len(who.new)
        pending = list(range(len(who.new))) if stored else []
        k = min(_NEAREST, stored)
        while pending:
            keys, similarities = self._search.search(np.stack([who.new[place].embedding for place in pending]), k)
            owners = self._store.owners({int(key) for row in keys for key in row})
            again = []
            for place, row, scores in zip(pending, keys.tolist(), similarities.tolist(), strict=True):
                reached = [(owners.get(key), score) for key, score in zip(row, scores, strict=True)]
                reached = [(owner, score) for owner, score in reached if score >= self._threshold]
                others = [(owner, score) for owner, score in reached if owner and not who.is_named(owner.person_id)]
                if others:
                    closest[place] = others[0]
                elif len(reached) == k < stored:
                    again.append(place)  # all so near are the person's own: look further
            pending, k = again, min(8 * k, stored)
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

    def take(self, analyses: Sequence[Analysis | FacedexError], faces: FacePolicy, policy: Enrolment) -> None:
        """Choose the face of each picture.

        Raises
        ------
        FacedexError
            That of the picture, when one was given and it is rejected.
        RegistrationError
            When several were given and none is accepted.
        """
        for source, (picture, analysis) in enumerate(zip(self.pictures, analyses, strict=True)):
            try:
                if isinstance(analysis, FacedexError):
                    raise analysis
                self.new.append(_new_face(analysis, faces, policy, picture))
                self.sources.append(source)
            except FacedexError as error:
                if self.single:
                    raise
                self._rejected.append(Rejection(source, described(picture), error))
        if not self.new:
            reasons = "; ".join(f"{rejection.text}: {rejection.error}" for rejection in self._rejected[:3])
            raise RegistrationError(
                f"none of {len(self.pictures)} pictures of {self.person_id!r} was accepted: {reasons}",
                rejected=tuple(self._rejected),
            )

    def registration(self, receipt: Receipt, policy: Enrolment) -> Registration:
        """Tell what was stored, from what the store gave."""
        stored, rejected = [], list(self._rejected)
        for face_id, source, face in zip(receipt.face_ids, self.sources, self.new, strict=True):
            if face_id is not None:
                stored.append(RegisteredFace(face_id, source, face.bbox, face.det_score))
            elif policy.room is not None:
                error = policy.room.full(policy.room.max_faces + receipt.face_ids.count(None))
                rejected.append(Rejection(source, described(self.pictures[source]), error))
        rejected.sort(key=lambda rejection: rejection.source)
        kept = {face.source for face in stored}
        warnings = tuple(warning for warning in self.warnings if warning.source in kept)
        return Registration(receipt.person_id, tuple(stored), tuple(rejected), warnings, receipt.replaced)


def enrolee(person_id: PersonId, images: Images, **details: Any) -> Enrolee:
    """Say who is registered from what.

    Raises
    ------
    ArgumentError
        When there is no picture.
    """
    pictures = listed(images)
    if not pictures:
        raise ArgumentError(f"images of {person_id!r} must be one picture or several, got none")
    return Enrolee(person_id, pictures, is_one(images), details)


def enrolee_of(entry: Any) -> Enrolee:
    """Read one entry of a batch: (person_id, images) or (person_id, images, name).

    Raises
    ------
    ArgumentError
        When it is something else.
    """
    if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
        found = type(entry).__name__
        raise ArgumentError(f"a person must be (person_id, images) or (person_id, images, name), got {found}")
    person_id, images, *name = entry
    return enrolee(person_id, images, name=name[0] if name else None)


def _new_face(analysis: Analysis, faces: FacePolicy, policy: Enrolment, picture: ImageInput) -> NewFace:
    face = one_face(analysis, faces, picture)
    policy.check(face, picture)
    return NewFace(bbox_of(face.bbox), float(face.det_score), embedding_of(face))
