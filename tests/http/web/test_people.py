"""Finding one person among many: by typing, by keyboard, beyond the first page; and without a match."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facedex import Gallery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MANY = 1_300
"""More than the first page of the list and the largest that the server gives."""


@pytest.fixture
def many_people(tmp_path: Path) -> None:
    """People, without faces, in the database that is served; one has a name with an accent."""
    with Gallery.open(tmp_path / "served.db") as gallery:
        for number in range(MANY):
            gallery.create(f"p{number:05d}", name=f"Person {number:05d}", email=f"p{number:05d}@example.org")
        gallery.create("zoe", name="Zoë Ångström")


@pytest.mark.usefixtures("many_people")
def test_a_person_is_found_among_many(served: Any, visit: Any) -> None:
    at = served(who=())
    seen = visit(at.port)
    page = seen.page
    seen.open()
    users = seen.panel("users")
    page.get_by_role("row", name="Person 00000").wait_for()
    users.get_by_role("status").get_by_text("The first 50 people").wait_for()
    asked = [one for one in seen.asked if "/v1/people" in one]
    assert asked == ["GET /v1/people?limit=100"], "the list does not ask for everybody"
    users.get_by_role("button", name="Show more").click()
    page.get_by_role("row", name="Person 00099").wait_for()
    page.wait_for_function("() => document.activeElement.ariaLabel === 'Photos of Person 00050'")
    assert users.locator("tbody tr").count() == 100

    users.get_by_label("Find a user").fill("angstrom zoe")
    page.get_by_role("row", name="Zoë Ångström").wait_for()
    users.get_by_role("status").get_by_text("1 person found").wait_for()
    assert users.locator("tbody tr").count() == 1
    seen.shoot("1-found")
    users.get_by_label("Find a user").fill("nobody at all")
    users.get_by_text("No person matches “nobody at all”.").wait_for()
    assert users.get_by_role("row").count() == 0

    seen.tab("Photos")
    page.reload()  # nobody has been looked through yet
    photos = seen.panel("photos")
    photos.get_by_role("combobox", name="Person").wait_for()
    page.evaluate("""() => {
      const note = document.querySelector("#panel-photos .popup [role=status]");
      const told = window.told = [];
      new MutationObserver(() => told.push([note.ariaLive, note.textContent])).observe(note, { childList: true });
    }""")
    seen.choose(photos, "son 1287", "Person 01287")  # within a word, and far beyond the first
    photos.get_by_text("No face of Person 01287 is registered yet.").wait_for()
    *on_the_way, last = page.evaluate("() => window.told")
    assert len(on_the_way) >= 3
    assert {live for live, _ in on_the_way} == {"off"}, "nobody has to hear how far the search is"
    assert last == ["polite", "1 person found"]
    who = photos.get_by_role("combobox", name="Person")
    who.fill("person")
    photos.get_by_text("The first 20 people; type more to find others.").wait_for()
    assert photos.get_by_role("option").count() == 20
    popup, listed, note = (
        photos.locator(f".popup{part}").bounding_box() for part in ("", " [role=listbox]", " [role=status]")
    )
    assert note["y"] >= listed["y"] + listed["height"], "that there are more is said below the list"
    assert note["y"] + note["height"] <= popup["y"] + popup["height"], "and is not scrolled away"
    seen.shoot("2-list")
    before = len(seen.asked)
    seen.choose(photos, "P01299@example.org", "Person 01299")
    photos.get_by_text("No face of Person 01299 is registered yet.").wait_for()
    asked = [one for one in seen.asked[before:] if "/v1/people?" in one]
    assert asked == ["GET /v1/people?email=P01299%40example.org"], "an address is looked up, not searched for"


def test_a_person_is_chosen_by_keyboard(served: Any, visit: Any) -> None:
    at = served(who=("ayu", "budi", "citra"))
    seen = visit(at.port)
    page = seen.page
    seen.open("photos")
    photos = seen.panel("photos")
    who = photos.get_by_role("combobox", name="Person")
    who.focus()
    assert who.get_attribute("aria-expanded") == "false"

    def active() -> str | None:
        name: str | None = page.evaluate(
            "() => document.getElementById(document.activeElement.getAttribute('aria-activedescendant'))?.textContent"
        )
        return name

    page.keyboard.press("ArrowDown")
    photos.get_by_text("3 people found").wait_for()
    assert who.get_attribute("aria-expanded") == "true"
    assert active() is None
    page.keyboard.press("ArrowDown")
    assert active() == "Ayuayu@example.org"
    page.keyboard.press("ArrowUp")
    assert active() == "Citracitra@example.org"
    assert photos.get_by_role("option", selected=True).count() == 1
    page.keyboard.press("Enter")
    photos.get_by_text("Face 5", exact=True).wait_for()
    assert who.input_value() == "Citra · citra@example.org"
    assert who.get_attribute("aria-expanded") == "false"

    who.fill("bu")
    photos.get_by_text("1 person found").wait_for()
    page.keyboard.press("Escape")
    assert who.input_value() == "Citra · citra@example.org", "Escape leaves who was chosen"
    who.fill("bu")
    photos.get_by_text("1 person found").wait_for()
    page.keyboard.press("Enter")
    photos.get_by_text("Face 3", exact=True).wait_for()
    who.fill("q")
    photos.get_by_text("No person matches “q”.").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert who.input_value() == "Budi · budi@example.org", "who is not there cannot be chosen"
    assert photos.get_by_role("option").count() == 0
    seen.tab("Build")
    seen.tab("Photos")
    assert who.input_value() == "Budi · budi@example.org"
    who.fill("")
    page.keyboard.press("Tab")
    photos.get_by_text("Choose a person first.").wait_for()


def test_a_deleted_person_is_no_longer_chosen(served: Any, visit: Any) -> None:
    at = served(who=("ayu", "budi"))
    seen = visit(at.port)
    page = seen.page
    seen.open()
    users = seen.panel("users")
    users.get_by_role("button", name="Photos of Budi").click()
    who = seen.panel("photos").get_by_role("combobox", name="Person")
    assert who.input_value() == "Budi · budi@example.org"
    seen.tab("Users")
    users.get_by_role("button", name="Edit Budi").click()
    users.get_by_label("Name").fill("Budiman")
    users.get_by_role("button", name="Save").click()
    page.get_by_text("Budiman was saved.").wait_for()
    seen.tab("Photos")
    assert who.input_value() == "Budiman · budi@example.org"
    seen.tab("Users")
    users.get_by_role("button", name="Delete Budiman").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("Budiman was deleted").wait_for()
    seen.tab("Photos")
    assert who.input_value() == ""
    assert page.locator("#status").inner_text() == "", "what was said in one section is not said in another"
    who.click()
    seen.panel("photos").get_by_text("1 person found").wait_for()
