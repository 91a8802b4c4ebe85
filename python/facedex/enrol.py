"""From pictures to stored faces: which are accepted, which are rejected and why, and how they are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .choose import FacePolicy, bbox_of, check_choice, embedding_of, one_face
from .errors import ArgumentError, FacedexError, RegistrationError
from .inputs import described, is_one, listed
from .records import PersonId, RegisteredFace, Registration, Rejection
from .results import Analysis
from .search import LocalSearch
from .store import NewFace, OnExisting, Receipt, SqlStore

if TYPE_CHECKING:
    from .engine import Engine
    from .inputs import ImageInput

    Images = ImageInput | Iterable[ImageInput]
    Enrolment = tuple[PersonId, Images] | tuple[PersonId, Images, str | None]

Progress = Callable[[int, int], object]
"""Called with the number that is done and the number of all."""

BATCH = 64
"""Pictures analysed side by side before their answers are given."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How a registration is to be done.

    Attributes
    ----------
    on_existing : {"error", "add", "replace"}
    faces : {"one", "largest"}
    min_face : int or None
    """

    on_existing: OnExisting
    faces: FacePolicy
    min_face: int | None

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
    """

    def __init__(self, engine: Engine, store: SqlStore, search: LocalSearch) -> None:
        self._engine = engine
        self._store = store
        self._search = search

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
        self, people: Sequence[Enrolment], rules: Rules, progress: Progress | None
    ) -> list[Registration | FacedexError]:
        """Register many, whose pictures are analysed side by side: one answer for each, in order."""
        answers: list[Registration | FacedexError] = []
        batch: list[Enrolee | FacedexError] = []
        waiting = 0
        for number, enrolment in enumerate(people, 1):
            try:
                who = enrolee_of(enrolment)
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
        who.take(analyses, rules.faces)
        if rules.on_existing == "replace":
            self._search.forget()
        receipt = self._store.register(who.person_id, who.new, who.details, on_existing=rules.on_existing)
        return who.registration(receipt)


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
    """

    person_id: PersonId
    pictures: list[ImageInput]
    single: bool
    details: dict[str, Any]
    new: list[NewFace] = field(default_factory=list)
    _sources: list[int] = field(default_factory=list)
    _rejected: list[Rejection] = field(default_factory=list)

    def take(self, analyses: Sequence[Analysis | FacedexError], policy: FacePolicy) -> None:
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
                self.new.append(_new_face(analysis, policy, picture))
                self._sources.append(source)
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

    def registration(self, receipt: Receipt) -> Registration:
        """Tell what was stored, from what the store gave."""
        faces = tuple(
            RegisteredFace(face_id, source, face.bbox, face.det_score)
            for face_id, source, face in zip(receipt.face_ids, self._sources, self.new, strict=True)
            if face_id is not None
        )
        return Registration(receipt.person_id, faces, tuple(self._rejected))


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


def enrolee_of(enrolment: Any) -> Enrolee:
    """Read one entry of a batch: (person_id, images) or (person_id, images, name).

    Raises
    ------
    ArgumentError
        When it is something else.
    """
    if not isinstance(enrolment, (tuple, list)) or len(enrolment) not in (2, 3):
        found = type(enrolment).__name__
        raise ArgumentError(f"a person must be (person_id, images) or (person_id, images, name), got {found}")
    person_id, images, *name = enrolment
    return enrolee(person_id, images, name=name[0] if name else None)


def _new_face(analysis: Analysis, policy: FacePolicy, picture: ImageInput) -> NewFace:
    face = one_face(analysis, policy, picture)
    return NewFace(bbox_of(face.bbox), float(face.det_score), embedding_of(face))
