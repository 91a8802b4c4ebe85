"""Draws the plots of a report with matplotlib: similarities, DET, ROC, and search by the number of people."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import PlotsUnavailableError
from .figures import IdentificationPoint
from .verification import VerificationPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MATED, IMPOSTOR, GRAY = "#1a73a8", "#c2410c", "#6b7280"
"""Colors that people with a color vision deficiency tell apart too."""

_COLORS = (MATED, "#15803d", "#7c3aed")
_SIZE = (5.2, 3.6)  # inches


@dataclass(frozen=True, slots=True)
class Plotted:
    """The figures of a report that are drawn.

    Attributes
    ----------
    pack : str
        Label of the curves.
    histogram, curve, at_threshold, identification, by_pictures
        As in `facedex.evaluate.Report`.
    """

    pack: str
    histogram: tuple[tuple[float, float, float], ...]
    curve: tuple[VerificationPoint, ...]
    at_threshold: VerificationPoint | None
    identification: tuple[IdentificationPoint, ...]
    by_pictures: tuple[IdentificationPoint, ...]


def is_available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(report: Plotted) -> dict[str, bytes]:
    """Draw the plots of a report.

    Parameters
    ----------
    report : Plotted

    Returns
    -------
    dict of str to bytes
        Title → SVG document; without those for which the report has no figures.

    Raises
    ------
    PlotsUnavailableError
        matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PlotsUnavailableError("plots need matplotlib: pip install 'facedex[plots]'") from error
    searched = [row for row in report.identification if row.wanted_fpir is not None]
    wanted: list[tuple[str, Any, Callable[[Axes, Plotted], None]]] = [
        ("Similarities", report.histogram, _similarities),
        ("DET: misses against false matches", report.curve, _det),
        ("ROC", report.curve, _roc),
        ("Misses of search (FNIR) by number of people", searched, _search_misses),
        ("False positives of search (FPIR) at the threshold in use", report.identification, _search_false_positives),
        ("Misses of search by pictures a person", report.by_pictures, _by_pictures),
    ]
    drawn = {}
    style: Any = {"font.size": 9.0, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "facedex"}
    with rc_context(style):
        for title, figures, paint in wanted:
            if not figures:
                continue
            figure = Figure(figsize=_SIZE, layout="constrained")
            axes = figure.add_subplot()
            paint(axes, report)
            axes.grid(visible=True, color="#e5e7eb", linewidth=0.6)
            axes.set_axisbelow(True)
            data = io.BytesIO()
            figure.savefig(data, format="svg", metadata={"Date": None})
            drawn[title] = data.getvalue()
    return drawn


def _similarities(axes: Axes, report: Plotted) -> None:
    low = [edge for edge, _, _ in report.histogram]
    width = low[1] - low[0] if len(low) > 1 else 0.01
    for place, label, color in ((1, "one person", MATED), (2, "different people", IMPOSTOR)):
        shares = [row[place] for row in report.histogram]
        axes.bar(low, shares, width, align="edge", color=color, alpha=0.6, label=label)
    _mark_threshold(axes, report)
    axes.set_xlabel("similarity (cosine)")
    axes.set_ylabel("share of comparisons")
    axes.legend(frameon=False)


def _mark_threshold(axes: Axes, report: Plotted) -> None:
    if report.at_threshold is not None:
        axes.axvline(report.at_threshold.threshold, color=GRAY, linewidth=1, linestyle="--", label="threshold in use")


def _det(axes: Axes, report: Plotted) -> None:
    _band(axes, report, lambda value: value)
    if any(point.fnmr.value > 0 for point in report.curve):
        axes.set_yscale("log")
    if report.at_threshold is not None and report.at_threshold.fmr.value > 0:
        point = report.at_threshold
        axes.plot(point.fmr.value, point.fnmr.value, "o", color=IMPOSTOR, label="threshold in use")
    axes.set_ylabel("FNMR")
    axes.legend(frameon=False)


def _roc(axes: Axes, report: Plotted) -> None:
    _band(axes, report, lambda value: 1 - value)
    axes.set_ylabel("1 − FNMR")
    axes.legend(frameon=False, loc="lower right")


def _band(axes: Axes, report: Plotted, shown: Callable[[float], float]) -> None:
    curve = [point for point in report.curve if point.fnmr.value > 0] or report.curve
    fmr = [point.wanted_fmr or 0.0 for point in curve]
    axes.fill_between(
        fmr,
        [shown(point.fnmr.low) for point in curve],
        [shown(point.fnmr.high) for point in curve],
        color=MATED,
        alpha=0.15,
        linewidth=0,
        label="95 %, people drawn again",
    )
    axes.plot(fmr, [shown(point.fnmr.value) for point in curve], color=MATED, label=report.pack)
    axes.set_xscale("log")
    axes.set_xlabel("FMR")


def _search_misses(axes: Axes, report: Plotted) -> None:
    rates = sorted({row.wanted_fpir for row in report.identification if row.wanted_fpir is not None}, reverse=True)
    for color, rate in zip(_COLORS, rates, strict=False):
        rows = [row for row in report.identification if row.wanted_fpir == rate]
        _line(axes, rows, color, f"at FPIR {rate:g}", lambda row: (row.fnir.value, row.fnir.low, row.fnir.high))
    axes.set_xscale("log")
    axes.set_xlabel("people in the gallery (hollow: extrapolated)")
    axes.set_ylabel("FNIR")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _search_false_positives(axes: Axes, report: Plotted) -> None:
    rows = [row for row in report.identification if row.wanted_fpir is None]
    label = "one threshold for all sizes"
    _line(axes, rows, IMPOSTOR, label, lambda row: (row.fpir.value, row.fpir.low, row.fpir.high))
    axes.axhline(0.01, color=GRAY, linewidth=1, linestyle="--", label="FPIR 1 %")
    axes.set_xscale("log")
    axes.set_xlabel("people in the gallery (hollow: extrapolated)")
    axes.set_ylabel("FPIR")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)


def _by_pictures(axes: Axes, report: Plotted) -> None:
    rows = [row for row in report.by_pictures if row.wanted_fpir is not None]
    places = [row.pictures or 0 for row in rows]
    errors = [
        [row.fnir.value - row.fnir.low for row in rows],
        [row.fnir.high - row.fnir.value for row in rows],
    ]
    axes.bar(places, [row.fnir.value for row in rows], 0.6, yerr=errors, color=MATED, alpha=0.7, ecolor=GRAY, capsize=3)
    axes.set_xticks(places)
    axes.set_xlabel(f"pictures a person, fused; {rows[0].people} people" if rows else "")
    axes.set_ylabel(f"FNIR at FPIR {rows[0].wanted_fpir:g}" if rows else "")


def _line(
    axes: Axes,
    rows: list[IdentificationPoint],
    color: str,
    label: str,
    limits: Callable[[IdentificationPoint], tuple[float, float, float]],
) -> None:
    """Draw a line by number of people; what is extrapolated is dashed and hollow."""
    people = [row.people for row in rows]
    values = [limits(row)[0] for row in rows]
    known = sum(not row.extrapolated for row in rows)
    axes.fill_between(
        people[:known],
        [limits(row)[1] for row in rows[:known]],
        [limits(row)[2] for row in rows[:known]],
        color=color,
        alpha=0.12,
        linewidth=0,
    )
    axes.plot(people[:known], values[:known], "o-", color=color, label=label, markersize=4)
    if known < len(rows):
        start = max(known - 1, 0)
        axes.plot(people[start:], values[start:], "--", color=color, linewidth=1)
        axes.plot(people[known:], values[known:], "o", color=color, markerfacecolor="white", markersize=4)
