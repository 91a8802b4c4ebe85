"""Whose faces these are: the nearest faces of the search, put together by person.

A person is as similar as the person's closest stored face, or as the mean of the closest few. The gallery is asked in
its latest state: what another process registered or deleted before the question counts.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import check_choice, check_int, check_threshold
from ..errors import DatabaseDamagedError, EmptyGalleryError, FacedexError, UnknownPersonError
from ..options import FacePolicy, LivenessOption
from ..records import PersonId
from ..results import (
    Analysis,
    Candidate,
    FoundFace,
    Landmarks,
    Recognition,
    Verification,
    bbox_of,
    choose_face,
    embedding_of,
)
from ..search import Search
from ..store import Owner, Sighting, Store, damaged_owner, is_intact

if TYPE_CHECKING:
    from .._core import Face
    from ..engine import Engine
    from ..inputs import ImageInput

_TRIES = 5  # to answer while somebody is deleted between the search and the look into the database
_REMEMBERED = 100_000  # owners kept in memory
_BATCH = 64  # pictures analysed side by side before their answers are given


class Questions(NamedTuple):
    """What the engine is asked of each face, besides the embedding; the names are those of its parameters."""

    min_face: int | None = None
    liveness: LivenessOption = False
    quality: bool = False
    attributes: bool = False
    max_faces: int | None = None


class Identifier:
    """Recognises and verifies against one gallery.

    Parameters
    ----------
    engine : Engine
    store : Store
    search : Search
        Of the same gallery.
    threshold : float
        Where a call gives none.
    best_of : int
        A person's similarity is the mean of so many closest faces, of all where there are fewer.
    noting : bool
        Whether the audit is told who was recognised and verified.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        search: Search,
        threshold: float,
        *,
        best_of: int = 1,
        noting: bool = False,
    ) -> None:
        self._engine = engine
        self._store = store
        self._search = search
        self._threshold = check_threshold(threshold)
        self._best_of = check_int("best_of", best_of, least=1)
        self._noting = noting
        self._owners: tuple[tuple[int, str], dict[int, Owner]] = ((0, ""), {})

    def take(self, engine: Engine, store: Store, search: Search, threshold: float) -> None:
        """Go on with another pack; nobody is asking meanwhile."""
        self._engine, self._store, self._search, self._threshold = engine, store, search, threshold

    def recognize(self, image: ImageInput, *, k: int, threshold: float | None, asked: Questions) -> Recognition:
        """Say who is in a picture, as `facedex.Gallery.recognize` says."""
        started = time.perf_counter()
        cut = self._cut(threshold, k)
        analysis = self._engine.analyze(image, **asked._asdict())
        found = _whole(self._identify(analysis.faces, k, cut, asked))
        if isinstance(found, FacedexError):
            raise found
        self._note(found)
        return Recognition(tuple(found), analysis.image_size, analysis.source, time.perf_counter() - started)

    def recognize_many(
        self,
        images: Sequence[ImageInput],
        *,
        k: int,
        threshold: float | None,
        asked: Questions,
        progress: Callable[[int, int], object] | None,
    ) -> list[Recognition | FacedexError]:
        """Say who is in each picture, as `facedex.Gallery.recognize_many` says."""
        self._cut(threshold, k)
        answers: list[Recognition | FacedexError] = []
        for start in range(0, len(images), _BATCH):
            started = time.perf_counter()
            cut = self._cut(threshold, k)  # the gallery may have been moved to another pack since the last batch
            analyses = self._engine.analyze_many(images[start : start + _BATCH], **asked._asdict())
            faces = [face for analysis in analyses if isinstance(analysis, Analysis) for face in analysis]
            named = self._identify(faces, k, cut, asked)
            self._note([face for face in named if isinstance(face, FoundFace)])
            found = iter(named)
            each = (time.perf_counter() - started) / len(analyses)
            for analysis in analyses:
                if isinstance(analysis, Analysis):
                    mine = _whole(list(itertools.islice(found, len(analysis))))
                    if isinstance(mine, FacedexError):
                        answers.append(mine)
                    else:
                        answers.append(Recognition(tuple(mine), analysis.image_size, analysis.source, each))
                else:
                    answers.append(analysis)
            if progress is not None:
                progress(len(answers), len(images))
        return answers

    def verify(
        self,
        person_id: PersonId,
        image: ImageInput,
        *,
        threshold: float | None,
        faces: FacePolicy,
        asked: Questions,
    ) -> Verification:
        """Say whether a picture shows the person claimed, as `facedex.Gallery.verify` says."""
        check_choice("faces", faces, FacePolicy)
        cut = self._cut(threshold)
        self._store.person(person_id)  # an unknown person is told before the picture is looked at
        if faces == "largest":
            asked = asked._replace(max_faces=1)
        face = choose_face(self._engine.analyze(image, **asked._asdict()), faces, image)
        owner, keys, vectors = self._store.templates_of(person_id)
        if len(keys) == 0:
            raise UnknownPersonError(f"no face of {person_id!r} is stored; register one", person_id=person_id)
        similarities = vectors @ embedding_of(face)
        closest = np.argsort(-similarities, kind="stable")[: self._best_of]
        similarity = min(1.0, max(-1.0, float(np.mean(similarities[closest]))))
        if self._noting:
            self._store.log_sightings("verify", [Sighting(owner.person_id, similarity, cut)])
        return Verification(
            owner.person_id,
            similarity >= cut and _may_be_named(face, asked),
            similarity,
            cut,
            bbox_of(face.bbox),
            int(keys[closest[0]]),
            liveness=face.liveness,
            quality=face.quality,
            attributes=face.attributes,
        )

    def _note(self, found: Sequence[FoundFace]) -> None:
        """Tell the audit, before the caller learns it: an answer that was not noted is not given."""
        if self._noting and found:
            self._store.log_sightings(
                "recognize", [Sighting(face.person_id, face.similarity, face.threshold) for face in found]
            )

    def _cut(self, threshold: float | None, k: object = 1) -> float:
        check_int("k", k, least=1)
        return self._threshold if threshold is None else check_threshold(threshold)

    def _identify(
        self, faces: Sequence[Face], k: int, cut: float, asked: Questions
    ) -> list[FoundFace | DatabaseDamagedError]:
        probes = np.stack([embedding_of(face) for face in faces]) if faces else None
        closest = self._closest(probes, k + 1)  # one more than asked for, because the margin needs a second person
        return [_found(face, candidates, k, cut, asked) for face, candidates in zip(faces, closest, strict=True)]

    def _closest(self, probes: NDArray[np.float32] | None, wanted: int) -> list[list[Candidate]]:
        for _ in range(_TRIES):
            state = self._search.sync()
            if len(self._search) == 0:
                raise EmptyGalleryError("no face is registered in this gallery; register somebody first")
            if probes is None:
                return []
            _, similarities, faces = self._search.search_people(probes, wanted, faces=self._best_of)
            owners = self._owners_of(state, set(faces.ravel().tolist()))
            answers = [_candidates(*row, owners) for row in zip(faces, similarities, strict=True)]
            if all(len(answer) == faces.shape[1] for answer in answers):
                break
        if not all(answers):
            raise EmptyGalleryError("every face of this gallery was deleted meanwhile; register somebody first")
        return answers

    def _owners_of(self, state: tuple[int, str], face_ids: set[int]) -> dict[int, Owner]:
        """Whose the faces are; one that was deleted after `state` may be missing.

        What was read at a state is remembered as long as the gallery stands at it: it can only be newer, never older.
        """
        at, known = self._owners
        if at != state or len(known) > _REMEMBERED:
            known = {}
        asked = face_ids - known.keys()
        if asked:
            found = self._store.owners(sorted(asked))
            if len(found) < len(asked) and self._store.feed.head() == state:
                # Nobody was deleted meanwhile: the database has lost whose they are.
                found |= {face_id: damaged_owner(face_id) for face_id in asked - found.keys()}
            known = known | found
            self._owners = (state, known)
        return known


