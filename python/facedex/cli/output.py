"""What a command prints, and the code it ends with.

People get tables and sentences on standard output and errors as one line on standard error. With ``--json`` programs
get one document on standard output, an error included. Embeddings are never printed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from ..errors import (
    DuplicateFaceError,
    EnrolmentError,
    FacedexError,
    NoFaceError,
    PersonFullError,
    RegistrationError,
    SeveralFacesError,
)

if TYPE_CHECKING:
    from rich.console import Console

NO = 1
"""Exit code: the command ran, and the answer is no."""

_PIPE_WIDTH = 1000  # characters; a table takes only what it needs

_ADVICE = re.compile(r"\b(on_existing|faces|photos|index|pack)=('[^']+'(?:(?:, | or )'\w+')*)")  # as messages write it

FAILED = 3
"""Exit code: facedex could not do what was asked. (2 is wrong usage, from typer.)"""


@contextmanager
def answering(as_json: bool) -> Iterator[None]:
    """Turn an error of facedex into its message and exit code; any other is a fault of the program and shows its trace.

    Parameters
    ----------
    as_json : bool
        Print the error as a JSON document on standard output.
    """
    try:
        yield
    except FacedexError as error:
        if as_json:
            document({"error": error_document(error)})
        else:
            complain(error)
        raise typer.Exit(FAILED) from None


def complain(error: Exception, about: str | None = None) -> None:
    """Tell an error as one line on standard error.

    Parameters
    ----------
    error : Exception
        A `FacedexError`.
    about : str, optional
        The picture it belongs to.
    """
    subject = "" if about is None else f"{plain(about)}: "
    typer.echo(f"error [{_code(error)}]: {subject}{plain(_message(error))}", err=True)


def document(content: dict[str, Any]) -> None:
    """Print a JSON document; ASCII only, so that it passes through any pipe."""
    typer.echo(json.dumps(content, indent=2, allow_nan=False))


def error_document(error: Exception) -> dict[str, Any]:
    """Describe an error for programs.

    Parameters
    ----------
    error : Exception
        A `FacedexError`.

    Returns
    -------
    dict
        With code and message; boxes, rejected pictures, or what was measured and its limit, where the error has them.
    """
    described: dict[str, Any] = {"code": _code(error), "message": _message(error)}
    if isinstance(error, SeveralFacesError):
        described["bboxes"] = [list(bbox) for bbox in error.bboxes]
    if isinstance(error, RegistrationError):
        described["rejected"] = [
            {"picture": rejection.text, "error": error_document(rejection.error)} for rejection in error.rejected
        ]
    if isinstance(error, (EnrolmentError, DuplicateFaceError, PersonFullError, NoFaceError, SeveralFacesError)):
        described |= {"measured": error.measured, "limit": error.limit}
    return described


def _message(error: Exception) -> str:
    """Take the message, with the options of the command line where it advises arguments of Python."""
    told = str(error).replace("plain=True", "--plain").replace("(name=...)", "(--gallery NAME)")
    return _ADVICE.sub(lambda found: f"--{found[1].replace('_', '-')} {found[2].replace(chr(39), '')}", told)


def _code(error: Exception) -> str:
    return error.code if isinstance(error, FacedexError) else FacedexError.code


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """Print a table.

    Parameters
    ----------
    columns : sequence of str
        Headings; where all are empty there is no line for them.
    rows : sequence of sequence of str
        Texts as they are: nothing in them is read as markup.
    right : str
        Headings of the columns to align to the right, separated by commas.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, show_header=any(columns))
    numbers = right.split(",") if right else []
    for heading in columns:
        grid.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(plain(cell)) for cell in row))
    console().print(grid)


def say(sentence: str) -> None:
    """Print a sentence."""
    typer.echo(plain(sentence))


def console() -> Console:
    """Open the console on standard output as it is now; into a file or pipe a row is one line, however long."""
    from rich.console import Console

    terminal = Console(highlight=False, markup=False)
    return terminal if terminal.is_terminal else Console(highlight=False, markup=False, width=_PIPE_WIDTH)


def plain(text: str) -> str:
    r"""Write a text on one line, without anything that a terminal would obey.

    Examples
    --------
    >>> plain("a name\x1b[2J")
    'a name\\x1b[2J'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> counted(1, "face"), counted(2, "person", "people")
    ('1 face', '2 people')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"
