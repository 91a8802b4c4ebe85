"""The refusals of a gallery that is not what it was when it was opened, or of another pack."""

from __future__ import annotations

from ..errors import DatabaseDamagedError, GalleryPackError, StoreError, WrongKeyError
from .rows import PackPin


def other_pack(name: str, place: str, bound: PackPin, pin: PackPin) -> GalleryPackError:
    """Make the refusal to open a gallery with another pack than its own."""
    if bound.name == pin.name:
        stored, opened = (
            f"another version of pack {bound.name!r} ({bound.digest[:12]})",
            f"this one ({pin.digest[:12]})",
        )
        remedy = "install the version of facedex that has it"
    else:
        stored, opened = f"pack {bound.name!r}", f"{pin.name!r}"
        remedy = f"open it with pack={bound.name!r}"
    return GalleryPackError(
        f"gallery {name!r} in {place} was made with {stored} and cannot be opened with {opened}, because their "
        f"embeddings cannot be compared; {remedy}, or register the people again in a new gallery (name=...)",
        stored=bound.name,
        opened=pin.name,
    )


def moved_to(name: str, place: str, pack: str, digest: str, pin: PackPin) -> GalleryPackError:
    """Make the refusal to go on with a gallery that was moved to another pack while it was open."""
    return GalleryPackError(
        f"gallery {name!r} in {place} was moved to pack {pack!r} ({digest[:12]}) while it was open with {pin.name!r}; "
        "open it again with that pack",
        stored=pack,
        opened=pin.name,
    )


def rekeyed(name: str, place: str) -> WrongKeyError:
    """Make the refusal to go on with a gallery that was given another key while it was open."""
    return WrongKeyError(
        f"the key of gallery {name!r} in {place} was changed while it was open; open it again with the new one"
    )


def replaced(name: str, place: str) -> StoreError:
    """Make the refusal to go on with a gallery in whose place another one was put while it was open."""
    return StoreError(f"gallery {name!r} in {place} was replaced while it was open; open it again")


def lacking(place: str) -> DatabaseDamagedError:
    """Make the refusal to read a gallery of which templates are missing."""
    return DatabaseDamagedError(f"database {place} lacks templates that it should have; restore it from a backup")
