"""Reads the pictures, people and pairs of a test set.

Two formats: the shared subset, with its own `pairs.csv`, and LFW, "Labeled Faces in the Wild" (Huang et al. 2007),
with `pairs.txt` as its authors publish it: a line with the number of folds and of pairs, then for each fold that
many lines "name number number" of one person and as many "name number name number" of two.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError

SUBSET = "shared subset, not the LFW protocol"
"""Label of results on the subset: its pairs are not those of LFW, so its results are not LFW results."""

LFW = "LFW, standard protocol"
"""Label of results on LFW's own pairs."""

_MAX_NAMED = 3  # missing pictures that an error names


@dataclass(frozen=True, slots=True)
class Protocol:
    """A test set: which pictures are compared.

    Attributes
    ----------
    name : str
        Label of the results.
    pictures : tuple of pathlib.Path
        Each picture once.
    people : numpy.ndarray
        (pictures,), int64, number of the person in each picture.
    first, second : numpy.ndarray
        (pairs,), int64, the two pictures of a pair.
    same : numpy.ndarray
        (pairs,), bool, whether they show one person.
    fold : numpy.ndarray
        (pairs,), int64, number of the pair's fold.
    """

    name: str
    pictures: tuple[Path, ...]
    people: NDArray[np.int64]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Pair:
    fold: int
    same: bool
    first: Path
    second: Path


def read_subset(folder: Path) -> Protocol:
    """Read a folder of `<person>/<picture>.jpg` with its `pairs.csv`: columns fold, same, path_a, path_b.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of `pairs.csv`.

    Returns
    -------
    Protocol
        With all pictures of the folder, also those in no pair.

    Raises
    ------
    ArgumentError
        The file, a column or a picture is missing, or a line is not valid.
    """
    listing = folder / "pairs.csv"
    pairs = []
    with _require(listing).open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        absent = {"fold", "same", "path_a", "path_b"} - set(reader.fieldnames or ())
        if absent:
            raise ArgumentError(f"{listing} has no column {', '.join(sorted(absent))}")
        for row in reader:
            if row["same"] not in ("0", "1") or not (row["fold"] or "").isdigit():
                raise ArgumentError(f"{listing}, line {reader.line_num}: fold must be a number and same 0 or 1")
            pairs.append(_Pair(int(row["fold"]), row["same"] == "1", folder / row["path_a"], folder / row["path_b"]))
    return _protocol(SUBSET, pairs, sorted(folder.glob("*/*.jpg")))


def read_lfw(folder: Path) -> Protocol:
    """Read LFW as its authors publish it.

    Parameters
    ----------
    folder : pathlib.Path
        The folder of `pairs.txt`, with the pictures `<name>/<name>_0001.jpg` beside it or in a subfolder, such as
        `lfw/` or `lfw-deepfunneled/`.

    Returns
    -------
    Protocol
        With the pictures that are in a pair.

    Raises
    ------
    ArgumentError
        The file or a picture is missing, or a line is not valid.
    """
    listing = folder / "pairs.txt"
    lines = _require(listing).read_text(encoding="utf-8").splitlines()
    rows = [(number, line.split()) for number, line in enumerate(lines, start=1) if line.strip()]
    header = rows[0][1] if rows else []
    if len(header) != 2 or not all(word.isdigit() for word in header):
        raise ArgumentError(f"{listing} must begin with the number of folds and of pairs, such as '10 300'")
    folds, count = int(header[0]), int(header[1])
    if len(rows) - 1 != folds * count * 2:
        raise ArgumentError(f"{listing} announces {folds} folds of 2 × {count} pairs and has {len(rows) - 1} lines")
    root = _pictures_folder(folder, [name for _, (name, *_) in rows[1:]])

    def picture(name: str, number: str) -> Path:
        return root / name / f"{name}_{int(number):04d}.jpg"

    pairs = []
    for place, (line, words) in enumerate(rows[1:]):
        fold, index = divmod(place, 2 * count)
        same = index < count
        numbers = words[1::2] if not same else words[1:]
        if len(words) != (3 if same else 4) or not all(number.isdigit() for number in numbers):
            expected = "a name and two numbers" if same else "a name and a number, twice"
            raise ArgumentError(f"{listing}, line {line}: expected {expected}, got {' '.join(words)!r}")
        second = words[0] if same else words[2]
        pairs.append(_Pair(fold + 1, same, picture(words[0], words[1]), picture(second, words[-1])))
    return _protocol(LFW, pairs, ())


def _require(listing: Path) -> Path:
    if not listing.is_file():
        raise ArgumentError(f"{listing} is missing: the list of pairs belongs beside the pictures")
    return listing


def _pictures_folder(folder: Path, names: Sequence[str]) -> Path:
    """Find the folder, this or a subfolder, that has the folder of the first listed person."""
    name = names[0] if names else ""
    for candidate in (folder, *sorted(path for path in folder.iterdir() if path.is_dir())):
        if name and (candidate / name).is_dir():
            return candidate
    raise ArgumentError(
        f"no pictures in {folder}: neither {name}/ nor <folder>/{name}/, such as lfw-deepfunneled/{name}/"
    )


def _protocol(name: str, pairs: Sequence[_Pair], others: Iterable[Path]) -> Protocol:
    pictures = tuple(dict.fromkeys([*others, *(picture for pair in pairs for picture in (pair.first, pair.second))]))
    missing = [picture for picture in pictures if not picture.is_file()]
    if missing:
        named = ", ".join(str(picture) for picture in missing[:_MAX_NAMED])
        raise ArgumentError(f"{len(missing)} of {len(pictures)} pictures are missing: {named}{' …'[: len(missing)]}")
    number = {picture: place for place, picture in enumerate(pictures)}
    person = {folder: place for place, folder in enumerate(dict.fromkeys(picture.parent for picture in pictures))}
    return Protocol(
        name=name,
        pictures=pictures,
        people=np.array([person[picture.parent] for picture in pictures], dtype=np.int64),
        first=np.array([number[pair.first] for pair in pairs], dtype=np.int64),
        second=np.array([number[pair.second] for pair in pairs], dtype=np.int64),
        same=np.array([pair.same for pair in pairs], dtype=bool),
        fold=np.array([pair.fold for pair in pairs], dtype=np.int64),
    )
