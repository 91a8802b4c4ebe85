"""The formats of users, similarities and errors, and the accounts of users.

A user's id is the person's number; the e-mail address and the password are those of the account that is linked to the
person. People who were registered through another interface are users too; they get an account when they first need
one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....errors import UnknownPersonError
from ....gallery import Gallery
from ....records import Person
from ....scales import ARCFACE_R50
from ....server import Account
from ...services import Services
from ..faces import scale_map
from ..people import access_of, name_of
from ..shapes import ErrorFormat

FORMATS = ("JPG", "PNG", "GIF")

PLAIN = ErrorFormat(
    "flask-face",
    {"message": "there is no such user"},
    {
        "no_face": "No face was found in the picture",
        "unknown_person": "there is no such user",
        "unknown_photo": "the user has no such photo",
        "photo_too_large": "the photo is too large to be kept",
        "duplicate_account": "the e-mail address is taken",
        "sign_in": "wrong e-mail address or password",
    },
)
TRAINING = replace(PLAIN, example={"success": False, "message": "no photo shows a face"})
STATUS = replace(PLAIN, example={"status": "error", "message": "No face was found in the picture"})

SHAPES = (
    *((path, STATUS.respond) for path in ("/api/face/predict", "/api/face/model-info", "/api/auth/")),
    *(("/api/training/", TRAINING.respond), ("/api/users", PLAIN.respond), ("/api/photos/", PLAIN.respond)),
)
"""The format of errors by the start of the path, for requests that are refused before they reach a route."""


def format_user(person: Person) -> dict[str, Any]:
    """Format a user."""
    return {"id": person.number, "name": name_of(person), "email": person.email}


def format_user_data(person: Person) -> dict[str, Any]:
    """Format a user within ``data``."""
    return {"user_id": person.number, "name": name_of(person), "email": person.email}


def scores(gallery: Gallery, similarity: float) -> dict[str, float]:
    """Return a similarity on the contract's scale, and in percent."""
    value = scale_map(gallery, ARCFACE_R50).from_pack(similarity)
    return {"confidence": round(100.0 * max(0.0, value), 2), "similarity": round(value, 4)}


def by_email(services: Services, gallery: Gallery, email: str) -> Person:
    """Find a user by the e-mail address of the person or the account, or raise `UnknownPersonError`; blocks."""
    found = gallery.lookup.people_with_email(email)
    if found:
        return found[0]
    account = access_of(services).accounts.find(email)
    if account is None or account.person_key is None:
        raise UnknownPersonError("there is no user of that e-mail address", person_id=email)
    return gallery.person(account.person_key)


def account_of(services: Services, person: Person) -> Account | None:
    """Return the account of a user, if there is one; blocks."""
    return next(iter(access_of(services).accounts.of_person(person.person_id)), None)
