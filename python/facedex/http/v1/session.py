"""Sessions and API keys: sign in and out, list, create and revoke keys."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response

from ...challenge import MAX_FRAMES
from ...errors import ArgumentError, FacedexError, SignInError, UnknownGalleryError, UnknownPersonError
from ...gallery import Gallery
from ...options import LivenessMode
from ...server import Access, ApiKey, SignIn, SignInTarget, acting_from, log_failed_sign_in
from ..admission import before_body
from ..challenges import challenged_caller, check_answer, count_once
from ..pictures import Submission, read_submission
from ..security import (
    COOKIE,
    AdminBy,
    address_of,
    clear_cookie,
    is_open,
    limit_rate,
    principal_of,
    secret_of,
    set_cookie,
)
from ..services import Services, ServicesOf, services_of
from . import schemas
from .answers import list_of
from .common import part, pictures_body

router = part("session", "/session")
key_routes = part("keys", "/keys")

FACES_PER_MINUTE = 10
"""Attempts of one address to sign in with a face in a minute."""

Frames = Annotated[Submission[schemas.FaceSigningIn], Depends(read_submission(schemas.FaceSigningIn, most=MAX_FRAMES))]


async def _admit_face(request: Request) -> None:
    """Refuse a sign-in with a face before its pictures are read, where none is allowed; else count it."""
    services = services_of(request)
    if not _signs_in_faces(services):
        raise ArgumentError("no face signs in here: FACEDEX_FACE_LOGIN_CHALLENGE=required allows it")
    await count_once(request, "face sign-in", FACES_PER_MINUTE)


@router.get("")
async def session(services: ServicesOf, request: Request) -> schemas.Session:
    """Return the caller and its scopes."""
    principal = await principal_of(request)
    return schemas.Session(
        kind=principal.kind,
        name=principal.name,
        scopes=sorted(principal.scopes),
        open=await is_open(services),
        face_sign_in=_signs_in_faces(services),
    )


@router.post("", openapi_extra={"x-once": False}, dependencies=[Depends(limit_rate)])
async def sign_in(
    services: ServicesOf, request: Request, response: Response, given: schemas.SigningIn
) -> schemas.SignedIn:
    """Sign in with a password. After some failures sign-ins are delayed, longer with each failure."""
    if services.access is None:
        raise SignInError("wrong login or password")
    address = address_of(request)
    signed = await services.query_access(
        lambda access: access.sign_in(given.login, given.password, address=address), password=True
    )
    return _answer(services, request, response, signed, cookie=given.cookie)


@router.post(
    "/face",
    openapi_extra=pictures_body(schemas.FaceSigningIn, several=True) | {"x-once": False},
    dependencies=[Depends(limit_rate), Depends(before_body(_admit_face, files=True))],
)
async def sign_in_with_face(
    services: ServicesOf, request: Request, response: Response, given: Frames
) -> schemas.SignedIn:
    """Sign in with a face that follows a challenge, where the server allows it.

    The first frame is compared with the person of the account. An account with broader scopes than client accounts
    signs in with its password.
    """
    options, access = given.options, services.access
    if access is None:
        raise UnknownGalleryError("this server has no accounts")
    caller, address = await challenged_caller(request), address_of(request)
    signed = await services.sign_in(
        lambda gallery: _sign_in(services, access, gallery, options, given.images, caller=caller, address=address)
    )
    return _answer(services, request, response, signed, cookie=options.cookie)


def _sign_in(
    services: Services,
    access: Access,
    gallery: Gallery,
    options: schemas.FaceSigningIn,
    frames: list[bytes],
    *,
    caller: str,
    address: str,
) -> SignIn:
    """Sign in the account whose person follows a challenge; an unknown login fails like a wrong face."""
    account = access.accounts.find(options.login)
    person_key = None if account is None else account.person_key
    target: SignInTarget = ("face", f"login {options.login}" if account is None else f"account {account.id}")
    access.attempts.begin(target, address)
    try:
        check_answer(access, gallery.engine, caller, options.challenge_id, frames)
        matched = _is_face_of(gallery, person_key, frames[0], services.settings.face_login_liveness)
        if account is None or not matched:
            raise SignInError("wrong login or face")
        with acting_from(address):
            signed = access.admit(account, "face", within=services.settings.account_scopes)
    except FacedexError:
        log_failed_sign_in("face", None if account is None else account.id, address)
        raise
    access.attempts.succeed(target, address)
    return signed


def _is_face_of(gallery: Gallery, person_key: str | None, picture: bytes, liveness: LivenessMode) -> bool:
    """Compare a face with a person; without one it is analysed all the same, so that both take as long."""
    if person_key is not None:
        with suppress(UnknownPersonError):  # deleted, or without a face
            threshold = gallery.decide_sign_in(person_key).threshold
            return gallery.verify(person_key, picture, threshold=threshold, liveness=liveness).match
    gallery.engine.analyze(picture, liveness=liveness)
    return False


def _signs_in_faces(services: Services) -> bool:
    return services.access is not None and services.settings.face_login_challenge == "required"


def _answer(
    services: Services, request: Request, response: Response, signed: SignIn, *, cookie: bool
) -> schemas.SignedIn:
    principal = signed.account.principal
    if cookie:
        set_cookie(request, response, signed.secret, services.settings.token_ttl_s)
    return schemas.SignedIn(
        kind=principal.kind,
        name=principal.name,
        scopes=sorted(principal.scopes),
        open=False,
        face_sign_in=_signs_in_faces(services),
        token=None if cookie else signed.secret,
        expires_at=signed.token.expires_at,
    )


@router.delete("", status_code=204, openapi_extra={"x-once": False})
async def sign_out(services: ServicesOf, request: Request, response: Response) -> None:
    """Sign out: revoke the token, in every process."""
    await principal_of(request)
    secret = secret_of(request) or request.cookies.get(COOKIE)
    if secret:
        await services.query_access(lambda access: access.tokens.revoke(secret))
    clear_cookie(response)


@key_routes.get("", response_model=list_of(schemas.ApiKey))
async def keys(services: ServicesOf, caller: AdminBy) -> list[ApiKey]:
    """List the API keys."""
    return await services.query_access(lambda access: access.keys.all())


@key_routes.post("", status_code=201, response_model=schemas.ShownKey, openapi_extra={"x-once": False})
async def add_key(services: ServicesOf, caller: AdminBy, given: schemas.NewKey) -> dict[str, Any]:
    """Create an API key."""
    made, secret = await services.query_access(
        lambda access: access.keys.add(given.name, given.scopes, expires_at=given.expires_at)
    )
    return {**asdict(made), "key": secret}


@key_routes.delete("/{key_id}", response_model=schemas.ApiKey)
async def revoke_key(services: ServicesOf, caller: AdminBy, key_id: Annotated[int, Path(ge=1, le=2**63 - 1)]) -> ApiKey:
    """Revoke an API key at once, in every process."""
    return await services.query_access(lambda access: access.keys.revoke(key_id))
