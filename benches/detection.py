"""Measure what detectors find: faces of any size, turned, lit badly, covered or filling the frame, and groups.

    python benches/detection.py                                     every pack that is here, all pictures
    python benches/detection.py --pack base --people 40             a sample of the people, about a minute
    python benches/detection.py --pack my.toml --rows turned,group  some rows; a pack by the path of its manifest

The photos are those of the shared folder: the subset, one person each, is scaled, cut, turned, lit and covered
(`treatments.py`); the others are read as they are. A subject is found by a box whose middle lies within half the face's
side of the face's middle and whose side is from half to twice the face's; the side is the root of the area. `classic`
locates the face of each photo of the subset, on the photo enlarged twice; the median stands in where it finds none. Of
the other boxes, those that share more than half of their area or of the face's with the face are "second" (hair, a part
of the face); the rest, mostly other people, are "elsewhere".
Milliseconds are those of the engine on one thread, detection alone, on the pictures of the row; packs take turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from galleries import in_turns, median_ratio
from numpy.typing import NDArray
from PIL import Image
from treatments import EMBEDDED_ANGLES, UPRIGHT, FaceArea, Photo, Treatment, portrait, scaled, treatments

from facedex import Analysis, Engine, Face, packs, people

SHARED = Path(os.environ.get("FACEDEX_SHARED", Path(__file__).parents[2] / "shared")) / "assets" / "faces"

REFERENCE = "classic"
"""The pack with which the others are compared, and which locates the subjects' faces."""

SIMILARITY = 0.53
"""Least similarity of a turned photo to the upright one in `base`; other packs take their own threshold."""

BATCH = 32
"""Pictures prepared and analyzed at once."""

OTHER_ROWS = ("portraits", "large", "group", "exif", "bundled", "no face", "time")
"""Rows in addition to those of the treatments."""

PORTRAITS = 64
"""Number of everyday portraits, each of another person."""

IOU = 0.4
"""Least overlap of a box with that of a face in a picture whose faces have boxes."""

TIMED = {
    "one face, 640 × 480": people.PICTURES["ayu"][0],
    "one face, 12 megapixels": SHARED / "large" / "large_upscaled_4032x3024_exif6.jpg",
}

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """A line of the table: what one pack did with the pictures of one kind."""

    name: str
    pack: str
    figures: dict[str, float]
    weakest: str = ""


@dataclass(frozen=True)
class Requirement:
    """A figure of a row that a pack must reach (`least`) or must not exceed."""

    row: str
    figure: str
    bound: float
    least: bool = True

    def holds(self, row: Row) -> bool:
        value = row.figures[self.figure]
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{self.row}: {self.figure} {'≥' if self.least else '≤'} {self.bound:g}"


REQUIRED = {
    "base": (
        Requirement("scale", "found %", 99.9),
        Requirement("close-up", "found %", 99.5),
        Requirement("turned", "found %", 97),
        Requirement("quarter turns", "found %", 97),
        *(Requirement(f"similarity at {angle}°", "median", 0.9) for angle in EMBEDDED_ANGLES),
        *(Requirement(f"similarity at {angle}°", "same %", 95) for angle in EMBEDDED_ANGLES),
        Requirement("light × 0.1", "found %", 97),
        Requirement("light × 2", "found %", 97),
        Requirement("masked", "found %", 97),
        Requirement("portraits", "found %", 100),
        Requirement("large", "found %", 100),
        Requirement("exif", "found %", 100),
        Requirement("bundled", "found %", 100),
        Requirement("group", "found", 215),
        Requirement("group", "elsewhere", 6, least=False),
        Requirement("no face", "elsewhere", 0, least=False),
        *(Requirement(name, f"time / {REFERENCE}", 1, least=False) for name in TIMED),
    ),
    "classic": (
        Requirement("scale", "found %", 99.5),
        Requirement("portraits", "found %", 100),
        Requirement("bundled", "found %", 100),
        Requirement("no face", "elsewhere", 0, least=False),
    ),
}
"""What a pack promises, by its name."""


