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
from ...security import EnrolBy, need
from ...services import Services, ServicesOf
from ..listing import JsonList, listed
from ..people import access_of, refuse_taken
from ..shapes import masked_route
from .answers import NAME, PLAIN, PLAIN_ERRORS, account_of, by_email, user


class _Text(BaseModel):
    @field_validator("name", "email", check_fields=False)
    @classmethod
    def _said(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("must not be empty")
        return None if value is None else value.strip()


class NewUser(_Text):
    """A new user."""

    name: str = Field(max_length=255, examples=["Ayu"])
    email: str = Field(max_length=255, examples=["ayu@example.org"])
    password: str | None = Field(None, description="8 to 1024 characters; never told again.")


class ChangedUser(_Text):
    """What is to be changed; what is not given stays."""

    name: str | None = Field(None, max_length=255)
    email: str | None = Field(None, max_length=255)
    password: str | None = None


def router() -> APIRouter:
    """Make the routes."""
    routes = APIRouter(prefix="/users", route_class=masked_route(PLAIN, NAME), tags=[NAME], responses=PLAIN_ERRORS)

    @routes.post("", status_code=201, dependencies=[Depends(need("enrol"))])
    async def create(services: ServicesOf, asked: NewUser) -> dict[str, Any]:
        """Make a user."""
        made = await services.ask(lambda gallery: _create(services, gallery, asked), password=bool(asked.password))
        return user(made)

    @routes.get("", dependencies=[Depends(need("read"))], response_model=list[dict[str, Any]])
    async def everybody(services: ServicesOf) -> JsonList:
        """List all users."""
        return await listed(services, lambda _, person: user(person))

    @routes.get("/email/{email:path}", dependencies=[Depends(need("read"))])
    async def of_email(services: ServicesOf, email: str) -> dict[str, Any]:
        """Find a user by e-mail address."""
        return user(await services.ask(lambda gallery: by_email(services, gallery, email)))

    @routes.get("/{user_id}", dependencies=[Depends(need("read"))])
    async def one(services: ServicesOf, user_id: int) -> dict[str, Any]:
        """Tell a user."""
        return user(await services.ask(lambda gallery: gallery.person_numbered(user_id)))

    @routes.put("/{user_id}")
    async def change(services: ServicesOf, who: EnrolBy, user_id: int, asked: ChangedUser) -> dict[str, Any]:
        """Change a user; a new password ends all sign-ins."""
        changed = await services.ask(
            lambda gallery: _change(services, who, gallery, user_id, asked), password=bool(asked.password)
        )
        return user(changed)

    @routes.delete("/{user_id}", dependencies=[Depends(need("enrol"))])
    async def delete(services: ServicesOf, user_id: int) -> dict[str, Any]:
        """Delete a user with photos, templates and account."""
        await services.work(lambda gallery: gallery.delete(gallery.person_numbered(user_id).person_id))
        return {"message": "User deleted"}

    return routes


def _create(services: Services, gallery: Gallery, asked: NewUser) -> Person:
    key = str(uuid4())
    refuse_taken(gallery, asked.email)
    accounts = access_of(services).accounts
    account = accounts.add(
        email=asked.email,
        name=asked.name,
        password=asked.password or None,
        person_key=key,
        expected=True,
        scopes=services.settings.account_scopes,
    )
    try:
        return gallery.create(key, name=asked.name, email=asked.email)
    except BaseException:
        accounts.delete(account.id)
        raise


def _change(services: Services, who: Principal, gallery: Gallery, user_id: int, asked: ChangedUser) -> Person:
    person = gallery.person_numbered(user_id)
    changes = {field: value for field, value in asked.model_dump(include={"name", "email"}).items() if value}
    if asked.email is not None and asked.email != person.email:
        refuse_taken(gallery, asked.email, person.person_id)
    if changes or asked.password:
        accounts = access_of(services).accounts
        account = account_of(services, person)
        if account is not None:
            _refuse_above(services, who, account)
            accounts.update(account.id, **changes | ({"password": asked.password} if asked.password else {}))
        elif asked.email or asked.password:
            accounts.add(
                email=asked.email or person.email,
                name=asked.name or person.name or "",
                password=asked.password or None,
                person_key=person.person_id,
                scopes=services.settings.account_scopes,
            )
    return gallery.update(person.person_id, **changes) if changes else person


def _refuse_above(services: Services, who: Principal, account: Account) -> None:
    """Refuse to change an account that may more than accounts of clients do, unless whoever asks may that too."""
    beyond = [one for one in account.scopes if one not in services.settings.account_scopes and not who.may(one)]
    if beyond:
        raise ForbiddenError(f"{who.name} may not change an account that may {', '.join(beyond)}")
