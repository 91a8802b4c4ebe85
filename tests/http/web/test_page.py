"""The page in a real browser, against a real server: complete scenarios, with the camera.

Chromium's camera plays a picture of Ayu who is bundled. After each story nothing may have gone wrong unseen: no message
of the browser, which is where a breach of the content security policy is told, and no request to another host.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from facedex import people
from facedex.server import Access
from facedex.store import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PASSWORD = "correct horse"
PARTS = ("users", "photos", "build", "recognise", "verify", "attendance", "system")


def test_from_a_new_user_to_the_deletion(served: Callable[..., Any], visit: Any) -> None:
    at = served("--photos", "original")
    seen = visit(at.port)
    page = seen.page
    seen.open()
    page.get_by_role("row", name="Budi").wait_for()

    users = seen.panel("users")
    users.get_by_label("Name").fill("Ayu Lestari")
    users.get_by_label("E-mail").fill("ayu@example.org")
    users.get_by_role("button", name="Create user").click()
    page.get_by_role("row", name="Ayu Lestari").wait_for()
    assert seen.status().inner_text() == "Ayu Lestari was created."
    seen.shoot("1-users")

    seen.tab("Photos")
    photos = seen.panel("photos")
    who = photos.get_by_role("combobox", name="Person")
    assert who.input_value() == "Ayu Lestari · ayu@example.org", "who was created is chosen"
    photos.locator("input[type=file]").set_input_files([str(path) for path in people.PICTURES["ayu"]])
    seen.by_camera(photos)
    photos.get_by_role("button", name="Close camera").click()
    photos.get_by_role("button", name="Upload 4").click()
    page.get_by_text("4 uploaded. Build Ayu Lestari to use them.").wait_for()
    assert photos.locator(".gallery img").count() == 4
    photos.locator(".gallery img").last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.gallery img')].every((one) => one.naturalWidth > 100)")
    seen.shoot("2-photos")
    photos.get_by_role("button", name="Delete photo camera.jpg").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("The photo was deleted.").wait_for()
    assert photos.locator(".gallery img").count() == 3
    assert at.get("/v1/people/ayu-lestari").json()["faces"] == []

    seen.tab("Build")
    build = seen.panel("build")
    build.get_by_role("button", name="Build this person").click()
    told = build.get_by_text(re.compile(r"^3 faces of Ayu Lestari built in \d+(\.\d+)? s\.$"))
    told.wait_for()
    build.get_by_role("button", name="Build everybody").click()
    build.get_by_text(re.compile(r"^7 faces of 3 people built in \d+(\.\d+)? s\.$")).wait_for()
    assert any(re.match(r"GET /v1/jobs/\w+/events$", asked) for asked in seen.asked), (
        "progress is watched as it happens"
    )
    seen.shoot("3-build")

    seen.tab("Recognize")
    recognise = seen.panel("recognise")
    recognise.get_by_label("Record attendance").check()
    recognise.get_by_role("button", name="Open camera").click()
    seen.shoot("4-camera")
    recognise.get_by_role("button", name="Take picture").click()
    recognise.get_by_role("button", name="Retake").click()
    recognise.get_by_role("button", name="Take picture").click()
    recognise.get_by_role("button", name="Use this picture").click()
    recognise.get_by_role("heading", name="Ayu Lestari").wait_for()
    recognise.get_by_role("status").get_by_text(re.compile(r"^1 face in [\d.]+ s: Ayu Lestari$")).wait_for()
    named = recognise.locator(".candidates li .cut").all_inner_texts()
    assert named[0] == "Ayu Lestari"
    assert sorted(named) == ["Ayu Lestari", "Budi", "Citra"]
    picture = page.get_by_role("img", name="Picture with boxes: Ayu Lestari")
    picture.wait_for()
    assert green_share(page) > 0.002, "the box and the name are drawn on the picture"
    seen.shoot("5-recognised")

    seen.tab("Verify")
    verify = seen.panel("verify")
    for words, called, verdict in (
        ("lest", "Ayu Lestari", "Match"),  # part of the name
        ("budi@example.org", "Budi", "No match"),
    ):
        seen.choose(verify, words, called)
        verify.get_by_role("heading", name=f"Is it {called}?").wait_for()
        verify.get_by_label("Record attendance").check()
        seen.by_camera(verify)
        shown = verify.locator(".verdict", has=page.get_by_text(verdict, exact=True))
        shown.wait_for()
        assert re.search(r"similarity 0\.\d+ (reaches|is below) the threshold 0\.\d+", shown.inner_text())
        assert ("good" in shown.get_attribute("class").split()) is (verdict == "Match")
        seen.shoot(f"6-{verdict}".replace(" ", "-").lower())
        verify.get_by_role("button", name="Another person").click()
    verify.get_by_role("combobox", name="Person").fill("nobody@example.org")
    verify.get_by_text("No person matches “nobody@example.org”.").wait_for()

    seen.tab("Attendance")
    attendance = seen.panel("attendance")
    attendance.get_by_text("3 recorded").wait_for()
    cells = attendance.locator("tbody tr").all_inner_texts()
    assert ["No match" in row for row in cells] == [True, False, False]
    with page.expect_download() as download:
        attendance.get_by_role("link", name="Download CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith('"id","at","contract","claimed"')
    assert len(lines) == 4
    with page.expect_download() as download:
        attendance.get_by_role("link", name="Download JSON").click()
    assert [one["matched"] for one in json.loads(download.value.path().read_text())] == [True, True, False]
    assert re.fullmatch(r"attendance-\d{4}-\d\d-\d\d\.json", download.value.suggested_filename)
    seen.shoot("7-attendance")

    seen.tab("System")
    system = seen.panel("system")
    system.get_by_text("Apache-2.0, MIT").wait_for()
    assert re.search(r"Faces\s+7\s", system.inner_text())
    system.get_by_text("100 % of the closest faces are found").wait_for()
    assert re.search(r"in the networks [\d.]+ ms, summed over threads", system.inner_text())
    seen.shoot("8-system")

    seen.tab("Users")
    users.get_by_role("button", name="Edit Ayu Lestari").click()
    users.get_by_label("Name").fill("Ayu Putri")
    users.get_by_role("button", name="Save").click()
    page.get_by_text("Ayu Putri was saved.").wait_for()
    users.get_by_role("button", name="Delete Ayu Putri").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert at.get("/v1/people/ayu-lestari").json()["name"] == "Ayu Putri"
    users.get_by_role("button", name="Delete Ayu Putri").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Ayu Putri was deleted, with all photos and templates.").wait_for()
    assert at.get("/v1/people/ayu-lestari").status_code == 404
    seen.tab("Recognize")
    seen.by_camera(recognise)
    recognise.get_by_role("heading", name="unknown").wait_for()


def green_share(page: Any) -> float:
    """Return the share of the drawn picture that has the color of a known face's box."""
    share: float = page.evaluate("""() => {
      const canvas = document.querySelector("#panel-recognise canvas");
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let at = 0; at < data.length; at += 4) {
        count += Math.hypot(data[at] - 0x22, data[at + 1] - 0xc5, data[at + 2] - 0x5e) < 12;
      }
      return count / (data.length / 4);
    }""")
    return share


