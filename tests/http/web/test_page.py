"""The page in a real browser, against a real server: whole stories, with the camera, on a phone, by keyboard alone.

Chromium's camera plays a picture of Ayu who is bundled. After each story nothing may have gone wrong unseen: no message
of the browser, which is where a breach of the content security policy is told, and no request to another host.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from facedex import people
from facedex.access import Access
from facedex.store import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PHONE = {"width": 360, "height": 740}
PASSWORD = "correct horse"
PARTS = ("users", "photos", "build", "recognise", "verify", "attendance", "system")

CONTRAST = """() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return [...found.slice(0, 3), found[3] ?? 1];
  };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const colour = parse(getComputedStyle(one).backgroundColor);
      if (colour[3] > 0.99) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const words = [...node.childNodes].filter((one) => one.nodeType === 3 && one.textContent.trim());
    if (!words.length || !node.checkVisibility() || node.closest(".sr, .count, option, noscript")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${node.textContent.trim().slice(0, 40)}`);
  }
  return poor;
}"""
"""Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3)."""

NAMELESS = """() => [...document.querySelectorAll("button, input, select, a, [role=img], video, progress")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length))
  .map((node) => node.outerHTML)"""
"""Controls without a name."""

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def served(server: Callable[..., Any]) -> Callable[..., Any]:
    """A server with some people, who have photos where it keeps any."""

    def start(*options: str, who: tuple[str, ...] = ("budi", "citra"), **variables: str) -> Any:
        at = server(*options, **variables)
        for one in who:
            files = [("images", path.read_bytes()) for path in people.PICTURES[one][:2]]
            details = {"person_id": one, "name": one.title(), "email": f"{one}@example.org"}
            assert at.post("/v1/people", data=details, files=files).status_code == 201
        return at

    return start


def panel(page: Any, name: str) -> Any:
    return page.locator(f"#panel-{name}")


def by_camera(part: Any) -> None:
    part.get_by_role("button", name="Open camera").click()
    part.get_by_role("button", name="Take picture").click()
    part.get_by_role("button", name="Use this picture").click()


def test_from_a_new_user_to_the_last_trace(served: Callable[..., Any], visit: Any) -> None:
    at = served("--photos", "original")
    seen = visit(at.port)
    page = seen.page
    seen.open()
    page.get_by_role("row", name="Budi").wait_for()

    users = panel(page, "users")
    users.get_by_label("Name").fill("Ayu Lestari")
    users.get_by_label("E-mail").fill("ayu@example.org")
    users.get_by_role("button", name="Create user").click()
    page.get_by_role("row", name="Ayu Lestari").wait_for()
    assert seen.status().inner_text() == "Ayu Lestari was created."
    seen.shoot("1-users")

    seen.tab("Photos")
    photos = panel(page, "photos")
    assert photos.get_by_label("Person").input_value() == "ayu-lestari", "who was created is chosen"
    photos.locator("input[type=file]").set_input_files([str(path) for path in people.PICTURES["ayu"]])
    by_camera(photos)
    photos.get_by_role("button", name="Close camera").click()
    photos.get_by_role("button", name="Upload 4").click()
    page.get_by_text("4 uploaded. They count once Ayu Lestari is built.").wait_for()
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
    build = panel(page, "build")
    build.get_by_role("button", name="Build this person").click()
    told = build.get_by_text(re.compile(r"^3 faces of Ayu Lestari built in \d+(\.\d+)? s\.$"))
    told.wait_for()
    build.get_by_role("button", name="Build everybody").click()
    build.get_by_text(re.compile(r"^7 faces of 3 people built in \d+(\.\d+)? s\.$")).wait_for()
    assert any(re.match(r"GET /v1/jobs/\w+/events$", asked) for asked in seen.asked), (
        "progress is watched as it happens"
    )
    seen.shoot("3-build")

    seen.tab("Recognise")
    recognise = panel(page, "recognise")
    recognise.get_by_label("Note in the attendance").check()
    recognise.get_by_role("button", name="Open camera").click()
    seen.shoot("4-camera")
    recognise.get_by_role("button", name="Take picture").click()
    recognise.get_by_role("button", name="Retake").click()
    recognise.get_by_role("button", name="Take picture").click()
    recognise.get_by_role("button", name="Use this picture").click()
    recognise.get_by_role("heading", name="Ayu Lestari").wait_for()
    named = recognise.locator(".candidates li .cut").all_inner_texts()
    assert named[0] == "Ayu Lestari"
    assert sorted(named) == ["Ayu Lestari", "Budi", "Citra"]
    picture = page.get_by_role("img", name="Picture with boxes: Ayu Lestari")
    picture.wait_for()
    assert green_share(page) > 0.002, "the box and the name are drawn on the picture"
    seen.shoot("5-recognised")

    seen.tab("Verify")
    verify = panel(page, "verify")
    for email, called, verdict in (
        ("ayu@example.org", "Ayu Lestari", "Match"),
        ("budi@example.org", "Budi", "No match"),
    ):
        verify.get_by_label("E-mail or id").fill(email)
        verify.get_by_role("button", name="Find").click()
        verify.get_by_role("heading", name=f"Is it {called}?").wait_for()
        verify.get_by_label("Note in the attendance").check()
        by_camera(verify)
        shown = verify.locator(".verdict", has=page.get_by_text(verdict, exact=True))
        shown.wait_for()
        assert re.search(r"similarity 0\.\d+ (reaches|is below) the threshold 0\.\d+", shown.inner_text())
        assert ("good" in shown.get_attribute("class").split()) is (verdict == "Match")
        seen.shoot(f"6-{verdict}".replace(" ", "-").lower())
        verify.get_by_role("button", name="Another person").click()
    verify.get_by_label("E-mail or id").fill("nobody@example.org")
    verify.get_by_role("button", name="Find").click()
    verify.get_by_text("Nobody has the e-mail address or id nobody@example.org.").wait_for()

    seen.tab("Attendance")
    attendance = panel(page, "attendance")
    attendance.get_by_text("3 noted").wait_for()
    cells = attendance.locator("tbody tr").all_inner_texts()
    assert ["No match" in row for row in cells] == [True, False, False]
    with page.expect_download() as download:
        attendance.get_by_role("link", name="Download CSV").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("id,at,contract,claimed")
    assert len(lines) == 4
    seen.shoot("7-attendance")

    seen.tab("System")
    system = panel(page, "system")
    system.get_by_text("CC0-1.0, MIT").wait_for()
    assert re.search(r"Faces\s+7\s", system.inner_text())
    assert re.search(r"Recall\s+1\s", system.inner_text())
    assert re.search(r"\d ms of it in the networks", system.inner_text())
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
    seen.tab("Recognise")
    by_camera(recognise)
    recognise.get_by_role("heading", name="unknown").wait_for()


def green_share(page: Any) -> float:
    """Tell how much of the drawn picture has the colour of a known face's box."""
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
    recognise = panel(page, "recognise")
    recognise.get_by_role("heading", name="Siapa ini?").wait_for()
    chosen = recognise.locator("input[type=file]")
    chosen.set_input_files({"name": "surat.txt", "mimeType": "text/plain", "buffer": b"no picture at all"})
    page.get_by_text("Ini bukan gambar yang dapat dibaca. Pilih JPEG atau PNG.").wait_for()
    chosen.set_input_files(str(people.PROBES["dewi"][0]))
    recognise.get_by_role("heading", name="tidak dikenal").wait_for()
    assert re.search(r"kemiripan 0,\d+, ambang 0,\d+", recognise.inner_text())
    page.get_by_role("button", name="English").click()
    recognise.get_by_role("heading", name="unknown").wait_for()
    page.get_by_role("button", name="Bahasa Indonesia").click()
    seen.tab("Bangun")
    panel(page, "build").get_by_text("server ini tidak menyimpan foto asli").wait_for()
    seen.tab("Verifikasi")
    verify = panel(page, "verify")
    verify.get_by_label("E-mail atau id").fill("budi")
    verify.get_by_role("button", name="Cari").click()
    verify.locator("input[type=file]").set_input_files(str(people.GROUP))
    verify.get_by_text("Ada beberapa wajah di gambar. Diperlukan satu wajah.").wait_for()
    seen.shoot("verifikasi")
    assert not re.search(r"[{}]|undefined|null", page.locator("body").inner_text())


def test_the_browser_says_which_language(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=())
    seen = visit(at.port, locale="id-ID")
    seen.open()
    seen.page.get_by_text("Belum ada pengguna.").wait_for()
    texts = seen.page.evaluate("async () => (await import('/web/texts.js')).TEXTS")
    assert texts["en"].keys() == texts["id"].keys()
    for key, words in texts["en"].items():
        named = set(re.findall(r"\{(\w+)", words))
        assert named == set(re.findall(r"\{(\w+)", texts["id"][key])), key


def test_by_keyboard_alone(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("ayu", "budi"))
    seen = visit(at.port)
    page = seen.page
    seen.open()
    page.get_by_role("row", name="Budi").wait_for()
    press = page.keyboard.press

    def focused() -> str:
        name: str = page.evaluate("() => document.activeElement.textContent.trim() || document.activeElement.name")
        return name

    def to(name: str) -> None:
        for _ in range(40):
            press("Tab")
            if focused() == name:
                outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
                assert outline == "solid", f"one sees that {name} has the focus"
                return
        pytest.fail(f"Tab does not reach {name}")

    to("Users")
    press("ArrowLeft")
    assert focused() == "System"
    press("Home")
    assert focused() == "Users"
    to("name")
    page.keyboard.type("Citra")
    press("Enter")
    page.get_by_text("Citra was created.").wait_for()
    assert focused() == "name"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    for _ in range(3):
        press("ArrowRight")
    assert focused() == "Recognise"
    to("Open camera")
    press("Enter")
    page.get_by_role("button", name="Take picture").wait_for()
    page.wait_for_function("() => document.activeElement.textContent === 'Take picture'")
    press("Enter")
    page.wait_for_function("() => document.activeElement.textContent === 'Use this picture'")
    press("Enter")
    panel(page, "recognise").get_by_role("heading", name="Ayu").wait_for()
    seen.tab("Users")
    page.wait_for_load_state("networkidle")
    page.get_by_role("button", name="Delete Citra").focus()
    press("Enter")
    page.wait_for_function("() => document.activeElement.textContent === 'Cancel'")
    press("Escape")
    page.wait_for_function("() => document.activeElement.matches('[aria-label=\"Delete Citra\"]:not([aria-disabled])')")
    assert at.get("/v1/people/citra").status_code == 200
    press("Enter")
    page.wait_for_function("() => document.activeElement.textContent === 'Cancel'")
    press("Tab")
    press("Enter")
    page.get_by_text("Citra was deleted, with all photos and templates.").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(served: Callable[..., Any], visit: Any, scheme: str) -> None:
    at = served("--photos", "thumbnail", who=("ayu", "budi"))
    long = "Raden Ajeng " + "Kartiniwidyaningtyasprameswari" * 3
    assert at.post("/v1/people", json={"person_id": "x" * 80, "name": long}).status_code == 201
    options = {
        "viewport": PHONE,
        "color_scheme": scheme,
        "has_touch": True,
        "is_mobile": True,
        "device_scale_factor": 2,
    }
    seen = visit(at.port, **options, reduced_motion="reduce")
    page = seen.page
    seen.open()
    for part in PARTS:
        page.locator(f"#tab-{part}").tap()
        page.wait_for_load_state("networkidle")
        if part == "photos":
            page.get_by_label("Person").first.select_option("ayu")
            panel(page, part).locator(".gallery img").first.wait_for()
        if part == "recognise":
            by_camera(panel(page, part))
            panel(page, part).get_by_role("heading", name="Ayu").wait_for()
            panel(page, part).locator("canvas").wait_for()
        if part == "verify":
            panel(page, part).get_by_label("E-mail or id").fill("budi")
            panel(page, part).get_by_role("button", name="Find").tap()
            by_camera(panel(page, part))
            panel(page, part).locator(".verdict.bad").wait_for()
        seen.shoot(part)
        assert page.evaluate(WIDER) <= 0, f"{part} is wider than the phone"
        assert page.evaluate(CONTRAST) == [], part
        assert page.evaluate(NAMELESS) == [], part
        for button in page.locator("button:visible, .button:visible, select:visible").all():
            assert button.bounding_box()["height"] >= 24, f"{button} is large enough for a finger (WCAG 2.2, 2.5.8)"


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
    panel(page, "users").get_by_label("Name").fill("Citra")
    page.get_by_role("button", name="Create user").click()
    page.get_by_text("Citra was created.").wait_for()

    page.get_by_role("button", name="Sign out").click()
    page.get_by_text("You are signed out.").wait_for()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert "Ayu" not in page.content()
    old = httpx.get(f"{seen.base}/v1/people", cookies={cookie["name"]: cookie["value"]})
    assert old.status_code == 401, "the cookie is of no use any more"

    sign_in("gate", PASSWORD)
    page.get_by_role("tab", name="Recognise").wait_for()
    assert page.get_by_role("tab").all_inner_texts() == ["Recognise"]
    by_camera(panel(page, "recognise"))
    panel(page, "recognise").get_by_role("heading", name="Ayu").wait_for()
    gate = access.accounts.named("gate")
    assert gate is not None
    access.tokens.revoke_all(gate.id)
    panel(page, "recognise").locator("input[type=file]").set_input_files(str(people.PROBES["budi"][0]))
    page.get_by_role("heading", name="Sign in").wait_for()
    access.close()


def test_what_people_write_is_text(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=())
    name = "<img src=x onerror=document.title=1><b>Ayu</b>"
    picture = people.PICTURES["ayu"][0].read_bytes()
    made = at.post("/v1/people", data={"person_id": "<i>a", "name": name}, files={"images": picture})
    assert made.status_code == 201
    seen = visit(at.port)
    page = seen.page
    seen.open()
    assert page.locator("tbody th").inner_text() == name
    seen.tab("Recognise")
    by_camera(panel(page, "recognise"))
    assert panel(page, "recognise").locator("h3").inner_text() == name
    seen.tab("Photos")
    panel(page, "photos").get_by_label("Person").select_option("<i>a")
    page.get_by_text("Face 1", exact=True).wait_for()
    assert page.locator("#panels b, #panels i").count() == 0
    assert page.title() == "facedex"


def test_where_no_photo_is_kept_a_picture_registers_at_once(served: Callable[..., Any], visit: Any) -> None:
    at = served(who=("budi",))
    seen = visit(at.port, refused={422})
    page = seen.page
    seen.open("photos")
    photos = panel(page, "photos")
    photos.get_by_text("facedex serve --photos original").wait_for()
    photos.get_by_label("Person").select_option("budi")
    page.get_by_text("Face 2", exact=True).wait_for()
    upload = photos.locator("input[type=file]")
    upload.set_input_files([str(people.PICTURES["budi"][2]), str(people.GROUP)])
    photos.get_by_role("button", name="Upload 2").click()
    page.get_by_text(
        "1 of 2 taken. Refused: group.jpg: Several faces are in the picture. One face is needed."
    ).wait_for()
    assert photos.get_by_role("listitem").count() == 3
    photos.get_by_role("button", name="Delete face 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("The face was deleted.").wait_for()
    assert len(at.get("/v1/people/budi").json()["faces"]) == 2


def test_a_build_of_everybody_can_be_cancelled(served: Callable[..., Any], visit: Any) -> None:
    at = served("--photos", "original", who=tuple(people.PICTURES))
    for one in people.PICTURES:
        for number in range(3):
            path = people.PICTURES[one][number]
            assert at.post(f"/v1/people/{one}/photos", files={"image": path.read_bytes()}).status_code == 201
    seen = visit(at.port)
    seen.open("build")
    build = panel(seen.page, "build")
    build.get_by_role("button", name="Build everybody").click()
    build.get_by_role("button", name="Cancel").click()
    build.get_by_text(re.compile(r"^The build was cancelled after \d+(\.\d+)? s")).wait_for()
    assert at.get("/v1/jobs").json()[0]["state"] == "cancelled"


def test_a_server_that_is_away(served: Callable[..., Any], visit: Any) -> None:
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
        ("undefined", "The camera works over https and on the server's own machine only."),
        (
            "{ getUserMedia: async () => { throw new DOMException('', 'NotAllowedError'); } }",
            "The camera may not be used.",
        ),
        ("{ getUserMedia: async () => { throw new DOMException('', 'NotFoundError'); } }", "No camera was found."),
    ],
)
def test_without_a_camera_a_picture_does(served: Callable[..., Any], visit: Any, camera: str, told: str) -> None:
    at = served(who=("budi",))
    seen = visit(at.port)
    page = seen.page
    page.add_init_script(f"Object.defineProperty(navigator, 'mediaDevices', {{ value: {camera} }});")
    seen.open("recognise")
    recognise = panel(page, "recognise")
    recognise.get_by_role("button", name="Open camera").click()
    page.get_by_text(told).wait_for()
    recognise.locator("input[type=file]").set_input_files(str(people.PROBES["budi"][0]))
    recognise.get_by_role("heading", name="Budi").wait_for()


def test_what_anybody_may_do_is_shown_to_anybody(served: Callable[..., Any], visit: Any, tmp_path: Path) -> None:
    at = served(who=("ayu",), FACEDEX_PUBLIC_SCOPES="recognise")
    access = Access(Database(tmp_path / "served.db"))
    access.accounts.add(login="desk", password=PASSWORD, scopes=["read", "recognise", "enrol"])
    access.keys.add("boss", ["admin"])
    access.close()
    seen = visit(at.port)
    page = seen.page
    seen.open()
    page.get_by_role("tab", name="Recognise").wait_for()
    assert page.get_by_role("tab").all_inner_texts() == ["Recognise"]
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("E-mail or login").fill("desk")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").last.click()
    page.get_by_role("tab", name="Users").wait_for()
    assert page.get_by_role("tab").count() == len(PARTS)
    assert page.get_by_role("tab", selected=True).inner_text() == "Recognise", "one stays where one was"
    seen.tab("Users")
    page.get_by_role("row", name="Ayu").wait_for()
    seen.tab("Build")
    panel(page, "build").get_by_text("this server keeps no original photos").wait_for()
