"""Users: people of the gallery with an account for e-mail address and password."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, field_validator

from ....errors import ForbiddenError
from ....gallery import Gallery
from ....records import Person
from ....server import Account, Principal
from ...security import EnrolBy, require_scope
from ...services import Services, ServicesOf
from ..listing import JsonList, list_people
from ..people import access_of, check_email_free, delete_person
from .answers import PLAIN, account_of, by_email, format_user


class _Names(BaseModel):
    @field_validator("name", "email", check_fields=False)
    @classmethod
    def _strip(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("must not be empty")
        return None if value is None else value.strip()


class NewUser(_Names):
    """A new user."""

    name: str = Field(max_length=255, examples=["Ayu"])
    email: str = Field(max_length=255, examples=["ayu@example.org"])
    password: str | None = Field(None, description="8 to 1024 characters; never shown again.")


class UserChange(_Names):
    """Changes of a user; missing fields stay."""

    name: str | None = Field(None, max_length=255)
    email: str | None = Field(None, max_length=255)
    password: str | None = None


def router() -> APIRouter:
    """Make the routes."""
    routes = PLAIN.router("/users", maskable=True)

    @routes.post("", status_code=201, dependencies=[Depends(require_scope("enrol"))])
    async def create(services: ServicesOf, body: NewUser) -> dict[str, Any]:
        """Create a user."""
        created = await services.query(lambda gallery: _create(services, gallery, body), password=bool(body.password))
        return format_user(created)

    @routes.get("", dependencies=[Depends(require_scope("read"))], response_model=list[dict[str, Any]])
    async def list_all(services: ServicesOf) -> JsonList:
        """List all users."""
        return await list_people(services, lambda _, person: format_user(person))

    @routes.get("/email/{email:path}", dependencies=[Depends(require_scope("read"))])
    async def of_email(services: ServicesOf, email: str) -> dict[str, Any]:
        """Find a user by e-mail address."""
        return format_user(await services.query(lambda gallery: by_email(services, gallery, email)))

    @routes.get("/{user_id}", dependencies=[Depends(require_scope("read"))])
    async def one(services: ServicesOf, user_id: int) -> dict[str, Any]:
        """Return a user."""
        return format_user(await services.query(lambda gallery: gallery.lookup.person_by_number(user_id)))

    @routes.put("/{user_id}")
    async def change(services: ServicesOf, caller: EnrolBy, user_id: int, body: UserChange) -> dict[str, Any]:
        """Change a user; a new password ends all sign-ins."""
        changed = await services.query(
            lambda gallery: _change(services, caller, gallery, user_id, body), password=bool(body.password)
        )
        return format_user(changed)

    @routes.delete("/{user_id}", dependencies=[Depends(require_scope("enrol"))])
    async def delete(services: ServicesOf, user_id: int) -> dict[str, Any]:
        """Delete a user with photos, templates and account."""
        await services.work(lambda gallery: delete_person(gallery, gallery.lookup.person_by_number(user_id)))
        return {"message": "User deleted"}

    return routes


def _create(services: Services, gallery: Gallery, body: NewUser) -> Person:
    key = str(uuid4())
    check_email_free(gallery, body.email)
    accounts = access_of(services).accounts
    account = accounts.add(
        email=body.email,
        name=body.name,
        password=body.password or None,
        person_key=key,
        expected=True,
        scopes=services.settings.account_scopes,
    )
    try:
        return gallery.create(key, name=body.name, email=body.email)
    except BaseException:
        accounts.delete(account.id)
        raise


def _change(services: Services, caller: Principal, gallery: Gallery, user_id: int, body: UserChange) -> Person:
    person = gallery.lookup.person_by_number(user_id)
    changes = {field: value for field, value in body.model_dump(include={"name", "email"}).items() if value}
    if body.email is not None and body.email != person.email:
        check_email_free(gallery, body.email, person.person_id)
    if changes or body.password:
        accounts = access_of(services).accounts
        account = account_of(services, person)
        if account is not None:
            _check_scopes(services, caller, account)
            accounts.update(account.id, **changes | ({"password": body.password} if body.password else {}))
        elif body.email or body.password:
            accounts.add(
                email=body.email or person.email,
                name=body.name or person.name or "",
                password=body.password or None,
                person_key=person.person_id,
                scopes=services.settings.account_scopes,
            )
    return gallery.update(person.person_id, **changes) if changes else person


def _check_scopes(services: Services, caller: Principal, account: Account) -> None:
    """Refuse to change an account with broader scopes than those of client accounts, unless the caller has them."""
    beyond = [
        one for one in account.scopes if one not in services.settings.account_scopes and not caller.has_scope(one)
    ]
    if beyond:
        raise ForbiddenError(f"{caller.name} may not change an account that may {', '.join(beyond)}")
