"""The active liveness check: landmarks of exact bodies, and pictures of the bundled people turned by a model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facedex import people
from facedex._core import Face
from facedex.challenge import (
    Action,
    Pose,
    choose_actions,
    estimate_pose,
    judge,
    sequences,
    shown_actions,
)
from facedex.engine import Engine, decode
from facedex.errors import (
    ArgumentError,
    ChallengeFramesError,
    ChallengeOrderError,
    ChallengePersonError,
)
from facedex.evaluate import active

HEAD = np.array([(-32, 0, 0), (32, 0, 0), (0, 35, -26), (-25, 65, 0), (25, 65, 0)], float)
"""Eyes, nose and mouth corners, millimetres; the nose is 0.41 distances of the eyes before their plane."""

ACTIONS: tuple[Action, ...] = ("turn_left", "come_closer", "turn_right")
AYU, BUDI = np.eye(4, dtype=np.float32)[:2]


def seen(
    *,
    yaw_deg: float = 0,
    pitch_deg: float = 0,
    roll_deg: float = 0,
    scale: float = 1,
    flat: bool = False,
    far: float = 9,
) -> NDArray[np.float64]:
    """Return the landmarks of a head, or of a flat picture of it, before a camera in perspective."""
    points = HEAD - HEAD.mean(axis=0)
    points[:, 2] = 0 if flat else points[:, 2]
    yaw, pitch, roll = np.radians([-yaw_deg, pitch_deg, roll_deg])  # the nose of a head turned left moves to greater x
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    turned = points @ (about_z @ about_x @ about_y).T
    return np.asarray(scale * turned[:, :2] / (1 + turned[:, 2:] / (far * 64)) + (320, 240))


def face(points: NDArray[np.floating], person: NDArray[np.float32] = AYU) -> Face:
    low, high = points.min(axis=0), points.max(axis=0)
    return Face((*low, *high), points.astype(np.float32), 0.99, embedding=person)


def frames(poses: Sequence[Pose], **more: Any) -> list[list[Face]]:
    """Two frames of each pose."""
    moved: dict[str, dict[str, float]] = {
        "turn_left": {"yaw_deg": 30},
        "turn_right": {"yaw_deg": -30},
        "come_closer": {"scale": 1.5},
    }
    return [[face(seen(**moved.get(pose, {}), **more))] for pose in poses for _ in range(2)]


FOLLOWED: tuple[Pose, ...] = ("ahead", "turn_left", "ahead", "come_closer", "ahead", "turn_right")


def test_a_person_who_follows_the_challenge_passes() -> None:
    poses = judge(frames(FOLLOWED), ACTIONS, threshold=0.5)
    assert [pose.pose for pose in poses][::2] == list(FOLLOWED)
    assert poses[2].yaw_deg == pytest.approx(30, abs=3)
    assert poses[6].scale == pytest.approx(1.5, abs=0.01)
    assert {pose.similarity for pose in poses} == {1.0}


@pytest.mark.parametrize("yaw_deg", [-35, -20, -10, 0, 10, 20, 35])
def test_the_yaw_of_a_head_is_estimated_in_any_position(yaw_deg: float) -> None:
    for more in ({}, {"roll_deg": 15, "scale": 1.3}, {"pitch_deg": 10, "far": 5}):
        measured, _ = estimate_pose(seen(), seen(yaw_deg=yaw_deg, **more))
        assert measured == pytest.approx(yaw_deg, abs=5), more


@given(
    yaw_deg=st.floats(-60, 60),
    pitch_deg=st.floats(-40, 40),
    roll_deg=st.floats(-180, 180),
    scale=st.floats(0.3, 3),
    far=st.floats(3, 100),
)
def test_a_flat_picture_never_turns(**position: float) -> None:
    """The nose stays where the plane carries it, whatever the perspective."""
    measured, _ = estimate_pose(seen(flat=True), seen(flat=True, **position))
    assert measured == pytest.approx(0, abs=1e-6)


def test_a_flat_picture_that_is_turned_as_asked_is_refused() -> None:
    with pytest.raises(ChallengeOrderError, match="the frames show come_closer"):
        judge(frames(FOLLOWED, flat=True), ACTIONS, threshold=0.5)


def test_a_misplaced_nose_does_not_make_a_flat_picture_turn() -> None:
    """A picture turned by 60° with a nose that a network misplaces by as much as a head's would move."""
    taken = frames(FOLLOWED)
    for number, points in enumerate([seen(flat=True, yaw_deg=angle) for angle in (0, 60, 0, 0, 0, -60)]):
        for place in (2 * number, 2 * number + 1):
            points[2, 0] += 6.4 * (number == 1) - 6.4 * (number == 5)
            taken[place] = [face(points)]
    assert estimate_pose(seen(), taken[2][0].landmarks)[0] > 25  # type: ignore[arg-type]
    with pytest.raises(ChallengeOrderError):
        judge(taken, ACTIONS, threshold=0.5)