@dataclass
class Tally:
    """Counts over the pictures of one treatment under one pack."""

    subjects: int = 0
    found: int = 0
    second: int = 0
    elsewhere: int = 0
    images: float = 0
    seconds: float = 0
    similarities: list[float] = field(default_factory=list)
    roll_errors: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.subjects += other.subjects
        self.found += other.found
        self.second += other.second
        self.elsewhere += other.elsewhere
        self.images += other.images
        self.seconds += other.seconds

    def figures(self) -> dict[str, float]:
        figures: dict[str, float] = {
            "subjects": self.subjects,
            "found": self.found,
            "second": self.second,
            "elsewhere": self.elsewhere,
        }
        if self.subjects:
            figures["found %"] = 100 * self.found / self.subjects
        if self.images:
            figures["ms"] = 1000 * self.seconds / self.images
        return figures


class Pack:
    """An engine and its counts."""

    def __init__(self, name: str, threads: int) -> None:
        self.engine = Engine(name, threads=threads)
        self.name = self.engine.pack.name
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.upright: list[Face | None] = []
        self.embeds = self.engine.pack.dimension is not None
        self.same_person = SIMILARITY if self.name == "base" else self.engine.pack.threshold or SIMILARITY

    def analyze(self, images: Sequence[NDArray[np.uint8] | Path], tally: Tally, *, embed: bool) -> list[Analysis]:
        """Analyze pictures; an error ends the benchmark. Only the time of pure detection counts."""
        before = self.engine.stats()
        answers = []
        for answer in self.engine.analyze_many(images, embed=embed):
            if not isinstance(answer, Analysis):
                raise answer
            answers.append(answer)
        after = self.engine.stats()
        if not embed:
            tally.images += after["images"] - before["images"]
            tally.seconds += after["total_s"] - before["total_s"]
        return answers

    def rows(self) -> Iterator[Row]:
        for name, group in itertools.groupby(self.tallies.items(), key=lambda item: item[0][0]):
            parts = {treatment: tally for (_, treatment), tally in group}
            whole = Tally()
            for part in parts.values():
                whole.add(part)
            weakest = min(parts, key=lambda treatment: parts[treatment].found / max(parts[treatment].subjects, 1))
            share = 100 * parts[weakest].found / max(parts[weakest].subjects, 1)
            yield Row(name, self.name, whole.figures(), f"{weakest}: {share:.1f} %" if len(parts) > 1 else "")
        for (_, treatment), tally in self.tallies.items():
            if tally.similarities:
                values = np.array(tally.similarities)
                figures: dict[str, float] = {
                    "subjects": len(values),
                    "median": float(np.median(values)),
                    "same %": 100 * float(np.mean(values >= self.same_person)),
                }
                if tally.roll_errors:
                    figures["roll error"] = float(np.median(tally.roll_errors))
                yield Row(f"similarity at {treatment}", self.name, figures)


def boxes_of(answer: Analysis) -> Boxes:
    return np.array([face.bbox for face in answer], dtype=np.float64).reshape(-1, 4)


def face_at(area: FaceArea, answer: Analysis) -> tuple[Face | None, int, int]:
    """The face that covers an area, the number of second boxes, the number of boxes elsewhere."""
    boxes = boxes_of(answer)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    distances = np.hypot(*(middles - (area.x, area.y)).T)
    sides = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)) / area.side
    covering = np.flatnonzero((distances <= area.side / 2) & (sides >= 0.5) & (sides <= 2))
    best = covering[distances[covering].argmin()] if len(covering) else None
    square = np.array([area.x, area.y, area.x, area.y]) + area.side / 2 * np.array([-1, -1, 1, 1])
    shared = np.prod(np.maximum(np.minimum(boxes, square)[:, 2:] - np.maximum(boxes, square)[:, :2], 0), axis=1)
    inside = shared > area.side**2 * np.minimum(sides**2, 1) / 2
    second = int(np.count_nonzero(inside)) - int(best is not None and inside[best])
    return None if best is None else answer[int(best)], second, len(boxes) - second - int(best is not None)


