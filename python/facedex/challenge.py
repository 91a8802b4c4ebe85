"""The active liveness check: a person turns the head and comes closer as asked, and the landmarks show it.

In: the actions that were asked for, and the faces of a sequence of frames. Out: what each frame shows. Refused, with an
error that names the cause: too few frames, a frame without exactly one face, another person, other actions than those
asked for. No network is needed besides those that find and recognize a face.

The method is parallax. The eyes and the corners of the mouth lie nearly in a plane, the tip of the nose in front of it.
When a head turns, the nose moves against the other four points. When a flat picture is turned, tilted, moved or scaled,
the five points move together: four of them determine how the plane moved (a homography), and it carries the nose along.
Networks misplace the points of a picture that is turned far, and so one more thing is checked there: a face that looks
narrower than its yaw explains is flat. A bent photo, a mask or a video of the person can show a turn;
`docs/liveness.md` says what passes.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, ChallengeFramesError, ChallengeOrderError, ChallengePersonError

if TYPE_CHECKING:
    from ._core import Face

Action = Literal["turn_left", "turn_right", "come_closer"]
"""What a person is asked to do; left and right are those of the person."""

Pose = Literal["ahead", "turn_left", "turn_right", "come_closer", "between"]
"""What a frame shows: one of the actions, a look straight ahead, or something between."""

ACTIONS = 3
"""How many actions a challenge has by default."""

MAX_ACTIONS = 6
"""How many actions a challenge has at most."""

FRAMES_PER_ACTION = 4
"""Least number of frames for each action: two to show it, two to look ahead before."""

MAX_FRAMES = 60
"""Maximum number of frames of an answer."""

TURN_DEG = 16.0
"""Least yaw of a turned head, degrees. Of the bundled people turned by 30°, all are estimated at 19° or more."""

AHEAD_DEG = 13.0
"""Greatest yaw of a head that looks ahead, degrees. The bundled people who look ahead are estimated below 6°."""

FIRST_DEG = 25.0
"""Greatest yaw of the first frame, degrees: there it is estimated from the face alone, which may be asymmetric."""

NARROWED_DEG = 10.0
"""By how much the yaw that explains the width of a turned face may exceed the yaw of the nose, degrees."""

CLOSER = 1.25
"""Least scale of a face that came closer, relative to the first frame."""

NOT_CLOSER = 1.15
"""Greatest scale of a face that did not."""

_HELD = 2  # frames in which a pose must be seen, so that one misplaced landmark is no action
# How far the tip of the nose is before the plane of eyes and mouth, in distances between the eyes: 130 of 320 units in
# the generic head that examples of OpenCV's solvePnP use (nose tip at depth 0, corners of the eyes at -135 and ±225
# from the middle, those of the mouth at -125).
_NOSE_DEPTH = 0.4
_PLANE = (0, 1, 3, 4)  # right eye, left eye, right and left mouth corner
_NOSE = 2
# A symmetric face: eyes and mouth corners in distances between the eyes, from the middle of the eyes. The mouth's width
# of 0.8 and the distance of 1.05 are the mean of the usual five-point template for crops of 112 × 112.
_SYMMETRIC = np.array([(-0.5, 0.0), (0.5, 0.0), (-0.4, 1.05), (0.4, 1.05)])


@dataclass(frozen=True, slots=True)
class FramePose:
    """What one frame shows.

    Attributes
    ----------
    pose : {"ahead", "turn_left", "turn_right", "come_closer", "between"}
    yaw_deg : float
        How far the head is turned relative to the first frame, degrees; positive to the person's left. Estimated from
        five points: right within 5° for most frames, and within 14° up to 30°.
    scale : float
        Size of the face relative to the first frame.
    similarity : float
        To the face of the first frame, [-1, 1].
    """

    pose: Pose
    yaw_deg: float
    scale: float
    similarity: float


def choose_actions(count: int = ACTIONS) -> tuple[Action, ...]:
    """Choose the actions of a challenge at random, from the random source of the system.

    To come closer is asked for once at most, because a flat picture can do that too; all others are turns. No action
    follows itself. Three actions have ten sequences.

    Parameters
    ----------
    count : int
        2 to 6.

    Returns
    -------
    tuple of {"turn_left", "turn_right", "come_closer"}

    Raises
    ------
    ArgumentError
        When `count` is out of range.

    Examples
    --------
    >>> actions = choose_actions()
    >>> len(actions), any(action != "come_closer" for action in actions)
    (3, True)
    """
    if not 2 <= count <= MAX_ACTIONS:
        raise ArgumentError(f"count must be 2 to {MAX_ACTIONS}, got {count}")
    return secrets.choice(sequences(count))


def sequences(count: int) -> list[tuple[Action, ...]]:
    """List the sequences of actions that `choose_actions` chooses from, all equally likely.

    Examples
    --------
    >>> [len(sequences(count)) for count in (2, 3, 4)]
    [6, 10, 14]
    """
    return [
        wanted
        for wanted in itertools.product(get_args(Action), repeat=count)
        if wanted.count("come_closer") <= 1 and all(a != b for a, b in itertools.pairwise(wanted))
    ]


def judge(frames: Sequence[Sequence[Face]], actions: Sequence[Action], *, threshold: float) -> tuple[FramePose, ...]:
    """Check that frames show one person who does what was asked for, in that order and nothing else.

    Parameters
    ----------
    frames : sequence of sequences of Face
        The faces of each frame, with embeddings, in the order in which the frames were taken; a `facedex.Analysis` is
        such a sequence. In the first the person looks straight ahead. Frames must not be mirrored.
    actions : sequence of {"turn_left", "turn_right", "come_closer"}
    threshold : float
        Least similarity of two pictures of one person, [-1, 1], such as `facedex.Engine.threshold`.

    Returns
    -------
    tuple of FramePose
        One for each frame.

    Raises
    ------
    ChallengeFramesError
        When there are too few or too many frames, or one does not show exactly one face.
    ChallengePersonError
        When a frame shows another person than the first frame and than the frame before, or one that looks ahead shows
        another person than the first.
    ChallengeOrderError
        When the first frame does not look ahead, or the frames show other actions than those asked for.
    """
    least = FRAMES_PER_ACTION * len(actions)
    if not least <= len(frames) <= MAX_FRAMES:
        raise ChallengeFramesError(f"{least} to {MAX_FRAMES} frames are needed, got {len(frames)}")
    faces = [_only_face(faces, number) for number, faces in enumerate(frames)]
    similarities = _check_person([face.embedding for face in faces], threshold)
    points = [np.asarray(face.landmarks, np.float64) for face in faces]
    first_deg = _yaw_deg(_nose_offset(points[0]))
    if abs(first_deg) > FIRST_DEG:
        raise ChallengeOrderError(
            f"the first frame must look straight ahead: the head is turned by about {first_deg:.0f}°"
        )
    poses = []
    for seen, similarity in zip(points, similarities, strict=True):
        yaw_deg, scale = estimate_pose(points[0], seen)
        pose = _pose_of(yaw_deg, scale, _width(seen) / _width(points[0]))
        poses.append(FramePose(pose, yaw_deg, scale, similarity))
    for number, frame in enumerate(poses):
        if frame.pose in ("ahead", "come_closer") and not frame.similarity >= threshold:
            raise ChallengePersonError(f"frame {number} shows another person than the first frame")
    shown = shown_actions([frame.pose for frame in poses])
    if shown != tuple(actions):
        raise ChallengeOrderError(f"asked for {_list(actions)}; the frames show {_list(shown)}")
    return tuple(poses)


def estimate_pose(first: NDArray[np.floating], seen: NDArray[np.floating]) -> tuple[float, float]:
    """Estimate how far a head is turned and how much closer it is than in a first frame.

    Parameters
    ----------
    first, seen : ndarray of float, shape (5, 2)
        Landmarks of the person who looks ahead, and of the same person in another frame: right eye, left eye, nose,
        right and left mouth corner; x, y in pixels of a picture that is not mirrored.

    Returns
    -------
    yaw_deg : float
        Degrees, positive to the person's left. A flat picture of the first frame has a yaw of 0 in any position, if its
        landmarks are exact.
    scale : float
        Root of the ratio of the areas between eyes and mouth corners.

    Raises
    ------
    ChallengeFramesError
        When the points of a frame coincide or are on one line.
    """
    origin, target = (np.asarray(points, np.float64) for points in (first, seen))
    carried = _apply(_homography(target[[*_PLANE]], origin[[*_PLANE]]), target[_NOSE])
    across = origin[1] - origin[0]
    parallax = float((carried - origin[_NOSE]) @ across / (across @ across))
    return _yaw_deg(parallax), float(np.sqrt(_area(target) / _area(origin)))


def shown_actions(poses: Sequence[Pose]) -> tuple[Action, ...]:
    """Return the actions that a sequence of poses shows.

    A pose counts that two frames in a row show. A face that stays close while the head turns came closer once.

    Examples
    --------
    >>> shown_actions(["ahead", "ahead", "between", "turn_left", "turn_left", "ahead", "turn_right", "ahead"])
    ('turn_left',)
    """
    shown: list[Action] = []
    last: Pose = "ahead"
    close = False
    for pose, run in itertools.groupby(poses):
        if pose == "between" or len(list(run)) < _HELD:
            continue
        if pose == "ahead":
            close = False
        elif pose == "come_closer":
            if not close:
                shown.append(pose)
            close = True
        elif pose != last:
            shown.append(pose)
        last = pose
    return tuple(shown)


def _only_face(faces: Sequence[Face], number: int) -> Face:
    if len(faces) != 1:
        found = "no face" if not len(faces) else f"{len(faces)} faces"
        raise ChallengeFramesError(f"frame {number} shows {found}; one is needed in each frame")
    if faces[0].embedding is None or faces[0].landmarks is None:
        raise ArgumentError("the faces of frames must have embeddings and landmarks")
    return faces[0]


def _check_person(embeddings: Sequence[NDArray[np.float32] | None], threshold: float) -> list[float]:
    """Return the similarity of each frame to the first.

    A turned head is less similar to the first frame, but as similar as ever to the frame before.
    """
    vectors = np.stack([np.asarray(embedding, np.float64) for embedding in embeddings])
    to_first = np.clip(vectors @ vectors[0], -1, 1)
    to_last = np.concatenate([[1.0], np.sum(vectors[1:] * vectors[:-1], axis=1)])
    for number, similarity in enumerate(np.maximum(to_first, to_last)):
        if not similarity >= threshold:
            raise ChallengePersonError(f"frame {number} shows another person than the frames before it")
    return [float(similarity) for similarity in to_first]


def _pose_of(yaw_deg: float, scale: float, width: float) -> Pose:
    """Classify a frame; `width` is that of the face for its height, relative to the first frame."""
    if abs(yaw_deg) >= TURN_DEG:
        if width < np.cos(np.radians(min(90.0, abs(yaw_deg) + NARROWED_DEG))):
            return "between"
        return "turn_left" if yaw_deg > 0 else "turn_right"
    if abs(yaw_deg) > AHEAD_DEG or NOT_CLOSER < scale < CLOSER:
        return "between"
    return "come_closer" if scale >= CLOSER else "ahead"


def _yaw_deg(parallax: float) -> float:
    """Return the yaw of a head whose nose moved by `parallax` distances between the eyes, degrees.

    After the plane is turned back, which divides by the cosine, the nose is off by its depth times the tangent.
    """
    return float(np.degrees(np.arctan2(parallax, _NOSE_DEPTH)))


def _nose_offset(points: NDArray[np.float64]) -> float:
    """Return how far the nose is off the middle of a single face, in distances between the eyes."""
    return float(_apply(_homography(points[[*_PLANE]], _SYMMETRIC), points[_NOSE])[0])


def _width(points: NDArray[np.float64]) -> float:
    """Return the distance of the eyes by that of the eyes from the mouth, from middle to middle."""
    eyes, mouth = points[[0, 1]].mean(axis=0), points[[3, 4]].mean(axis=0)
    return float(np.linalg.norm(points[1] - points[0]) / np.linalg.norm(mouth - eyes))


def _area(points: NDArray[np.float64]) -> float:
    """Return the area between the eyes and the mouth corners, square pixels."""
    corners = points[[0, 1, 4, 3]]
    x, y = corners.T
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)


def _homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projective map of four points to four others, shape (3, 3)."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    try:
        solved = np.linalg.solve(np.array(rows), np.array(values))
    except np.linalg.LinAlgError:
        solved = np.full(8, np.nan)
    if not np.isfinite(solved).all():
        raise ChallengeFramesError("the landmarks of a frame coincide or are on one line")
    return np.append(solved, 1.0).reshape(3, 3)


def _apply(map_: NDArray[np.float64], point: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, w = map_ @ np.append(point, 1.0)
    if w == 0:
        raise ChallengeFramesError("the landmarks of a frame coincide or are on one line")
    return np.array([x / w, y / w])


def _list(actions: Sequence[str]) -> str:
    return ", ".join(actions) or "no action"
