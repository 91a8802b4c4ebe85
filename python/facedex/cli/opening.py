"""Options → an open gallery, a key, a folder for pictures; and the decorator that gives them to a command.

What these need is imported when a command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from ..config import settings
from ..errors import DatabaseUnavailableError
from .options import DEFAULT_DATABASE, DatabaseOption, GalleryOption, JsonOption, PackOption
from .output import Output, report_errors

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..gallery import Gallery


@dataclass(frozen=True, slots=True)
class Target:
    """The gallery that ``--db``, ``--gallery`` and ``--pack`` name.

    Attributes
    ----------
    location : str
        Path or URL of the database; by default that of the environment, else ``people.db``.
    name : str
        The gallery's name; by default that of the environment, else "default".
    pack : str or None
        Name or path; None is the pack that made the gallery.
    """

    location: str
    name: str
    pack: str | None

    @contextmanager
    def open(self, *, create: bool = False, pack: str | None = None, **options: Any) -> Iterator[Gallery]:
        """Open the gallery.

        Parameters
        ----------
        create : bool
            Whether to create the database if there is none.
        pack : str, optional
            In place of the target's.
        **options
            As of `Gallery.open`.

        Raises
        ------
        DatabaseUnavailableError, UnknownGalleryError
            When there is none and `create` is False: a mistyped name must not make an empty gallery.
        """
        from ..gallery import Gallery

        if not create:
            check_database(self.location)
        with Gallery.open(self.location, name=self.name, pack=pack or self.pack, create=create, **options) as gallery:
            yield gallery


def check_database(location: str) -> None:
    """Raise `DatabaseUnavailableError` when there is no database: what only reads creates none."""
    from ..store import database_exists

    if not database_exists(location):
        raise DatabaseUnavailableError(
            f"there is no database at {location!r}; register somebody first, or name another with --db"
        )


def location_of(db: str | None) -> str:
    """Return the path or URL of the database that ``--db`` names.

    Raises
    ------
    BadParameter
        When it is in memory: it would end with the command.
    """
    from ..store import is_in_memory

    location = db or settings().db or DEFAULT_DATABASE
    if is_in_memory(location):
        raise typer.BadParameter("a database in memory would end with the command; name a file", param_hint="--db")
    return location


_TARGET_OPTIONS = {"db": DatabaseOption, "within": GalleryOption, "pack": PackOption}


def command(function: Callable[..., Output]) -> Callable[..., None]:
    """Make a command of a function: print the output it returns, or its error.

    A parameter of type `Target` becomes the options that name a gallery; every command has ``--json``.
    """
    signature = inspect.signature(function, eval_str=True)
    target = next((name for name, parameter in signature.parameters.items() if parameter.annotation is Target), None)
    options: dict[str, tuple[Any, Any]] = {
        name: (parameter.annotation, parameter.default)
        for name, parameter in signature.parameters.items()
        if name not in (target, "as_json")
    }
    if target is not None:
        options |= {name: (annotation, None) for name, annotation in _TARGET_OPTIONS.items()}
    options["as_json"] = (JsonOption, False)

    @wraps(function)
    def run(**given: Any) -> None:
        as_json = given["as_json"]
        if "as_json" not in signature.parameters:
            del given["as_json"]
        with report_errors(as_json):
            if target is not None:
                db, within, pack = (given.pop(name) for name in _TARGET_OPTIONS)
                given[target] = Target(location_of(db), within or settings().gallery, pack)
            output = function(**given)
            output.print(as_json)

    run.__annotations__ = {name: annotation for name, (annotation, _) in options.items()}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
            for name, (annotation, default) in options.items()
        ]
    )
    return run


def standard_input(option: str) -> BinaryIO:
    """Return standard input as bytes; a closed one is wrong usage of an option."""
    if sys.stdin is None:
        raise typer.BadParameter("standard input is closed", param_hint=option)
    return typer.get_binary_stream("stdin")


def read_key(path: Path | None, option: str) -> bytes | None:
    """Read a key from a file, None without one: a key on the command line would be in the list of processes."""
    from ..config import key_from
    from ..errors import ArgumentError

    if path is None:
        return None
    try:
        text = standard_input(option).read(1000).decode("ascii") if str(path) == "-" else path.read_text("ascii")
        return key_from(text, str(path))
    except (OSError, UnicodeDecodeError, ArgumentError) as error:
        raise typer.BadParameter(f"no key can be read from {path}: {error}", param_hint=option) from error


STANDARD_INPUT = Path("-")
"""Where a picture is expected: read it from standard input."""


def read_pictures(pictures: Sequence[Path]) -> list[Path | bytes]:
    """Return the pictures of a command line, that of standard input as its bytes.

    Raises
    ------
    BadParameter
        When standard input is named twice, or has nothing.
    """
    if STANDARD_INPUT not in pictures:
        return list(pictures)
    if pictures.count(STANDARD_INPUT) > 1:
        raise typer.BadParameter("- is standard input, which holds one picture; name it once", param_hint="PICTURE")
    content = standard_input("PICTURE").read()
    if not content:
        raise typer.BadParameter("- is standard input, and it is empty", param_hint="PICTURE")
    return [content if picture == STANDARD_INPUT else picture for picture in pictures]


class OutFolder:
    """A folder for pictures with boxes and names; each gets its own file name.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: set[str] = set()
        with writing_to(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def write(self, picture: Path, drawing: Image) -> Path:
        """Write a drawing under the name of its picture.

        Returns
        -------
        Path
            Where it was written.
        """
        from ..draw import png

        stem, number = "stdin" if picture == STANDARD_INPUT else picture.stem, 1
        first = stem
        while stem in self._used:
            number += 1
            stem = f"{first}-{number}"
        self._used.add(stem)
        target = self.folder / f"{stem}.png"
        with writing_to(self.folder):
            target.write_bytes(png(drawing))
        return target


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Report a folder that cannot be written to as wrong usage of ``--out``."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {folder}: {error.strerror}", param_hint="--out") from error
