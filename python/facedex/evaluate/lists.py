"""Reads the lists of standard protocols: ``.bin`` sets of pairs, IJB-style templates, SCface-style cameras.

- A ``.bin`` file is the pickle of a list of encoded pictures and a list of flags: pictures 2i and 2i + 1 are of one
  person or of two. It is read by `facedex.pickles`, which runs no code of it.
- IJB (Maze et al. 2018) compares templates: sets of pictures of one person. The lists are CSV files with the columns
  TEMPLATE_ID, SUBJECT_ID, FILENAME and optionally FACE_X, FACE_Y, FACE_WIDTH, FACE_HEIGHT, and a file of pairs of
  template ids.
- SCface (Grgic et al. 2011) searches surveillance pictures among mug shots. Its file names are
  ``<person>_<camera>_<distance>.jpg`` and ``<person>_frontal.jpg``; or a CSV names the columns file, person, camera and
  optionally distance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import pickles
from ..errors import BBox, ImportFileError, LabelsError, PictureSetError
from ..inputs import ImageInput
from .picture_set import FILE_COLUMNS, PERSON_COLUMNS, column_of, read_table
from .protocol import Protocol

FOLDS = 10
"""Number of parts into which the pairs of a .bin file are divided, in their order, as is usual."""

FRONTAL = ("frontal", "mugshot", "mug_shot", "enrolment", "gallery")
"""Names of the camera whose pictures are the gallery."""

_MAX_BYTES = 1 << 30
_MAX_PAIRS = 10_000_000
_NAME = re.compile(r"(?P<person>[^_]+)_(?P<camera>[A-Za-z]+\d*)(?:_(?P<distance>[^_.]+))?$")


def read_bin(path: Path) -> PairSet:
    """Read a ``.bin`` verification set.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    PairSet
        The pictures are encoded crops; the people in them are unknown.

    Raises
    ------
    PictureSetError
        The file cannot be read, or is not two lists of matching lengths.
    UnsafePickleError
        It holds anything but lists, bytes, numbers and arrays. No code of it runs.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise PictureSetError(f"{path} has {path.stat().st_size:,} bytes; the limit is {_MAX_BYTES:,}")
        loaded = pickles.read(path.read_bytes(), str(path), max_bytes=_MAX_BYTES)
    except OSError as error:
        raise PictureSetError(f"{path} cannot be read: {error.strerror}") from error
    except ImportFileError as error:
        raise PictureSetError(f"{path} is no verification set: {error}") from error
    if not isinstance(loaded, (tuple, list)) or len(loaded) != 2 or not isinstance(loaded[0], (tuple, list)):
        raise PictureSetError(f"{path} is no verification set: it must hold a list of pictures and a list of flags")
    pictures = [_to_bytes(item, path) for item in loaded[0]]
    try:
        flags = np.asarray(loaded[1]).ravel()
    except ValueError as error:  # lists of different lengths
        raise PictureSetError(f"{path} is no verification set: its flags must be true or false") from error
    if not len(flags) or len(pictures) != 2 * len(flags):
        raise PictureSetError(
            f"{path} has {len(pictures)} pictures and {len(flags)} flags; each flag is of two pictures"
        )
    if flags.dtype.kind not in "bui" or not np.isin(flags, (0, 1)).all():
        raise PictureSetError(f"{path} is no verification set: its flags must be true or false")
    count = len(flags)
    return PairSet(
        name=path.name,
        pictures=tuple(pictures),
        names=tuple(f"picture {place}" for place in range(2 * count)),
        first=np.arange(0, 2 * count, 2),
        second=np.arange(1, 2 * count, 2),
        same=flags.astype(bool),
        fold=np.arange(count) * min(FOLDS, count) // count,
        aligned=True,
    )


def _to_bytes(item: Any, path: Path) -> bytes:
    if isinstance(item, np.ndarray) and item.dtype == np.uint8:
        return item.tobytes()
    if not isinstance(item, (bytes, bytearray)):
        raise PictureSetError(f"{path} is no verification set: a picture must be bytes, got {type(item).__name__}")
    return bytes(item)


