"""The page for everybody: contrast and names of all that is shown, on a phone, by keyboard alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from facedex import people
from facedex.server import Access
from facedex.store import Database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

PHONE = {"width": 360, "height": 740}
PARTS = ("users", "photos", "build", "recognise", "verify", "attendance", "system")

CONTRAST = """() => {
  const parse = (text) => {
    const found = text.match(/[\\d.]+/g).map(Number);
    return [...found.slice(0, 3), found[3] ?? 1];
  };
  const over = (front, back) => front.slice(0, 3).map((v, at) => v * front[3] + back[at] * (1 - front[3]));
  const light = (colour) => colour.map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (node) => {
    const layers = [];
    for (let one = node; one; one = one.parentElement) {
      layers.push(parse(getComputedStyle(one).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reduceRight((back, front) => over(front, back), [255, 255, 255]);
  };
  const ratio = (front, back) => {
    const [a, b] = [light(over(parse(front), back)), light(back)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const poor = [];
  const check = (node, what, front, back, least) => {
    const found = ratio(front, back);
    if (found < least) poor.push(`${what} ${found.toFixed(2)}: ${(node.textContent.trim() || node.id).slice(0, 40)}`);
  };
  for (const node of document.querySelectorAll("body *")) {
    if (!node.checkVisibility() || node.closest(".sr, .count, noscript, [aria-disabled=true], :disabled")) continue;
    const style = getComputedStyle(node);
    const words = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (words || node.matches("input:not([type=checkbox], [type=file])")) {
      check(node, "text", style.color, behind(node), 4.5);
    }
    if (node.matches("input:not([type=checkbox], [type=file]), .quiet, .danger")) {
      check(node, "edge", style.borderTopColor, behind(node.parentElement), 3);
    }
    if (node.matches(".fill, .cutoff, .mark")) {
      check(node, "sign", style.backgroundColor, behind(node.parentElement), 3);
    }
    if (node === document.activeElement && style.outlineStyle === "solid") {
      check(node, "focus", style.outlineColor, behind(node.parentElement), 3);
    }
  }
  return poor;
}"""
"""What is too faint: texts below 4.5; edges of controls, signs and the focus below 3 (WCAG 2.2, 1.4.3 and 1.4.11)."""

NAMELESS = """() => [...document.querySelectorAll("button, input, a, video, progress, dialog, canvas, [role=listbox]")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(
    node.ariaLabel || node.textContent.trim() || node.labels?.length || node.getAttribute("aria-labelledby")
  ))
  .map((node) => node.outerHTML)"""
"""Controls without a name."""

SMALL = """() => [...document.querySelectorAll("button, .button, input:not([type=file]), [role=option]")]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const place = (node.matches("[type=checkbox]") ? node.parentElement : node).getBoundingClientRect();
    return place.height < 24 || place.width < 24;
  })
  .map((node) => node.outerHTML)"""
"""Controls too small for a finger (WCAG 2.2, 2.5.8)."""

WIDER = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


def check(seen: Any, name: str) -> None:
    """Take a screenshot, and check that everything shown is accessible."""
    seen.shoot(name)
    assert seen.page.evaluate(CONTRAST) == [], name
    assert seen.page.evaluate(NAMELESS) == [], name
    assert seen.page.evaluate(SMALL) == [], name
    assert seen.page.evaluate(WIDER) <= 0, f"{name} is wider than the screen"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_and_controls_are_accessible(served: Any, visit: Any, tmp_path: Path, scheme: str) -> None:
    at = served("--photos", "original", who=("ayu", "budi"))
    seen = visit(at.port, color_scheme=scheme, reduced_motion="reduce", refused={400, 401, 404, 422})
    page = seen.page
    seen.open()
    page.get_by_role("row", name="Budi").wait_for()
    seen.settled()
    page.get_by_role("button", name="Delete Budi").click()
    check(seen, "1-sure")
    page.keyboard.press("Escape")

    seen.tab("Photos")
    photos = seen.panel("photos")
    photos.get_by_role("combobox", name="Person").fill("ayu")
    photos.get_by_role("option", name="Ayu").wait_for()
    seen.settled()
    check(seen, "2-choosing")
    page.keyboard.press("Enter")
    photos.locator("input[type=file]").set_input_files([str(path) for path in people.PICTURES["ayu"]])
    photos.get_by_role("button", name="Open camera").click()
    photos.get_by_role("button", name="Take picture").wait_for()
    seen.settled()
    check(seen, "3-camera")
    photos.get_by_role("button", name="Take picture").click()
    check(seen, "4-counting")
    photos.get_by_role("button", name="Use this picture").wait_for()
    check(seen, "5-taken")
    photos.get_by_role("button", name="Close camera").click()
    photos.get_by_role("button", name="Upload 3").click()
    page.get_by_text("3 uploaded.").wait_for()
    seen.settled()
    check(seen, "6-uploaded")

    seen.tab("Build")
    build = seen.panel("build")
    build.get_by_role("button", name="Build everybody").click()
    build.get_by_text(re.compile(r"built in")).wait_for()
    build.get_by_role("button", name="Build this person").click()
    build.get_by_text(re.compile(r"faces of Ayu built in")).wait_for()
    seen.settled()
    check(seen, "7-built")

    seen.tab("Recognize")
    recognise = seen.panel("recognise")
    recognise.locator("input[type=file]").set_input_files(str(people.GROUP))
    recognise.get_by_role("heading", name="Budi").wait_for()
    seen.settled()
    check(seen, "8-recognised")
    recognise.locator("input[type=file]").set_input_files({"name": "a", "mimeType": "image/png", "buffer": b"none"})
    page.get_by_text("This file is not a readable picture.").wait_for()
    seen.settled()
    check(seen, "9-refused")

    seen.tab("Verify")
    verify = seen.panel("verify")
    who = verify.get_by_role("combobox", name="Person")
    who.fill("nobody")
    verify.get_by_text("No person matches “nobody”.").wait_for()
    seen.settled()
    check(seen, "10-nobody")
    who.fill("ay")
    verify.get_by_role("option", name="Ayu").wait_for()
    page.keyboard.press("Enter")
    verify.get_by_role("heading", name="Is it Ayu?").wait_for()
    verify.get_by_label("Record attendance").check()
    for picture, kind in (
        (people.PROBES["ayu"][0], "good"),
        (people.PROBES["budi"][0], "bad"),
        (people.GROUP, "doubt"),
    ):
        verify.locator("input[type=file]").set_input_files(str(picture))
        verify.locator(f".verdict.{kind}").wait_for()
        seen.settled()
        check(seen, f"11-{kind}")

    seen.tab("Attendance")
    seen.panel("attendance").get_by_text("2 recorded").wait_for()
    seen.settled()
    check(seen, "12-attendance")
    seen.tab("System")
    seen.panel("system").get_by_text("Apache-2.0, MIT").wait_for()
    seen.settled()
    check(seen, "13-system")

    access = Access(Database(tmp_path / "served.db"))
    access.keys.add("boss", ["admin"])
    access.close()
    page.reload()
    page.get_by_role("heading", name="Sign in").wait_for()
    page.get_by_label("E-mail or login").fill("ayu")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Wrong login or password.").wait_for()
    seen.settled()
    check(seen, "14-sign-in")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(served: Any, visit: Any, scheme: str) -> None:
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
    shown = {
        "users": lambda part: part.get_by_role("row", name="Budi"),
        "photos": lambda part: part.locator(".gallery img").first,
        "build": lambda part: part.get_by_text("Nothing can be built"),
        "recognise": lambda part: part.get_by_role("heading", name="Ayu"),
        "verify": lambda part: part.locator(".verdict.bad"),
        "attendance": lambda part: part.get_by_text("No attendance was recorded on this day."),
        "system": lambda part: part.get_by_text("Apache-2.0, MIT"),
    }
    for name in PARTS:
        page.locator(f"#tab-{name}").tap()
        part = seen.panel(name)
        if name == "photos":
            part.get_by_role("combobox", name="Person").tap()
            part.get_by_role("option", name="Raden").wait_for()
            seen.settled()
            check(seen, "choosing")
            part.get_by_role("option", name="Ayu").tap()
        if name == "recognise":
            seen.by_camera(part)
        if name == "verify":
            seen.choose(part, "bud", "Budi")
            seen.by_camera(part)
        shown[name](part).wait_for()
        seen.settled()
        check(seen, name)


def test_by_keyboard_alone(served: Any, visit: Any) -> None:
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
    assert focused() == "Recognize"
    to("Open camera")
    press("Enter")
    page.get_by_role("button", name="Take picture").wait_for()
    page.wait_for_function("() => document.activeElement.textContent === 'Take picture'")
    press("Enter")
    page.wait_for_function("() => document.activeElement.textContent === 'Use this picture'")
    press("Enter")
    seen.panel("recognise").get_by_role("heading", name="Ayu").wait_for()
    seen.tab("Users")
    seen.settled()
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


def test_the_focus_is_never_lost(served: Any, visit: Any) -> None:
    at = served("--photos", "original", who=("ayu",))
    seen = visit(at.port)
    page = seen.page
    seen.open("photos")
    photos = seen.panel("photos")
    photos.locator("input[type=file]").set_input_files([str(path) for path in people.PICTURES["budi"]])

    def focused() -> str:
        name: str = page.evaluate("() => document.activeElement.ariaLabel ?? document.activeElement.textContent.trim()")
        return name

    for picture in people.PICTURES["budi"][:-1]:
        photos.get_by_role("button", name=f"Remove {picture.name}").focus()
        page.keyboard.press("Enter")
        assert focused().startswith("Remove "), "the next picture's button"
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.type") == "file", "no picture is left"
    assert photos.get_by_role("button", name="Upload").count() == 0

    photos.get_by_role("button", name="Open camera").focus()
    page.keyboard.press("Enter")
    take = photos.get_by_role("button", name="Take picture")
    take.wait_for()
    page.keyboard.press("Enter")
    photos.locator(".count").get_by_text("2").wait_for()
    assert focused() == "Take picture"
    assert take.get_attribute("aria-disabled") == "true"
    page.keyboard.press("Enter")
    assert photos.locator(".count").inner_text() != "3", "a second press does not count anew"
    photos.get_by_role("button", name="Use this picture").wait_for()
    assert focused() == "Use this picture"
    box = photos.locator(".camera").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= page.viewport_size["height"], "picture and buttons are in sight together"
    page.keyboard.press("Enter")
    assert focused() == "Take picture"
