"""Start the server: checks, and uvicorn with one or several workers.

The workers share the database, and through it people, keys, tokens and rate limits.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from ..errors import ServeError
from ..server import Access
from ..store import Database
from .settings import Settings
from .workers import GRACE_S, Workers

_METRICS = "PROMETHEUS_MULTIPROC_DIR"
_OPEN_FILES = 4096  # open files of a process: connections, database, models
_PORT_RELEASE_TIMEOUT_S = 5.0  # time that the workers of a killed server have to release the port
_FOLDER = "facedex-metrics-"


def run(settings: Settings, *, on_start: Callable[[str], None] | None = None) -> None:
    """Serve until interrupted.

    Parameters
    ----------
    settings : Settings
    on_start : callable, optional
        Called with the address after the checks.

    Raises
    ------
    ServeError
        When other machines could reach a server without keys, or the address cannot be used.
    StoreError
        When the database cannot be opened.
    """
    check_exposure(settings)
    _raise_file_limit()
    _wait_for_port(settings)
    if on_start is not None:
        on_start(address_of(settings))
    with _metrics_folder(settings.workers):
        config = uvicorn.Config(
            partial(app, settings),
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            server_header=False,
            access_log=False,
            log_level="info",
            http=f"{__package__}.connections:Connection",
            ws="none",
            timeout_graceful_shutdown=int(GRACE_S),
        )
        if settings.workers > 1:
            Workers(config, config.bind_socket(), settings.workers).run()
            return
        server = uvicorn.Server(config)
        with suppress(KeyboardInterrupt):
            server.run()
        if not server.started:
            sys.exit(STARTUP_FAILURE)


def _raise_file_limit() -> None:
    """Raise the limit of open files, as far as the system allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _wait_for_port(settings: Settings) -> None:
    """Wait until a killed server has released the port.

    Raises
    ------
    ServeError
        When the port stays in use; at once for every other reason.
    """
    deadline = time.monotonic() + _PORT_RELEASE_TIMEOUT_S
    while (error := _bind_error(settings.host, settings.port)) is not None:
        where = f"{settings.host} port {settings.port} cannot be used: {error.strerror or error}"
        if isinstance(error, socket.gaierror):
            raise ServeError(f"{where}; the name is unknown here: choose an address of this machine with --host")
        if error.errno == errno.EACCES:
            raise ServeError(f"{where}; the port needs administrator rights: choose one above 1023 with --port")
        if error.errno != errno.EADDRINUSE:
            raise ServeError(f"{where}; choose an address of this machine with --host")
        if time.monotonic() > deadline:
            raise ServeError(f"{where}; stop the program that uses it, or choose another with --port")
        time.sleep(0.1)


def _bind_error(host: str, port: int) -> OSError | None:
    """Return why an address cannot be bound; None if it can."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def check_exposure(settings: Settings) -> None:
    """Refuse to serve other machines without keys.

    Raises
    ------
    ServeError
    """
    database = Database(settings.location)
    try:
        has_credentials = Access(database).has_credentials()
    finally:
        database.close()
    if settings.exposed and not has_credentials and not settings.insecure:
        where = f"behind {', '.join(settings.trusted_proxies)}" if settings.trusted_proxies else f"at {settings.host}"
        raise ServeError(
            f"other machines can reach this server {where}, and there is no key: create one with 'facedex keys add' or "
            "an account with 'facedex users add --scope admin', or use --insecure"
        )


def address_of(settings: Settings) -> str:
    """Return the URL of a server.

    Examples
    --------
    >>> address_of(Settings(host="::1", port=8000))
    'http://[::1]:8000'
    """
    scheme = "http" if settings.tls_cert is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{settings.port}"


def app(settings: Settings) -> FastAPI:
    """Create the application of a worker."""
    from .app import create_app

    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("facedex").setLevel(logging.INFO)
    if settings.log_format == "json":
        _log_plain(logging.getLogger("facedex.http.access"))
    return create_app(settings)


def _log_plain(logger: logging.Logger) -> None:
    """Log lines as they are: each is a JSON object."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers, logger.propagate = [handler], False


@contextmanager
def _metrics_folder(workers: int) -> Iterator[None]:
    """Create the folder through which several workers share their metrics."""
    if workers == 1 or _METRICS in os.environ:
        yield
        return
    _remove_stale()
    folder = os.environ[_METRICS] = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-")
    try:
        yield
    finally:
        del os.environ[_METRICS]
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale() -> None:
    """Remove the folders of killed servers."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*-*"):
        master = folder.name.removeprefix(_FOLDER).partition("-")[0]
        if master.isdigit() and not psutil.pid_exists(int(master)) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        status = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (not hasattr(os, "getuid") or status.st_uid == os.getuid())
