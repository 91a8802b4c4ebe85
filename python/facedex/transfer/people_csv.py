"""A CSV file of people → name, e-mail and free info of each.

UTF-8 with or without a byte order mark; the separator is a comma, semicolon or tab, whichever is most frequent in the
first line. The first line names the columns: id, name, e-mail; every other column is free info. A file without a column
of ids is refused, and so is a line without an id, with an earlier one, or with more cells than the first line.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import FacedexError, ImportFileError

ID_COLUMNS = ("id", "folder", "person_id", "person", "user_id", "class_id", "nik", "key")
"""Accepted names of the column of ids."""

NAME_COLUMNS = ("name", "full_name", "nama")
"""Accepted names of the column of names."""

EMAIL_COLUMNS = ("email", "e-mail", "mail")
"""Accepted names of the column of e-mail addresses."""

MAX_BYTES = 64 << 20
"""Largest file that is read, bytes."""


@dataclass(slots=True)
class People:
    """The content of a file.

    Attributes
    ----------
    details : dict of str to dict
        By id: name, email, info.
    refused : list of (str, FacedexError)
        Rejected lines, and why.
    """

    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: list[tuple[str, FacedexError]] = field(default_factory=list)


def normalize(text: str) -> str:
    """Return a name in Unicode's normal form C, because some file systems use another form."""
    return unicodedata.normalize("NFC", text)


def read(path: Path) -> People:
    """Read a file of people.

    Raises
    ------
    ImportFileError
        When it cannot be read, is not a CSV in UTF-8, or has no column of ids.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ImportFileError(f"{path} has {path.stat().st_size} bytes; the limit for a CSV is {MAX_BYTES}")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ImportFileError(f"{path} is not in UTF-8 (byte {error.start}); save it as 'CSV UTF-8'") from error
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    people = People()
    try:
        columns = [cell.strip() for cell in next(lines, [])]
        place = _column(columns, ID_COLUMNS)
        if place is None:
            raise ImportFileError(
                f"{path} has no column of ids: its first line is {head[:80].strip()!r}, and one column must be named "
                f"{', '.join(ID_COLUMNS)}"
            )
        for cells in lines:
            if any(cell.strip() for cell in cells):
                _add_line(people, columns, place, cells, f"{path}, line {lines.line_num}")
    except csv.Error as error:
        raise ImportFileError(f"{path} is not a CSV: line {lines.line_num}: {error}") from error
    return people


def _add_line(people: People, columns: list[str], place: int, cells: list[str], where: str) -> None:
    person_id = normalize(cells[place].strip()) if place < len(cells) else ""
    reason = None
    if len(cells) > len(columns):
        reason = f"it has {len(cells)} cells, the first line has {len(columns)}"
    elif not person_id:
        reason = "it has no id"
    elif person_id in people.details:
        reason = f"an earlier line has the id {person_id!r}"
    if reason is not None:
        people.refused.append((where, ImportFileError(f"the line is rejected: {reason}")))
        return
    special = {place}
    details: dict[str, Any] = {}
    for called, accepted in (("name", NAME_COLUMNS), ("email", EMAIL_COLUMNS)):
        column = _column(columns, accepted)
        if column is not None:
            special.add(column)
            details[called] = cells[column].strip() or None if column < len(cells) else None
    details["info"] = {
        columns[column]: cell.strip()
        for column, cell in enumerate(cells)
        if column not in special and columns[column] and cell.strip()
    } or None
    people.details[person_id] = details


def _column(columns: list[str], accepted: tuple[str, ...]) -> int | None:
    plain = [column.casefold().replace(" ", "_") for column in columns]
    return next((plain.index(name) for name in accepted if name in plain), None)
