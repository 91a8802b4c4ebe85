"""Options → an open gallery or engine.

What these need is imported when a command runs, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..config import settings
from ..errors import DatabaseUnavailableError
from .options import DEFAULT_DATABASE

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..engine import Engine
    from ..gallery import Gallery
    from ..options import IndexMethod, KeptPhotos


def location_of(db: str | None) -> str:
    """Tell where the database is that the options name: a path or a URL."""
    return db or settings().db or DEFAULT_DATABASE


def name_of(within: str | None) -> str:
    """Tell which gallery of the database the options name."""
    return within or settings().gallery


@contextmanager
def gallery_at(
    db: str | None,
    within: str | None,
    *,
    pack: str | None,
    create: bool = False,
    index: IndexMethod = "auto",
    budget_ms: float | None = None,
    photos: KeptPhotos = "none",
) -> Iterator[Gallery]:
    """Open the gallery that the options name.

    Parameters
    ----------
    db : str or None
        Path or URL; without it that of the environment, else ``people.db``.
    within : str or None
        The gallery's name; without it that of the environment, else "default".
    pack : str or None
        Name or path; without it the pack that made the gallery.
    create : bool
        Make the database when it is not there.
    index, budget_ms, photos
        As of `Gallery.open`.

    Raises
    ------
    DatabaseUnavailableError
        When there is none and `create` is False: a mistyped path must not make an empty gallery.
    """
    from ..gallery import Gallery

    location = location_of(db)
    if not create and "://" not in location and not Path(location).exists():
        raise DatabaseUnavailableError(
            f"there is no database at {location!r}; register somebody first, or name another with --db"
        )
    with Gallery.open(
        location, name=name_of(within), pack=pack, index=index, budget_ms=budget_ms, photos=photos
    ) as gallery:
        yield gallery


def engine_of(pack: str | None) -> Engine:
    """Make the engine that the options name."""
    from ..engine import Engine

    return Engine(pack)


class OutFolder:
    """A folder for pictures with boxes and names; each gets a name of its own.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken: set[str] = set()
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

        stem, number = picture.stem, 1
        while stem in self._taken:
            number += 1
            stem = f"{picture.stem}-{number}"
        self._taken.add(stem)
        target = self.folder / f"{stem}.png"
        with writing_to(self.folder):
            target.write_bytes(png(drawing))
        return target


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Tell a folder that cannot be written to as wrong usage of ``--out``."""
    try:
        yield
    except OSError as error:
        raise typer.BadParameter(f"cannot write to {folder}: {error.strerror}", param_hint="--out") from error
