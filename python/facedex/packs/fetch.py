"""An address → a file of bytes, whatever the line does: resumed where it was cut, tried again, never larger than said.

Goes in: an address of https (or of a mirror: ``file://``, or ``http://`` on this very machine) and the place of an
unfinished file. Comes out: that file, complete; whether it is the right one is for the caller to check. Refused: a
redirection to anything less safe, an answer that is larger than declared. The only file naming httpx.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ..errors import ArgumentError, DownloadError
from .home import writing

if TYPE_CHECKING:
    import httpx

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_REDIRECTIONS = 10
_LONGEST_WAIT_S = 60.0
_BLOCK = 1 << 18
_GROWTH = 1 << 16
"""Bytes that an attempt has to bring to count as getting on."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a download is worth waiting for.

    Attributes
    ----------
    attempts : int
        Attempts in a row that bring nothing.
    wait_s : float
        Pause after the first of them, seconds; doubled after each.
    timeout_s : float
        Longest silence of the server, seconds.
    """

    attempts: int = 5
    wait_s: float = 0.5
    timeout_s: float = 30.0


class _TryAgain(Exception):  # noqa: N818 - a signal within this file, not an error of its own
    def __init__(self, reason: str, *, status: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status = status
        self.wait_s = wait_s


def check_address(url: str, *, name: str) -> str:
    """Refuse an address of a mirror that is not safe.

    Parameters
    ----------
    url : str
        ``https://…``, ``file://…``, or ``http://…`` on this machine.
    name : str
        Where it was given, for the message.

    Returns
    -------
    str
        The address without a slash at its end.

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


def fetch(
    url: str,
    part: Path,
    *,
    size: int | None,
    most: int,
    progress: Callable[[int], object],
    patience: Patience | None = None,
) -> None:
    """Fetch a file.

    Parameters
    ----------
    url : str
        Its address.
    part : pathlib.Path
        The unfinished file; what is there already is kept and continued.
    size : int, optional
        Its size, bytes, where it is known.
    most : int
        Larger answers are refused, bytes.
    progress : callable
        Called with the number of bytes that are there.
    patience : Patience, optional
        When to give up.

    Raises
    ------
    DownloadError
        It is not there, the line was cut or silent too often, or the answer is no file of that size.
    PackFolderError
        It cannot be written.
    """
    if urlsplit(url).scheme == "file":
        _copy(url, part, most=most, progress=progress)
    else:
        _download(url, part, size=size, most=most, progress=progress, patience=patience or Patience())
    found = part.stat().st_size
    if size is not None and found != size:
        raise DownloadError(f"{url} has {found} bytes, the manifest says {size}", url=url)


def _copy(url: str, part: Path, *, most: int, progress: Callable[[int], object]) -> None:
    place = Path(url2pathname(urlsplit(url).path))
    try:
        source = place.open("rb")
    except OSError as error:
        raise DownloadError(f"{url} cannot be read: {error.strerror}", url=url) from error
    with source, writing(part.parent), part.open("wb") as target:
        done = 0
        while block := source.read(_BLOCK):
            done += len(block)
            _check_size(url, done, most)
            target.write(block)
            progress(done)


def _download(
    url: str,
    part: Path,
    *,
    size: int | None,
    most: int,
    progress: Callable[[int], object],
    patience: Patience,
) -> None:
    import httpx

    from .. import __version__

    headers = {"Accept-Encoding": "identity", "User-Agent": f"facedex/{__version__}"}
    failures = 0
    with httpx.Client(headers=headers, timeout=patience.timeout_s, follow_redirects=False) as client:
        while True:
            begun = _length(part)
            try:
                _attempt(client, url, part, size=size, most=most, progress=progress)
                return
            except _TryAgain as error:
                failures = 1 if _length(part) >= begun + _GROWTH else failures + 1
                if failures >= patience.attempts:
                    raise DownloadError(
                        f"{url} could not be fetched: {error} ({failures} attempts); what came is kept: try again",
                        url=url,
                        status=error.status,
                    ) from error
                time.sleep(min(max(patience.wait_s * 2 ** (failures - 1), error.wait_s), _LONGEST_WAIT_S))


def _attempt(
    client: httpx.Client, url: str, part: Path, *, size: int | None, most: int, progress: Callable[[int], object]
) -> None:
    import httpx

    begun = _length(part)
    if begun > most or (size is not None and begun > size):
        part.unlink()
        begun = 0
    if size is not None and begun == size:
        return
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    try:
        response = _open(client, url, headers)
        try:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
                raise _TryAgain("the server has another file than the one that was begun", status=response.status_code)
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
                part.unlink(missing_ok=True)
                raise _TryAgain("the server continued at another place than asked")
            done = begun if resumed else 0
            _check_length(response, url, done, size)
            with writing(part.parent), part.open("ab" if resumed else "wb") as target:
                for block in response.iter_raw():  # as it comes: a block to be filled would be lost by a cut
                    done += len(block)
                    _check_size(url, done, most)
                    target.write(block)
                    progress(done)
            if size is not None and done < size:
                raise _TryAgain(f"the line was cut after {done} of {size} bytes")
        finally:
            response.close()
    except httpx.TimeoutException as error:
        raise _TryAgain("the server was silent for too long") from error
    except httpx.TransportError as error:
        raise _TryAgain(f"the line was cut: {error}") from error
    except httpx.InvalidURL as error:
        raise DownloadError(f"{url!r} is no address: {error}", url=url) from error


def _open(client: httpx.Client, url: str, headers: dict[str, str]) -> httpx.Response:
    """Send the request; follow redirections to addresses that are as safe as the first."""
    address = url
    for _ in range(_REDIRECTIONS):
        response = client.send(client.build_request("GET", address, headers=headers), stream=True)
        if response.is_success or response.status_code == 416:
            return response
        response.close()
        status = response.status_code
        if response.has_redirect_location:
            address = str(response.url.join(response.headers["Location"]))
            if urlsplit(address).scheme != "https" and not (_on_loopback(url) and _on_loopback(address)):
                raise DownloadError(f"{url} leads to {address}, which is not https", url=url, status=status)
            continue
        if status in _PASSING:
            raise _TryAgain(f"the server answered {status}", status=status, wait_s=_wanted_wait(response))
        raise DownloadError(f"{url} cannot be fetched: the server answered {status}", url=url, status=status)
    raise DownloadError(f"{url} leads from one address to the next without end", url=url)


def _check_length(response: httpx.Response, url: str, done: int, size: int | None) -> None:
    told = response.headers.get("Content-Length", "")
    if size is not None and told.isdigit() and done + int(told) != size:
        raise DownloadError(f"{url} has {done + int(told)} bytes, the manifest says {size}", url=url)


def _check_size(url: str, done: int, most: int) -> None:
    if done > most:
        raise DownloadError(f"{url} has more than the {most} bytes that are allowed", url=url)


def _wanted_wait(response: httpx.Response) -> float:
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isdigit() and len(told) < 6 else 0.0


def _on_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in _LOOPBACK


def _length(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
