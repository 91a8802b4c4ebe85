"""Downloads a file over an unreliable connection: resumes, retries, and never exceeds the declared size.

In: an address of https (or of a mirror: ``file://``, or ``http://`` on this machine) and the path of an unfinished
file. Out: that file, complete; the caller checks its digest. Refused: a redirection to anything less safe, a response
that is larger than declared. The only file naming httpx.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import ArgumentError, DownloadError
from .records import translate_write_errors

if TYPE_CHECKING:
    import httpx

_log = logging.getLogger("facedex")

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_MAX_REDIRECTIONS = 10
_MAX_WAIT_S = 60.0
_BLOCK = 1 << 18
_PROGRESS = 1 << 16
"""Bytes that an attempt has to bring to reset the count of failures."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a download gives up.

    Attributes
    ----------
    attempts : int
        Failed attempts in a row.
    wait_s : float
        Pause after the first of them, seconds; doubled after each.
    timeout_s : float
        Time without any data from the server, seconds.
    """

    attempts: int = 5
    wait_s: float = 0.5
    timeout_s: float = 30.0


class _TransientError(Exception):
    def __init__(self, reason: str, *, status: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.wait_s = wait_s


def check_address(url: str, *, name: str) -> str:
    """Check that the address of a mirror is safe.

    Parameters
    ----------
    url : str
        ``https://…``, ``file://…``, or ``http://…`` on this machine.
    name : str
        The option that it comes from, for the message.

    Returns
    -------
    str
        The address without a trailing slash.

    Raises
    ------
    ArgumentError
    """
    parts = urlsplit(url)
    local = parts.hostname in (None, "", "localhost")
    if (parts.scheme == "https" and parts.hostname) or (parts.scheme == "file" and local) or _on_loopback(url):
        return url.rstrip("/")
    raise ArgumentError(
        f"{name} must begin with https:// or file://, or with http:// for this machine (127.0.0.1), got {url!r}"
    )


def download(
    url: str,
    part: Path,
    *,
    size: int | None,
    max_size: int,
    progress: Callable[[int], object],
    retries: RetryPolicy | None = None,
) -> None:
    """Download a file.

    Parameters
    ----------
    url : str
        Its address.
    part : pathlib.Path
        The unfinished file; what it has already is kept and continued.
    size : int, optional
        Its size, bytes, if known.
    max_size : int
        Largest allowed size, bytes.
    progress : callable
        Called with the number of bytes so far.
    retries : RetryPolicy, optional
        When to give up.

    Raises
    ------
    DownloadError
        It does not exist, the connection broke or timed out too often, or it has another size.
    PackFolderError
        It cannot be written.
    """
    if urlsplit(url).scheme == "file":
        _copy(url, part, max_size=max_size, progress=progress)
    else:
        _download(url, part, size=size, max_size=max_size, progress=progress, retries=retries or RetryPolicy())
    found = part.stat().st_size
    if size is not None and found != size:
        raise DownloadError(f"{url} has {found} bytes, the manifest says {size}", url=url)


def _copy(url: str, part: Path, *, max_size: int, progress: Callable[[int], object]) -> None:
    try:
        path = Path(url2pathname(urlsplit(url).path))
        source = path.open("rb")
    except OSError as error:
        raise DownloadError(f"{url} cannot be read: {error.strerror}", url=url) from error
    with source, translate_write_errors(part.parent), part.open("wb") as target:
        done = 0
        while block := source.read(_BLOCK):
            done += len(block)
            _check_size(url, done, max_size)
            target.write(block)
            progress(done)


def _download(
    url: str,
    part: Path,
    *,
    size: int | None,
    max_size: int,
    progress: Callable[[int], object],
    retries: RetryPolicy,
) -> None:
    import httpx

    from .. import __version__

    headers = {"Accept-Encoding": "identity", "User-Agent": f"facedex/{__version__}"}
    failures = 0
    with httpx.Client(headers=headers, timeout=retries.timeout_s, follow_redirects=False) as client:
        while True:
            start = _size(part)
            try:
                _attempt(client, url, part, size=size, max_size=max_size, progress=progress)
                return
            except _TransientError as error:
                failures = 1 if _size(part) >= start + _PROGRESS else failures + 1
                if failures >= retries.attempts:
                    raise DownloadError(
                        f"{url} could not be fetched: {error} ({failures} attempts); try again to continue it",
                        url=url,
                        status=error.status,
                    ) from error
                wait_s = min(max(retries.wait_s * 2 ** (failures - 1), error.wait_s), _MAX_WAIT_S)
                _log.warning("%s: %s; attempt %d of %d in %.1f s", url, error, failures + 1, retries.attempts, wait_s)
                time.sleep(wait_s)


def _attempt(
    client: httpx.Client, url: str, part: Path, *, size: int | None, max_size: int, progress: Callable[[int], object]
) -> None:
    import httpx

    start = _size(part)
    if start > max_size or (size is not None and start > size):
        part.unlink()
        start = 0
    if size is not None and start == size:
        return
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = _open(client, url, headers)
        try:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
                raise _TransientError(
                    "the file on the server has changed since the download began", status=response.status_code
                )
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                part.unlink(missing_ok=True)
                raise _TransientError("the server continued at another offset than requested")
            done = start if resumed else 0
            _check_length(response, url, done, size)
            with translate_write_errors(part.parent), part.open("ab" if resumed else "wb") as target:
                for block in response.iter_raw():  # unbuffered: a broken connection would lose a half-filled block
                    done += len(block)
                    _check_size(url, done, max_size)
                    target.write(block)
                    progress(done)
            if size is not None and done < size:
                raise _TransientError(f"the connection broke after {done} of {size} bytes")
        finally:
            response.close()
    except httpx.TimeoutException as error:
        raise _TransientError("the server did not answer in time") from error
    except httpx.ConnectError as error:
        raise _TransientError(f"the server cannot be reached: {error}") from error
    except httpx.TransportError as error:
        raise _TransientError(f"the connection broke: {error}") from error
    except httpx.InvalidURL as error:
        raise DownloadError(f"{url!r} is not an address: {error}", url=url) from error


def _open(client: httpx.Client, url: str, headers: dict[str, str]) -> httpx.Response:
    """Send the request; follow redirections to addresses that are as safe as the first."""
    address = url
    for _ in range(_MAX_REDIRECTIONS):
        response = client.send(client.build_request("GET", address, headers=headers), stream=True)
        if response.is_success or response.status_code == 416:
            return response
        response.close()
        status = response.status_code
        if response.has_redirect_location:
            address = str(response.url.join(response.headers["Location"]))
            if urlsplit(address).scheme != "https" and not (_on_loopback(url) and _on_loopback(address)):
                raise DownloadError(f"{url} redirects to {address}, which is not https", url=url, status=status)
            continue
        if status in _TRANSIENT:
            raise _TransientError(f"the server answered {status}", status=status, wait_s=_retry_after(response))
        raise DownloadError(f"{url} cannot be fetched: the server answered {status}", url=url, status=status)
    raise DownloadError(f"{url} redirects too many times", url=url)


def _check_length(response: httpx.Response, url: str, done: int, size: int | None) -> None:
    length = response.headers.get("Content-Length", "")
    if size is not None and length.isdigit() and done + int(length) != size:
        raise DownloadError(f"{url} has {done + int(length)} bytes, the manifest says {size}", url=url)


def _check_size(url: str, done: int, max_size: int) -> None:
    if done > max_size:
        raise DownloadError(f"{url} has more than the {max_size} bytes that are allowed", url=url)


def _retry_after(response: httpx.Response) -> float:
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdigit() and len(seconds) < 6 else 0.0


def _on_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
