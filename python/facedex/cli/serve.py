"""The command that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..options import KeptPhotos
from .opening import location_of
from .options import DatabaseOption, PackOption
from .output import print_line, report_errors

if TYPE_CHECKING:
    from ..http import Settings


def serve(
    db: DatabaseOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen at. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="Default: 8000.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, max=64, help="Processes. Default: 1.")] = None,
    contracts: Annotated[
        str | None, typer.Option("--contracts", metavar="NAMES", help="Older backends to serve the API of, or 'all'.")
    ] = None,
    photos: Annotated[KeptPhotos | None, typer.Option("--photos", help="What to store of the pictures.")] = None,
    pack: PackOption = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let other machines in without keys or accounts.")
    ] = False,
    tls_cert: Annotated[str | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate, PEM.")] = None,
    tls_key: Annotated[str | None, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")] = None,
    trusted_proxy: Annotated[
        list[str] | None,
        typer.Option("--trusted-proxy", metavar="ADDRESS", help="Trust forwarded headers from here; repeatable."),
    ] = None,
) -> None:
    """Serve the gallery over HTTP. Other settings are read from FACEDEX_* variables."""
    with report_errors(False):
        try:
            from ..http.serve import run
        except ImportError as error:
            raise typer.BadParameter(f"{error}; install the server with: pip install 'facedex[server]'") from error
        given: dict[str, Any] = {
            "db": location_of(db),
            "host": host,
            "port": port,
            "workers": workers,
            "contracts": contracts,
            "photos": photos,
            "pack": pack,
            "insecure": insecure or None,
            "tls_cert": tls_cert,
            "tls_key": tls_key,
            "trusted_proxies": tuple(trusted_proxy) if trusted_proxy else None,
        }
        run(
            server_settings({name: value for name, value in given.items() if value is not None}),
            on_start=lambda address: print_line(f"serving at {address}, interactive documentation at /api/docs"),
        )


def server_settings(given: dict[str, Any]) -> Settings:
    """Return the settings of a server: what is given, then the environment, then the defaults.

    Raises
    ------
    BadParameter
        When one is not accepted.
    ImportError
        When the server is not installed.
    """
    from pydantic import ValidationError

    from ..http import Settings

    try:
        return Settings(**given)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise typer.BadParameter(problems) from error
