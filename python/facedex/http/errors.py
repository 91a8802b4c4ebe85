"""Exceptions → error responses: one table from the class to the status, and the response itself.

`/v1` answers problem details (RFC 9457) with the stable ``code`` of facedex; each contract has its own
`ErrorFormatter`. An exception that is not from facedex is a fault of the server: its traceback is logged, never sent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import errors as e
from ..errors import FacedexError
from ..files import is_disk_full

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
    e.EvaluationError: 422,
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
"""HTTP status of each exception class; a class that is not listed has the status of its base."""

INTERNAL = "internal"
"""Code of a fault of the server."""

MAX_FINDINGS = 20
"""Most validation errors that a response lists; a client may send any number of unknown names."""

_NAME = 40  # characters of a name that a response repeats


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as it will be answered, before it has the format of `/v1` or of a contract.

    Attributes
    ----------
    status : int
        HTTP status.
    code : str
        Stable name of the cause.
    message : str
        For people.
    extra : dict
        Further fields for programs.
    headers : dict
        Response headers.
    """

    status: int
    code: str
    message: str
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


CLIENT_CLOSED = Response(status_code=499)
"""Response to a client that disconnected; only the access log sees it. The status is nginx's."""

ErrorFormatter = Callable[[Request, Problem], Response]
"""Formats a problem as a response."""


def is_disconnect(error: BaseException) -> bool:
    """Return whether an error means that the client disconnected before its request was complete."""
    return isinstance(error, ClientDisconnect) or isinstance(error.__cause__, ClientDisconnect)


def problem_of(error: Exception) -> Problem:
    """Convert an exception to a problem; the message of an unexpected exception is logged and not sent."""
    if isinstance(error, FacedexError):
        problem = problem_of_ours(error)
        if problem.status >= 500 and not isinstance(error, e.RequestError):
            _log.error("%s: %s", error.code, error, exc_info=error if problem.status == 500 else None)
        return problem
    if isinstance(error, RequestValidationError):
        problems = format_findings(error.errors())
        return Problem(422, e.MalformedRequestError.code, "; ".join(problems), {"errors": list(problems)})
    if isinstance(error, HTTPException) and isinstance(error.__cause__, FacedexError):
        return problem_of(error.__cause__)  # FastAPI reports our error while it reads a body as a 400
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
        return Problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))
    if is_disk_full(error):  # a large upload waits in the folder for temporary files
        _log.error("%s: %s", e.StorageFullError.code, error)
        return Problem(HTTPStatus.INSUFFICIENT_STORAGE, e.StorageFullError.code, _FULL)
    _log.error("fault of the server", exc_info=error)
    return Problem(500, INTERNAL, _FAULT)


def problem_of_ours(error: FacedexError) -> Problem:
    """Convert an error of facedex to a problem; the message of a fault of the server is left out."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status >= 500 and not isinstance(error, e.RequestError):
        return Problem(status, error.code, _WORDS.get(status, _FAULT), headers=_headers_of(error, status))
    return Problem(status, error.code, str(error), _extra_of(error), _headers_of(error, status))


def format_problem(request: Request, problem: Problem) -> Response:
    """Format a problem as problem details (RFC 9457)."""
    return JSONResponse(details_of(problem, request.url.path), problem.status, problem.headers, MEDIA_TYPE)


def details_of(problem: Problem, path: str) -> dict[str, Any]:
    """Return the fields of problem details (RFC 9457)."""
    return problem.extra | {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.message,
        "instance": path,
        "code": problem.code,
    }


def error_formatter_for(request: Request) -> ErrorFormatter:
    """Return the formatter of the route, of the contract at the path, or `format_problem`."""
    formatter: ErrorFormatter | None = getattr(request.scope.get("route"), "format_error", None)
    if formatter is not None:
        return formatter
    of_path: Callable[[str], ErrorFormatter] | None = getattr(request.app.state, "error_formatter_of", None)
    return format_problem if of_path is None else of_path(request.url.path)


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
        return {"rejected": [{"source": one.source, **describe(one.error)} for one in error.rejected]}
    if isinstance(error, e.MalformedRequestError) and error.problems:
        return {"errors": list(error.problems)}
    return {}


def describe(error: Exception) -> dict[str, str]:
    """Return code and message of an error that is one of several in a response."""
    problem = problem_of(error)
    return {"code": problem.code, "message": problem.message}


def format_findings(findings: Sequence[Any]) -> tuple[str, ...]:
    """Format pydantic's first findings, without the values, which may be pictures or passwords."""
    texts = tuple(f"{_where(one['loc'])}: {one['msg']}" for one in findings[:MAX_FINDINGS])
    return texts if len(findings) <= MAX_FINDINGS else (*texts, f"and {len(findings) - MAX_FINDINGS} more")


def _where(place: Sequence[Any]) -> str:
    inside = place[1:] if place and place[0] in ("body", "query", "path", "header", "cookie") else place
    return ".".join(str(step)[:_NAME] for step in inside) or "body"


_FAULT = "internal server error; the server's log has the details"
_FULL = "no space is left on the server's disk"
_WORDS = {
    503: "the gallery is not available now; try again later",
    507: "no space is left on the gallery's disk",
}