@dataclass(frozen=True, slots=True)
class PairSet:
    """Pairs of pictures that are compared, in folds.

    Attributes
    ----------
    name : str
    pictures : tuple of ImageInput
    names : tuple of str
        What each picture is called in a report.
    first, second : numpy.ndarray
        (pairs,), int64, the two pictures of a pair.
    same : numpy.ndarray
        (pairs,), bool, whether they show one person.
    fold : numpy.ndarray
        (pairs,), int64, number of the pair's fold.
    people : numpy.ndarray or None
        (pictures,), int64, number of the person in each picture; None where that is unknown.
    aligned : bool
        Whether the pictures are crops already, so that no face is looked for where the pack accepts their size.
    """

    name: str
    pictures: tuple[ImageInput, ...]
    names: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    same: NDArray[np.bool_]
    fold: NDArray[np.int64]
    people: NDArray[np.int64] | None = None
    aligned: bool = False

    @classmethod
    def of(cls, protocol: Protocol) -> PairSet:
        """Return the pairs of LFW or of the subset."""
        names = tuple(f"{path.parent.name}/{path.name}" for path in protocol.pictures)
        listed = (protocol.first, protocol.second, protocol.same, protocol.fold, protocol.people)
        return cls(protocol.name, protocol.pictures, names, *listed)


@dataclass(frozen=True, slots=True)
class TemplateSet:
    """Templates made of several pictures each, and which are compared or searched.

    Attributes
    ----------
    name : str
    pictures : tuple of pathlib.Path
        Each picture and box once.
    bboxes : tuple of (tuple of float or None)
        Where the person's face is: x1, y1, x2, y2, pixels; None is the face nearest the middle.
    ids : tuple of str
        Of the templates.
    people : tuple of str
        Whom each template shows.
    members : tuple of tuple of int
        The pictures of each template.
    pairs : tuple of (int, int)
        Templates that are compared.
    gallery, probes : tuple of int
        Templates that are enrolled, and those that are searched.
    groups : tuple of (str or None)
        A label of each probe, such as its camera.
    """

    name: str
    pictures: tuple[Path, ...]
    bboxes: tuple[BBox | None, ...]
    ids: tuple[str, ...]
    people: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[int, int], ...] = ()
    gallery: tuple[int, ...] = ()
    probes: tuple[int, ...] = ()
    groups: tuple[str | None, ...] = ()


class _Collector:
    """Collects pictures and templates."""

    def __init__(self) -> None:
        self.pictures: dict[tuple[Path, BBox | None], int] = {}
        self.templates: dict[str, tuple[str, list[int]]] = {}

    def add(self, template: str, person: str, picture: Path, bbox: BBox | None) -> None:
        number = self.pictures.setdefault((picture, bbox), len(self.pictures))
        known = self.templates.setdefault(template, (person, []))
        if known[0] != person:
            raise LabelsError(f"template {template} is of {known[0]!r} in one line and of {person!r} in another")
        if number not in known[1]:
            known[1].append(number)

    def finish(self, name: str, **compared: Any) -> TemplateSet:
        missing = [path for path, _ in self.pictures if not path.is_file()]
        if missing:
            raise PictureSetError(f"{len(missing)} of {len(self.pictures)} pictures are missing, such as {missing[0]}")
        return TemplateSet(
            name=name,
            pictures=tuple(path for path, _ in self.pictures),
            bboxes=tuple(bbox for _, bbox in self.pictures),
            ids=tuple(self.templates),
            people=tuple(person for person, _ in self.templates.values()),
            members=tuple(tuple(members) for _, members in self.templates.values()),
            **compared,
        )


def read_ijb(
    folder: Path, templates: Sequence[Path], *, pairs: Path | None = None, gallery: Sequence[Path] = ()
) -> TemplateSet:
    """Read IJB-style lists.

    Parameters
    ----------
    folder : pathlib.Path
        The pictures are named relative to it.
    templates : sequence of pathlib.Path
        CSV files with TEMPLATE_ID, SUBJECT_ID and FILENAME; with `gallery`, those of the probes.
    pairs : pathlib.Path, optional
        Two template ids a line, separated by comma or space: 1:1 comparison. A third value is ignored.
    gallery : sequence of pathlib.Path
        CSV files of the templates that are enrolled: 1:N search.

    Returns
    -------
    TemplateSet

    Raises
    ------
    LabelsError
        A list is not valid, or a pair names an unknown template.
    PictureSetError
        A picture is missing.
    """
    if pairs is None and not gallery:
        raise LabelsError("give the file of pairs for comparison, or the lists of the gallery for search")
    found = _Collector()
    enrolled = [template for path in gallery for template in _read_templates(found, folder, path)]
    searched = [template for path in templates for template in _read_templates(found, folder, path)]
    number = {template: place for place, template in enumerate(found.templates)}
    compared: dict[str, Any] = {}
    if pairs is not None:
        compared["pairs"] = tuple(_read_pairs(pairs, number))
    if gallery:
        compared["gallery"] = tuple(number[template] for template in dict.fromkeys(enrolled))
        compared["probes"] = tuple(number[template] for template in dict.fromkeys(searched))
        compared["groups"] = (None,) * len(compared["probes"])
    return found.finish(folder.name, **compared)