def subset(folder: Path, people_count: int | None, most: int | None, threads: int) -> list[Photo]:
    """The photos of people spread evenly over the subset, at most so many of each, with the place of the face."""
    everybody = sorted(entry for entry in folder.iterdir() if entry.is_dir())
    count = min(people_count or len(everybody), len(everybody))
    chosen = [everybody[number * len(everybody) // count] for number in range(count)]
    images = [Image.open(path).convert("RGB") for person in chosen for path in sorted(person.glob("*.jpg"))[:most]]
    return located(images, Engine(REFERENCE, threads=threads))


def located(images: Sequence[Image.Image], engine: Engine) -> list[Photo]:
    unknown = [Photo(image, FaceArea(image.width / 2, image.height / 2, image.width, image.height)) for image in images]
    areas: list[FaceArea | None] = []
    for batch in batches(unknown):
        enlarged = [scaled(photo, 2).pixels for photo in batch]
        for photo, answer in zip(batch, engine.analyze_many(enlarged, embed=False), strict=True):
            if not isinstance(answer, Analysis):
                raise answer
            near = [FaceArea.of_box(*(face.bbox / 2)) for face in answer]
            near = [area for area in near if np.hypot(area.x - photo.face.x, area.y - photo.face.y) < area.side / 2]
            areas.append(max(near, key=lambda area: area.side, default=None))
    known = np.array([(area.x, area.y, area.width, area.height) for area in areas if area is not None])
    median = FaceArea(*np.median(known, axis=0).tolist())
    return [Photo(image, area or median) for image, area in zip(images, areas, strict=True)]


def batches(photos: Sequence[Photo]) -> Iterator[Sequence[Photo]]:
    for start in range(0, len(photos), BATCH):
        yield photos[start : start + BATCH]


def compare(tally: Tally, treatment: Treatment, upright: Face, face: Face | None) -> None:
    """Compare the face of a turned photo with that of the upright one; where it was not found, nothing is similar."""
    if face is None or face.embedding is None or upright.embedding is None:
        tally.similarities.append(-1.0)
        return
    tally.similarities.append(float(upright.embedding @ face.embedding))
    if upright.roll is not None and face.roll is not None:
        # A positive roll is clockwise; photos are turned counterclockwise.
        error = upright.roll - treatment.degrees - face.roll
        tally.roll_errors.append(abs((error + 180) % 360 - 180))


class Bench:
    """The packs, and the pictures that are shown to all of them."""

    def __init__(self, opened: Sequence[Pack], threads: int) -> None:
        self.packs = opened
        self.threads = threads

    def treat(self, photos: Sequence[Photo], wanted: Iterable[Treatment]) -> None:
        """Show every photo, treated in every way, to every pack."""
        wanted = list(wanted)
        if any(treatment.embedded for treatment in wanted):
            self._show(photos, UPRIGHT)
        for treatment in wanted:
            self._show(photos, treatment)

    def _show(self, photos: Sequence[Photo], treatment: Treatment) -> None:
        key = treatment.row, treatment.name
        with ThreadPoolExecutor(self.threads) as executor:
            done = 0
            for batch in batches(photos):
                treated = list(executor.map(treatment.apply, batch))
                for pack in self.packs:
                    self._count(pack, pack.tallies.setdefault(key, Tally()), treatment, treated, done)
                done += len(batch)
        counts = [f"{pack.name} {pack.tallies[key].found}" for pack in self.packs]
        print(f"{' '.join(key).strip()}: of {len(photos)} found by {', '.join(counts)}", file=sys.stderr)

    def _count(self, pack: Pack, tally: Tally, treatment: Treatment, treated: Sequence[Photo], first: int) -> None:
        images = [photo.pixels for photo in treated]
        answers = pack.analyze(images, tally, embed=treatment.embedded and pack.embeds)
        for number, (photo, answer) in enumerate(zip(treated, answers, strict=True), first):
            face, second, elsewhere = face_at(photo.face, answer)
            tally.add(Tally(subjects=1, found=int(face is not None), second=second, elsewhere=elsewhere))
            if treatment.embedded and pack.embeds:
                if treatment.row == UPRIGHT.row:
                    pack.upright.append(face)
                elif (upright := pack.upright[number]) is not None:
                    compare(tally, treatment, upright, face)

    def show_files(self, row: str, files: Sequence[Path], count: Callable[[Path, Boxes], Tally]) -> None:
        """Show files as they are; `count` tells what a file's boxes are worth."""
        for pack in self.packs:
            tally = pack.tallies.setdefault((row, ""), Tally())
            for path, answer in zip(files, pack.analyze(files, tally, embed=False), strict=True):
                tally.add(count(path, boxes_of(answer)))


def matched(expected: Boxes, found: Boxes) -> Tally:
    """Pair boxes by their overlap, greatest first; each has one partner at most."""
    tally = Tally(subjects=len(expected), elsewhere=len(found))
    low = np.maximum(expected[:, None, :2], found[None, :, :2])
    high = np.minimum(expected[:, None, 2:], found[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (expected, found)]
    overlaps = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    while overlaps.size and overlaps.max() >= IOU:
        row, column = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[row], overlaps[:, column] = 0, 0
        tally.found += 1
        tally.elsewhere -= 1
    return tally


def annotated(folder: Path) -> dict[Path, Boxes]:
    """The pictures of a folder whose every face has a box: (n, 4), x1, y1, x2, y2, upright pixels."""
    images = json.loads((folder / "annotations.json").read_text())["images"]
    return {folder / one["file"]: np.array(one["boxes"], dtype=np.float64) for one in images if one["complete"]}


def _annotated_faces(expected: dict[Path, Boxes], path: Path, boxes: Boxes) -> Tally:
    return matched(expected[path], boxes)


def exactly_one(_: Path, boxes: Boxes) -> Tally:
    """A picture to register: found where it has one box and no other."""
    return Tally(subjects=1, found=int(len(boxes) == 1), second=max(len(boxes) - 1, 0))


def none_at_all(_: Path, boxes: Boxes) -> Tally:
    return Tally(elsewhere=len(boxes))


def timed(names: Sequence[str], rounds: int) -> Iterator[Row]:
    """Time detection and embedding of one picture on one thread, all packs in turns, with the reference."""
    engines = {name: Engine(name, threads=1) for name in dict.fromkeys((*names, REFERENCE))}
    for row, path in TIMED.items():
        data = path.read_bytes()
        calls: dict[str, Callable[[int], object]] = {
            name: partial(_analyze, engine, data) for name, engine in engines.items()
        }
        times = in_turns(calls, rounds)
        for name in names:
            ratio = median_ratio(times[name], times[REFERENCE])
            figures = {"ms": statistics.median(times[name]), f"time / {REFERENCE}": ratio}
            yield Row(row, engines[name].pack.name, figures)


def _analyze(engine: Engine, data: bytes, _: int) -> None:
    engine.analyze(data)


def measure(arguments: argparse.Namespace) -> tuple[list[Row], list[dict[str, str | float]]]:
    """The rows of the table, and the figures of each treatment."""
    names = arguments.pack or [one.name for one in packs.list() if one.ready and "detector" in one.info.roles]
    bench = Bench([Pack(name, arguments.threads) for name in names], arguments.threads)
    wanted = [one for one in treatments(arguments.scales) if arguments.rows is None or one.row in arguments.rows]

    def is_wanted(row: str) -> bool:
        return arguments.rows is None or row in arguments.rows

    faces = arguments.faces
    if wanted:
        bench.treat(subset(faces / "lfw-subset", arguments.people, None, arguments.threads), wanted)
    if is_wanted("portraits"):
        photos = subset(faces / "lfw-subset", PORTRAITS, 1, arguments.threads)
        bench.treat(photos, [Treatment("portraits", "", portrait)])
    for row in ("large", "group"):
        if is_wanted(row):
            expected = {path: boxes for path, boxes in annotated(faces / row).items() if len(boxes)}
            bench.show_files(row, list(expected), partial(_annotated_faces, expected))
    if is_wanted("exif"):
        bench.show_files("exif", sorted((faces / "exif").glob("face_orientation_*.jpg")), exactly_one)
    if is_wanted("bundled"):
        portraits = (*people.PICTURES.values(), *people.PROBES.values(), people.STRANGERS)
        bench.show_files("bundled", list(itertools.chain(*portraits)), exactly_one)
    if is_wanted("no face"):
        bench.show_files("no face", sorted((faces / "group").glob("no_face_*")), none_at_all)
    rows = list(itertools.chain(*(pack.rows() for pack in bench.packs)))
    if is_wanted("time"):
        rows += timed(names, arguments.rounds)
    parts: list[dict[str, str | float]] = [
        {"row": row, "treatment": treatment, "pack": pack.name} | tally.figures()
        for pack in bench.packs
        for (row, treatment), tally in pack.tallies.items()
    ]
    return rows, parts


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| pictures | pack | faces | found | % | second | elsewhere | ms | |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in dict.fromkeys(row.name for row in rows):
        lines += [_line(row) for row in rows if row.name == name]
    return "\n".join(lines)


def _line(row: Row) -> str:
    figures = row.figures
    notes = [f"weakest {row.weakest}"] if row.weakest else []
    if "median" in figures:
        notes.append(f"median {figures['median']:.3f}, same person {figures['same %']:.1f} %")
    if "roll error" in figures:
        notes.append(f"roll off by {figures['roll error']:.1f}° in the median")
    if f"time / {REFERENCE}" in figures:
        notes.append(f"{figures[f'time / {REFERENCE}']:.2f} × {REFERENCE}")
    counts = [f"{figures[name]:,}" if name in figures else "" for name in ("subjects", "found")]
    share = f"{figures['found %']:.2f}" if "found %" in figures else ""
    others = [f"{figures[name]:,}" if name in figures else "" for name in ("second", "elsewhere")]
    ms = f"{figures['ms']:.1f}" if "ms" in figures else ""
    return f"| {' | '.join([row.name, row.pack, *counts, share, *others, ms, '; '.join(notes)])} |"


def verdicts(rows: Sequence[Row]) -> list[tuple[str, Requirement, float, bool]]:
    """The requirements of each pack on the measured rows: pack, requirement, value, whether it holds."""
    return [
        (row.pack, required, row.figures[required.figure], required.holds(row))
        for row in rows
        for required in REQUIRED.get(row.pack, ())
        if required.row == row.name
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", action="append", help="a pack by name or path of its manifest; may be repeated")
    parser.add_argument("--people", type=int, help="number of people of the subset, spread evenly (all 400)")
    parser.add_argument("--scales", type=int, default=24, help="number of scales from 0.25 to 6 (24)")
    parser.add_argument(
        "--rows",
        type=lambda text: text.split(","),
        help="names of rows, separated by commas; turned has the similarities",
    )
    parser.add_argument("--threads", type=int, default=2, help="threads, but for the rows of time (2)")
    parser.add_argument("--rounds", type=int, default=30, help="turns of each pack where time is measured (30)")
    parser.add_argument("--faces", type=Path, default=SHARED, help=f"folder of the pictures ({SHARED})")
    parser.add_argument("--json", type=Path, help="file for all figures, those of each treatment too")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a pack misses what it promises")
    arguments = parser.parse_args()
    known = list(dict.fromkeys((*(one.row for one in treatments(arguments.scales)), *OTHER_ROWS)))
    if unknown := set(arguments.rows or ()) - set(known):
        parser.error(f"no rows {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    rows, parts = measure(arguments)
    print(table(rows), end="\n\n")
    found = verdicts(rows)
    for pack, required, value, holds in found:
        print(f"{'met   ' if holds else 'MISSED'}  {pack:8} {value:8.3f}  {required}")
    if arguments.json:
        document = {"rows": [asdict(row) for row in rows], "treatments": parts}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(arguments.check and not all(holds for *_, holds in found))


if __name__ == "__main__":
    sys.exit(main())
