"""The contract's words for a user, a similarity and an error, and the accounts behind its users.

A user's id is the person's number; the e-mail address and the password are those of an account that is linked with the
person. People who were registered through another interface are users too; they get an account when they first
need one.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from ....errors import UnknownPersonError
from ....gallery import Gallery
from ....records import Person
from ....scales import ARCFACE_R50
from ....server import Account
from ...services import Services
from ..faces import on_scale
from ..people import access_of, name_of
from ..shapes import Words, shape, told

NAME = "flask-face"
KINDS = ("JPG", "PNG", "GIF")

TAKEN = "the e-mail address is taken"
WORDS = Words(
    {
        "no_face": "No face was found in the picture",
        "unknown_person": "there is no such user",
        "unknown_photo": "the user has no such photo",
        "photo_too_large": "the photo is too large to be kept",
        "duplicate_account": TAKEN,
        "sign_in": "wrong e-mail address or password",
    }
)
PLAIN = shape(lambda message: {"message": message}, WORDS)
TRAINING = shape(lambda message: {"success": False, "message": message}, WORDS)
STATUS = shape(lambda message: {"status": "error", "message": message}, WORDS)
PLAIN_ERRORS = told(message="there is no such user")
TRAINING_ERRORS = told(success=False, message="no photo shows a face")
STATUS_ERRORS = told(status="error", message="No face was found in the picture")

SHAPES = (
    *(("/api/face/predict", STATUS), ("/api/face/model-info", STATUS), ("/api/auth/", STATUS)),
    *(("/api/training/", TRAINING), ("/api/users", PLAIN), ("/api/photos/", PLAIN)),
)
"""The shape of errors by the beginning of the path, for what is refused before a route is reached."""


def user(person: Person) -> dict[str, Any]:
    """Describe a user."""
    return {"id": person.number, "name": name_of(person), "email": person.email}


def user_data(person: Person) -> dict[str, Any]:
    """Describe a user within ``data``."""
    return {"user_id": person.number, "name": name_of(person), "email": person.email}


def scores(gallery: Gallery, similarity: float) -> dict[str, float]:
    """Tell a similarity on the contract's scale, and in percent."""
    value = on_scale(gallery, ARCFACE_R50).from_pack(similarity)
    return {"confidence": round(100.0 * max(0.0, value), 2), "similarity": round(value, 4)}


def by_email(services: Services, gallery: Gallery, email: str) -> Person:
    """Find a user by e-mail address: among the people, else through the account that has it; blocks.

    Raises
    ------
    UnknownPersonError
    """
    found = gallery.people_with_email(email)
    if found:
        return found[0]
    account = access_of(services).accounts.named(email)
    if account is None or account.person_key is None:
        raise UnknownPersonError("there is no user of that e-mail address", person_id=email)
    return gallery.person(account.person_key)


def account_of(services: Services, person: Person) -> Account | None:
    """Return the account of a user; None where there is none; blocks."""
    return next(iter(access_of(services).accounts.of_person(person.person_id)), None)


def now() -> str:
    """Tell the time, ISO 8601."""
    return datetime.now(timezone.utc).isoformat()
