"""Errors → answers: one table from the class to the status, and the shapes in which the parts of the server tell them.

`/v1` answers problem details (RFC 9457) with the stable ``code`` of facedex. A contract gives its routes a shape of its
own with `shaped`. What is no error of facedex is a fault of the server: its trace goes to the log, never to the client.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import errors as e
from ..errors import FacedexError
from . import idempotency
from .admission import acting, admission_of, read_json

_log = logging.getLogger("facedex.http")

MEDIA_TYPE = "application/problem+json"

STATUS: dict[type[FacedexError], int] = {
    e.FacedexError: 500,
    e.ImageError: 400,
    e.ImageReadError: 400,
    e.NotAnImageError: 400,
    e.UnsupportedImageError: 415,
    e.ImageTooLargeError: 413,
    e.FaceError: 422,
    e.PackError: 500,
    e.RoleMissingError: 422,
    e.PackMismatchError: 409,
    e.ArgumentError: 422,
    e.GalleryError: 409,
    e.UnknownPersonError: 404,
    e.UnknownFaceError: 404,
    e.GalleryClosedError: 503,
    e.RegistrationError: 422,
    e.GalleryKeyError: 500,
    e.DatabaseLockedError: 503,
    e.DatabaseUnavailableError: 503,
    e.StorageFullError: 507,
    e.AccessError: 500,
    e.SignInError: 401,
    e.UnauthenticatedError: 401,
    e.ForbiddenError: 403,
    e.AttemptsError: 429,
    e.DuplicateAccountError: 409,
    e.UnknownAccountError: 404,
    e.UnknownKeyError: 404,
    e.RequestError: 400,
    e.MalformedRequestError: 422,
    e.BodyTooLargeError: 413,
    e.SlowBodyError: 408,
    e.OverloadedError: 503,
    e.LateAnswerError: 504,
    e.RepeatedKeyError: 422,
    e.RepeatedNowError: 409,
    e.UnknownGalleryError: 404,
    e.UnknownJobError: 404,
    e.UnknownPhotoError: 404,
    e.PhotoTooLargeError: 413,
    e.TransferError: 422,
    e.ServeError: 500,
}
"""The status of each class; a class that is not named has that of its base."""

INTERNAL = "internal"
"""Code of a fault of the server."""


MOST_TOLD = 20
"""Findings about one request that are told; a client may have written any number of names."""

_NAME = 40  # characters that are told of a name


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, before it has a shape.

    Attributes
    ----------
    status : int
        HTTP status.
    code : str
        Stable name of the cause.
    message : str
        For people.
    extra : dict
        What programs may want to know besides.
    headers : dict
        To be sent with the answer.
    """

    status: int
    code: str
    message: str
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


LEFT = Response(status_code=499)
"""What is noted of a request whose client left; nobody reads it. The number is nginx's."""

Shape = Callable[[Request, Problem], Response]
"""Gives a problem the form in which a part of the server tells it."""


def has_left(error: BaseException) -> bool:
    """Return whether an error says that the client left before its request was whole, which is no fault of anybody."""
    return isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect)


def problem_of(error: Exception) -> Problem:
    """Describe an error; what is no error of facedex or of the protocol is told as a fault, without its words."""
    if isinstance(error, FacedexError):
        status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
        if status >= 500 and not isinstance(error, e.RequestError):
            _log.error("%s: %s", error.code, error, exc_info=error if status == 500 else None)
            return Problem(status, error.code, _WORDS.get(status, _FAULT), headers=_headers_of(error, status))
        return Problem(status, error.code, str(error), _extra_of(error), _headers_of(error, status))
    if isinstance(error, RequestValidationError):
        problems = said(error.errors())
        return Problem(422, e.MalformedRequestError.code, "; ".join(problems), {"errors": list(problems)})
    if isinstance(error, HTTPException) and isinstance(error.__cause__, FacedexError):
        return problem_of(error.__cause__)  # what stopped FastAPI from reading a body, for it a body without sense
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
        return Problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))
    _log.error("fault of the server", exc_info=error)
    return Problem(500, INTERNAL, _FAULT)


