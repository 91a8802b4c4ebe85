"""Sign-in with password or face, tokens, sign-out.

1:1 verification compares with the claimed person's own templates only, however many users there are. A face that
cannot be judged never signs in; how live it must be is the server's setting ``FACEDEX_FACE_LOGIN_LIVENESS``. A face
that does not sign in is told neither how close it came nor whether there is such a user.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ....errors import (
    ArgumentError,
    AttemptsError,
    FaceError,
    ForbiddenError,
    RoleMissingError,
    UnauthenticatedError,
    UnknownAccountError,
    UnknownPersonError,
)
from ....gallery import Gallery
from ....options import LivenessMode
from ....records import Person
from ....results import Verification, choose_face
from ....server import SignIn, Tried, acting_from, note_failed
from ...admission import before_body
from ...security import address_of, counted, principal_of
from ...services import Services, ServicesOf, services_of
from ..faces import largest
from ..people import access_of, name_of
from ..pictures import read
from ..shapes import masked_route
from .answers import KINDS, NAME, STATUS, STATUS_ERRORS, WORDS, account_of, by_email, scores, user_data

if TYPE_CHECKING:
    from ...._core import Liveness

MOST_A_MINUTE = 10
"""Sign-ins with a face that one address may try in a minute."""

_SECRET: dict[str, Any] = {"x-once": False}  # the answer holds a token, which is kept nowhere
_UNJUDGED = "the face cannot be judged: take a clear picture of yourself"


class Login(BaseModel):
    """E-mail address and password."""

    email: str = Field(max_length=255)
    password: str = Field(max_length=1024)


class Shown(BaseModel):
    """A token."""

    token: str = Field(max_length=1024)


class Refused(Exception):  # noqa: N818 - an answer, not an error of facedex
    """A face does not sign in: the status, the message and the data of the answer."""

    def __init__(self, status: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"status": "error", "message": message, "data": data}


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(
        prefix="/auth",
        route_class=masked_route(STATUS, NAME),
        tags=[NAME],
        responses=STATUS_ERRORS,
        dependencies=[Depends(counted)],
    )
    _sign_in(routes)
    _tokens(routes)
    return routes


def _sign_in(routes: APIRouter) -> None:
    @routes.post("/login-pass-verify", openapi_extra=_SECRET)
    async def login_pass(services: ServicesOf, request: Request, asked: Login) -> dict[str, Any]:
        """Sign in with e-mail address and password."""
        signed: SignIn = await services.ask_access(
            lambda access: access.sign_in(asked.email, asked.password, address=address_of(request)), password=True
        )
        who = await services.ask(lambda gallery: _user_of(services, gallery, signed.account.id))
        return {"status": "success", "message": "Login successful", "data": who | _token(signed)}

    @routes.post("/login-face-verify", openapi_extra=_SECRET, dependencies=[Depends(_tried)])
    async def login_face_verify(
        services: ServicesOf,
        request: Request,
        file: Annotated[UploadFile, File()],
        user_id: Annotated[int | None, Form()] = None,
        email: Annotated[str | None, Form(max_length=255)] = None,
    ) -> Any:
        """Sign in as the user who is claimed, when the face is that user's."""
        if user_id is None and not email:
            raise ArgumentError("user_id or email is needed beside file")
        picture = await read(file, accepted=KINDS)
        try:
            data = await services.sign_in(
                lambda gallery: _verified(services, gallery, user_id, email, picture, address_of(request))
            )
        except Refused as refused:
            return JSONResponse(refused.content, refused.status)
        return {"status": "success", "message": "Face verification successful", "data": data}

    @routes.post("/login-face", openapi_extra=_SECRET, dependencies=[Depends(_tried)])
    async def login_face(services: ServicesOf, request: Request, file: Annotated[UploadFile, File()]) -> Any:
        """Sign in as whoever the face is."""
        picture = await read(file, accepted=KINDS)
        try:
            data = await services.sign_in(lambda gallery: _recognised(services, gallery, picture, address_of(request)))
        except Refused as refused:
            return JSONResponse(refused.content, refused.status)
        return {"status": "success", "message": "Face login successful", "data": data}


