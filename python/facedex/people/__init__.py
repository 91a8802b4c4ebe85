"""The bundled pictures: synthetic people, rendered for this project and dedicated to the public domain (CC0).

They are for demonstrations and smoke tests; no accuracy may be read from them (`NOTE.md` beside them says why).
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
"""Where the pictures are."""

IDS = ("ayu", "budi", "citra", "dewi", "eko", "farah", "gita", "hadi")
"""The eight people to register."""

PICTURES = {
    person_id: tuple(FOLDER / "people" / person_id / f"{number}.jpg" for number in (1, 2, 3)) for person_id in IDS
}
"""Three pictures of each person, to register."""

PROBES = {person_id: tuple(FOLDER / "probes" / f"{person_id}-{number}.jpg" for number in (1, 2)) for person_id in IDS}
"""Two other pictures of each person, to recognise."""

STRANGERS = (FOLDER / "strangers" / "1.jpg", FOLDER / "strangers" / "2.jpg")
"""One picture each of two people who are not to be registered."""

GROUP = FOLDER / "group.jpg"
"""Five people in one picture."""

GROUP_IDS = ("dewi", "eko", "ayu", "budi", None)
"""Who stands in the group, left to right; the last is the first stranger."""
