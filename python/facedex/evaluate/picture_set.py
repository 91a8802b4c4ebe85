"""A folder of ``<person>/<picture>``, with an optional ``labels.csv`` → pictures of known people, and attacks.

The name of a folder is the person. ``labels.csv`` describes pictures (a column ``file``: the path within the folder, or
the bare name) or people (a column ``person``). A column ``label`` says which pictures are presentation attacks, and
``attack_kind`` of which kind: its words before a comma, a bracket, "on", "with" or "held". Every other column with few
values divides the pictures into groups.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import LabelsError, PictureSetError
from ..inputs import ImageInput

LABELS = "labels.csv"
"""Name of the file of labels within the folder."""

FILE_COLUMNS = ("file", "picture", "path", "filename", "image")
PERSON_COLUMNS = ("person", "person_id", "id", "folder")
LABEL_COLUMNS = ("label", "liveness")
KIND_COLUMNS = ("attack_kind", "attack", "kind", "pai")
"""Accepted names of the columns."""

BONA_FIDE = ("real", "live", "genuine", "bona fide", "bona_fide", "bonafide", "true")
ATTACK = ("spoof", "attack", "fake", "false", "presentation attack")
"""Accepted values of the column of labels."""

MOST_VALUES = 20
"""A column with more different values does not divide the pictures into groups."""

_DETAIL = re.compile(r"[(,;]| with | on | held ")  # "print, a sheet held in the hand" is the kind "print"
_IGNORED = {"thumbs.db", "desktop.ini"}
_MAX_BYTES = 64 << 20
_SHOWN = 3  # names that a message lists


@dataclass(frozen=True, slots=True)
class PictureSet:
    """Pictures of known people.

    Attributes
    ----------
    name : str
        Label of the results.
    pictures : tuple of ImageInput
    names : tuple of str
        What each picture is called in a report, such as ``ayu/1.jpg``.
    people : tuple of str
        Who is in each picture.
    groups : mapping of str to tuple of (str or None)
        For each column of the labels the value of each picture; None where it has none.
    attacks : AttackSet or None
        Pictures labelled as live or as an attack.
    notes : tuple of str
        What was left out.
    """

    name: str
    pictures: tuple[ImageInput, ...]
    names: tuple[str, ...]
    people: tuple[str, ...]
    groups: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    attacks: AttackSet | None = None
    notes: tuple[str, ...] = ()

    def require_people(self) -> None:
        """Raise `PictureSetError` unless error rates can be measured: two people, and one with two pictures."""
        count = len(set(self.people))
        if count < 2:
            have = f"pictures of {count} person" if count else "no picture of a person"
            raise PictureSetError(
                f"{self.name} has {have}; error rates need at least 2 people: a folder for each, with their pictures"
            )
        if count == len(self.people):
            raise PictureSetError(
                f"{self.name} has one picture of each of {count} people; misses are measured on people with several"
            )


@dataclass(frozen=True, slots=True)
class AttackSet:
    """Pictures that are labelled as live or as a presentation attack.

    Attributes
    ----------
    pictures : tuple of ImageInput
    names : tuple of str
    kinds : tuple of (str or None)
        The kind of attack; None is live ("bona fide").
    """

    pictures: tuple[ImageInput, ...]
    names: tuple[str, ...]
    kinds: tuple[str | None, ...]


def read_folder(folder: Path, *, labels: Path | None = None) -> PictureSet:
    """Read a folder of ``<person>/<picture>``.

    Parameters
    ----------
    folder : pathlib.Path
    labels : pathlib.Path, optional
        The file of labels; by default ``labels.csv`` of the folder, if there is one.

    Returns
    -------
    PictureSet
        Every file in a person's folder is a picture, except hidden ones and CSV files. Pictures that are labelled as
        attacks are in `attacks` only.

    Raises
    ------
    PictureSetError
        The folder cannot be read or has no picture.
    LabelsError
        The file of labels is not valid, or names no picture and no person of the folder.
    """
    try:
        found = [(entry.name, path) for entry in _entries(folder) if entry.is_dir() for path in _entries(entry)]
        flat = [path for path in _entries(folder) if path.is_file() and _is_picture(path)]
        deeper = [path for _, path in found if path.is_dir()]
    except OSError as error:
        raise PictureSetError(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    pairs = [(_normalize(person), path) for person, path in found if path.is_file() and _is_picture(path)]
    notes = []
    if deeper:
        notes.append(f"{len(deeper)} folders within a person's folder were left out, such as {deeper[0]}")
    listing = labels if labels is not None else folder / LABELS
    rows = _read_rows(listing) if labels is not None or listing.is_file() else None
    everything = [path for _, path in pairs] + flat
    if not everything:
        raise PictureSetError(f"{folder} has no pictures; it needs a folder for each person, with pictures in it")
    groups: dict[str, list[str | None]] = {}
    attacks = None
    if rows is not None:
        described = _match_rows(rows, listing, folder, everything, {person for person, _ in pairs}, notes)
        people_of = {path: person for person, path in pairs}
        attacks = _read_attacks(described, folder, everything, listing)
        if attacks is not None:
            kinds = dict(zip(attacks.pictures, attacks.kinds, strict=True))
            pairs = [(person, path) for person, path in pairs if kinds.get(path) is None]
        reserved = {*FILE_COLUMNS, *PERSON_COLUMNS, *LABEL_COLUMNS, *KIND_COLUMNS}
        for column in dict.fromkeys(name for row in rows for name in row if name not in reserved):
            values = [described.get(path, {}).get(column) or None for _, path in pairs]
            if 2 <= len({value for value in values if value is not None}) <= MOST_VALUES:
                groups[column] = values
        assert people_of.keys() >= {path for _, path in pairs}
    elif flat:
        notes.append(f"{len(flat)} files beside the people's folders were left out, such as {flat[0].name}")
    return PictureSet(
        name=folder.name or str(folder),
        pictures=tuple(path for _, path in pairs),
        names=tuple(path.relative_to(folder).as_posix() for _, path in pairs),
        people=tuple(person for person, _ in pairs),
        groups={column: tuple(values) for column, values in groups.items()},
        attacks=attacks,
        notes=tuple(notes),
    )


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() not in (".csv", ".txt", ".md", ".json", ".toml") and path.name.lower() not in _IGNORED


def _normalize(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a CSV file with a first line of column names, separated by commas, semicolons or tabs.

    Returns
    -------
    list of dict
        One a line; names of columns in lower case with underscores, values stripped.

    Raises
    ------
    LabelsError
        It cannot be read, is not UTF-8 or not a CSV, or has no line.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise LabelsError(f"{path} has {path.stat().st_size:,} bytes; the limit is {_MAX_BYTES:,}")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise LabelsError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise LabelsError(f"{path} is not in UTF-8 (byte {error.start}); save it as 'CSV UTF-8'") from error
    head = text.split("\n", 1)[0]
    reader = csv.reader(text.splitlines(), delimiter=max(",;\t", key=head.count), strict=True)
    try:
        columns = [cell.strip().casefold().replace(" ", "_") for cell in next(reader, [])]
        rows = [
            {name: _normalize(cell.strip()) for name, cell in zip(columns, cells, strict=False)}
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise LabelsError(f"{path} is not a CSV: line {reader.line_num}: {error}") from error
    if not rows:
        raise LabelsError(f"{path} has no line below the names of its columns")
    return rows


def column_of(row: Mapping[str, str], accepted: Iterable[str]) -> str | None:
    """Return the first of the accepted columns that a row has."""
    return next((name for name in accepted if name in row), None)


def _read_rows(path: Path) -> list[dict[str, str]]:
    rows = read_table(path)
    if column_of(rows[0], FILE_COLUMNS) is None and column_of(rows[0], PERSON_COLUMNS) is None:
        raise LabelsError(
            f"{path} has the columns {', '.join(rows[0])}; one must be called file, with the path of a picture, or "
            "person, with the name of a folder"
        )
    return rows


def _match_rows(
    rows: list[dict[str, str]], listing: Path, folder: Path, paths: list[Path], people: set[str], notes: list[str]
) -> dict[Path, dict[str, str]]:
    """Return the labels of each picture: those of its person, then its own."""
    by_path = {_normalize(path.relative_to(folder).as_posix()): path for path in paths}
    by_name: dict[str, list[Path]] = {}
    by_person: dict[str, list[Path]] = {}
    for path in paths:
        by_name.setdefault(_normalize(path.name), []).append(path)
        by_person.setdefault(_normalize(path.parent.name), []).append(path)
    described: dict[Path, dict[str, str]] = {}
    unmatched = []
    file_column, person_column = column_of(rows[0], FILE_COLUMNS), column_of(rows[0], PERSON_COLUMNS)
    for row in sorted(rows, key=lambda row: bool(file_column and row.get(file_column))):  # pictures after people
        file, person = row.get(file_column or "", ""), row.get(person_column or "", "")
        if file:
            named = by_name.get(file, [])
            matched = [by_path[file]] if file in by_path else named if len(named) == 1 else []
        else:
            matched = by_person[person] if person in people and person in by_person else []
        if not matched:
            unmatched.append(file or person)
        for path in matched:
            described[path] = described.get(path, {}) | row
    if not described:
        shown = ", ".join(repr(name) for name in unmatched[:_SHOWN])
        raise LabelsError(
            f"{listing} names no picture and no person of {folder}: {shown}; a file is given as "
            f"{next(iter(by_path), '<person>/<picture>')!r}, a person by the name of the folder"
        )
    if unmatched:
        shown = ", ".join(repr(name) for name in unmatched[:_SHOWN])
        notes.append(f"{len(unmatched)} of {len(rows)} lines of {listing.name} name nothing in the folder: {shown}")
    return described


def _read_attacks(
    described: Mapping[Path, Mapping[str, str]], folder: Path, paths: list[Path], listing: Path
) -> AttackSet | None:
    """Return the pictures that are labelled as live or as an attack; None without such a column."""
    found: list[tuple[Path, str | None]] = []
    for path in paths:
        row = described.get(path, {})
        column = column_of(row, LABEL_COLUMNS)
        label = row[column].casefold() if column else ""
        if not label:
            continue
        if label not in (*BONA_FIDE, *ATTACK):
            raise LabelsError(
                f"{listing} labels {path.name} {label!r}; a label is 'real' for a live face or 'spoof' for an attack"
            )
        kind = None
        if label in ATTACK:
            given = row.get(column_of(row, KIND_COLUMNS) or "", "")
            kind = _DETAIL.split(given.casefold())[0].strip() or "not stated"
        found.append((path, kind))
    if not found:
        return None
    return AttackSet(
        pictures=tuple(path for path, _ in found),
        names=tuple(path.relative_to(folder).as_posix() for path, _ in found),
        kinds=tuple(kind for _, kind in found),
    )