def _tokens(routes: APIRouter) -> None:
    @routes.post("/verify", openapi_extra=_SECRET)
    async def verify(services: ServicesOf, asked: Shown) -> dict[str, Any]:
        """Tell whose a token is."""
        token = await services.ask_access(lambda access: access.tokens.one(asked.token))
        if token is None:
            raise UnauthenticatedError("the token is unknown, expired or logged out")
        who = await services.ask(lambda gallery: _user_of(services, gallery, token.account_id))
        return {"status": "success", "message": "Token is valid", "data": who}

    @routes.post("/logout", openapi_extra=_SECRET)
    async def logout(services: ServicesOf, asked: Shown) -> dict[str, Any]:
        """Make a token useless at once, in every worker."""
        if not await services.ask_access(lambda access: access.tokens.revoke(asked.token)):
            raise UnauthenticatedError("the token is unknown, expired or logged out")
        return {"status": "success", "message": "Logout successful"}

    @routes.get("/tokens/{user_id}")
    async def tokens(services: ServicesOf, request: Request, user_id: int) -> dict[str, Any]:
        """List the active tokens of a user, by their last characters: for the user, or an admin key."""
        principal = await principal_of(request)
        if principal.kind not in ("account", "key"):
            raise UnauthenticatedError("the user's own token or an admin key is needed")
        admin = principal.may("admin")
        try:
            person = await services.ask(lambda gallery: gallery.person_numbered(user_id))
        except UnknownPersonError:
            if admin:
                raise
            person = None
        own = person is not None and principal.person_key == str(person.person_id)
        if person is None or not (admin or own):
            raise ForbiddenError("these are the tokens of another user")
        account = await services.ask(lambda _: account_of(services, person))
        active = []
        if account is not None:
            number = account.id
            active = await services.ask_access(lambda access: access.tokens.active(number))
        shown = [
            {
                "token": f"…{token.ending}",
                "method": token.method,
                "created_at": token.created_at.isoformat(),
                "expires_at": token.expires_at.isoformat(),
            }
            for token in active
        ]
        return {"status": "success", "message": "Active tokens", "data": {"user_id": user_id, "tokens": shown}}


@before_body
async def _tried(request: Request) -> None:
    """Count a sign-in with a face of an address, once and before the picture is read; raises AttemptsError."""
    if getattr(request.state, "facedex_tried", False):
        return
    request.state.facedex_tried = True
    bucket = f"face sign-in {address_of(request)}"
    await services_of(request).ask_access(lambda access: access.attempts.take(bucket, MOST_A_MINUTE))


def _verified(
    services: Services,
    gallery: Gallery,
    user_id: int | None,
    email: str | None,
    picture: bytes,
    address: str,
) -> dict[str, Any]:
    """Compare a face with that of the user who is claimed; whether there is such a user shows only when it matches."""
    refused = {"match": False, "claimed_user_id": user_id, "confidence": 0.0}
    try:
        person: Person | None
        person = gallery.person_numbered(user_id) if user_id is not None else by_email(services, gallery, email or "")
    except UnknownPersonError:
        person = None
    sent = f"unknown user {user_id}" if user_id is not None else f"unknown address {email}"
    claim: Tried = ("face", sent if person is None else f"person {person.number}")  # one count however one is called
    with _trying(services, claim, address, person):
        try:
            result, judged = _compared(services, gallery, person, picture)
        except (FaceError, RoleMissingError) as error:
            raise Refused(401, _why(error), refused) from None
        if _liveness(services) == "required" and judged is not None and judged.status == "attack":
            raise Refused(401, _UNJUDGED, refused)
        if person is None or result is None or not result.match:
            raise Refused(403, "the face is not that of the claimed user", refused)
        method = "face_verification" if user_id is not None else "face_verification_email"
        told = scores(gallery, result.similarity) | {"method": method}
        return {"match": True} | _let_in(services, claim, address, person) | told


