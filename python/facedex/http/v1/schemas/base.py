"""What all bodies and answers of `/v1` have in common: ids, boxes, similarities, pages, problems."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

_Item = TypeVar("_Item")
PersonId = Annotated[str | int, Field(examples=["ayu"], union_mode="left_to_right")]
Box = Annotated[tuple[float, float, float, float], Field(examples=[[120.0, 80.0, 360.0, 380.0]])]
Similarity = Annotated[float, Field(ge=-1, le=1, examples=[0.93])]


class Answer(BaseModel):
    """Base of what is answered; made from the objects of facedex."""

    model_config = ConfigDict(from_attributes=True)


class Options(BaseModel):
    """Base of what is taken; a name that is not known is refused."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """Problem details as RFC 9457 has them, with the stable code of facedex."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(examples=["nobody is registered as 'ayu' in gallery 'default'"])
    instance: str = Field(examples=["/v1/people/ayu"])
    code: str = Field(examples=["unknown_person"])


class Told(BaseModel):
    """An error that is one of several."""

    code: str = Field(examples=["no_face"])
    message: str


class Page(Answer, Generic[_Item]):
    """A page of a list."""

    items: list[_Item]
    next_cursor: str | None = Field(
        default=None, description="To be given as `cursor` for the next page; null at the end."
    )
