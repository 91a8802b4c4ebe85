"""The results of an evaluation: one frozen `Report`, which derives tables, JSON, CSV and HTML from the same fields.

Terms are those of ISO/IEC 19795-1 (FMR, FNMR, FPIR, FNIR, FTE, GFRR) and ISO/IEC 30107-3 (APCER, BPCER). A similarity
is a cosine, −1 to 1, higher is closer; a threshold is inclusive. Rates are 0 to 1.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from ..checks import check_path
from ..errors import ArgumentError
from ..files import write_atomically
from ..plain import record_to_dict
from . import plots
from .figures import AttackRate, Failure, IdentificationPoint, PicturePair, RankPoint, Slice, Suspect
from .html import STYLE, TERMS, image, page, percent, rate, table
from .verification import Estimate, VerificationPoint


@dataclass(frozen=True, slots=True)
class Report:
    """The results of an evaluation.

    A notebook shows it with tables, pictures and, where matplotlib is installed, plots.

    Attributes
    ----------
    name : str
        What was evaluated: the folder, the protocol or the gallery.
    pack, pack_digest : str
        The networks.
    version : str
        Of facedex.
    created_at : datetime
        UTC.
    people, pictures : int
        Their numbers.
    failures : tuple of Failure
        Pictures without a usable face.
    fte : Estimate or None
        Failure to enrol: the share of people without a usable picture.
    fta : Estimate or None
        Failure to acquire: the share of pictures without a usable face.
    points : tuple of VerificationPoint
        1:1 comparison at several false match rates; failures are left out.
    at_threshold : VerificationPoint or None
        The same at the threshold of the pack or the gallery.
    gfrr : float or None
        Generalised false reject rate there: misses and failures to acquire together.
    curve : tuple of VerificationPoint
        The ROC and DET curves.
    identification : tuple of IdentificationPoint
        1:N search with one picture a person, or as registered.
    by_pictures : tuple of IdentificationPoint
        The same for one, two, three, ... pictures a person, on the same probes.
    ranks : tuple of RankPoint
    slices : tuple of Slice
        By quality and by each column of the labels, at `slice_threshold`.
    slice_threshold : float or None
    confusions, misses : tuple of PicturePair
        The closest pictures of different people; the farthest of one person.
    suspects : tuple of Suspect
        Data that may be wrong.
    attacks : tuple of AttackRate
        Liveness, the live people first.
    correct : Estimate or None
        Of a protocol with folds: the share of right decisions at the threshold of the other folds; its limits are
        two standard errors.
    histogram : tuple of (float, float, float)
        Lower edge of a range of similarities, and the shares of mated and of impostor comparisons in it.
    ms_per_picture : float or None
        Wall time of detection, quality and embedding; None when all were in the cache.
    threads : int
    notes : tuple of str
        Warnings: what was left out, what is extrapolated, what the data cannot show.
    """

    name: str
    pack: str
    pack_digest: str
    version: str
    created_at: datetime
    people: int
    pictures: int
    failures: tuple[Failure, ...] = ()
    fte: Estimate | None = None
    fta: Estimate | None = None
    points: tuple[VerificationPoint, ...] = ()
    at_threshold: VerificationPoint | None = None
    gfrr: float | None = None
    curve: tuple[VerificationPoint, ...] = ()
    identification: tuple[IdentificationPoint, ...] = ()
    by_pictures: tuple[IdentificationPoint, ...] = ()
    ranks: tuple[RankPoint, ...] = ()
    slices: tuple[Slice, ...] = ()
    slice_threshold: float | None = None
    confusions: tuple[PicturePair, ...] = ()
    misses: tuple[PicturePair, ...] = ()
    suspects: tuple[Suspect, ...] = ()
    attacks: tuple[AttackRate, ...] = ()
    correct: Estimate | None = None
    histogram: tuple[tuple[float, float, float], ...] = ()
    ms_per_picture: float | None = None
    threads: int = 0
    notes: tuple[str, ...] = ()

    to_dict = record_to_dict

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)

    def to_csv(self) -> str:
        """Return every rate as a line of a CSV document: table, item, measure, value, low, high, trials, threshold."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("table", "item", "measure", "value", "low", "high", "trials", "threshold"))
        for part, item, measure, estimate, threshold in self._rates():
            values = (estimate.value, estimate.low, estimate.high, estimate.trials)
            writer.writerow((part, item, measure, *values, "" if threshold is None else threshold))
        return text.getvalue()

    def to_html(self) -> str:
        """Return the report as one self-contained HTML document with plots and pictures.

        Raises
        ------
        PlotsUnavailableError
            matplotlib is not installed: ``pip install 'facedex[plots]'``.
        """
        return page(f"{self.name}: {self.pack}", _body(self, _draw(self)))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the report to a file: ``.html``, ``.json`` or ``.csv``.

        Returns
        -------
        pathlib.Path

        Raises
        ------
        ArgumentError
            Another ending.
        PlotsUnavailableError
            As `to_html`.
        OSError
            The file cannot be written.
        """
        target = Path(check_path("path", path))
        formats = {".html": self.to_html, ".json": self.to_json, ".csv": self.to_csv}
        if target.suffix.lower() not in formats:
            raise ArgumentError(f"a report is written as .html, .json or .csv, got {target.name!r}")
        write_atomically(target, [formats[target.suffix.lower()]().encode("utf-8")])
        return target

    def _repr_html_(self) -> str:
        return _body(self, _draw(self) if plots.is_available() else {})

    def __repr__(self) -> str:
        counts = f"{self.people} people, {self.pictures} pictures"
        return f"Report({self.name}, pack {self.pack!r}: {counts}, {len(self.notes)} notes)"

    def _rates(self) -> Iterator[tuple[str, str, str, Estimate, float | None]]:
        """Yield every rate: table, item, measure, the rate, and the threshold."""
        for measure, estimate in (("fte", self.fte), ("fta", self.fta), ("correct", self.correct)):
            if estimate is not None:
                yield "failures" if measure != "correct" else "protocol", "all", measure, estimate, None
        named: list[tuple[str, VerificationPoint]] = [
            ("threshold in use", point) for point in (self.at_threshold,) if point is not None
        ]
        named += [(f"fmr {point.wanted_fmr:g}", point) for point in self.points]
        for item, point in named:
            yield "verification", item, "fmr", point.fmr, point.threshold
            yield "verification", item, "fnmr", point.fnmr, point.threshold
        for point in self.curve:
            yield "curve", f"fmr {point.wanted_fmr:.3g}", "fnmr", point.fnmr, point.threshold
        for name, rows in (("identification", self.identification), ("by_pictures", self.by_pictures)):
            for row in rows:
                item = f"{row.people} people" + ("" if row.pictures is None else f", {row.pictures} pictures")
                item += "" if row.wanted_fpir is None else f", fpir {row.wanted_fpir:g}"
                item += ", extrapolated" if row.extrapolated else ""
                yield name, item, "fpir", row.fpir, row.threshold
                yield name, item, "fnir", row.fnir, row.threshold
        for rank in self.ranks:
            group = "" if rank.group is None else f", {rank.group}"
            yield "ranks", f"{rank.people} people, rank {rank.rank}{group}", "hits", rank.hits, None
        for part in self.slices:
            for measure, estimate in (("fmr", part.fmr), ("fnmr", part.fnmr)):
                if estimate is not None:
                    yield part.column, part.value, measure, estimate, self.slice_threshold
        for attack in self.attacks:
            measure = "bpcer" if attack.kind is None else "apcer"
            yield "liveness", attack.kind or "bona fide", measure, attack.error, None


def _body(report: Report, drawn: dict[str, bytes]) -> str:
    parts = [
        f"<style>{STYLE}</style>",
        f"<h1>{escape(report.name)}</h1>",
        f'<p class="about">pack {escape(report.pack)} ({escape(report.pack_digest[:12])}), facedex '
        f"{escape(report.version)}, {report.created_at:%Y-%m-%d %H:%M} UTC</p>",
        _cards(report),
        _notes(report),
        _plots(drawn),
        _verification(report),
        _identification(report),
        _slices(report),
        _attacks(report),
        _pairs("Worst confusions", "The closest pictures of different people, once for two people.", report.confusions),
        _pairs("Worst misses", "The farthest pictures of one person, once for each person.", report.misses),
        _suspects(report),
        _failures(report),
        f'<h2>Terms</h2><p class="low">{escape(TERMS)}</p>',
    ]
    return f'<div class="facedex-report">{"".join(parts)}</div>'


def _cards(report: Report) -> str:
    cards = [("people", f"{report.people:,}")] if report.people else []
    cards.append(("pictures", f"{report.pictures:,}"))
    if report.correct is not None:
        cards.append(("correct decisions, by folds", f"{report.correct.value:.2%}"))
    if report.at_threshold is not None:
        point = report.at_threshold
        cards += [
            ("threshold in use", f"{point.threshold:.3f}"),
            ("FMR there", percent(point.fmr.value)),
            ("FNMR there", percent(point.fnmr.value)),
        ]
    largest = [row for row in report.identification if not row.extrapolated and row.wanted_fpir == 0.01]
    if largest:
        cards.append((f"FNIR at FPIR 1 %, {largest[-1].people:,} people", percent(largest[-1].fnir.value)))
    if report.ms_per_picture is not None:
        cards.append((f"a picture, {report.threads} threads", f"{report.ms_per_picture:.0f} ms"))
    inner = "".join(f'<div class="card"><b>{escape(value)}</b>{escape(label)}</div>' for label, value in cards)
    return f'<div class="cards">{inner}</div>'


def _notes(report: Report) -> str:
    if not report.notes:
        return ""
    return '<ul class="notes">' + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>"


def _plots(drawn: dict[str, bytes]) -> str:
    if not drawn:
        return ""
    figures = "".join(
        f'<figure><figcaption>{escape(title)}</figcaption><img alt="{escape(title)}" '
        f'src="data:image/svg+xml;base64,{base64.b64encode(svg).decode("ascii")}"></figure>'
        for title, svg in drawn.items()
    )
    return f'<h2>Plots</h2><div class="plots">{figures}</div>'


def _verification(report: Report) -> str:
    named: list[tuple[str, VerificationPoint]] = [(f"FMR {point.wanted_fmr:g}", point) for point in report.points]
    if report.at_threshold is not None:
        named.append(("threshold in use", report.at_threshold))
    if not named:
        return ""
    rows = [
        [name, f"{point.threshold:.4f}", rate(point.fmr), rate(point.fnmr), f"{point.fmr.trials:,}"]
        for name, point in named
    ]
    text = table(["", "threshold", "FMR", "FNMR", "impostor pairs"], rows)
    if report.fte is not None and report.fta is not None:
        text += f"<p>Failure to enrol {rate(report.fte)} of people, to acquire {rate(report.fta)} of pictures"
        text += f"; GFRR at the threshold in use {percent(report.gfrr)}.</p>" if report.gfrr is not None else ".</p>"
    return f"<h2>Comparison (1:1)</h2>{text}"


def _identification(report: Report) -> str:
    parts = []
    if report.identification:
        parts.append("<h2>Search (1:N)</h2>")
        registered = report.identification[0].pictures is None
        parts.append(
            f"<p>{'Templates as registered.' if registered else 'One picture a person in the gallery.'} A row is the "
            "mean over all galleries of that size; an asterisk marks what is extrapolated beyond the people of the "
            "data.</p>"
        )
        labels = [f"{row.people:,}{'*' * row.extrapolated}" for row in report.identification]
        parts.append(_search_table(report.identification, labels, "people"))
    if report.ranks:
        ranks = sorted({row.rank for row in report.ranks})
        found = {(row.people, row.rank): rate(row.hits) for row in report.ranks if row.group is None}
        rows = [
            [f"{people:,}", *(found.get((people, rank), "") for rank in ranks)]
            for people in sorted({row.people for row in report.ranks})
        ]
        parts.append("<p>Without a threshold, the person is among the first:</p>")
        parts.append(table(["people", *map(str, ranks)], rows))
        rows = [[row.group, rate(row.hits)] for row in report.ranks if row.group is not None]
        if rows:
            parts.append(table(["probes", "first"], rows))
    if report.by_pictures:
        people = report.by_pictures[0].people
        parts.append("<h2>Search by pictures a person</h2>")
        parts.append(f"<p>Fused into one template, {people} people, the same probes in every row.</p>")
        labels = [str(row.pictures) for row in report.by_pictures]
        parts.append(_search_table(report.by_pictures, labels, "pictures"))
    return "".join(parts)


def _search_table(rows: Sequence[IdentificationPoint], labels: Sequence[str], heading: str) -> str:
    cells = [
        [
            label,
            "threshold in use" if row.wanted_fpir is None else f"FPIR {row.wanted_fpir:g}",
            f"{row.threshold:.4f}",
            rate(row.fpir),
            rate(row.fnir),
        ]
        for label, row in zip(labels, rows, strict=True)
    ]
    return table([heading, "at", "threshold", "FPIR", "FNIR"], cells)


def _slices(report: Report) -> str:
    parts = []
    for column in dict.fromkeys(part.column for part in report.slices):
        rows = [
            [
                part.value,
                f"{part.people:,}",
                f"{part.pictures:,}",
                "" if part.fmr is None else rate(part.fmr),
                "" if part.fnmr is None else rate(part.fnmr),
                part.note or "",
            ]
            for part in report.slices
            if part.column == column
        ]
        parts.append(f"<h2>By {escape(column)}</h2>")
        if column == "quality":
            parts.append("<p>Of the picture with the lower quality, 0 to 100.</p>")
        parts.append(table([column, "people", "pictures", "FMR", "FNMR", ""], rows, text=5))
    if parts and report.slice_threshold is not None:
        parts.insert(0, f"<h2>Parts of the data</h2><p>All at the threshold {report.slice_threshold:.4f}.</p>")
    return "".join(parts)


def _attacks(report: Report) -> str:
    if not report.attacks:
        return ""
    rows = [
        [
            attack.kind or "live people (bona fide)",
            "BPCER" if attack.kind is None else "APCER",
            rate(attack.error),
            f"{attack.errors} of {attack.error.trials}",
            str(attack.unjudged),
        ]
        for attack in report.attacks
    ]
    worst = max((attack.error.value for attack in report.attacks if attack.kind is not None), default=None)
    text = table(["kind", "", "rate", "errors", "not judged"], rows)
    note = "" if worst is None else f"<p>The worst kind of attack passes at a rate of {percent(worst)}.</p>"
    return f"<h2>Liveness</h2><p>A face that cannot be judged does not pass.</p>{text}{note}"


def _pairs(title: str, about: str, pairs: Iterable[PicturePair]) -> str:
    figures = "".join(
        f"<figure>{image(pair.first_jpeg, pair.first)}{image(pair.second_jpeg, pair.second)}<figcaption>"
        f"<b>{pair.similarity:.3f}</b> {escape(pair.first)} · {escape(pair.second)}</figcaption></figure>"
        for pair in pairs
    )
    return f'<h2>{title}</h2><p>{about}</p><div class="pairs">{figures}</div>' if figures else ""


def _suspects(report: Report) -> str:
    if not report.suspects:
        return ""
    figures = "".join(
        f'<figure class="several">{"".join(image(jpeg, suspect.pictures[0]) for jpeg in suspect.jpegs)}<figcaption>'
        f"<b>{escape(suspect.kind)}</b>: {escape(', '.join(suspect.pictures))} ({suspect.similarity:.2f}): "
        f"{escape(suspect.reason)}</figcaption></figure>"
        for suspect in report.suspects
    )
    about = "Suspected only: look before you change anything. They are part of all rates above."
    return f'<h2>Data that may be wrong</h2><p>{about}</p><div class="pairs">{figures}</div>'


def _failures(report: Report) -> str:
    if not report.failures:
        return ""
    rows = [[failure.picture, failure.reason] for failure in report.failures]
    return f"<h2>Failures</h2>{table(['picture', 'reason'], rows, text=1)}"


def _draw(report: Report) -> dict[str, bytes]:
    figures = plots.Plotted(
        pack=report.pack,
        histogram=report.histogram,
        curve=report.curve,
        at_threshold=report.at_threshold,
        identification=report.identification,
        by_pictures=report.by_pictures,
    )
    return plots.draw(figures)


def summarize(report: Report) -> dict[str, Any]:
    """Return the figures by which packs are put side by side.

    Returns
    -------
    dict
        fta; fnmr by false match rate; fnir at the strictest FPIR by number of people, without extrapolation.
    """
    strict = min((row.wanted_fpir for row in report.identification if row.wanted_fpir is not None), default=None)
    return {
        "fta": None if report.fta is None else report.fta.value,
        "fnmr": {f"{point.wanted_fmr:g}": point.fnmr.value for point in report.points},
        "fpir": strict,
        "fnir": {
            str(row.people): row.fnir.value
            for row in report.identification
            if row.wanted_fpir == strict and strict is not None and not row.extrapolated
        },
    }
