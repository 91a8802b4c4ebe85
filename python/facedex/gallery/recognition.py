"""Whose faces these are: the nearest people of the search.

A person is as similar as the normalised mean of the person's embeddings; where the gallery was opened so, as the
closest stored face or as the mean of the closest few. Changes that other processes committed before the call count.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..engine import BATCH
from ..errors import DatabaseDamagedError, FacedexError, UnknownPersonError
from ..options import AnalyzeOptions, RecognizeOptions, VerifyOptions
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
from ..store import Sighting, fuse, is_intact
from ..thresholds import Decision
from .lifetime import Progress
from .resources import Resources

if TYPE_CHECKING:
    from .._core import Face
    from ..inputs import ImageInput

_TRIES = 5  # attempts while people are deleted between the search and the read of the database


class Recognizer:
    """Recognizes and verifies against one gallery.

    Parameters
    ----------
    resources : Resources
    log_sightings : bool
        Whether the audit records who was recognized and verified.
    """

    def __init__(self, resources: Resources, *, log_sightings: bool) -> None:
        self._resources = resources
        self._logs = log_sightings

    def recognize(self, image: ImageInput, options: RecognizeOptions) -> Recognition:
        """Recognize the people in a picture, as `facedex.Gallery.recognize` does."""
        started = time.perf_counter()
        analysis = self._resources.engine.analyze(image, **asdict(options.analyze))
        identified, decision = self._identify(analysis.faces, options)
        found = _all_or_error(identified)
        if isinstance(found, FacedexError):
            raise found
        self._log(found)
        return _recognition(found, analysis, time.perf_counter() - started, decision)

    def recognize_many(
        self, images: Sequence[ImageInput], options: RecognizeOptions, progress: Progress | None
    ) -> list[Recognition | FacedexError]:
        """Recognize the people in each picture, as `facedex.Gallery.recognize_many` does."""
        results: list[Recognition | FacedexError] = []
        while len(results) < len(images):
            started, engine = time.perf_counter(), self._resources.engine
            batch = images[len(results) : len(results) + engine.threads * BATCH]
            analyses = engine.analyze_many(batch, **asdict(options.analyze))
            faces = [face for analysis in analyses if isinstance(analysis, Analysis) for face in analysis]
            identified, decision = self._identify(faces, options)
            self._log([face for face in identified if isinstance(face, FoundFace)])
            remaining = iter(identified)
            elapsed_s = (time.perf_counter() - started) / len(analyses)
            for analysis in analyses:
                if not isinstance(analysis, Analysis):
                    results.append(analysis)
                    continue
                found = _all_or_error(list(itertools.islice(remaining, len(analysis))))
                if isinstance(found, FacedexError):
                    results.append(found)
                else:
                    results.append(_recognition(found, analysis, elapsed_s, decision))
            if progress is not None:
                progress(len(results), len(images))
        return results

    def verify(self, person_id: PersonId, image: ImageInput, options: VerifyOptions) -> Verification:
        """Verify that a picture shows a person, as `facedex.Gallery.verify` does."""
        store = self._resources.store
        store.person(person_id)  # an unknown person is an error before the picture is analysed
        analyze = options.analyze
        if options.faces == "largest":
            analyze = replace(analyze, max_faces=1)
        face = choose_face(self._resources.engine.analyze(image, **asdict(analyze)), options.faces, image)
        owner, keys, vectors = store.templates_of(person_id)
        if len(keys) == 0:
            raise UnknownPersonError(f"no face of {person_id!r} is stored; register one", person_id=person_id)
        probe, scoring = embedding_of(face), self._resources.scoring
        similarities = vectors @ probe
        closest = np.argsort(-similarities, kind="stable")[: scoring.faces]
        exact = fuse(vectors) @ probe if scoring.score == "fused" else np.mean(similarities[closest])
        similarity = min(1.0, max(-1.0, float(exact)))
        decision = self._resources.decide_pair(options.rule, len(keys))
        threshold = decision.threshold
        if self._logs:
            store.log_sightings("verify", [Sighting(owner.person_id, similarity, threshold)])
        return Verification(
            owner.person_id,
            similarity >= threshold and _passes_liveness(face, analyze),
            similarity,
            threshold,
            bbox_of(face.bbox),
            int(keys[closest[0]]),
            liveness=face.liveness,
            quality=face.quality,
            attributes=face.attributes,
            decision=decision,
        )

    def _log(self, found: Sequence[FoundFace]) -> None:
        """Write to the audit before the result is returned: no result is returned that the audit lacks."""
        if self._logs and found:
            sightings = [Sighting(face.person_id, face.similarity, face.threshold) for face in found]
            self._resources.store.log_sightings("recognize", sightings)

    def _identify(
        self, faces: Sequence[Face], options: RecognizeOptions
    ) -> tuple[list[FoundFace | DatabaseDamagedError], Decision]:
        probes = np.stack([embedding_of(face) for face in faces]) if faces else None
        closest = self._closest(probes, options.k + 1)  # one more, because the margin needs a second person
        decision = self._resources.decide(options.rule)  # after the search, whose people it counts
        found = [
            _found_face(face, candidates, options, decision) for face, candidates in zip(faces, closest, strict=True)
        ]
        return found, decision

    def _closest(self, probes: NDArray[np.float32] | None, wanted: int) -> list[list[Candidate]]:
        search = self._resources.search
        for _ in range(_TRIES):
            state = search.sync()
            if probes is None:
                return []
            found = search.search_people(probes, wanted, faces=self._resources.scoring.faces)
            closest = self._resources.candidates.resolve(state, found, probes)
            if all(len(people) == found.keys.shape[1] for people in closest):
                break
        return [
            [Candidate(owner.person_id, owner.name, similarity, face_id) for owner, similarity, face_id in people]
            for people in closest
        ]


def _passes_liveness(face: Face, options: AnalyzeOptions) -> bool:
    """Return whether the face may be matched: where liveness is required, only a live face is."""
    return options.liveness != "required" or (face.liveness is not None and face.liveness.live)


def _all_or_error(found: list[FoundFace | DatabaseDamagedError]) -> list[FoundFace] | DatabaseDamagedError:
    """Return the faces of a picture, or the first error among them."""
    intact = [face for face in found if isinstance(face, FoundFace)]
    return intact if len(intact) == len(found) else next(face for face in found if not isinstance(face, FoundFace))


def _recognition(found: Sequence[FoundFace], analysis: Analysis, elapsed_s: float, decision: Decision) -> Recognition:
    faces = tuple(replace(face, source=analysis.source) for face in found)
    return Recognition(faces, analysis.image_size, analysis.source, elapsed_s, analysis.hint, decision)


def _found_face(
    face: Face, candidates: list[Candidate], options: RecognizeOptions, decision: Decision
) -> FoundFace | DatabaseDamagedError:
    threshold = decision.threshold
    first = candidates[0] if candidates else None  # nobody is registered
    similarity = -1.0 if first is None else first.similarity
    matched = first if similarity >= threshold and _passes_liveness(face, options.analyze) else None
    if matched is not None and not is_intact(matched.person_id):
        what = f"face {matched.face_id}" if matched.face_id else "a template"
        return DatabaseDamagedError(
            f"the owner of {what} is unknown, because a row of the database is damaged; restore "
            "it from a backup; 'facedex fsck' shows which row it is"
        )
    assert face.landmarks is not None  # its embedding was cut by them
    points: list[tuple[float, float]] = [(float(x), float(y)) for x, y in face.landmarks]
    landmarks: Landmarks = (points[0], points[1], points[2], points[3], points[4])
    return FoundFace(
        bbox=bbox_of(face.bbox),
        landmarks=landmarks,
        det_score=float(face.det_score),
        person_id=None if matched is None else matched.person_id,
        name=None if matched is None else matched.name,
        similarity=similarity,
        threshold=threshold,
        margin=similarity - candidates[1].similarity if len(candidates) > 1 else None,
        candidates=tuple([candidate for candidate in candidates if is_intact(candidate.person_id)][: options.k]),
        liveness=face.liveness,
        quality=face.quality,
        attributes=face.attributes,
        decision=decision,
    )
