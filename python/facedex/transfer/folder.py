"""A folder of ``<person>/<photo>`` → people registered from their photos.

The name of a folder is the person's id. Every file in it is taken for a photo, in the order of the names; files whose
name begins with a dot, and those that file managers leave, are passed over. Nothing is read outside the folder because
of a name: names are compared, never followed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ImportFileError
from ..options import OnExistingImport
from . import names as csv_names
from .report import ImportReport, Tally

if TYPE_CHECKING:
    from ..gallery import Gallery
    from ..options import FacePolicy

_LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini"}


def import_folder(
    gallery: Gallery,
    folder: Path,
    *,
    names: Path | None = None,
    on_existing: OnExistingImport = "error",
    faces: FacePolicy = "one",
    min_face: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Register the people of a folder; parameters and errors are those of `import_from`."""
    known = csv_names.read(names) if names is not None else csv_names.People()
    tally = Tally("folder", skip=on_existing == "skip")
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
    answers = gallery.register_many(
        entries,
        on_existing="error" if on_existing == "skip" else on_existing,
        faces=faces,
        min_face=min_face,
        strict=strict,
        progress=progress,
    )
    for (person_id, photos, _), answer in zip(entries, answers, strict=True):
        tally.take(person_id, str(photos[0].parent), answer)
    return tally.report(unnamed)


def _people(folder: Path, tally: Tally) -> dict[str, list[Path]]:
    """List the photos of each person; notes what is neither."""
    found: dict[str, list[Path]] = {}
    try:
        for entry in sorted(folder.iterdir()):
            if _passed_over(entry):
                continue
            if not entry.is_dir():
                tally.reject(str(entry), ImportFileError(f"{entry.name} stands in no person's folder"))
                continue
            photos = _photos(entry, tally)
            person_id = csv_names.same_name(entry.name)
            if person_id in found:
                tally.reject(str(entry), ImportFileError(f"another folder is called {person_id!r} too"))
            elif photos:
                found[person_id] = photos
    except OSError as error:
        raise ImportFileError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return found


def _photos(folder: Path, tally: Tally) -> list[Path]:
    photos, deeper = [], 0
    for entry in sorted(folder.iterdir()):
        if _passed_over(entry):
            continue
        if entry.is_file():
            photos.append(entry)
        else:
            deeper += entry.is_dir()
            tally.reject(
                str(entry), ImportFileError(f"{entry.name} is no file; photos stand in the person's own folder")
            )
    if not photos:
        hint = f"; give {folder} itself when its folders are the people" if deeper else ""
        tally.reject(str(folder), ImportFileError(f"there is no photo in it{hint}"))
    return photos


def _passed_over(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name.casefold() in _LEFT_BY_SYSTEMS