def as_problem(request: Request, problem: Problem) -> Response:
    """Answer with problem details, as RFC 9457 has them."""
    content = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.message,
        "instance": request.url.path,
        "code": problem.code,
    }
    return JSONResponse(problem.extra | content, problem.status, problem.headers, MEDIA_TYPE)


def shaped(shape: Shape, *, of: str | None = None) -> type[APIRoute]:
    """Make the class of routes whose errors have a shape; give it to ``APIRouter(route_class=...)``.

    Parameters
    ----------
    shape : callable
        From the request and the problem to the answer.
    of : str, optional
        The contract whose routes they are: bodies may be larger there, and no answer is kept to be given again.
    """

    class ShapedRoute(APIRoute):
        """A route that answers every error in its shape, whatever application it is mounted in."""

        error_shape = staticmethod(shape)
        contract = of

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            scope = admission_of(self.dependant).scope
            if scope is not None:
                self.openapi_extra = {"x-scope": scope, **(self.openapi_extra or {})}

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()
            admitted = admission_of(self.dependant)

            async def handle(request: Request) -> Response:
                try:
                    await admitted(request)
                    await read_json(request)
                    with acting(request):
                        return await idempotency.answered(request, handler)
                except Exception as error:  # noqa: BLE001 - problem_of logs what is a fault
                    return LEFT if has_left(error) else shape(request, problem_of(error))

            return handle

    return ShapedRoute


def shape_for(request: Request) -> Shape:
    """Return the shape of an answer that no route gives: of the route, of the contract that has the path, or ours."""
    shape: Shape | None = getattr(request.scope.get("route"), "error_shape", None)
    if shape is not None:
        return shape
    of_path: Callable[[str], Shape] | None = getattr(request.app.state, "shape_of", None)
    return as_problem if of_path is None else of_path(request.url.path)


Route = shaped(as_problem)
"""The class of routes that answer problem details."""


def _headers_of(error: FacedexError, status: int) -> dict[str, str]:
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="facedex"'}
    if isinstance(error, (e.OverloadedError, e.AttemptsError, e.RepeatedNowError)):
        return {"Retry-After": str(error.retry_after_s)}
    return {"Retry-After": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}


def _extra_of(error: FacedexError) -> dict[str, Any]:
    if isinstance(error, e.SeveralFacesError):
        bboxes = [list(bbox) for bbox in error.bboxes]
        return {"measured": error.measured, "limit": error.limit, "bboxes": bboxes}
    if isinstance(error, (e.NoFaceError, e.EnrolmentError, e.DuplicateFaceError, e.PersonFullError)):
        return {"measured": error.measured, "limit": error.limit}
    if isinstance(error, e.RegistrationError):
        return {"rejected": [{"source": one.source, **told(one.error)} for one in error.rejected]}
    if isinstance(error, e.MalformedRequestError) and error.problems:
        return {"errors": list(error.problems)}
    return {}


def told(error: Exception) -> dict[str, str]:
    """Describe an error that is one of several in an answer."""
    problem = problem_of(error)
    return {"code": problem.code, "message": problem.message}


def said(findings: Sequence[Any]) -> tuple[str, ...]:
    """Put what pydantic finds into words, the first few, without the values, which may be pictures or passwords."""
    told = tuple(f"{_where(one['loc'])}: {one['msg']}" for one in findings[:MOST_TOLD])
    return told if len(findings) <= MOST_TOLD else (*told, f"and {len(findings) - MOST_TOLD} more")


def _where(place: Sequence[Any]) -> str:
    inside = place[1:] if place and place[0] in ("body", "query", "path", "header", "cookie") else place
    return ".".join(str(step)[:_NAME] for step in inside) or "body"


_FAULT = "the server could not do that; its log tells why"
_WORDS = {
    503: "the gallery cannot be used at this moment; try again later",
    507: "no space is left where the gallery is stored",
}
