"""The rules of registration: size, score, quality and number of faces, and what to do with duplicates.

Each refusal is an error with a code, the measured value and the limit. No value suits all cameras: the defaults refuse
nothing, and warn of a face that resembles another person.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..checks import abbreviate, check_choice, check_flag, check_int
from ..errors import ArgumentError, FaceNotLiveError, FaceQualityError, FaceScoreError, FaceTooSmallError
from ..inputs import describe
from ..options import AnalyzeOptions, Duplicates, WhenFull
from ..results import bbox_of
from ..store import FaceLimit

if TYPE_CHECKING:
    from .._core import Face


@dataclass(frozen=True, slots=True)
class Enrolment:
    """The rules under which faces are registered.

    Parameters
    ----------
    min_face_px : float
        Least length of the shorter side of a face's box, pixels of the original.
    min_score : float
        Least score of the detector, [0, 1].
    min_quality : float
        Least quality for recognition, [0, 100], as the engine measures it.
    require_liveness : bool
        Whether a face must be judged to be live; one that cannot be judged is refused too.
    max_faces : int, optional
        Most faces of a person, from 1.
    when_full : {"oldest", "worst", "refuse"}
        What makes room for one more: the oldest face, the one of the lowest quality, or none. A new face that is itself
        the worst is refused. Where the quality of one is unknown, all are compared by the detector's score.
    duplicates : {"warn", "refuse", "ignore"}
        What to do when a face reaches the gallery's threshold with another person: report it in the result, refuse the
        registration, or do not check. The check costs one search for each registration.

    Raises
    ------
    ArgumentError
        When a limit is out of its range.
    """

    min_face_px: float = 0.0
    min_score: float = 0.0
    min_quality: float = 0.0
    require_liveness: bool = False
    max_faces: int | None = None
    when_full: WhenFull = "oldest"
    duplicates: Duplicates = "warn"

    def __post_init__(self) -> None:
        check_choice("when_full", self.when_full, WhenFull)
        check_choice("duplicates", self.duplicates, Duplicates)
        _check_number("min_face_px", self.min_face_px, math.inf)
        _check_number("min_score", self.min_score, 1.0)
        _check_number("min_quality", self.min_quality, 100.0)
        if self.max_faces is not None:
            object.__setattr__(self, "max_faces", check_int("max_faces", self.max_faces, minimum=1))
        object.__setattr__(self, "require_liveness", check_flag("require_liveness", self.require_liveness))

    @property
    def face_limit(self) -> FaceLimit | None:
        """The limit on the faces of a person; None without a limit."""
        return None if self.max_faces is None else FaceLimit(self.max_faces, self.when_full)

    def analyze_options(self, min_face: int | None) -> AnalyzeOptions:
        """Return what the engine must compute: what is checked, and the quality, which is cheap and is stored."""
        return AnalyzeOptions(min_face=min_face, liveness="advisory" if self.require_liveness else "off", quality=True)

    def check(self, face: Face, image: object) -> None:
        """Refuse a face that is not good enough.

        Parameters
        ----------
        face : Face
        image : ImageInput
            The picture, to name it in a message.

        Raises
        ------
        FaceTooSmallError, FaceScoreError, FaceQualityError, FaceNotLiveError
        """
        x1, y1, x2, y2 = bbox_of(face.bbox)
        side = min(x2 - x1, y2 - y1)
        if side < self.min_face_px:
            raise FaceTooSmallError(
                f"the face in {describe(image)} is {side:.0f} pixels on its shorter side, at least "
                f"{self.min_face_px:g} are needed; take the picture from nearer",
                measured=side,
                limit=self.min_face_px,
            )
        score = float(face.det_score)
        if score < self.min_score:
            raise FaceScoreError(
                f"the face in {describe(image)} has a score of {score:.3f}, at least {self.min_score:g} is needed; "
                "use a clearer picture",
                measured=score,
                limit=self.min_score,
            )
        quality = None if face.quality is None else face.quality.unified_score
        if self.min_quality > 0 and (quality is None or quality < self.min_quality):
            found = "an unknown quality" if quality is None else f"a quality of {quality:.0f}"
            raise FaceQualityError(
                f"the face in {describe(image)} has {found}, at least {self.min_quality:g} of 100 is needed; use a "
                "sharper, well lit picture from the front",
                measured=quality or 0.0,
                limit=self.min_quality,
            )
        if self.require_liveness:
            _check_live(face, image)


def _check_live(face: Face, image: object) -> None:
    judged = face.liveness
    if judged is not None and judged.live:
        return
    score = None if judged is None else judged.score
    limit = None if judged is None else judged.threshold
    if score is None or limit is None:
        reason = "it was not measured" if judged is None else judged.reason
        raise FaceNotLiveError(
            f"whether the face in {describe(image)} is live is unknown: {reason}; take the picture with the whole "
            "face and some space around it"
        )
    raise FaceNotLiveError(
        f"the face in {describe(image)} has a liveness of {score:.3f}, at least {limit:.3f} is needed; show the face "
        "itself and no picture of it",
        measured=score,
        limit=limit,
    )


def _check_number(name: str, value: object, largest: float) -> None:
    try:
        accepted = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= float(value) <= largest
    except OverflowError:
        accepted = False
    if not accepted:
        allowed = "from 0 that a float holds" if largest == math.inf else f"from 0 to {largest:g}"
        raise ArgumentError(f"{name} must be a number {allowed}, got {abbreviate(value)}")
