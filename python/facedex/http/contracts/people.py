"""One person under the ids of several old backends: whole numbers, UUIDs, the client's own text; and their accounts.

A person has one key in the gallery. A contract whose ids are whole numbers answers the person's number; one whose ids
are UUIDs answers the key where that is one, and else a UUID (version 4) that holds the number, so that either way back
is one look-up.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, cast
from uuid import RFC_4122, UUID

from ...errors import DuplicateAccountError, UnknownPersonError
from ...gallery import Gallery
from ...records import Person

if TYPE_CHECKING:
    from ...server import Access
    from ..services import Services

_NUMBER_BITS = 60
_SALT = b"facedex person "


def uuid_of(person: Person) -> UUID:
    """Tell the UUID of a person: the key where it is one of version 4, else one that holds the person's number.

    Examples
    --------
    >>> number_of(_uuid_with(7)), number_of(UUID("b3c1d5a0-4f7e-4a43-9a52-0f6a3c1d2e4b"))
    (7, None)
    """
    found = uuid_from(str(person.person_id))
    return found if found is not None and str(found) == str(person.person_id) else _uuid_with(person.number)


def uuid_from(text: str) -> UUID | None:
    """Read a UUID of version 4, in its usual form; None when it is none."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if found.version == 4 and found.variant == RFC_4122 and str(found) == text.lower() else None


def number_of(uuid: UUID) -> int | None:
    """Tell the number that a UUID holds; None when it was not made by `uuid_of`."""
    number = uuid.int & ((1 << _NUMBER_BITS) - 1)
    return number if _uuid_with(number) == uuid else None


def by_uuid(gallery: Gallery, uuid: UUID) -> Person:
    """Find a person by UUID.

    Raises
    ------
    UnknownPersonError
    """
    number = number_of(uuid)
    if number is not None:
        person = gallery.person_numbered(number)
        if uuid_of(person) == uuid:
            return person
        raise UnknownPersonError(f"nobody is registered as {uuid}", person_id=str(uuid))
    return gallery.person(str(uuid))


def name_of(person: Person) -> str:
    """Tell a person's name; the key where no name was given."""
    return person.name or str(person.person_id)


def access_of(services: Services) -> Access:
    """Return the accounts; an application that answers contracts always has them."""
    return cast("Access", services.access)


def _uuid_with(number: int) -> UUID:
    mark = int.from_bytes(hashlib.sha256(_SALT + str(number).encode()).digest()[:16], "big")
    return UUID(int=(mark >> _NUMBER_BITS << _NUMBER_BITS) | number, version=4)


def refuse_taken(gallery: Gallery, text: str | None, person_key: str | int | None = None) -> None:
    """Refuse a login or an e-mail address that is the address of somebody else in the gallery.

    That one may have no account; of two accounts the database refuses one.

    Parameters
    ----------
    gallery : Gallery
    text : str or None
    person_key : str or int, optional
        Whose it may be.

    Raises
    ------
    DuplicateAccountError
    """
    others = gallery.people_with_email(text.strip()) if text is not None and "@" in text else []
    if any(person_key is None or str(other.person_id) != str(person_key) for other in others):
        raise DuplicateAccountError("somebody else has that e-mail address")
