"""Writes databases of older versions, and checks them after an upgrade."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from killing import ViolationError
from synthetic import PINS, Opened, unit

from facedex.gallery.fsck import fsck
from facedex.store import migrate
from facedex.store.rows import checksum_of

PEOPLE = 30


def write_old_databases(folder: Path) -> list[Path]:
    """Write a database of each older version, all with the same people."""
    return [_write(folder / f"old{version}.db", version) for version in ("0001", "0002")]


def _write(path: Path, version: str) -> Path:
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)), poolclass=sa.NullPool)
    with engine.begin() as connection:
        migrate.upgrade(connection, version)
    pin = PINS[0]
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode=WAL").close()
    with database:
        head = (1, "default", "ab" * 16, pin.name, pin.digest, pin.dimension, PEOPLE, "0123456789abcdef", PEOPLE, 1)
        columns = "id, name, uuid, pack_name, pack_digest, dimension, position, token, faces, created_at"
        database.execute(f"INSERT INTO galleries ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", head)
        for number in range(1, PEOPLE + 1):
            database.execute(
                "INSERT INTO people (id, gallery_id, key, key_is_int, name, info, created_at, updated_at)"
                " VALUES (?, 1, ?, 0, ?, '{}', 1, 2)",
                (number, f"person {number}", f"Name {number}"),
            )
            database.execute(
                "INSERT INTO faces (id, person_row, x1, y1, x2, y2, det_score, created_at)"
                " VALUES (?, ?, 1.5, 2, 3, 4, 0.5, 3)",
                (number, number),
            )
            vector = unit(number, pin.dimension).tobytes()
            check = checksum_of(number, number, pin, vector)
            database.execute("INSERT INTO templates VALUES (?, ?, ?, ?)", (number, pin.digest, vector, check))
            token = "0123456789abcdef" if number == PEOPLE else "x"
            database.execute("INSERT INTO changes VALUES (1, ?, ?, 'add', ?, 1)", (number, token, number))
    database.close()
    return path


def check_upgraded(path: Path) -> None:
    """Check that a database, whose upgrade may have been killed, opens and has every person."""
    opened = Opened(path)
    try:
        people = [(one.person_id, one.name, len(one.faces)) for one in opened.store.people()]
        if people != [(f"person {number}", f"Name {number}", 1) for number in range(1, PEOPLE + 1)]:
            raise ViolationError(f"after an upgrade: {people}")
        expected = {number: f"person {number}" for number in range(1, PEOPLE + 1)}
        if opened.find(expected) != expected:
            raise ViolationError(f"after an upgrade {opened.find(expected)} was found")
    finally:
        opened.close()
    findings = fsck(path).findings
    if findings:
        raise ViolationError(f"after an upgrade fsck finds {findings}")
