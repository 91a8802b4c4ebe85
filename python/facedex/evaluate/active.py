"""``python -m facedex.evaluate.active``: false rejections of the active liveness check, and the attacks that pass.

In: the bundled people. Each picture is turned by a model of the head and scaled by cropping, which makes the frames of
somebody who follows a challenge; a flat picture that is moved and tilted makes those of an attack. Out: how many of
each pass, with 95 % intervals. What this cannot measure: real cameras, light and people, and faces that a model of the
head does not describe. The frames that pass are themselves made from one picture: whoever can feed a computed video
into the camera can do the same.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from .. import people
from ..challenge import ACTIONS, Action, judge, sequences
from ..engine import Engine, decode
from ..errors import ChallengeError
from ..files import escape_unencodable_output
from ..packs import default
from .rates import rate_limits

Pixels = NDArray[np.uint8]

_RAMP = (0.5, 1.0, 1.0, 1.0, 0.5)  # how far an action is performed in its frames
_TURNED_DEG = (25.0, 40.0)
_CLOSER = (1.35, 1.7)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How attempts of one kind ended.

    Attributes
    ----------
    kind : str
        What the frames show.
    genuine : bool
        Whether they are those of a person who follows the challenge.
    attempts : int
    passed : int
    causes : dict of str to int
        Code of each refusal → number.
    interval : tuple of float
        95 % confidence interval (Wilson) of the share that passed.
    """

    kind: str
    genuine: bool
    attempts: int
    passed: int
    causes: dict[str, int]
    interval: tuple[float, float]


def turn(image: Pixels, landmarks: NDArray[np.floating], yaw_deg: float) -> Pixels:
    """Turn the head in a picture: each pixel moves as a point of an ellipsoid with a nose does.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
        RGB; the person looks straight ahead.
    landmarks : ndarray of float, shape (5, 2)
    yaw_deg : float
        Degrees; positive to the person's left.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Without perspective; hidden parts are cut, parts that come into view are stretched.
    """
    points = np.asarray(landmarks, np.float64)
    unit = float(np.linalg.norm(points[1] - points[0]))
    middle = points[[0, 1, 3, 4]].mean(axis=0)
    height, width = image.shape[:2]
    columns = np.arange(width)
    y, x = ((np.mgrid[0:height, 0:width] - middle[::-1, None, None]) / unit).astype(np.float64)
    # Half axes of the head and height of the nose, in distances between the eyes (63 mm): a head 158 mm wide, 240 mm
    # high, its face 69 mm before the axis; the nose another 19 mm.
    depth = 1.1 * np.sqrt(np.clip(1 - (x / 1.25) ** 2 - (y / 1.9) ** 2, 0, None))
    across, along = x - (points[2, 0] - middle[0]) / unit, y - (points[2, 1] - middle[1]) / unit
    depth += 0.3 * np.exp(-((across / 0.16) ** 2) / 2 - np.where(along < 0, along / 0.45, along / 0.15) ** 2 / 2)
    angle = np.radians(yaw_deg)
    moved = middle[0] + unit * (x * np.cos(angle) + depth * np.sin(angle))
    turned = np.empty_like(image)
    for row in range(height):
        visible = np.maximum.accumulate(moved[row] + columns * 1e-6)
        place = np.interp(columns, visible, columns)
        left = np.clip(place.astype(int), 0, width - 2)
        share = (place - left)[:, None]
        turned[row] = np.rint(image[row, left] * (1 - share) + image[row, left + 1] * share)
    return turned


def view(image: Pixels, plane: NDArray[np.floating]) -> Pixels:
    """Return what a camera sees of a flat picture.

    Parameters
    ----------
    image : ndarray of uint8, shape (height, width, 3)
    plane : ndarray of float, shape (3, 3)
        Homography from pixels of the view to pixels of the picture.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        Nearest pixels; gray where the picture ends.
    """
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width]
    seen = np.tensordot(plane, np.stack([x, y, np.ones_like(x)]), axes=1)
    columns, rows = (np.rint(seen[axis] / seen[2]).astype(int) for axis in (0, 1))
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    out = np.full_like(image, 128)
    out[inside] = image[rows[inside], columns[inside]]
    return out


