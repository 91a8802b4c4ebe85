"""The commands in the order in which a newcomer meets them."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from typing import Annotated

import typer

from ..errors import StorageFullError
from ..files import escape_unencodable_output, is_disk_full
from . import access, evaluate, gallery, people, pictures, transfer
from .audit import audit
from .config import config
from .demo import demo
from .help import Group, complete
from .output import FAILED, print_error
from .packs import packs
from .photos import photos
from .serve import serve

EXIT_CODES = """\
Exit codes: 0 done, or the answer is yes; 1 the answer is no (verify, compare, audit verify, fsck), import rejected \
something, or a decision of the demo was wrong; 2 wrong usage; 3 facedex could not do it: one line on standard error \
says why, with a code."""

app = typer.Typer(
    name="facedex",
    cls=Group,
    help="Register people from pictures and recognize them, on this machine.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"facedex {__version__}")
        raise typer.Exit


@app.callback()
def facedex(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Register people from pictures and recognize them, on this machine."""


for command in (
    demo,
    people.register,
    pictures.recognize,
    pictures.verify,
    pictures.compare,
    pictures.detect,
    people.people,
    people.delete,
    people.purge,
    gallery.vacuum,
    gallery.backup,
    gallery.fsck,
    gallery.rebuild,
    evaluate.evaluate,
    evaluate.calibrate,
    serve,
    config,
):
    app.command()(command)
app.command("import")(transfer.import_people)
app.command()(transfer.export)
app.add_typer(photos, name="photos", no_args_is_help=True)
app.add_typer(packs, name="packs")
app.add_typer(audit, name="audit", no_args_is_help=True)
app.add_typer(access.keys, name="keys", no_args_is_help=True)
app.add_typer(access.users, name="users", no_args_is_help=True)
app.add_typer(gallery.gallery, name="gallery", no_args_is_help=True)
complete(app)


def main() -> None:
    """Run the command line. A bug shows its trace and ends with the code of a failure, not with that of an answer."""
    escape_unencodable_output()
    try:
        app(prog_name="facedex")
    except Exception as error:  # noqa: BLE001 - the last boundary
        if is_disk_full(error):
            _report_full_disk(error)
        else:
            traceback.print_exc()
        sys.exit(FAILED)


def _report_full_disk(error: Exception) -> None:
    """Report that output has no space, and discard the rest of it, which Python would write again as it ends."""
    with contextlib.suppress(OSError):  # standard error may be on the same disk
        print_error(StorageFullError(f"the output cannot be written: {error}"))
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