@contextmanager
def _trying(services: Services, claim: Tried | None, address: str, person: Person | None) -> Iterator[None]:
    """Count a sign-in with a face, and tell the log when it fails; `_let_in` takes it back."""
    try:
        access_of(services).attempts.begin(claim, address)
        yield
    except (AttemptsError, ForbiddenError, UnauthenticatedError, Refused):
        claimed = access_of(services).accounts.of_person("" if person is None else person.person_id)
        note_failed("face", claimed[0].id if claimed else None, address)
        raise


def _let_in(services: Services, claim: Tried | None, address: str, person: Person) -> dict[str, Any]:
    with acting_from(address):
        signed = _signed(services, person)
    access_of(services).attempts.succeed(claim, address)
    return signed


def _compared(
    services: Services, gallery: Gallery, person: Person | None, picture: bytes
) -> tuple[Verification | None, Liveness | None]:
    """Compare, and tell how live the face is; with nobody to compare with the picture is looked at all the same."""
    liveness = _liveness(services)
    if person is not None and person.faces:
        with suppress(UnknownPersonError):  # deleted meanwhile
            result = gallery.verify(person.person_id, picture, faces="largest", liveness=liveness)
            return result, result.liveness
    engine = services.galleries.engine(services.settings.gallery)
    return None, choose_face(engine.analyze(picture, max_faces=1, liveness=liveness), "largest", picture).liveness


def _recognised(services: Services, gallery: Gallery, picture: bytes, address: str) -> dict[str, Any]:
    cut = services.galleries.engine(services.settings.gallery).threshold
    if services.settings.threshold is not None:
        cut = services.settings.threshold
    refused = {"confidence": 0.0, "required_confidence": scores(gallery, cut)["confidence"]}
    with _trying(services, None, address, None):
        try:
            face = largest(services, gallery, picture, liveness=_liveness(services))
        except (FaceError, RoleMissingError) as error:
            raise Refused(401, _why(error), refused) from None
        if face is None or face.person_id is None:
            raise Refused(401, "the face is not that of a known user", refused)
        said = scores(gallery, face.similarity) | {"method": "face_recognition"}
        return _let_in(services, None, address, gallery.person(face.person_id)) | said


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, RoleMissingError) else f"{_UNJUDGED} ({WORDS.about(error)})"


def _liveness(services: Services) -> LivenessMode:
    return services.settings.face_login_liveness


def _signed(services: Services, person: Person) -> dict[str, Any]:
    """Give a token; who was registered without an account gets one, without a password."""
    account, scopes = account_of(services, person), services.settings.account_scopes
    if account is None:
        try:
            account = access_of(services).accounts.add(name=name_of(person), person_key=person.person_id, scopes=scopes)
        except UnknownPersonError:
            raise UnauthenticatedError("the user was deleted during the sign-in") from None
    return user_data(person) | _token(access_of(services).admit(account, "face", within=scopes))


def _token(signed: SignIn) -> dict[str, Any]:
    return {"token": signed.secret, "expires_at": signed.token.expires_at.isoformat()}


def _user_of(services: Services, gallery: Gallery, account_id: int) -> dict[str, Any]:
    """Describe whose an account is; an operator's is no user's."""
    try:
        account = access_of(services).accounts.one(account_id)
    except UnknownAccountError:
        raise UnauthenticatedError("the token is unknown, expired or logged out") from None
    if account.person_key is not None:
        try:
            return user_data(gallery.person(account.person_key))
        except UnknownPersonError:
            raise UnauthenticatedError("the user of this token was deleted") from None
    return {"user_id": None, "name": account.name or account.login, "email": account.email}
