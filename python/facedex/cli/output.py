"""What a command prints, and the code it ends with.

People get tables and sentences on standard output and errors as one line on standard error. With ``--json`` programs
get one document on standard output, also for an error. Embeddings are never printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import typer

from ..errors import FacedexError
from ..plain import code_of
from .documents import message_of, to_json

if TYPE_CHECKING:
    from rich.console import Console

    from ..records import Outlier, PersonId

NO = 1
"""Exit code: the command ran, and the answer is no."""

FAILED = 3
"""Exit code: facedex could not do it. (2 is wrong usage, from typer.)"""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell: 128 + SIGINT."""

_PIPE_WIDTH = 1000  # characters; a table takes only what it needs


class Output(NamedTuple):
    """The result of a command.

    content : object
        What ``--json`` prints, described by `to_json`.
    show : callable
        Prints it for people.
    exit_code : int
    """

    content: Any
    show: Callable[[], object]
    exit_code: int = 0

    def print(self, as_json: bool) -> None:
        """Print it, and exit with its code unless that is 0."""
        if as_json:
            print_json(self.content)
        else:
            self.show()
        if self.exit_code:
            raise typer.Exit(self.exit_code)


@contextmanager
def report_errors(as_json: bool) -> Iterator[None]:
    """Print an error of facedex and exit with its code; any other error is a bug and shows its trace.

    Parameters
    ----------
    as_json : bool
        Whether to print the error as a JSON document on standard output.
    """
    try:
        yield
    except FacedexError as error:
        if as_json:
            print_json({"error": error})
        else:
            print_error(error)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        print_note("interrupted")
        raise typer.Exit(INTERRUPTED) from None


def print_error(error: Exception, about: str | None = None) -> None:
    """Print an error as one line on standard error.

    Parameters
    ----------
    error : Exception
        A `FacedexError`.
    about : str, optional
        The picture it belongs to.
    """
    message = message_of(error)
    subject = "" if about is None or about in message else f"{escape(about)}: "
    _write(f"error [{code_of(error)}]: {subject}{escape(message)}", sys.stderr)


def print_note(sentence: str) -> None:
    """Print a warning or a hint on standard error."""
    _write(escape(sentence), sys.stderr)


def format_outlier(outlier: Outlier, person_id: PersonId, pictures: Sequence[object] = ()) -> str:
    """Return a sentence about a face that does not resemble the person's others; names its picture where known."""
    known = outlier.source is not None and outlier.source < len(pictures)
    what = str(pictures[outlier.source or 0]) if known else f"face {outlier.face_id}"
    return (
        f"{what} does not resemble the other faces of {person_id!r} (similarity {outlier.similarity:.3f}, other people "
        f"reach {outlier.threshold:.3f} once in a hundred): is it somebody else?"
    )


def print_json(content: Any) -> None:
    """Print a JSON document; ASCII only, so that it passes through any pipe."""
    _write(json.dumps(to_json(content), indent=2, allow_nan=False), sys.stdout)


def print_line(sentence: str) -> None:
    """Print a sentence."""
    _write(escape(sentence), sys.stdout)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: str = "") -> None:
    """Print a table, unless it has no rows.

    Parameters
    ----------
    columns : sequence of str
        Headings; they are left out if all are empty.
    rows : sequence of sequence of str
        Texts; they are never interpreted as markup.
    right : str
        Headings of the columns to align to the right, separated by commas.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, show_header=any(columns))
    numbers = right.split(",") if right else []
    for heading in columns:
        grid.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(_escape_unencodable(escape(cell))) for cell in row))
    _console().print(grid)


@contextmanager
def interruptible(progress: Callable[[int, int], object] | None, advice: str) -> Iterator[Callable[[int, int], object]]:
    """Explain after Ctrl-C how far a long command came and how to go on.

    Parameters
    ----------
    progress : callable or None
        Called by what is yielded.
    advice : str
        What stays, and how to go on.
    """
    reached = (0, 0)

    def note(done: int, number: int) -> None:
        nonlocal reached
        reached = done, number
        if progress is not None:
            progress(done, number)

    try:
        yield note
    except KeyboardInterrupt:
        where = f" at {reached[0]} of {reached[1]}" if reached[1] else ""
        print_note(f"interrupted{where}; {advice}")
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def progress_bar(label: str, as_json: bool) -> Iterator[Callable[[int, int], object] | None]:
    """Show a progress bar on standard error if that is a terminal; there is none with ``--json``."""
    if as_json:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, number: bar.update(task, completed=done, total=number)


def escape(text: str) -> str:
    r"""Write a text on one line, with every control character escaped.

    Examples
    --------
    >>> escape("a name\x1b[2J")
    'a name\\x1b[2J'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def pluralize(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> pluralize(1, "face"), pluralize(2, "person", "people")
    ('1 face', '2 people')
    """
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def format_time(at: datetime | None) -> str:
    """Write a time to the minute."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M}"


def format_bbox(bbox: Sequence[float]) -> str:
    """Write the corners of a box in whole pixels."""
    return ", ".join(str(round(value)) for value in bbox)


def _write(text: str, stream: TextIO) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def _escape_unencodable(text: str) -> str:
    """Escape the letters that the encoding of standard output lacks."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _console() -> Console:
    """Open the console on standard output; into a file or pipe a row is one line, however long."""
    from rich.console import Console

    terminal = Console(highlight=False, markup=False)
    return terminal if terminal.is_terminal else Console(highlight=False, markup=False, width=_PIPE_WIDTH)
