"""What a server refuses: who asks, and what is asked."""

from __future__ import annotations

from .base import FacedexError


class AccessError(FacedexError):
    """Who may do what in a server."""

    code = "access"


class SignInError(AccessError):
    """There is no such account, or it has another password; the two are not told apart."""

    code = "sign_in"


class UnauthenticatedError(AccessError):
    """Nobody is signed in, or the token or key is unknown, expired or revoked."""

    code = "unauthenticated"


class ForbiddenError(AccessError):
    """Whoever asks may not do that."""

    code = "forbidden"


class AttemptsError(AccessError):
    """Too many attempts, from one address or for one account.

    Attributes
    ----------
    retry_after_s : int
        When to try again, seconds.
    """

    code = "too_many_attempts"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DuplicateAccountError(AccessError, ValueError):
    """Another account has that login or e-mail address."""

    code = "duplicate_account"


class UnknownAccountError(AccessError, LookupError):
    """There is no such account."""

    code = "unknown_account"


class UnknownKeyError(AccessError, LookupError):
    """There is no such API key."""

    code = "unknown_api_key"


class RequestError(FacedexError):
    """A request that a server does not take."""

    code = "request"


class MalformedRequestError(RequestError, ValueError):
    """A request is not what the interface takes.

    Attributes
    ----------
    problems : tuple of str
        What is wrong with each part, where there are several.
    """

    code = "malformed_request"

    def __init__(self, message: str, *, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class BodyTooLargeError(RequestError, ValueError):
    """The body of a request is larger than allowed.

    Attributes
    ----------
    limit : int
        The most that is allowed, bytes.
    """

    code = "body_too_large"

    def __init__(self, message: str, *, limit: int = 0) -> None:
        super().__init__(message)
        self.limit = limit


class SlowBodyError(RequestError, TimeoutError):
    """The body of a request did not come in time."""

    code = "body_too_slow"


class OverloadedError(RequestError):
    """The server has no room for a request now.

    Attributes
    ----------
    retry_after_s : int
        When to try again, seconds.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LateAnswerError(RequestError, TimeoutError):
    """A request took longer than allowed."""

    code = "timeout"


class RepeatedKeyError(RequestError, ValueError):
    """The Idempotency-Key of a request was used for another request before."""

    code = "idempotency_key_reused"


class RepeatedNowError(RequestError):
    """The same request, by its Idempotency-Key, is being answered at this moment.

    Attributes
    ----------
    retry_after_s : int
        When to try again, seconds.
    """

    code = "idempotency_in_progress"

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnknownGalleryError(RequestError, LookupError):
    """There is no gallery of that name."""

    code = "unknown_gallery"


class UnknownJobError(RequestError, LookupError):
    """There is no job of that id."""

    code = "unknown_job"


class ServeError(RequestError, ValueError):
    """A server cannot be started so."""

    code = "serve"