def test_a_picture_that_only_the_browser_can_read_is_converted(served: Callable[..., Any], visit: Any) -> None:
    icon = io.BytesIO()
    Image.open(people.PROBES["dewi"][0]).resize((256, 256)).save(icon, "ICO")
    at = served()
    seen = visit(at.port, refused={400, 422})
    seen.open("recognise")
    recognise = seen.panel("recognise")
    recognise.locator("input[type=file]").set_input_files(
        {"name": "dewi.ico", "mimeType": "image/x-icon", "buffer": icon.getvalue()}
    )
    recognise.get_by_role("heading", name="unknown").wait_for()


def test_in_indonesian(served: Callable[..., Any], visit: Any) -> None:
    at = served()
    seen = visit(at.port, refused={400, 422})
    page = seen.page
    seen.open("recognise")
    page.get_by_role("button", name="Bahasa Indonesia").click()
    assert page.locator("html").get_attribute("lang") == "id"
    tabs = page.get_by_role("tab").all_inner_texts()
    assert tabs == ["Pengguna", "Foto", "Bangun", "Kenali", "Verifikasi", "Kehadiran", "Sistem"]
    page.reload()
    recognise = seen.panel("recognise")
    recognise.get_by_role("heading", name="Siapa ini?").wait_for()
    chosen = recognise.locator("input[type=file]")
    chosen.set_input_files({"name": "surat.txt", "mimeType": "text/plain", "buffer": b"no picture at all"})
    page.get_by_text("Berkas ini bukan gambar yang dapat dibaca. Pilih JPEG atau PNG.").wait_for()
    chosen.set_input_files(str(people.PROBES["dewi"][0]))
    recognise.get_by_role("heading", name="tidak dikenal").wait_for()
    assert re.search(r"kemiripan 0,\d+, ambang 0,\d+", recognise.inner_text())
    page.get_by_role("button", name="English").click()
    recognise.get_by_role("heading", name="unknown").wait_for()
    page.get_by_role("button", name="Bahasa Indonesia").click()
    seen.tab("Bangun")
    seen.panel("build").get_by_text("server ini tidak menyimpan foto asli").wait_for()
    seen.tab("Verifikasi")
    verify = seen.panel("verify")
    verify.get_by_role("combobox", name="Orang").fill("bud")
    verify.get_by_role("option", name="Budi").click()
    verify.locator("input[type=file]").set_input_files(str(people.GROUP))
    verify.get_by_text("Ada beberapa wajah di gambar. Diperlukan satu wajah.").wait_for()
    seen.shoot("verifikasi")
    assert not re.search(r"[{}]|undefined|null", page.locator("body").inner_text())