def test_the_actions_must_be_those_asked_for_in_their_order_and_no_more() -> None:
    for shown in (
        ("ahead", "come_closer", "ahead", "turn_left", "ahead", "turn_right"),
        ("ahead", "turn_right", "ahead", "come_closer", "ahead", "turn_left"),
        ("ahead", "turn_left", "ahead", "come_closer", "ahead", "ahead"),
        (*FOLLOWED, "ahead", "turn_left"),
    ):
        with pytest.raises(ChallengeOrderError, match="asked for turn_left, come_closer, turn_right"):
            judge(frames(shown), ACTIONS, threshold=0.5)


def test_frames_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ChallengeOrderError):
        judge(frames(FOLLOWED)[::-1], ACTIONS, threshold=0.5)
    with pytest.raises(ChallengeOrderError, match="first frame must look straight ahead"):
        judge(frames(("turn_left", *FOLLOWED)), ACTIONS, threshold=0.5)


def test_too_few_and_too_many_frames_are_refused() -> None:
    for number in (0, 11, 61):
        with pytest.raises(ChallengeFramesError, match=f"12 to 60 frames are needed, got {number}"):
            judge((frames(FOLLOWED) * 6)[:number], ACTIONS, threshold=0.5)


def test_each_frame_shows_one_face() -> None:
    for wrong, found in (([], "no face"), ([face(seen()), face(seen())], "2 faces")):
        taken: list[list[Face]] = frames(FOLLOWED)
        taken[5] = wrong
        with pytest.raises(ChallengeFramesError, match=f"frame 5 shows {found}"):
            judge(taken, ACTIONS, threshold=0.5)


def test_another_person_in_the_middle_is_refused() -> None:
    taken = frames(FOLLOWED)
    for number in (2, 3):
        taken[number] = [face(seen(yaw_deg=30), BUDI)]
    with pytest.raises(ChallengePersonError, match="frame 2 shows another person"):
        judge(taken, ACTIONS, threshold=0.5)


def test_a_person_who_changes_step_by_step_is_refused() -> None:
    """Each frame resembles the one before; those that look ahead must resemble the first."""
    taken = frames(FOLLOWED)
    for number, angle in enumerate(np.linspace(0, np.pi / 2, len(taken))):
        mixed = (np.cos(angle) * AYU + np.sin(angle) * BUDI).astype(np.float32)
        taken[number] = [face(np.asarray(taken[number][0].landmarks), mixed)]
    with pytest.raises(ChallengePersonError, match="another person than the first frame"):
        judge(taken, ACTIONS, threshold=0.5)


def test_landmarks_on_one_line_are_refused() -> None:
    line = np.linspace((0, 0), (40, 40), 5)
    with pytest.raises(ChallengeFramesError, match="on one line"):
        estimate_pose(seen(), line)


def test_the_actions_of_a_challenge_are_drawn_at_random() -> None:
    assert {choose_actions() for _ in range(400)} == set(sequences(3))
    for count in (1, 7):
        with pytest.raises(ArgumentError, match="count must be 2 to 6"):
            choose_actions(count)
    for count in range(2, 7):
        for actions in sequences(count):
            assert actions.count("come_closer") <= 1
            assert all(a != b for a, b in itertools.pairwise(actions))


def test_a_pose_in_a_single_frame_is_no_action() -> None:
    assert shown_actions(["ahead", "ahead", "turn_left", "ahead", "ahead"]) == ()
    close: list[Pose] = ["come_closer"] * 2
    assert shown_actions([*close, "turn_left", "turn_left", *close]) == ("come_closer", "turn_left")


@pytest.mark.slow
def test_a_bundled_person_passes_and_a_photo_of_one_does_not(engine: Engine) -> None:
    image = decode(people.PICTURES["citra"][0])
    landmarks = np.asarray(engine.analyze(image)[0].landmarks)
    assert landmarks is not None
    middle = landmarks.mean(axis=0)

    def shown(pose: Pose, *, flat: bool) -> NDArray[np.uint8]:
        yaw_deg = {"turn_left": 32.0, "turn_right": -32.0}.get(pose, 0.0)
        turned = image if flat else active.turn(image, landmarks, yaw_deg)
        plane = active.hold(
            middle,
            yaw_deg=yaw_deg if flat else 0,
            roll_deg=3,
            scale=1.5 if pose == "come_closer" else 1.0,
            near=0.002 if flat else 0,
        )
        return active.view(turned, plane)

    for flat in (False, True):
        found = [engine.analyze(shown(pose, flat=flat)) for pose in FOLLOWED for _ in range(2)]
        if flat:
            with pytest.raises(ChallengeOrderError):
                judge(found, ACTIONS, threshold=engine.threshold)
        else:
            judge(found, ACTIONS, threshold=engine.threshold)


@pytest.mark.slow
def test_the_rates_of_the_active_check_are_measured(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = {one.kind: one for one in active.measure_active(engine, attempts=2)}
    assert outcomes["person follows the challenge"].passed >= 1
    for kind in ("one photo, held still", "photo of one person, then another person turns"):
        assert outcomes[kind].passed == 0
        assert sum(outcomes[kind].causes.values()) == 2
