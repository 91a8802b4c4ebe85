"""Accounts: register, sign in and out, the profile."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ....errors import MalformedRequestError, UnauthenticatedError
from ....gallery import Gallery
from ....server import Account, SignIn
from ...pictures import form_of, json_of
from ...security import COOKIE, address_of, clear_cookie, counted, need, shown_secret
from ...services import Services, ServicesOf
from ..people import access_of, refuse_taken
from .setup import signed_in

MOST_A_MINUTE = 60
"""Accounts that one address may make in a minute."""

_LOGIN = {"username": {"type": "string"}, "password": {"type": "string", "format": "password"}}


class Registering(BaseModel):
    """A new account; what else is sent is its profile."""

    model_config = ConfigDict(extra="allow")

    username: str = Field(min_length=1, max_length=255, examples=["operator1"])
    password: str = Field(examples=["correct horse battery"])


class Profile(BaseModel):
    """What is to be changed of a profile; `password` changes the password."""

    model_config = ConfigDict(extra="allow")

    password: str | None = None
    email: str | None = None
    name: str | None = None


def add(routes: APIRouter) -> None:
    """Add the routes."""

    @routes.post(
        "/api/register", status_code=201, dependencies=[Depends(need("enrol"))], openapi_extra={"x-once": False}
    )
    async def register(services: ServicesOf, request: Request, asked: Registering) -> dict[str, Any]:
        """Make an account."""
        profile = dict(asked.model_extra or {})
        email = profile.pop("email", None)
        name = profile.pop("name", None) or profile.pop("full_name", None) or ""
        if not (email is None or isinstance(email, str)) or not isinstance(name, str):
            raise MalformedRequestError("email and name must be texts")
        await services.ask_access(lambda access: access.attempts.take(f"register {address_of(request)}", MOST_A_MINUTE))

        def add_account(gallery: Gallery) -> Account:
            for text in (asked.username, email):
                refuse_taken(gallery, text)
            return access_of(services).accounts.add(
                login=asked.username,
                email=email or None,
                name=name,
                password=asked.password,
                scopes=services.settings.account_scopes,
                profile=profile,
            )

        account = await services.ask(add_account, password=True)
        return {"success": True, "message": "Account created"} | _account(account)

    @routes.post(
        "/api/login",
        dependencies=[Depends(counted)],
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
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        given: Any = await json_of(request) if kind == "application/json" else await form_of(request, 1)
        username, password = given.get("username"), given.get("password")
        if not isinstance(username, str) or not isinstance(password, str):
            raise MalformedRequestError("username and password are needed, as JSON or as a form")
        signed: SignIn = await services.ask_access(
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
        """Make the token useless at once, also one that the page has in its cookie."""
        await _account_of(services, request)
        secret = shown_secret(request) or request.cookies.get(COOKIE, "")
        if not await services.ask_access(lambda access: access.tokens.revoke(secret)):
            raise UnauthenticatedError("the token is unknown, expired or revoked")
        clear_cookie(response)
        return {"success": True, "message": "Logout successful"}

    @routes.get("/api/profile")
    async def profile(services: ServicesOf, request: Request) -> dict[str, Any]:
        """Tell the profile of the account that asks."""
        return {"success": True} | _account(await _account_of(services, request))

    @routes.put("/api/profile", dependencies=[Depends(signed_in)])
    async def edit_profile(services: ServicesOf, request: Request, asked: Profile) -> dict[str, Any]:
        """Change the profile; a new password ends all sign-ins."""
        account = await _account_of(services, request)
        extra = {key: value for key, value in (asked.model_extra or {}).items() if key not in ("username", "scopes")}
        changes: dict[str, Any] = {
            key: value
            for key, value in (("password", asked.password), ("email", asked.email), ("name", asked.name))
            if value is not None
        }
        if extra:
            changes["profile"] = account.profile | extra

        def update_account(gallery: Gallery) -> Account:
            if asked.email is not None and asked.email != account.email:
                refuse_taken(gallery, asked.email, account.person_key)
            return access_of(services).accounts.update(account.id, **changes)

        changed = await services.ask(update_account, password="password" in changes)
        return {"success": True, "message": "Profile updated"} | _account(changed)


async def _account_of(services: Services, request: Request) -> Account:
    principal = await signed_in(request)
    if principal.kind != "account" or principal.id is None:
        raise UnauthenticatedError("a token of an account is needed; sign in at /api/login")
    number = principal.id
    account: Account = await services.ask_access(lambda access: access.accounts.one(number))
    return account


def _account(account: Account) -> dict[str, Any]:
    own = {"id": account.id, "username": account.login, "email": account.email, "name": account.name}
    return own | {
        "profile": account.profile,
        "scopes": list(account.scopes),
        "created_at": account.created_at.isoformat(),
    }
