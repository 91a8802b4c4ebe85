"""Sign-in with password or face, tokens, sign-out.

1:1 verification compares with the templates of the claimed person only. A face that cannot be judged never signs in;
the setting ``FACEDEX_FACE_LOGIN_LIVENESS`` says how live it must be, and ``FACEDEX_FACE_LOGIN_CHALLENGE`` whether the
person must follow a challenge: the file is then the first frame, and more frames come with it. The answer to a failed
sign-in shows neither the similarity nor whether the user exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ....challenge import MAX_FRAMES
from ....errors import (
    ArgumentError,
    AttemptsError,
    BodyTooLargeError,
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
from ....server import SignIn, SignInTarget, acting_from, log_failed_sign_in
from ...admission import before_body
from ...challenges import challenged_caller, check_answer, count_once
from ...security import address_of, limit_rate, principal_of
from ...services import Services, ServicesOf
from ..faces import read_upload, recognize_largest
from ..people import access_of, name_of
from .answers import FORMATS, STATUS, account_of, by_email, format_user_data, scores

if TYPE_CHECKING:
    from ...._core import Liveness

MAX_PER_MINUTE = 10
"""Attempts of one address to sign in with a face in a minute."""

Frames = Annotated[Sequence[UploadFile], File(description="Further frames, if a challenge is answered.")]
ChallengeId = Annotated[str | None, Form(max_length=64, description="Of `POST /v1/challenges`.")]

_SECRET: dict[str, Any] = {"x-once": False}  # the answer holds a token, which is never stored
_UNJUDGED = "the face cannot be judged: take a clear picture of yourself"


class Login(BaseModel):
    """E-mail address and password."""

    email: str = Field(max_length=255)
    password: str = Field(max_length=1024)


class TokenBody(BaseModel):
    """A token."""

    token: str = Field(max_length=1024)


@dataclass(frozen=True, slots=True)
class ShownFace:
    """A face that signs in.

    Attributes
    ----------
    picture : bytes
    frames : tuple of bytes
        Further frames, in the order in which they were taken, if a challenge is answered.
    challenge_id : str or None
    caller, address : str
        To whom the challenge was issued, and where the client is.
    """

    picture: bytes
    frames: tuple[bytes, ...]
    challenge_id: str | None
    caller: str
    address: str


class RefusedError(Exception):
    """A sign-in with a face is refused; holds the answer."""

    def __init__(self, status: int, message: str, data: dict[str, Any]) -> None:
        super().__init__(message)
        self.status = status
        self.content = {"status": "error", "message": message, "data": data}


def router() -> APIRouter:
    """Make the routes."""
    routes = STATUS.router("/auth", maskable=True, dependencies=[Depends(limit_rate)])
    _add_sign_in(routes)
    _add_tokens(routes)
    return routes


def _add_sign_in(routes: APIRouter) -> None:
    @routes.post("/login-pass-verify", openapi_extra=_SECRET)
    async def login_pass(services: ServicesOf, request: Request, body: Login) -> dict[str, Any]:
        """Sign in with e-mail address and password."""
        signed: SignIn = await services.query_access(
            lambda access: access.sign_in(body.email, body.password, address=address_of(request)), password=True
        )
        user = await services.query(lambda gallery: _user_of(services, gallery, signed.account.id))
        return {"status": "success", "message": "Login successful", "data": user | _token(signed)}

    @routes.post("/login-face-verify", openapi_extra=_SECRET, dependencies=[Depends(_count_attempt)])
    async def login_face_verify(
        services: ServicesOf,
        request: Request,
        file: Annotated[UploadFile, File()],
        user_id: Annotated[int | None, Form()] = None,
        email: Annotated[str | None, Form(max_length=255)] = None,
        frames: Frames = (),
        challenge_id: ChallengeId = None,
    ) -> Any:
        """Sign in as the claimed user, if the face matches."""
        if user_id is None and not email:
            raise ArgumentError("user_id or email is needed beside file")
        shown = await _read_face(request, file, frames, challenge_id)
        try:
            data = await services.sign_in(lambda gallery: _verify(services, gallery, user_id, email, shown))
        except RefusedError as refused:
            return JSONResponse(refused.content, refused.status)
        return {"status": "success", "message": "Face verification successful", "data": data}

    @routes.post("/login-face", openapi_extra=_SECRET, dependencies=[Depends(_count_attempt)])
    async def login_face(
        services: ServicesOf,
        request: Request,
        file: Annotated[UploadFile, File()],
        frames: Frames = (),
        challenge_id: ChallengeId = None,
    ) -> Any:
        """Sign in as the recognized user."""
        shown = await _read_face(request, file, frames, challenge_id)
        try:
            data = await services.sign_in(lambda gallery: _recognize(services, gallery, shown))
        except RefusedError as refused:
            return JSONResponse(refused.content, refused.status)
        return {"status": "success", "message": "Face login successful", "data": data}


def _add_tokens(routes: APIRouter) -> None:
    @routes.post("/verify", openapi_extra=_SECRET)
    async def verify(services: ServicesOf, body: TokenBody) -> dict[str, Any]:
        """Return the user of a token."""
        token = await services.query_access(lambda access: access.tokens.one(body.token))
        if token is None:
            raise UnauthenticatedError("the token is unknown, expired or logged out")
        user = await services.query(lambda gallery: _user_of(services, gallery, token.account_id))
        return {"status": "success", "message": "Token is valid", "data": user}

    @routes.post("/logout", openapi_extra=_SECRET)
    async def logout(services: ServicesOf, body: TokenBody) -> dict[str, Any]:
        """Revoke a token, in every worker."""
        if not await services.query_access(lambda access: access.tokens.revoke(body.token)):
            raise UnauthenticatedError("the token is unknown, expired or logged out")
        return {"status": "success", "message": "Logout successful"}

    @routes.get("/tokens/{user_id}")
    async def tokens(services: ServicesOf, request: Request, user_id: int) -> dict[str, Any]:
        """List the active tokens of a user by their last characters, for the user or an admin key."""
        principal = await principal_of(request)
        if principal.kind not in ("account", "key"):
            raise UnauthenticatedError("the user's own token or an admin key is needed")
        admin = principal.has_scope("admin")
        try:
            person = await services.query(lambda gallery: gallery.lookup.person_by_number(user_id))
        except UnknownPersonError:
            if admin:
                raise
            person = None
        is_own = person is not None and principal.person_key == str(person.person_id)
        if person is None or not (admin or is_own):
            raise ForbiddenError("these are the tokens of another user")
        account = await services.query(lambda _: account_of(services, person))
        active = []
        if account is not None:
            number = account.id
            active = await services.query_access(lambda access: access.tokens.active(number))
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
async def _count_attempt(request: Request) -> None:
    """Count an attempt of an address, once and before the picture is read; raises `AttemptsError`."""
    await count_once(request, "face sign-in", MAX_PER_MINUTE)


async def _read_face(
    request: Request, file: UploadFile, frames: Sequence[UploadFile], challenge_id: str | None
) -> ShownFace:
    if len(frames) >= MAX_FRAMES:
        raise BodyTooLargeError(f"more than {MAX_FRAMES} frames in one request", limit=MAX_FRAMES)
    pictures = [await read_upload(upload, accepted=FORMATS) for upload in (file, *frames)]
    caller = await challenged_caller(request)
    return ShownFace(pictures[0], tuple(pictures[1:]), challenge_id, caller, address_of(request))


def _verify(
    services: Services, gallery: Gallery, user_id: int | None, email: str | None, shown: ShownFace
) -> dict[str, Any]:
    """Compare a face with the claimed user; a refusal does not show whether the user exists."""
    refused = {"match": False, "claimed_user_id": user_id, "confidence": 0.0}
    try:
        person: Person | None
        person = (
            gallery.lookup.person_by_number(user_id)
            if user_id is not None
            else by_email(services, gallery, email or "")
        )
    except UnknownPersonError:
        person = None
    claimed = f"unknown user {user_id}" if user_id is not None else f"unknown address {email}"
    claim: SignInTarget = (
        "face",
        claimed if person is None else f"person {person.number}",
    )  # one count for both ways to name a user
    with _attempt(services, claim, shown.address, person):
        try:
            _check_challenge(services, gallery, shown)
            result, live = _compare(services, gallery, person, shown.picture)
        except (FaceError, RoleMissingError) as error:
            raise RefusedError(401, _why(error), refused) from None
        if _liveness(services) == "required" and live is not None and live.status == "attack":
            raise RefusedError(401, _UNJUDGED, refused)
        if person is None or result is None or not result.match:
            raise RefusedError(403, "the face is not that of the claimed user", refused)
        method = "face_verification" if user_id is not None else "face_verification_email"
        answer = scores(gallery, result.similarity) | {"method": method}
        return {"match": True} | _complete(services, claim, shown.address, person) | answer


def _check_challenge(services: Services, gallery: Gallery, shown: ShownFace) -> None:
    """Check that the frames follow the challenge, if a sign-in needs one; raises `ChallengeError`."""
    if services.settings.face_login_challenge == "required":
        frames = (shown.picture, *shown.frames)
        check_answer(access_of(services), gallery.engine, shown.caller, shown.challenge_id, frames)


@contextmanager
def _attempt(services: Services, claim: SignInTarget | None, address: str, person: Person | None) -> Iterator[None]:
    """Count an attempt and log its failure; `_complete` resets the count."""
    try:
        access_of(services).attempts.begin(claim, address)
        yield
    except (AttemptsError, ForbiddenError, UnauthenticatedError, RefusedError):
        accounts = access_of(services).accounts.of_person("" if person is None else person.person_id)
        log_failed_sign_in("face", accounts[0].id if accounts else None, address)
        raise


def _complete(services: Services, claim: SignInTarget | None, address: str, person: Person) -> dict[str, Any]:
    with acting_from(address):
        data = _issue_token(services, person)
    access_of(services).attempts.succeed(claim, address)
    return data


def _compare(
    services: Services, gallery: Gallery, person: Person | None, picture: bytes
) -> tuple[Verification | None, Liveness | None]:
    """Compare and judge liveness; without a person the picture is analyzed too, so that refusals are alike."""
    liveness = _liveness(services)
    if person is not None and person.faces:
        with suppress(UnknownPersonError):  # deleted meanwhile
            threshold = gallery.decide_sign_in(person.person_id).threshold
            result = gallery.verify(person.person_id, picture, threshold=threshold, faces="largest", liveness=liveness)
            return result, result.liveness
    analysis = gallery.engine.analyze(picture, max_faces=1, liveness=liveness)
    return None, choose_face(analysis, "largest", picture).liveness


def _recognize(services: Services, gallery: Gallery, shown: ShownFace) -> dict[str, Any]:
    threshold = gallery.decide_sign_in().threshold
    refused = {"confidence": 0.0, "required_confidence": scores(gallery, threshold)["confidence"]}
    with _attempt(services, None, shown.address, None):
        try:
            _check_challenge(services, gallery, shown)
            face = recognize_largest(gallery, shown.picture, threshold=threshold, liveness=_liveness(services))
        except (FaceError, RoleMissingError) as error:
            raise RefusedError(401, _why(error), refused) from None
        if face is None or face.person_id is None:
            raise RefusedError(401, "the face is not that of a known user", refused)
        answer = scores(gallery, face.similarity) | {"method": "face_recognition"}
        return _complete(services, None, shown.address, gallery.person(face.person_id)) | answer


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, RoleMissingError) else f"{_UNJUDGED} ({STATUS.message(error)})"


def _liveness(services: Services) -> LivenessMode:
    return services.settings.face_login_liveness


def _issue_token(services: Services, person: Person) -> dict[str, Any]:
    """Issue a token; a person without an account gets one, without a password."""
    account, scopes = account_of(services, person), services.settings.account_scopes
    if account is None:
        try:
            account = access_of(services).accounts.add(name=name_of(person), person_key=person.person_id, scopes=scopes)
        except UnknownPersonError:
            raise UnauthenticatedError("the user was deleted during the sign-in") from None
    return format_user_data(person) | _token(access_of(services).admit(account, "face", within=scopes))


def _token(signed: SignIn) -> dict[str, Any]:
    return {"token": signed.secret, "expires_at": signed.token.expires_at.isoformat()}


def _user_of(services: Services, gallery: Gallery, account_id: int) -> dict[str, Any]:
    """Format the user of an account; an operator's account has no person."""
    try:
        account = access_of(services).accounts.one(account_id)
    except UnknownAccountError:
        raise UnauthenticatedError("the token is unknown, expired or logged out") from None
    if account.person_key is not None:
        try:
            return format_user_data(gallery.person(account.person_key))
        except UnknownPersonError:
            raise UnauthenticatedError("the user of this token was deleted") from None
    return {"user_id": None, "name": account.name or account.login, "email": account.email}
