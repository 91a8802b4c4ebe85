"""A folder of ``<person>/<photo>`` → people registered from their photos.

The name of a folder is the person's id. Every file in it is a photo, in the order of the names; hidden files and
those of file managers are ignored. Names in the CSV file are compared with folder names, never used as paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImportFileError
from ..options import RegisterOptions
from . import people_csv
from .report import ImportReport, Tally

if TYPE_CHECKING:
    from ..gallery import Gallery

_IGNORED = {"thumbs.db", "desktop.ini"}


def import_folder(
    gallery: Gallery,
    folder: Path,
    options: RegisterOptions,
    *,
    names: Path | None,
    progress: Callable[[int, int], object] | None,
) -> ImportReport:
    """Register the people of a folder; same parameters and errors as `import_from`."""
    known = people_csv.read(names) if names is not None else people_csv.People()
    tally = Tally("folder")
    for text, error in known.refused:
        tally.reject(text, error)
    found = _people(folder, tally)
    entries: list[tuple[str, list[Path], dict[str, Any]]] = [
        (person_id, photos, known.details.pop(person_id, {})) for person_id, photos in found.items()
    ]
    unnamed = tuple(person_id for person_id, _, details in entries if names is not None and not details)
    for person_id in known.details:
        tally.reject(
            f"{person_id} in {names}", ImportFileError(f"{folder} has no folder {person_id!r} with photos in it")
        )
    answers = gallery.register_many(entries, **asdict(options), progress=progress)
    for (person_id, photos, _), answer in zip(entries, answers, strict=True):
        tally.add_answer(person_id, str(photos[0].parent), answer)
    return tally.report(unnamed)


def _people(folder: Path, tally: Tally) -> dict[str, list[Path]]:
    """List the photos of each person; add anything else to the rejected items."""
    found: dict[str, list[Path]] = {}
    try:
        for entry in sorted(folder.iterdir()):
            if _is_ignored(entry):
                continue
            if not entry.is_dir():
                tally.reject(str(entry), ImportFileError(f"{entry.name} is not in a person's folder"))
                continue
            photos = _photos(entry, tally)
            person_id = people_csv.normalize(entry.name)
            if person_id in found:
                tally.reject(str(entry), ImportFileError(f"another folder has the name {person_id!r} too"))
            elif photos:
                found[person_id] = photos
    except OSError as error:
        raise ImportFileError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return found


def _photos(folder: Path, tally: Tally) -> list[Path]:
    photos, deeper = [], 0
    for entry in sorted(folder.iterdir()):
        if _is_ignored(entry):
            continue
        if entry.is_file():
            photos.append(entry)
        else:
            deeper += entry.is_dir()
            tally.reject(
                str(entry),
                ImportFileError(f"{entry.name} is not a file; photos belong directly in the folder"),
            )
    if not photos:
        hint = f"; import {folder} itself if its folders are the people" if deeper else ""
        tally.reject(str(folder), ImportFileError(f"it contains no photo{hint}"))
    return photos


def _is_ignored(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name.casefold() in _IGNORED
