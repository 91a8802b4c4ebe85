"""From pictures to stored faces: which are accepted, which are rejected and why, and how they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..engine import BATCH
from ..errors import ArgumentError, DuplicateFaceError, DuplicatePersonError, FacedexError, RegistrationError
from ..inputs import describe, is_single, list_images
from ..options import FacePolicy, PersonDetails, RegisterOptions
from ..records import Duplicate, PersonId, RegisteredFace, Registration, Rejection
from ..results import Analysis, bbox_of, choose_face, embedding_of
from ..store import NewFace, NewPhoto, Owner, Receipt, plain_id
from .exchange import check_embeddings, check_pack
from .lifetime import Progress
from .photos import Photos, filename_of
from .policy import Enrolment
from .resources import Resources

if TYPE_CHECKING:
    from ..inputs import ImageInput

    Images = ImageInput | Iterable[ImageInput]
    Entry = tuple[PersonId, Images] | tuple[PersonId, Images, str | PersonDetails | dict[str, Any] | None]

_PHOTOS = 8  # stored originals in memory at once while the templates of a person are rebuilt
_COMPARED = 2  # faces that a person needs for one of them to be outlying
_NEAREST = 2  # people to search for: the person, and the closest other


class Registrar:
    """Registers people, each in one transaction.

    Parameters
    ----------
    resources : Resources
    rules : Enrolment
    photos : Photos
        Makes the photos that are stored.
    """

    def __init__(self, resources: Resources, rules: Enrolment, photos: Photos) -> None:
        self._resources = resources
        self._rules = rules
        self._photos = photos

    def register(
        self, person_id: PersonId, images: Images, details: dict[str, Any], options: RegisterOptions
    ) -> Registration:
        """Register one person, as `facedex.Gallery.register` does."""
        pending = _pending_registration(person_id, images, details)
        try:
            self._check_person(pending, options)
            pictures = map(self._photos.load, pending.pictures)
            return self._store_pictures(pending, self._analyze(pictures, options), options)
        except DuplicatePersonError as error:
            return _skipped(error, options)

    def register_templates(
        self,
        person_id: PersonId,
        embeddings: object,
        pack: str | None,
        details: dict[str, Any],
        options: RegisterOptions,
    ) -> Registration:
        """Register one person from embeddings, as `facedex.Gallery.register_templates` does."""
        pin = self._resources.feed.pin
        check_pack(pin, pack)
        vectors = check_embeddings(embeddings, pin.dimension)
        names: list[Any] = [f"embedding {number}" for number in range(len(vectors))]
        pending = _PendingRegistration(person_id, names, len(vectors) == 1, details)
        pending.accepted = [NewFace((0.0, 0.0, 0.0, 0.0), 0.0, vector) for vector in vectors]
        pending.sources = list(range(len(vectors)))
        try:
            self._check_person(pending, options)
            return self._store_faces(pending, options)
        except DuplicatePersonError as error:
            return _skipped(error, options)

    def register_many(
        self, people: Sequence[Entry], options: RegisterOptions, progress: Progress | None
    ) -> list[Registration | FacedexError]:
        """Register many people, whose pictures are analysed side by side; return one result for each, in order."""
        results: list[Registration | FacedexError] = []
        batch: list[_PendingRegistration | Registration | FacedexError] = []
        pictures = 0
        for number, entry in enumerate(people, 1):
            try:
                pending = _parse_entry(entry)
                try:
                    self._check_person(pending, options)
                except DuplicatePersonError as error:
                    batch.append(_skipped(error, options))
                else:
                    batch.append(pending)
                    pictures += len(pending.pictures)
            except FacedexError as error:
                batch.append(error)
            if pictures >= self._resources.engine.threads * BATCH or number == len(people):
                results += self._store_batch(batch, options)
                batch, pictures = [], 0
                if progress is not None:
                    progress(number, len(people))
        return results

    def rebuild(self, person_id: PersonId, options: RegisterOptions) -> Registration:
        """Rebuild the templates of a person from the originals, as `facedex.Gallery.rebuild_person` does."""
        store = self._resources.store
        originals = [photo for photo in store.photos(person_id) if photo.rendition == "original"]
        if not originals:
            raise RegistrationError(
                f"no original photo of {person_id!r} is kept; register or add_photo in a gallery that was opened with "
                "photos='original'"
            )
        names = [photo.filename or f"photo {photo.photo_id}" for photo in originals]
        pending = _PendingRegistration(
            person_id, list(names), False, {}, photo_ids=[photo.photo_id for photo in originals]
        )
        for start in range(0, len(originals), _PHOTOS):
            contents = map(store.photo_bytes, pending.photo_ids[start : start + _PHOTOS])
            for source, analysis in enumerate(self._analyze(contents, options), start):
                pending.add(source, analysis, options.faces, self._rules, self._photos)
        pending.check_accepted()
        receipt = store.rebuild(
            person_id,
            pending.photo_ids,
            pending.accepted,
            limit=self._rules.face_limit,
            check=lambda: self._check_duplicates(pending, options.strict),
            before_removal=self._resources.search.forget,
        )
        return self._registration(pending, receipt, only_new=False)

    def _check_person(self, pending: _PendingRegistration, options: RegisterOptions) -> None:
        self._resources.store.check_registration(pending.person_id, pending.details, options.on_existing)

    def _analyze(self, pictures: Iterable[ImageInput], options: RegisterOptions) -> list[Analysis | FacedexError]:
        wanted = self._rules.analyze_options(options.min_face)
        return self._resources.engine.analyze_many(pictures, **asdict(wanted))

    def _store_batch(
        self, batch: Sequence[_PendingRegistration | Registration | FacedexError], options: RegisterOptions
    ) -> list[Registration | FacedexError]:
        valid = [pending for pending in batch if isinstance(pending, _PendingRegistration)]
        pictures = [self._photos.load(picture) for pending in valid for picture in pending.pictures]
        analyses: Iterator[Analysis | FacedexError] = iter(self._analyze(pictures, options) if pictures else [])
        results: list[Registration | FacedexError] = []
        for pending in batch:
            if not isinstance(pending, _PendingRegistration):
                results.append(pending)
                continue
            try:
                analysed = [next(analyses) for _ in pending.pictures]
                try:
                    results.append(self._store_pictures(pending, analysed, options))
                except DuplicatePersonError as error:  # registered by somebody else meanwhile
                    results.append(_skipped(error, options))
            except FacedexError as error:
                results.append(error)
        return results

    def _store_pictures(
        self, pending: _PendingRegistration, analyses: Sequence[Analysis | FacedexError], options: RegisterOptions
    ) -> Registration:
        for source, analysis in enumerate(analyses):
            pending.add(source, analysis, options.faces, self._rules, self._photos)
        pending.check_accepted()
        return self._store_faces(pending, options)

    def _store_faces(self, pending: _PendingRegistration, options: RegisterOptions) -> Registration:
        receipt = self._resources.store.register(
            pending.person_id,
            pending.accepted,
            pending.details,
            on_existing=options.on_existing,
            limit=self._rules.face_limit,
            check=lambda: self._check_duplicates(pending, options.strict),
            before_removal=self._resources.search.forget,
        )
        return self._registration(pending, receipt, only_new=options.on_existing != "add")

    def _registration(self, pending: _PendingRegistration, receipt: Receipt, *, only_new: bool) -> Registration:
        """Return what was stored; `only_new` is whether the person has no other faces."""
        stored = [
            (face_id, face.embedding)
            for face_id, face in zip(receipt.face_ids, pending.accepted, strict=True)
            if face_id is not None
        ]
        if not only_new:
            try:
                _, keys, vectors = self._resources.store.templates_of(receipt.person_id)
            except FacedexError:  # the registration is committed; whether it was the last word is not its concern
                keys, vectors = np.empty(0, np.uint64), np.empty((0, 0), np.float32)
            stored = list(zip(keys.tolist(), vectors, strict=True))
        registration = pending.registration(receipt, self._rules)
        if len(stored) < _COMPARED:
            return registration
        sources = {face.face_id: face.source for face in registration.faces}
        found = self._resources.outliers.find([key for key, _ in stored], np.stack([vector for _, vector in stored]))
        outliers = tuple(replace(outlier, source=sources.get(outlier.face_id)) for outlier in found)
        return replace(registration, outliers=outliers)

    def _check_duplicates(self, pending: _PendingRegistration, strict: bool) -> None:
        """Search for the faces under other ids, while no other registration can run.

        Raises
        ------
        DuplicateFaceError
            When there is one, and the rules refuse it.
        """
        action = "refuse" if strict else self._rules.duplicates
        if action == "ignore":
            return
        state = self._resources.search.sync()
        threshold = self._resources.decide().threshold  # of those who are registered before
        found = zip(pending.sources, self._closest_others(pending, state, threshold), strict=True)
        pending.warnings = [
            Duplicate(source, other[0].person_id, other[0].name, other[1], threshold)
            for source, other in found
            if other is not None
        ]
        if pending.warnings and action == "refuse":
            first = max(pending.warnings, key=lambda warning: warning.similarity)
            raise DuplicateFaceError(
                f"the face in {describe(pending.pictures[first.source])} resembles {first.person_id!r} with a "
                f"similarity of {first.similarity:.3f}, which reaches the threshold of {first.threshold:.3f}; register "
                "it under that id, or without strict",
                person_id=first.person_id,
                measured=first.similarity,
                limit=first.threshold,
            )

    def _closest_others(
        self, pending: _PendingRegistration, state: tuple[int, str], threshold: float
    ) -> list[tuple[Owner, float] | None]:
        """Find for each new face the closest other person who reaches the threshold."""
        search = self._resources.search
        closest: list[tuple[Owner, float] | None] = [None] * len(pending.accepted)
        searched = list(range(len(pending.accepted))) if len(search) else []
        k = _NEAREST
        while searched:
            probes = np.stack([pending.accepted[number].embedding for number in searched])
            found = search.search_people(probes, k)
            people = self._resources.candidates.resolve(state, found, probes)
            unresolved = []
            for number, row, scores in zip(searched, people, found.similarities.tolist(), strict=True):
                others = [
                    (owner, score)
                    for owner, score, _ in row
                    if score >= threshold and owner.intact and not pending.has_id(owner.person_id)
                ]
                if others:
                    closest[number] = others[0]
                elif len(scores) == k and scores[-1] >= threshold:
                    unresolved.append(number)  # all who are this close are the person, or damaged: search further
            searched, k = unresolved, 8 * k
        return closest


@dataclass(slots=True)
class _PendingRegistration:
    """A person to be registered.

    Attributes
    ----------
    person_id : str or int
    pictures : list of ImageInput
    single : bool
        Whether one picture was given: then its error is raised, not collected.
    details : dict
    photo_ids : list of int
        The stored photos of the pictures; empty where new ones are to be made.
    accepted : list of NewFace
    sources : list of int
        The place of the picture of each accepted face.
    warnings : list of Duplicate
    """

    person_id: PersonId
    pictures: list[ImageInput]
    single: bool
    details: dict[str, Any]
    photo_ids: list[int] = field(default_factory=list)
    accepted: list[NewFace] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    warnings: list[Duplicate] = field(default_factory=list)
    _rejected: list[Rejection] = field(default_factory=list)

    def has_id(self, person_id: PersonId) -> bool:
        """Return whether this is the person with an id; 7 and "7" are the same person."""
        return plain_id(self.person_id) == plain_id(person_id)

    def add(
        self,
        source: int,
        analysis: Analysis | FacedexError,
        faces: FacePolicy,
        rules: Enrolment,
        photos: Photos,
    ) -> None:
        """Accept the face of a picture, or reject the picture.

        Raises
        ------
        FacedexError
            That of the picture, when a single one was given and it is rejected.
        """
        picture = self.pictures[source]
        try:
            if isinstance(analysis, FacedexError):
                raise analysis
            face = choose_face(analysis, faces, picture)
            rules.check(face, picture)
            bbox = bbox_of(face.bbox)
            if self.photo_ids:
                photo: NewPhoto | int | None = self.photo_ids[source]
            else:
                analysed = picture if analysis.source is None else analysis.source
                photo = photos.make(analysed, bbox, filename_of(picture))
            quality = None if face.quality is None else float(face.quality.unified_score)
            self.accepted.append(NewFace(bbox, float(face.det_score), embedding_of(face), photo, quality))
            self.sources.append(source)
        except FacedexError as error:
            if self.single:
                raise
            self._rejected.append(Rejection(source, describe(picture), error))

    def check_accepted(self) -> None:
        """Raise `RegistrationError` when no picture was accepted."""
        if not self.accepted:
            reasons = "; ".join(map(_format_rejection, self._rejected[:3]))
            raise RegistrationError(
                f"none of {len(self.pictures)} pictures of {self.person_id!r} was accepted: {reasons}",
                rejected=tuple(self._rejected),
            )

    def registration(self, receipt: Receipt, rules: Enrolment) -> Registration:
        """Return what was stored, from the receipt of the store."""
        stored, rejected = [], list(self._rejected)
        for face_id, source, face in zip(receipt.face_ids, self.sources, self.accepted, strict=True):
            if face_id is not None:
                stored.append(RegisteredFace(face_id, source, face.bbox, face.det_score, face.quality))
            elif rules.face_limit is not None:
                error = rules.face_limit.full_error(rules.face_limit.max_faces + receipt.face_ids.count(None))
                rejected.append(Rejection(source, describe(self.pictures[source]), error))
        rejected.sort(key=lambda rejection: rejection.source)
        sources = {face.source for face in stored}
        warnings = tuple(warning for warning in self.warnings if warning.source in sources)
        return Registration(receipt.person_id, tuple(stored), tuple(rejected), warnings, receipt.replaced)


def _skipped(error: DuplicatePersonError, options: RegisterOptions) -> Registration:
    """Return the result for a person who is left as stored, or raise the error where that was not asked for."""
    if options.on_existing != "skip" or error.person_id is None:
        raise error
    return Registration(error.person_id, (), skipped=True)


def _format_rejection(rejection: Rejection) -> str:
    """Return why a picture was rejected; most errors name the picture themselves."""
    text = str(rejection.error)
    return text if rejection.text in text else f"{rejection.text}: {text}"


def _pending_registration(person_id: PersonId, images: Images, details: dict[str, Any]) -> _PendingRegistration:
    pictures = list_images(images)
    if not pictures:
        raise ArgumentError(f"images of {person_id!r} must be one picture or several, got none")
    return _PendingRegistration(person_id, pictures, is_single(images), details)


def _parse_entry(entry: Any) -> _PendingRegistration:
    """Parse (person_id, images), (person_id, images, name) or (person_id, images, details)."""
    if not isinstance(entry, (tuple, list)) or len(entry) not in (2, 3):
        found = type(entry).__name__
        raise ArgumentError(
            f"a person must be (person_id, images) or (person_id, images, name), got {found}; a dict of id and images "
            "is accepted too"
        )
    person_id, images, *rest = entry
    details: Any = rest[0] if rest and isinstance(rest[0], dict) else {"name": rest[0] if rest else None}
    return _pending_registration(person_id, images, check_details(details))


def check_details(details: Mapping[str, object]) -> dict[str, Any]:
    """Return details of a person, or raise `ArgumentError` when a name is not one of `PersonDetails`."""
    allowed = PersonDetails.__annotations__
    unknown = details.keys() - allowed
    if unknown:
        raise ArgumentError(f"details must be of {', '.join(allowed)}, got {', '.join(sorted(map(repr, unknown)))}")
    return dict(details)