def test_the_browser_decides_the_language(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=())
    seen = visit(at.port, locale="id-ID")
    seen.open()
    seen.page.get_by_text("Belum ada pengguna.").wait_for()
    texts = seen.page.evaluate("async () => (await import('/web/texts.js')).TEXTS")
    assert texts["en"].keys() == texts["id"].keys()
    for key, words in texts["en"].items():
        named = set(re.findall(r"\{(\w+)", words))
        assert named == set(re.findall(r"\{(\w+)", texts["id"][key])), key


def test_nothing_is_shown_before_signing_in(served: Callable[..., Any], visit: Any, tmp_path: Path) -> None:
    at = served(who=("ayu", "budi"))
    access = Access(Database(tmp_path / "served.db"))
    access.accounts.add(email="boss@example.org", name="Boss", password=PASSWORD, scopes=["admin"])
    access.accounts.add(login="gate", name="Gate", password=PASSWORD, scopes=["recognise"])
    seen = visit(at.port, refused={401})
    page = seen.page
    seen.open()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert page.get_by_role("tab").count() == 0
    assert "Ayu" not in page.content()
    assert {asked for asked in seen.asked if "/v1/" in asked} == {"GET /v1/session"}
    seen.shoot("1-sign-in")

    def sign_in(login: str, password: str) -> None:
        page.get_by_label("E-mail or login").fill(login)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()

    sign_in("boss@example.org", "wrong")
    page.get_by_text("Wrong login or password.").wait_for()
    assert page.get_by_label("Password").input_value() == ""
    sign_in("boss@example.org", PASSWORD)
    page.get_by_role("row", name="Ayu").wait_for()
    seen.shoot("2-signed-in")
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert page.evaluate("() => document.cookie + localStorage.length + sessionStorage.length") == "00"
    page.reload()
    seen.panel("users").get_by_label("Name").fill("Citra")
    page.get_by_role("button", name="Create user").click()
    page.get_by_text("Citra was created.").wait_for()

    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert "Ayu" not in page.content()
    old = httpx.get(f"{seen.base}/v1/people", cookies={cookie["name"]: cookie["value"]})
    assert old.status_code == 401, "the cookie is of no use any more"

    sign_in("gate", PASSWORD)
    page.get_by_role("tab", name="Recognize").wait_for()
    assert page.get_by_role("tab").all_inner_texts() == ["Recognize"]
    seen.by_camera(seen.panel("recognise"))
    seen.panel("recognise").get_by_role("heading", name="Ayu").wait_for()
    gate = access.accounts.find("gate")
    assert gate is not None
    access.tokens.revoke_all(gate.id)
    seen.panel("recognise").locator("input[type=file]").set_input_files(str(people.PROBES["budi"][0]))
    page.get_by_role("heading", name="Sign in").wait_for()
    access.close()


