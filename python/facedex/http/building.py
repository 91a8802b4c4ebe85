"""Rebuild everybody's faces from the stored photos, for `/v1` and the contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import RegistrationError, UnknownPersonError
from ..gallery import Gallery
from ..options import FacePolicy
from ..records import PersonId


@dataclass(slots=True)
class Built:
    """Result of a rebuild.

    Attributes
    ----------
    people, faces : int
        How many were rebuilt.
    left : list of str or int
        Ids of people without a photo that shows a usable face, who keep their faces, and of people deleted meanwhile.
    """

    people: int = 0
    faces: int = 0
    left: list[PersonId] = field(default_factory=list)


def build_everybody(
    gallery: Gallery, *, faces: FacePolicy = "one", progress: Callable[[int, int], object] | None = None
) -> Built:
    """Rebuild everybody's faces.

    Parameters
    ----------
    gallery : Gallery
    faces : {"one", "largest"}
        A photo must show exactly one face, or its largest is used.
    progress : callable, optional
        Called with the number of people done and of all.
    """
    built, after = Built(), 0
    total = gallery.status().people
    while page := gallery.lookup.people_after(after):
        for person in page:
            try:
                built.faces += len(gallery.rebuild_person(person.person_id, faces=faces).faces)
                built.people += 1
            except (RegistrationError, UnknownPersonError):
                built.left.append(person.person_id)
            if progress is not None:
                done = built.people + len(built.left)
                progress(done, max(done, total))
        after = page[-1].number
    return built
