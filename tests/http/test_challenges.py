"""The active liveness check over HTTP: issuing, answering, refusals with their codes, and face sign-in with it."""

from __future__ import annotations

import importlib
import io
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image

from facedex import people
from facedex.engine import Engine, decode
from facedex.evaluate import active
from facedex.server import Access, challenges
from facedex.store.clock import now

Serve = Callable[..., TestClient]
Film = Callable[[str, Sequence[str]], list[bytes]]

PASSWORD = "correct horse battery"
OTHER = {"turn_left": "turn_right", "turn_right": "turn_left", "come_closer": "come_closer"}


def access_of(client: TestClient) -> Access:
    access: Access = client.app.state.facedex.access  # type: ignore[attr-defined]
    return access


def jpeg(image: NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=92)
    return out.getvalue()


@pytest.fixture(scope="module")
def film(engine: Engine) -> Film:
    """Make the frames of a bundled person who performs actions."""
    made: dict[tuple[str, str], bytes] = {}

    def frame(person_id: str, action: str) -> bytes:
        if (person_id, action) not in made:
            image = decode(people.PICTURES[person_id][0])
            landmarks = np.asarray(engine.analyze(image)[0].landmarks)
            if action == "come_closer":
                plane = active.hold(landmarks.mean(axis=0), yaw_deg=0, roll_deg=0, scale=1.5, near=0)
                image = active.view(image, plane)
            elif action != "ahead":
                image = active.turn(image, landmarks, 32 if action == "turn_left" else -32)
            made[person_id, action] = jpeg(image)
        return made[person_id, action]

    def make(person_id: str, actions: Sequence[str]) -> list[bytes]:
        return [frame(person_id, shown) for action in actions for shown in ("ahead", "ahead", action, action)]

    return make


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a challenge be answered at once, as no person can."""
    monkeypatch.setattr(challenges, "LEAST_S", 0)


def issue(client: TestClient, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/challenges", **more)
    assert answer.status_code == 201, answer.text
    issued: dict[str, Any] = answer.json()
    return issued


def send(client: TestClient, challenge_id: str, frames: Sequence[bytes], **more: Any) -> httpx.Response:
    files = [("images", frame) for frame in frames]
    return client.post(f"/v1/challenges/{challenge_id}/answer", files=files, **more)


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


@pytest.mark.usefixtures("patient")
def test_a_person_who_follows_a_challenge_passes_once(client: TestClient, film: Film) -> None:
    asked = issue(client)
    assert len(asked["actions"]) == 3
    assert asked["valid_s"] == 30
    frames = film("citra", asked["actions"])
    passed = send(client, asked["challenge_id"], frames)
    assert passed.status_code == 200, passed.text
    assert passed.json()["passed"] is True
    assert [frame["pose"] for frame in passed.json()["frames"]][2::4] == asked["actions"]
    assert code(send(client, asked["challenge_id"], frames)) == (422, "challenge_used")


@pytest.mark.usefixtures("patient")
def test_what_does_not_follow_a_challenge_is_refused_with_its_cause(client: TestClient, film: Film) -> None:
    def refused(make: Callable[[list[str]], list[bytes]]) -> str:
        asked = issue(client)
        answer = send(client, asked["challenge_id"], make(asked["actions"]))
        assert answer.status_code in (400, 422), answer.text
        again = send(client, asked["challenge_id"], film("citra", asked["actions"]))
        assert code(again) == (422, "challenge_used"), "a challenge has one answer"
        return str(answer.json()["code"])

    still = film("citra", ["ahead"])[:1]
    assert refused(lambda actions: still * 12) == "challenge_order"
    assert refused(lambda actions: film("citra", actions)[::-1]) == "challenge_order"
    assert refused(lambda actions: film("citra", [OTHER[action] for action in actions])) == "challenge_order"
    assert refused(lambda actions: film("citra", actions)[:11]) == "challenge_frames"
    assert refused(lambda actions: [*film("citra", actions)[:-1], people.GROUP.read_bytes()]) == "challenge_frames"
    budi = film("budi", ["ahead"])[0]
    assert refused(lambda actions: [budi, budi, *film("citra", actions)[2:]]) == "challenge_person"
    assert refused(lambda actions: [b"no picture", *film("citra", actions)[1:]]) == "not_an_image"


def test_a_challenge_is_bound_to_its_caller_and_time(
    client: TestClient, keys: dict[str, dict[str, str]], film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = film("citra", ["turn_left", "turn_right", "turn_left"])
    mine, other = keys["recognise"], keys["admin"]
    asked = issue(client, headers=mine)["challenge_id"]
    assert code(send(client, asked, frames, headers=other)) == (422, "challenge_unknown")
    assert code(send(client, "invented", frames, headers=mine)) == (422, "challenge_unknown")
    assert code(send(client, issue(client)["challenge_id"], frames, headers=mine)) == (422, "challenge_unknown")
    assert code(send(client, asked, frames, headers=mine)) == (422, "challenge_time"), "faster than a person"
    late = issue(client, headers=mine)["challenge_id"]
    monkeypatch.setattr(challenges, "now", lambda: now() + timedelta(seconds=31))
    assert code(send(client, late, frames, headers=mine)) == (422, "challenge_time")
    assert code(send(client, late, frames, headers=mine)) == (422, "challenge_used")
    monkeypatch.setattr(challenges, "now", lambda: now() + timedelta(minutes=12))
    issue(client, headers=mine)
    with access_of(client).database.single() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM challenges").scalar() == 1, "old ones are deleted"


def test_a_challenge_whose_issue_lies_in_the_future_has_expired(
    client: TestClient, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = issue(client)
    monkeypatch.setattr(challenges, "now", lambda: now() - timedelta(days=1))
    assert code(send(client, asked["challenge_id"], film("citra", asked["actions"]))) == (422, "challenge_time")


@pytest.mark.usefixtures("patient")
def test_two_answers_at_once_are_not_both_accepted(serve: Serve) -> None:
    """Two processes share the database."""
    first, second = access_of(serve()), access_of(serve())
    issued = first.challenges.issue("key 1")
    assert second.challenges.use(issued.challenge_id, "key 1") == issued.actions
    with pytest.raises(challenges.ChallengeUsedError):
        first.challenges.use(issued.challenge_id, "key 1")


def test_the_id_of_a_challenge_is_neither_stored_nor_shown(client: TestClient, tmp_path: Any) -> None:
    issued = access_of(client).challenges.issue("key 1")
    assert issued.challenge_id not in repr(issued)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("people.db*"))
    assert issued.challenge_id.encode() not in stored


def test_an_address_gets_twenty_challenges_a_minute(client: TestClient) -> None:
    statuses = [client.post("/v1/challenges").status_code for _ in range(21)]
    assert statuses == [*[201] * 20, 429]


@pytest.fixture
def door(serve: Serve, patient: None) -> TestClient:
    """A server where a face signs in that follows a challenge, with an account for Citra."""
    client = serve(contracts=("flask-face",), face_login_liveness="off", face_login_challenge="required")
    for person_id in ("citra", "budi"):
        files = {"image": people.PICTURES[person_id][0].read_bytes()}
        answer = client.post("/v1/people", data={"person_id": person_id, "email": f"{person_id}@x.org"}, files=files)
        assert answer.status_code == 201, answer.text
    access_of(client).accounts.add(login="citra", person_key="citra")
    return client


def sign_in(client: TestClient, login: str, person_id: str, **more: Any) -> httpx.Response:
    asked = issue(client)
    return _sign_in(client, login, asked["challenge_id"], _frames(client, person_id, asked["actions"]), **more)


def _sign_in(client: TestClient, login: str, challenge_id: str, frames: Sequence[bytes], **more: Any) -> httpx.Response:
    data = {"login": login, "challenge_id": challenge_id, **more}
    return client.post("/v1/session/face", data=data, files=[("images", frame) for frame in frames])


_FILM: list[Film] = []


def _frames(client: TestClient, person_id: str, actions: Sequence[str]) -> list[bytes]:
    return _FILM[0](person_id, actions)


@pytest.fixture(autouse=True)
def _remember(film: Film) -> None:
    _FILM[:] = [film]


def test_a_face_that_follows_a_challenge_signs_in(door: TestClient) -> None:
    assert door.get("/v1/session").json()["face_sign_in"] is True
    signed = sign_in(door, "citra", "citra")
    assert signed.status_code == 200, signed.text
    assert signed.json()["name"] == "account:citra"
    shown = door.get("/v1/session", headers={"Authorization": f"Bearer {signed.json()['token']}"}).json()
    assert shown["kind"] == "account"
    by_cookie = sign_in(door, "citra", "citra", cookie="true")
    assert by_cookie.json()["token"] is None
    assert door.cookies


def test_a_face_between_verifying_and_signing_in_does_not_sign_in(
    door: TestClient, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = film("citra", ["ahead"])[0]
    found = door.post("/v1/verify", data={"person_id": "citra"}, files={"image": frame}).json()
    assert found["match"]
    rules = importlib.import_module("facedex.gallery.decisions")
    for above, status in ((-1e-3, 200), (5e-7, 401)):
        monkeypatch.setattr(rules, "SIGN_IN_RULE", found["similarity"] + above)
        assert sign_in(door, "citra", "citra").status_code == status


def test_another_face_an_unknown_login_and_a_broken_challenge_do_not_sign_in(door: TestClient, film: Film) -> None:
    refused = [sign_in(door, login, "budi") for login in ("citra", "nobody")]
    assert [code(one) for one in refused] == [(401, "sign_in")] * 2
    assert refused[0].json() == refused[1].json()
    asked = issue(door)
    still = film("citra", ["ahead"])[:1] * 12
    assert code(_sign_in(door, "citra", asked["challenge_id"], still)) == (422, "challenge_order")
    again = _sign_in(door, "citra", asked["challenge_id"], film("citra", asked["actions"]))
    assert code(again) == (422, "challenge_used")
    assert code(_sign_in(door, "citra", "invented", still)) == (422, "challenge_unknown")


def test_face_sign_ins_with_a_challenge_are_counted(serve: Serve, film: Film, patient: None) -> None:
    client = serve(face_login_liveness="off", face_login_challenge="required", lockout_after=2)
    access_of(client).accounts.add(login="citra", password=PASSWORD)
    still = film("citra", ["ahead"])[:1]
    statuses = [_sign_in(client, "citra", "invented", still).status_code for _ in range(3)]
    assert statuses == [422, 422, 429]
    assert client.post("/v1/session", json={"login": "citra", "password": PASSWORD}).status_code == 200


def test_an_account_with_broader_scopes_does_not_sign_in_with_its_face(door: TestClient) -> None:
    access_of(door).accounts.add(login="boss", scopes=["admin"], password=PASSWORD, person_key="citra")
    assert code(sign_in(door, "boss", "citra")) == (403, "forbidden")


def test_where_liveness_is_required_and_cannot_be_judged_nobody_signs_in(serve: Serve, patient: None) -> None:
    client = serve(face_login_challenge="required")  # requires liveness too, which the built-in pack cannot judge
    files = {"image": people.PICTURES["citra"][0].read_bytes()}
    client.post("/v1/people", data={"person_id": "citra"}, files=files)
    access_of(client).accounts.add(login="citra", person_key="citra")
    for login in ("citra", "nobody"):
        assert code(sign_in(client, login, "citra")) == (422, "liveness_unavailable")


def test_without_the_setting_no_face_signs_in_here(client: TestClient) -> None:
    assert client.get("/v1/session").json()["face_sign_in"] is False
    assert code(sign_in(client, "citra", "citra")) == (422, "argument")


def test_a_contract_requires_the_challenge_too(door: TestClient, film: Film) -> None:
    claims: list[tuple[str, dict[str, str]]] = [
        ("login-face", {}),
        ("login-face-verify", {"email": "citra@x.org"}),
    ]
    for path, claim in claims:

        def show(
            frames: Sequence[bytes], path: str = path, claim: dict[str, str] = claim, **more: str
        ) -> httpx.Response:
            files = [("file", frames[0]), *(("frames", frame) for frame in frames[1:])]
            return door.post(f"/api/auth/{path}", data=claim | more, files=[(n, ("a.jpg", f)) for n, f in files])

        asked = issue(door)
        frames = film("citra", asked["actions"])
        alone = show(frames[:1])
        assert alone.status_code == 401, alone.text
        assert "active check is required" in alone.json()["message"]
        assert show(frames[:1] * 12, challenge_id=asked["challenge_id"]).status_code == 401
        assert show(frames, challenge_id=asked["challenge_id"]).status_code == 401, "it was used up"
        asked = issue(door)
        signed = show(film("citra", asked["actions"]), challenge_id=asked["challenge_id"])
        assert signed.status_code == 200, signed.text
        assert "token" in signed.text


def test_the_end_of_a_challenge_is_answered(client: TestClient) -> None:
    asked = issue(client)
    expires_at = datetime.fromisoformat(asked["expires_at"].replace("Z", "+00:00"))
    assert timedelta(seconds=25) < expires_at - now() <= timedelta(seconds=30)
