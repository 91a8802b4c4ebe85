"""Signing in with a face on the page: the instructions, in both languages, and what a photo before the camera meets."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facedex import people
from facedex.engine import Engine, decode
from facedex.evaluate import active
from facedex.server import Access
from facedex.store import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SETTINGS = {"FACEDEX_FACE_LOGIN_CHALLENGE": "required", "FACEDEX_FACE_LOGIN_LIVENESS": "off"}

_PERSON = """(async () => {
  const pictures = {};
  for (const [pose, url] of Object.entries(%s)) {
    pictures[pose] = new Image();
    pictures[pose].src = url;
  }
  navigator.mediaDevices.getUserMedia = async () => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 640, height: 480 });
    const pen = canvas.getContext("2d");
    setInterval(() => {
      const pose = document.querySelector(".instruction")?.dataset.pose;
      pen.drawImage(pictures[pose] ?? pictures.ahead, 0, 0);
    }, 40);
    return canvas.captureStream(25);
  };
})();"""
"""A camera before which somebody does what the page shows."""


@pytest.fixture
def person(engine: Engine) -> str:
    """A script with pictures of Ayu: ahead, turned to each side, and closer."""
    image = decode(people.PICTURES["ayu"][0])
    landmarks = np.asarray(engine.analyze(image)[0].landmarks)
    nearer = active.hold(landmarks.mean(axis=0), yaw_deg=0, roll_deg=0, scale=1.5, near=0)
    poses = {
        "ahead": image,
        "turn_left": active.turn(image, landmarks, 32),
        "turn_right": active.turn(image, landmarks, -32),
        "come_closer": active.view(image, nearer),
    }
    urls = {}
    for pose, shown in poses.items():
        out = io.BytesIO()
        Image.fromarray(shown).save(out, "PNG")
        urls[pose] = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return _PERSON % json.dumps(urls)


def open_sign_in(served: Callable[..., Any], visit: Any, folder: Path, **options: Any) -> Any:
    at = served(who=("ayu", "budi"), **SETTINGS)
    access = Access(Database(folder / "served.db"))
    access.accounts.add(login="boss", password="correct horse", scopes=["admin"])
    access.accounts.add(login="ayu", person_key="ayu", scopes=["recognise"])
    access.close()
    return visit(at.port, refused={422}, **options)


def test_a_person_who_follows_the_instructions_signs_in(
    served: Callable[..., Any], visit: Any, tmp_path: Path, person: str
) -> None:
    seen = open_sign_in(served, visit, tmp_path)
    page = seen.page
    page.add_init_script(person)
    seen.open()
    page.get_by_role("button", name="Use your face").click()
    assert page.locator(".camera").is_hidden(), "without a login nothing begins"
    page.get_by_label("E-mail or login").fill("ayu")
    page.get_by_role("button", name="Use your face").click()
    page.get_by_text("Look straight ahead").wait_for()
    page.locator(".instruction:not([data-pose=ahead]):not([data-pose=''])").wait_for()
    seen.shoot("1-instruction")
    page.get_by_role("tab", name="Recognize").wait_for(timeout=40_000)
    assert page.get_by_role("tab").all_inner_texts() == ["Recognize"]
    (cookie,) = page.context.cookies()
    assert cookie["httpOnly"]
    assert seen.asked.count("POST /v1/session/face") == 1


def test_a_photo_before_the_camera_does_not_sign_in(served: Callable[..., Any], visit: Any, tmp_path: Path) -> None:
    """Chromium's camera shows one picture of Ayu all the time."""
    seen = open_sign_in(served, visit, tmp_path, locale="id-ID")
    page = seen.page
    seen.open()
    page.get_by_label("E-mail").fill("ayu")
    page.get_by_role("button", name="Pakai wajah").click()
    page.get_by_text("Lihat lurus ke depan").wait_for()
    page.get_by_text("Gerakannya tidak sesuai permintaan").wait_for(timeout=40_000)
    assert page.context.cookies() == []
    assert page.get_by_role("tab").count() == 0
    page.get_by_role("button", name="Pakai wajah").click()
    page.get_by_text("Lihat lurus ke depan").wait_for()
    page.get_by_role("button", name="Batal").click()
    page.locator(".camera").wait_for(state="hidden")
    seen.settled()
    assert seen.asked.count("POST /v1/session/face") == 1, "what is cancelled is not sent"


def test_without_the_setting_the_page_asks_for_a_password_only(
    served: Callable[..., Any], visit: Any, tmp_path: Path
) -> None:
    at = served(who=())
    access = Access(Database(tmp_path / "served.db"))
    access.accounts.add(login="boss", password="correct horse", scopes=["admin"])
    access.close()
    seen = visit(at.port)
    seen.open()
    seen.page.get_by_role("button", name="Sign in", exact=True).wait_for()
    assert seen.page.get_by_role("button", name="Use your face").count() == 0