def _read_templates(found: _Collector, folder: Path, path: Path) -> list[str]:
    names = []
    for place, row in enumerate(read_table(path), start=2):
        try:
            template, person, file = row["template_id"], row["subject_id"], row["filename"]
            box = [row.get(f"face_{edge}", "") for edge in ("x", "y", "width", "height")]
            x, y, width, height = (float(value) for value in box) if all(box) else (0.0, 0.0, 0.0, 0.0)
        except (KeyError, ValueError) as error:
            raise LabelsError(
                f"{path}, line {place}: expected TEMPLATE_ID, SUBJECT_ID, FILENAME and numbers for the face: {error}"
            ) from error
        bbox = (x, y, x + width, y + height) if width > 0 and height > 0 else None
        found.add(template, person, folder / file, bbox)
        names.append(template)
    return names


def _read_pairs(path: Path, number: dict[str, int]) -> list[tuple[int, int]]:
    pairs = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(f"{path} cannot be read: {error}") from error
    if len(lines) > _MAX_PAIRS * 10:
        raise LabelsError(f"{path} has {len(lines):,} lines; the limit is {_MAX_PAIRS * 10:,}")
    for place, line in enumerate(lines, start=1):
        words = line.replace(",", " ").split()
        if not words:
            continue
        if len(words) < 2 or words[0] not in number or words[1] not in number:
            raise LabelsError(
                f"{path}, line {place}: expected the ids of two templates of the lists, got {line[:60]!r}"
            )
        pairs.append((number[words[0]], number[words[1]]))
    return pairs


def read_scface(folder: Path, *, cameras: Path | None = None) -> TemplateSet:
    """Read SCface-style pictures: mug shots are the gallery, each picture of a camera is a probe.

    Parameters
    ----------
    folder : pathlib.Path
        With the pictures, in subfolders too.
    cameras : pathlib.Path, optional
        A CSV file with the columns file, person, camera and optionally distance; the camera "frontal" or "mugshot"
        makes the gallery. By default the names of the files say so: ``001_frontal.jpg``, ``001_cam1_2.jpg``.

    Returns
    -------
    TemplateSet
        The group of a probe is its camera and distance.

    Raises
    ------
    LabelsError, PictureSetError
        The list is not valid, or there are no mug shots or no probes.
    """
    found = _Collector()
    enrolled, searched, groups = [], [], []
    for path, person, camera, distance in _cameras(folder, cameras):
        mugshot = camera.casefold() in FRONTAL
        template = f"{person} frontal" if mugshot else str(path)
        found.add(template, person, path, None)
        if mugshot:
            enrolled.append(template)
        else:
            searched.append(template)
            groups.append(f"{camera}, distance {distance}" if distance else camera)
    if not enrolled or not searched:
        raise PictureSetError(
            f"{folder} has {len(enrolled)} mug shots and {len(searched)} pictures of cameras; names such as "
            "001_frontal.jpg and 001_cam1_2.jpg, or a list of cameras, say which is which"
        )
    number = {template: place for place, template in enumerate(found.templates)}
    return found.finish(
        folder.name,
        gallery=tuple(number[template] for template in dict.fromkeys(enrolled)),
        probes=tuple(number[template] for template in searched),
        groups=tuple(groups),
    )


def _cameras(folder: Path, cameras: Path | None) -> list[tuple[Path, str, str, str]]:
    if cameras is None:
        found = []
        for path in sorted(folder.rglob("*")):
            match = _NAME.fullmatch(path.stem)
            if match is not None and path.is_file():
                found.append((path, match["person"], match["camera"], match["distance"] or ""))
        return found
    rows = read_table(cameras)
    file, person = column_of(rows[0], FILE_COLUMNS), column_of(rows[0], PERSON_COLUMNS)
    if file is None or person is None or "camera" not in rows[0]:
        raise LabelsError(f"{cameras} has the columns {', '.join(rows[0])}; it needs file, person and camera")
    return [(folder / row[file], row[person], row.get("camera", ""), row.get("distance", "")) for row in rows]
