"""The templates of everybody, made anew from the photos that are kept: long work, for /v1 and the contracts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import RegistrationError, UnknownPersonError
from ..gallery import Gallery
from ..options import FacePolicy
from ..records import PersonId


@dataclass(slots=True)
class Built:
    """What came of it.

    Attributes
    ----------
    people, faces : int
        How many were made anew.
    left : list of str or int
        Ids of those who keep what they had: no photo shows a usable face, or they were deleted meanwhile.
    """

    people: int = 0
    faces: int = 0
    left: list[PersonId] = field(default_factory=list)


def build_everybody(
    gallery: Gallery, *, faces: FacePolicy = "one", progress: Callable[[int, int], object] | None = None
) -> Built:
    """Make everybody's faces anew.

    Parameters
    ----------
    gallery : Gallery
    faces : {"one", "largest"}
        A photo must show exactly one face, or its largest is taken.
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
