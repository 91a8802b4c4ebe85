"""Accounts: register, sign in and out, edit the profile."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ....errors import MalformedRequestError, UnauthenticatedError
from ....gallery import Gallery
from ....server import Account, SignIn
from ...security import COOKIE, address_of, clear_cookie, limit_rate, require_scope, secret_of
from ...services import Services, ServicesOf
from ..people import access_of, check_email_free
from .setup import fields_of, require_sign_in

MAX_PER_MINUTE = 60
"""Accounts that one address may create in a minute."""

_LOGIN = {"username": {"type": "string"}, "password": {"type": "string", "format": "password"}}


class NewAccount(BaseModel):
    """A new account; other fields are stored as its profile."""

    model_config = ConfigDict(extra="allow")

    username: str = Field(min_length=1, max_length=255, examples=["operator1"])
    password: str = Field(examples=["correct horse battery"])


class ProfileChange(BaseModel):
    """Changes of a profile; `password` changes the password."""

    model_config = ConfigDict(extra="allow")

    password: str | None = None
    email: str | None = None
    name: str | None = None


def add(routes: APIRouter) -> None:
    """Add the routes."""

    @routes.post(
        "/api/register",
        status_code=201,
        dependencies=[Depends(require_scope("enrol"))],
        openapi_extra={"x-once": False},
    )
    async def register(services: ServicesOf, request: Request, body: NewAccount) -> dict[str, Any]:
        """Create an account."""
        profile = dict(body.model_extra or {})
        email = profile.pop("email", None)
        name = profile.pop("name", None) or profile.pop("full_name", None) or ""
        if not (email is None or isinstance(email, str)) or not isinstance(name, str):
            raise MalformedRequestError("email and name must be texts")
        await services.query_access(
            lambda access: access.attempts.count_request(f"register {address_of(request)}", MAX_PER_MINUTE)
        )

        def add_account(gallery: Gallery) -> Account:
            for text in (body.username, email):
                check_email_free(gallery, text)
            return access_of(services).accounts.add(
                login=body.username,
                email=email or None,
                name=name,
                password=body.password,
                scopes=services.settings.account_scopes,
                profile=profile,
            )

        account = await services.query(add_account, password=True)
        return {"success": True, "message": "Account created"} | _format_account(account)

    @routes.post(
        "/api/login",
        dependencies=[Depends(limit_rate)],
        openapi_extra={
            "x-once": False,
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": {"type": "object", "required": ["username", "password"], "properties": _LOGIN}}
                    for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
                },
            },
        },
    )
    async def login(services: ServicesOf, request: Request) -> dict[str, Any]:
        """Sign in; JSON or a form."""
        fields = await fields_of(request)
        username, password = fields.get("username"), fields.get("password")
        if not isinstance(username, str) or not isinstance(password, str):
            raise MalformedRequestError("username and password are needed, as JSON or as a form")
        signed: SignIn = await services.query_access(
            lambda access: access.sign_in(username, password, address=address_of(request)), password=True
        )
        return {
            "success": True,
            "token": signed.secret,
            "access_token": signed.secret,
            "token_type": "bearer",
            "username": signed.account.login or signed.account.email,
            "expires_at": signed.token.expires_at.isoformat(),
            "message": "Login successful",
        }

    @routes.post("/api/logout")
    async def logout(services: ServicesOf, request: Request, response: Response) -> dict[str, Any]:
        """Revoke the token of the caller, or that in the cookie of the page."""
        await _account_of(services, request)
        secret = secret_of(request) or request.cookies.get(COOKIE, "")
        if not await services.query_access(lambda access: access.tokens.revoke(secret)):
            raise UnauthenticatedError("the token is unknown, expired or revoked")
        clear_cookie(response)
        return {"success": True, "message": "Logout successful"}

    @routes.get("/api/profile")
    async def profile(services: ServicesOf, request: Request) -> dict[str, Any]:
        """Return the profile of the caller's account."""
        return {"success": True} | _format_account(await _account_of(services, request))

    @routes.put("/api/profile", dependencies=[Depends(require_sign_in)])
    async def edit_profile(services: ServicesOf, request: Request, body: ProfileChange) -> dict[str, Any]:
        """Change the profile; a new password ends all sign-ins."""
        account = await _account_of(services, request)
        extra = {key: value for key, value in (body.model_extra or {}).items() if key not in ("username", "scopes")}
        changes = body.model_dump(include={"password", "email", "name"}, exclude_none=True)
        if extra:
            changes["profile"] = account.profile | extra

        def update_account(gallery: Gallery) -> Account:
            if body.email is not None and body.email != account.email:
                check_email_free(gallery, body.email, account.person_key)
            return access_of(services).accounts.update(account.id, **changes)

        changed = await services.query(update_account, password="password" in changes)
        return {"success": True, "message": "Profile updated"} | _format_account(changed)


async def _account_of(services: Services, request: Request) -> Account:
    principal = await require_sign_in(request)
    if principal.kind != "account" or principal.id is None:
        raise UnauthenticatedError("a token of an account is needed; sign in at /api/login")
    number = principal.id
    account: Account = await services.query_access(lambda access: access.accounts.one(number))
    return account


def _format_account(account: Account) -> dict[str, Any]:
    identity = {"id": account.id, "username": account.login, "email": account.email, "name": account.name}
    return identity | {
        "profile": account.profile,
        "scopes": list(account.scopes),
        "created_at": account.created_at.isoformat(),
    }
