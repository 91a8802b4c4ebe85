"""Whose faces these are: the nearest faces of the search, put together by person.

A person is as similar as the person's closest stored face. The gallery is asked in its latest state: what another
process registered or deleted before the question counts.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .choose import FacePolicy, bbox_of, check_choice, embedding_of, one_face
from .errors import ArgumentError, EmptyGalleryError, FacedexError, UnknownPersonError
from .records import PersonId
from .results import Analysis, Candidate, FoundFace, Landmarks, Recognition, Verification
from .search import LocalSearch
from .store import Owner, Sighting, SqlStore

if TYPE_CHECKING:
    from ._core import Face
    from .engine import Engine
    from .inputs import ImageInput

_FACES_A_PERSON = 4  # faces asked of the search for each person wanted, before it is asked for more
_REMEMBERED = 100_000  # owners kept in memory
_BATCH = 64  # pictures analysed side by side before their answers are given


class Identifier:
    """Recognises and verifies against one gallery.

    Parameters
    ----------
    engine : Engine
    store : SqlStore
    search : LocalSearch
        Of the same gallery.
    threshold : float
        Where a call gives none.
    noting : bool
        Whether the audit is told who was recognised and verified.
    """

    def __init__(
        self, engine: Engine, store: SqlStore, search: LocalSearch, threshold: float, *, noting: bool = False
    ) -> None:
        self._engine = engine
        self._store = store
        self._search = search
        self._threshold = check_threshold(threshold)
        self._noting = noting
        self._owners: tuple[tuple[int, str], dict[int, Owner]] = ((0, ""), {})

    def recognize(self, image: ImageInput, *, k: int, threshold: float | None, min_face: int | None) -> Recognition:
        """Say who is in a picture, as `facedex.Gallery.recognize` says."""
        started = time.perf_counter()
        cut = self._cut(threshold, k)
        analysis = self._engine.analyze(image, min_face=min_face)
        found = self._identify(analysis.faces, k, cut)
        self._note(found)
        return Recognition(tuple(found), analysis.image_size, analysis.source, time.perf_counter() - started)

    def recognize_many(
        self,
        images: Sequence[ImageInput],
        *,
        k: int,
        threshold: float | None,
        min_face: int | None,
        progress: Callable[[int, int], object] | None,
    ) -> list[Recognition | FacedexError]:
        """Say who is in each picture, as `facedex.Gallery.recognize_many` says."""
        cut = self._cut(threshold, k)
        answers: list[Recognition | FacedexError] = []
        for start in range(0, len(images), _BATCH):
            started = time.perf_counter()
            analyses = self._engine.analyze_many(images[start : start + _BATCH], min_face=min_face)
            faces = [face for analysis in analyses if isinstance(analysis, Analysis) for face in analysis]
            named = self._identify(faces, k, cut)
            self._note(named)
            found = iter(named)
            each = (time.perf_counter() - started) / len(analyses)
            for analysis in analyses:
                if isinstance(analysis, Analysis):
                    mine = tuple(itertools.islice(found, len(analysis)))
                    answers.append(Recognition(mine, analysis.image_size, analysis.source, each))
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
        min_face: int | None,
    ) -> Verification:
        """Say whether a picture shows the person claimed, as `facedex.Gallery.verify` says."""
        check_choice("faces", faces, FacePolicy)
        cut = self._cut(threshold)
        self._store.person(person_id)  # an unknown person is told before the picture is looked at
        wanted = 1 if faces == "largest" else None
        face = one_face(self._engine.analyze(image, min_face=min_face, max_faces=wanted), faces, image)
        owner, keys, vectors = self._store.templates_of(person_id)
        if len(keys) == 0:
            raise UnknownPersonError(f"no face of {person_id!r} is stored; register one", person_id=person_id)
        similarities = vectors @ embedding_of(face)
        best = int(np.argmax(similarities))
        similarity = min(1.0, max(-1.0, float(similarities[best])))
        if self._noting:
            self._store.witness("verify", [Sighting(owner.person_id, similarity, cut)])
        return Verification(owner.person_id, similarity >= cut, similarity, cut, bbox_of(face.bbox), int(keys[best]))

    def _note(self, found: Sequence[FoundFace]) -> None:
        """Tell the audit, before the caller learns it: an answer that was not noted is not given."""
        if self._noting and found:
            self._store.witness(
                "recognize", [Sighting(face.person_id, face.similarity, face.threshold) for face in found]
            )

    def _cut(self, threshold: float | None, k: object = 1) -> float:
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ArgumentError(f"k must be a whole number from 1, got {k!r}")
        return self._threshold if threshold is None else check_threshold(threshold)

    def _identify(self, faces: Sequence[Face], k: int, cut: float) -> list[FoundFace]:
        probes = np.stack([embedding_of(face) for face in faces]) if faces else None
        closest = self._closest(probes, k + 1)  # one more than asked for, because the margin needs a second person
        return [_found(face, candidates, k, cut) for face, candidates in zip(faces, closest, strict=True)]

    def _closest(self, probes: NDArray[np.float32] | None, wanted: int) -> list[list[Candidate]]:
        state = self._search.sync()
        stored = len(self._search)
        if stored == 0:
            raise EmptyGalleryError("no face is registered in this gallery; register somebody first")
        if probes is None:
            return []
        answers: list[list[Candidate]] = [[] for _ in probes]
        pending = list(range(len(probes)))
        k = min(_FACES_A_PERSON * wanted, stored)
        while pending:
            keys, similarities = self._search.search(probes[pending], k)
            owners = self._owners_of(state, {int(key) for row in keys for key in row})
            for probe, row, scores in zip(pending, keys, similarities, strict=True):
                answers[probe] = _by_person(row, scores, owners)
            pending = [probe for probe in pending if len(answers[probe]) < wanted] if k < stored else []
            k = min(8 * k, stored)
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
            known = known | self._store.owners(sorted(asked))
            self._owners = (state, known)
        return known


def check_threshold(threshold: float) -> float:
    """Refuse a threshold that no similarity can be compared with.

    Raises
    ------
    ArgumentError
    """
    try:
        value = float(threshold)
    except (TypeError, ValueError):
        value = math.nan
    if not -1.0 <= value <= 1.0:
        raise ArgumentError(f"threshold must be a number from -1 to 1, got {threshold!r}")
    return value


def _by_person(keys: NDArray[np.uint64], scores: NDArray[np.float32], owners: dict[int, Owner]) -> list[Candidate]:
    """Keep the best face of each person, closest first."""
    best: dict[str, Candidate] = {}
    for key, score in zip(keys.tolist(), scores.tolist(), strict=True):
        owner = owners.get(key)
        if owner is not None:
            best.setdefault(str(owner.person_id), Candidate(owner.person_id, owner.name, score, key))
    return list(best.values())


def _found(face: Face, candidates: list[Candidate], k: int, threshold: float) -> FoundFace:
    first = candidates[0]
    known = first.similarity >= threshold
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
        candidates=tuple(candidates[:k]),
    )