def test_user_input_is_shown_as_text(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=())
    name = "<img src=x onerror=document.title=1><b>Ayu</b>"
    picture = people.PICTURES["ayu"][0].read_bytes()
    made = at.post("/v1/people", data={"person_id": "<i>a", "name": name}, files={"images": picture})
    assert made.status_code == 201
    seen = visit(at.port)
    page = seen.page
    seen.open()
    assert page.locator("tbody th").inner_text() == name
    seen.tab("Recognize")
    seen.by_camera(seen.panel("recognise"))
    assert seen.panel("recognise").locator("h3").inner_text() == name
    seen.tab("Photos")
    seen.choose(seen.panel("photos"), "<I>A", name)
    page.get_by_text("Face 1", exact=True).wait_for()
    assert page.locator("#panels b, #panels i").count() == 0
    assert page.title() == "facedex"


def test_without_photo_storage_a_picture_registers_at_once(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("budi",))
    seen = visit(at.port, refused={422})
    page = seen.page
    seen.open("photos")
    photos = seen.panel("photos")
    photos.get_by_text("facedex serve --photos original").wait_for()
    seen.choose(photos, "bud", "Budi")
    page.get_by_text("Face 2", exact=True).wait_for()
    upload = photos.locator("input[type=file]")
    upload.set_input_files([str(people.PICTURES["budi"][2]), str(people.GROUP)])
    photos.get_by_role("button", name="Upload 2").click()
    page.get_by_text(
        "1 of 2 accepted. Refused: group.jpg: Several faces are in the picture. One face is needed."
    ).wait_for()
    assert photos.get_by_role("listitem").count() == 3
    photos.get_by_role("button", name="Delete face 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("The face was deleted.").wait_for()
    assert len(at.get("/v1/people/budi").json()["faces"]) == 2


def test_a_build_of_all_people_can_be_cancelled(served: Callable[..., Any], visit: Any) -> None:
    at = served("--photos", "original", who=tuple(people.PICTURES))
    for one in people.PICTURES:
        for number in range(3):
            path = people.PICTURES[one][number]
            assert at.post(f"/v1/people/{one}/photos", files={"image": path.read_bytes()}).status_code == 201
    seen = visit(at.port)
    seen.open("build")
    build = seen.panel("build")
    build.get_by_role("button", name="Build everybody").click()
    build.get_by_role("button", name="Cancel").click()
    build.get_by_text(re.compile(r"^The build was cancelled after \d+(\.\d+)? s")).wait_for()
    assert at.get("/v1/jobs").json()[0]["state"] == "cancelled"


def test_an_unreachable_server(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=())
    seen = visit(at.port)
    seen.open()
    seen.page.get_by_text("Nobody is registered yet.").wait_for()
    at.process.terminate()
    at.process.wait(30)
    seen.tab("Attendance")
    seen.page.get_by_text("The server does not answer.").wait_for()
    seen.wrong[:] = [said for said in seen.wrong if "ERR_CONNECTION_REFUSED" not in said]


@pytest.mark.parametrize(
    ("camera", "told"),
    [
        ("undefined", "The camera works only over https or on the server's own machine."),
        (
            "{ getUserMedia: async () => { throw new DOMException('', 'NotAllowedError'); } }",
            "Camera access is blocked.",
        ),
        ("{ getUserMedia: async () => { throw new DOMException('', 'NotFoundError'); } }", "No camera was found."),
    ],
)
def test_without_a_camera_a_file_can_be_used(served: Callable[..., Any], visit: Any, camera: str, told: str) -> None:
    at = served(who=("budi",))
    seen = visit(at.port)
    page = seen.page
    page.add_init_script(f"Object.defineProperty(navigator, 'mediaDevices', {{ value: {camera} }});")
    seen.open("recognise")
    recognise = seen.panel("recognise")
    recognise.get_by_role("button", name="Open camera").click()
    page.get_by_text(told).wait_for()
    recognise.locator("input[type=file]").set_input_files(str(people.PROBES["budi"][0]))
    recognise.get_by_role("heading", name="Budi").wait_for()


def test_an_empty_gallery_recognises_nobody(served: Callable[..., Any], visit: Any) -> None:
    seen = visit(served(who=()).port)
    seen.open("recognise")
    recognise = seen.panel("recognise")
    recognise.locator("input[type=file]").set_input_files(str(people.PROBES["budi"][0]))
    recognise.get_by_role("heading", name="unknown").wait_for()
    recognise.get_by_text("Nobody is registered yet.").wait_for()
    assert not recognise.get_by_text("Candidates").count()


def test_public_actions_are_shown_to_everybody(served: Callable[..., Any], visit: Any, tmp_path: Path) -> None:
    at = served(who=("ayu",), FACEDEX_PUBLIC_SCOPES="recognise")
    access = Access(Database(tmp_path / "served.db"))
    access.accounts.add(login="desk", password=PASSWORD, scopes=["read", "recognise", "enrol"])
    access.keys.add("boss", ["admin"])
    access.close()
    seen = visit(at.port)
    page = seen.page
    seen.open()
    page.get_by_role("tab", name="Recognize").wait_for()
    assert page.get_by_role("tab").all_inner_texts() == ["Recognize"]
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("E-mail or login").fill("desk")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").last.click()
    page.get_by_role("tab", name="Users").wait_for()
    assert page.get_by_role("tab").count() == len(PARTS)
    assert page.get_by_role("tab", selected=True).inner_text() == "Recognize", "one stays where one was"
    seen.tab("Users")
    page.get_by_role("row", name="Ayu").wait_for()
    seen.tab("Build")
    seen.panel("build").get_by_text("this server does not store original photos").wait_for()


def test_a_build_is_followed_again_after_leaving_the_page(served: Callable[..., Any], visit: Any) -> None:
    at = served("--photos", "original", who=tuple(people.PICTURES))
    for one in people.PICTURES:
        for path in people.PICTURES[one][:3]:
            assert at.post(f"/v1/people/{one}/photos", files={"image": path.read_bytes()}).status_code == 201
    seen = visit(at.port)
    seen.open("build")
    build = seen.panel("build")
    build.get_by_role("button", name="Build everybody").click()
    build.get_by_role("button", name="Cancel").wait_for()
    seen.page.reload()
    build.get_by_role("button", name="Cancel").wait_for()
    seen.shoot("taken-up")
    build.get_by_text(re.compile(r"^\d+ faces of 8 people built in \d+(\.\d+)? s\.$")).wait_for()
    assert len(at.get("/v1/jobs").json()) == 1, "it was not begun twice"


def test_nobody_is_verified_without_a_face(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("ayu",))
    assert at.post("/v1/people", json={"person_id": "dewi", "name": "Dewi"}).status_code == 201
    seen = visit(at.port)
    seen.open("verify")
    verify = seen.panel("verify")
    seen.choose(verify, "dewi", "Dewi")
    verify.get_by_text("No face of Dewi is registered yet, so there is nothing to compare with.").wait_for()
    assert not verify.get_by_role("button", name="Open camera").is_visible()
    verify.get_by_role("button", name="Another person").click()
    seen.choose(verify, "ayu@example.org", "Ayu")
    verify.get_by_text("ayu@example.org, 2 registered faces").wait_for()
    assert verify.get_by_role("button", name="Open camera").is_visible()


def test_faces_are_listed_in_the_order_of_the_picture(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("ayu", "budi", "dewi", "eko"))
    seen = visit(at.port, refused={400})
    seen.open("recognise")
    recognise = seen.panel("recognise")
    recognise.locator("input[type=file]").set_input_files(str(people.GROUP))
    told = recognise.get_by_role("status").get_by_text("Dewi, Eko, Ayu, Budi, unknown")
    told.wait_for()
    assert recognise.locator("h3").all_inner_texts() == ["Dewi", "Eko", "Ayu", "Budi", "unknown"]
    figures = recognise.locator(".figure").all_inner_texts()
    assert all(re.fullmatch(r"0\.\d{3}", figure) for figure in figures), "they stand below each other"
    recognise.locator("input[type=file]").set_input_files({"name": "a", "mimeType": "image/png", "buffer": b"none"})
    seen.status().get_by_text("This file is not a readable picture.").wait_for()
    seen.tab("Verify")
    assert seen.status().inner_text() == "", "it was said of the other section"


def test_a_camera_allowed_too_late_stays_off(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("ayu",))
    seen = visit(at.port)
    page = seen.page
    page.add_init_script("""
      const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.given = [];
      navigator.mediaDevices.getUserMedia = async (wanted) => {
        const stream = await ask(wanted);
        await new Promise((allow) => { window.allow = allow; });
        window.given.push(stream);
        return stream;
      };
    """)
    seen.open("recognise")
    recognise = seen.panel("recognise")
    recognise.get_by_role("button", name="Open camera").click()
    page.wait_for_function("() => window.allow")
    seen.tab("Users")
    page.evaluate("() => window.allow()")
    page.wait_for_function("() => window.given.length === 1")
    page.wait_for_function("() => window.given[0].getTracks().every((track) => track.readyState === 'ended')")
    seen.tab("Recognize")
    assert not recognise.locator("video").is_visible()
    assert recognise.get_by_role("button", name="Open camera").is_visible()


def test_the_attendance_shows_today(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("ayu",))
    sent = {"files": {"image": people.PROBES["ayu"][0].read_bytes()}, "data": {"attend": "true"}}
    assert at.post("/v1/recognize", **sent).status_code == 200
    seen = visit(at.port, timezone_id="Asia/Jakarta")
    page = seen.page
    seen.open("attendance")
    attendance = seen.panel("attendance")
    attendance.get_by_text("1 recorded").wait_for()
    assert re.fullmatch(r"\d\d:\d\d:\d\d", attendance.locator("tbody th").inner_text()), "as a Briton writes it"
    day = attendance.get_by_label("Day")
    page.clock.set_fixed_time("2026-03-31T16:59:00Z")
    attendance.get_by_role("button", name="Refresh").click()
    attendance.get_by_text("No attendance was recorded on this day.").wait_for()
    assert day.input_value() == "2026-03-31"
    page.clock.set_fixed_time("2026-03-31T17:01:00Z")
    seen.tab("System")
    seen.tab("Attendance")
    assert day.input_value() == "2026-04-01", "midnight has passed in Jakarta"
    day.fill("2026-03-30")
    attendance.get_by_role("button", name="Refresh").click()
    seen.settled()
    assert day.input_value() == "2026-03-30", "a day that was chosen stays"


def test_the_openapi_page_tries_a_request_with_the_defaults(served: Callable[..., Any], visit: Any) -> None:
    """What the page fills in replays the defaults: in a crowd it names one person, and no stranger."""
    at = served(who=("ayu",), FACEDEX_THRESHOLD="0.6")
    page = visit(at.port).page
    page.goto(f"http://127.0.0.1:{at.port}/api/docs", wait_until="load")
    block = page.locator(".opblock").filter(has=page.locator('[data-path="/v1/recognize"]'))
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name in ("threshold", "min_face", "max_faces"):
        field = block.locator(".parameters").filter(has=page.get_by_text(name, exact=True)).locator("input[type=text]")
        assert field.input_value() == "", name
    block.locator("input[type=file]").set_input_files(people.GROUP)
    block.get_by_role("button", name="Execute").click()
    answer = json.loads(block.locator(".live-responses-table .highlight-code code").first.inner_text())
    assert sorted(str(face["person_id"]) for face in answer["faces"]) == ["None"] * 4 + ["ayu"]
    assert {face["threshold"] for face in answer["faces"]} == {0.6}