def hold(
    middle: NDArray[np.floating], *, yaw_deg: float, roll_deg: float, scale: float, near: float
) -> NDArray[np.float64]:
    """Return the homography of a flat picture that is held before a camera, for `view`.

    Parameters
    ----------
    middle : ndarray of float, shape (2,)
        The point that stays, x, y in pixels.
    yaw_deg, roll_deg : float
        Rotation about the vertical axis, and in the plane, degrees.
    scale : float
    near : float
        Strength of the perspective: the inverse of the distance to the camera, per pixel; 0 is none.
    """
    yaw, roll = np.radians([yaw_deg, roll_deg])
    turned = np.array([[np.cos(yaw), 0, 0], [0, 1, 0], [near * np.sin(yaw), 0, 1]])
    rolled = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1 / scale]])
    to_middle = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]])
    forward = np.linalg.inv(to_middle) @ rolled @ turned @ to_middle
    return np.linalg.inv(forward)


def measure_active(
    engine: Engine, *, attempts: int = 40, seed: int = 0, show: Callable[[str], None] = lambda kind: None
) -> list[Outcome]:
    """Measure how many genuine attempts and attacks pass.

    Parameters
    ----------
    engine : Engine
    attempts : int
        Of each kind.
    seed : int
        Of the people, sequences and movements that are drawn.
    show : callable
        Called with each kind before it is measured.

    Returns
    -------
    list of Outcome
    """
    outcomes: list[Outcome] = []
    for kind, (genuine, make) in _KINDS.items():
        show(kind)
        draw = np.random.default_rng([seed, len(outcomes)])
        causes: dict[str, int] = {}
        for _ in range(attempts):
            wanted = sequences(ACTIONS)[draw.integers(len(sequences(ACTIONS)))]
            cause = _refusal(engine, make(_Sitter(engine, draw), wanted), wanted)
            if cause is not None:
                causes[cause] = causes.get(cause, 0) + 1
        passed = attempts - sum(causes.values())
        outcomes.append(Outcome(kind, genuine, attempts, passed, causes, rate_limits(passed, attempts)))
    return outcomes


class _Sitter:
    """A bundled person in a drawn picture, and how this person moves."""

    def __init__(self, engine: Engine, draw: np.random.Generator, without: str | None = None) -> None:
        self.engine, self.draw = engine, draw
        self.person_id = str(draw.choice([one for one in people.IDS if one != without]))
        pictures = people.PICTURES[self.person_id] + people.PROBES[self.person_id]
        self.image: Pixels = decode(pictures[draw.integers(len(pictures))])
        found = engine.analyze(self.image, max_faces=1, embed=False)
        self.landmarks = np.asarray(found[0].landmarks, np.float64)
        self.turned_deg = draw.uniform(*_TURNED_DEG)
        self.closer = draw.uniform(*_CLOSER)

    def frame(self, *, yaw_deg: float = 0.0, scale: float = 1.0) -> Pixels:
        """Return a frame of the person, who never holds quite still."""
        draw = self.draw
        turned = turn(self.image, self.landmarks, yaw_deg + draw.normal(0, 1.5))
        return self._held(turned, 0.0, draw.normal(0, 2), scale * draw.uniform(0.98, 1.02), 0.0)

    def flat(self, *, yaw_deg: float = 0.0, scale: float = 1.0, near: float = 0.0) -> Pixels:
        """Return a frame of the person's picture, held before the camera."""
        return self._held(self.image, yaw_deg, self.draw.normal(0, 4), scale, near)

    def _held(self, image: Pixels, yaw_deg: float, roll_deg: float, scale: float, near: float) -> Pixels:
        middle = self.landmarks.mean(axis=0)
        return view(image, hold(middle, yaw_deg=yaw_deg, roll_deg=roll_deg, scale=scale, near=near))