def _candidates(
    faces: NDArray[np.uint64], similarities: NDArray[np.float32], owners: dict[int, Owner]
) -> list[Candidate]:
    """Name the people whose closest faces these are, as far as they are stored still."""
    found = []
    for face_id, similarity in zip(faces.tolist(), similarities.tolist(), strict=True):
        owner = owners.get(face_id)
        if owner is not None:
            found.append(Candidate(owner.person_id, owner.name, similarity, face_id))
    return found


def _may_be_named(face: Face, asked: Questions) -> bool:
    """Tell whether the face may be anybody: an attack is not, where liveness is required."""
    return asked.liveness != "required" or (face.liveness is not None and face.liveness.live)


def _whole(found: list[FoundFace | DatabaseDamagedError]) -> list[FoundFace] | DatabaseDamagedError:
    """Return the faces of a picture, or the error of the first that has one."""
    sound = [face for face in found if isinstance(face, FoundFace)]
    return sound if len(sound) == len(found) else next(face for face in found if not isinstance(face, FoundFace))


def _found(
    face: Face, candidates: list[Candidate], k: int, threshold: float, asked: Questions
) -> FoundFace | DatabaseDamagedError:
    first = candidates[0]
    known = first.similarity >= threshold and _may_be_named(face, asked)
    if known and not is_intact(first.person_id):
        return DatabaseDamagedError(
            f"whose face {first.face_id} is cannot be told, because a row of the database is damaged; restore it from "
            "a backup; 'facedex fsck' tells which row it is"
        )
    assert face.landmarks is not None  # its embedding was cut by them
    points: list[tuple[float, float]] = [(float(x), float(y)) for x, y in face.landmarks]
    landmarks: Landmarks = (points[0], points[1], points[2], points[3], points[4])
    return FoundFace(
        bbox=bbox_of(face.bbox),
        landmarks=landmarks,
        det_score=float(face.det_score),
        person_id=first.person_id if known else None,
        name=first.name if known else None,
        similarity=first.similarity,
        threshold=threshold,
        margin=first.similarity - candidates[1].similarity if len(candidates) > 1 else None,
        candidates=tuple([candidate for candidate in candidates if is_intact(candidate.person_id)][:k]),
        liveness=face.liveness,
        quality=face.quality,
        attributes=face.attributes,
    )
