"""The ids of people in the older backends (whole numbers, UUIDs, the client's own text), and their accounts.

A person has one key in the gallery. A contract with whole numbers uses the person's number. One with UUIDs uses the key
if it is a UUID, and otherwise a UUID of version 4 that encodes the number; both are found by one lookup.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
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
    """Return the UUID of a person: the key if it is a UUID of version 4, else one that encodes the number.

    Examples
    --------
    >>> number_of(_encode_number(7)), number_of(UUID("b3c1d5a0-4f7e-4a43-9a52-0f6a3c1d2e4b"))
    (7, None)
    """
    found = parse_uuid(str(person.person_id))
    return found if found is not None and str(found) == str(person.person_id) else _encode_number(person.number)


def parse_uuid(text: str) -> UUID | None:
    """Parse a UUID of version 4 in its usual form; None when it is not one."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if found.version == 4 and found.variant == RFC_4122 and str(found) == text.lower() else None


def number_of(uuid: UUID) -> int | None:
    """Return the number that a UUID encodes; None when `uuid_of` did not make it."""
    number = uuid.int & ((1 << _NUMBER_BITS) - 1)
    return number if _encode_number(number) == uuid else None


def by_uuid(gallery: Gallery, uuid: UUID) -> Person:
    """Find a person by UUID, or raise `UnknownPersonError`."""
    number = number_of(uuid)
    if number is not None:
        person = gallery.lookup.person_by_number(number)
        if uuid_of(person) == uuid:
            return person
        raise UnknownPersonError(f"nobody is registered as {uuid}", person_id=str(uuid))
    return gallery.person(str(uuid))


def name_of(person: Person) -> str:
    """Return the name of a person, or the key without one."""
    return person.name or str(person.person_id)


def access_of(services: Services) -> Access:
    """Return the accounts, which an application with contracts always has."""
    return cast("Access", services.access)


def _encode_number(number: int) -> UUID:
    mark = int.from_bytes(hashlib.sha256(_SALT + str(number).encode()).digest()[:16], "big")
    return UUID(int=(mark >> _NUMBER_BITS << _NUMBER_BITS) | number, version=4)


def check_email_free(gallery: Gallery, text: str | None, person_key: str | int | None = None) -> None:
    """Check that a login or e-mail address is not the address of another person, who may have no account.

    The database itself refuses two accounts with one address.

    Parameters
    ----------
    gallery : Gallery
    text : str or None
    person_key : str or int, optional
        The person who may have it.

    Raises
    ------
    DuplicateAccountError
    """
    others = gallery.lookup.people_with_email(text.strip()) if text is not None and "@" in text else []
    if any(person_key is None or str(other.person_id) != str(person_key) for other in others):
        raise DuplicateAccountError("somebody else has that e-mail address")


def delete_person(gallery: Gallery, person: Person) -> Person:
    """Delete a person with all data, and return the person as stored before."""
    gallery.delete(person.person_id)
    return person


def now() -> str:
    """Return the time in UTC, ISO 8601."""
    return datetime.now(timezone.utc).isoformat()