def _perform(make: Callable[..., Pixels], sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    """Make the frames of a person who follows a challenge, looking ahead before each action."""
    frames = [make() for _ in range(3)]
    for action in actions:
        for part in _RAMP:
            if action == "come_closer":
                frames.append(make(scale=1 + part * (sitter.closer - 1)))
            else:
                frames.append(make(yaw_deg=part * sitter.turned_deg * (1 if action == "turn_left" else -1)))
        frames += [make() for _ in range(2)]
    return frames


def _genuine(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    return _perform(sitter.frame, sitter, actions)


def _still(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    return [sitter.image] * (3 + 7 * len(actions))


def _moved(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    return _perform(lambda **action: sitter.flat(scale=action.get("scale", 1.0)), sitter, actions)


def _tilted(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    sitter.turned_deg *= 1.5  # whoever tilts a print may tilt it far
    return _perform(sitter.flat, sitter, actions)


def _tilted_near(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    sitter.turned_deg *= 1.5
    near = 1 / (5 * float(np.linalg.norm(sitter.landmarks[1] - sitter.landmarks[0])))  # some 30 cm from the lens
    return _perform(lambda **action: sitter.flat(near=near, **action), sitter, actions)


def _other_order(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    others = [wanted for wanted in sequences(len(actions)) if wanted != tuple(actions)]
    return _perform(sitter.frame, sitter, others[sitter.draw.integers(len(others))])


def _other_person(sitter: _Sitter, actions: Sequence[Action]) -> list[Pixels]:
    """Make frames in which the picture of one person looks ahead, and somebody else turns."""
    other = _Sitter(sitter.engine, sitter.draw, without=sitter.person_id)
    frames = _perform(other.frame, other, actions)
    return [sitter.frame() for _ in range(3)] + frames[3:]


_KINDS: dict[str, tuple[bool, Callable[[_Sitter, Sequence[Action]], list[Pixels]]]] = {
    "person follows the challenge": (True, _genuine),
    "one photo, held still": (False, _still),
    "one photo, moved, rolled and brought closer": (False, _moved),
    "one photo, turned about its axis, far from the camera": (False, _tilted),
    "one photo, turned about its axis, 30 cm from the camera": (False, _tilted_near),
    "person with another sequence of actions": (False, _other_order),
    "photo of one person, then another person turns": (False, _other_person),
    "one photo, turned by a program (virtual camera)": (False, _genuine),
}
"""Each kind of attempt → whether it is genuine, and how its frames are made."""


def _refusal(engine: Engine, frames: Sequence[Pixels], actions: Sequence[Action]) -> str | None:
    """Return the code with which frames are refused; None if they pass."""
    found = [engine.analyze(frame) for frame in frames]
    try:
        judge(found, actions, threshold=engine.threshold)
    except ChallengeError as error:
        return error.code
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure a pack and print a table; returns 0."""
    parser = argparse.ArgumentParser(prog="python -m facedex.evaluate.active", description=__doc__)
    parser.add_argument("--pack", default=default(), help="name of a pack or path of a manifest")
    parser.add_argument("--attempts", type=int, default=40, help="attempts of each kind (default: 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print a JSON document")
    escape_unencodable_output()
    options = parser.parse_args(arguments)
    status = Console(stderr=True)
    outcomes = measure_active(
        Engine(options.pack), attempts=options.attempts, seed=options.seed, show=lambda kind: status.print(kind)
    )
    if options.json:
        sys.stdout.write(json.dumps([asdict(outcome) for outcome in outcomes], indent=2) + "\n")
        return 0
    table = Table("frames", "attempts", "passed", "95 % interval", "refused because of", title=f"pack {options.pack}")
    for one in outcomes:
        low, high = (f"{100 * limit:.1f}" for limit in one.interval)
        causes = ", ".join(f"{code} {number}" for code, number in sorted(one.causes.items()))
        table.add_row(one.kind, str(one.attempts), str(one.passed), f"{low} to {high} %", causes)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
