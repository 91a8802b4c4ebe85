"""Formats measurements as a table or as a JSON document."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from .measure import Measurement, OperatingPoint
from .open_set import OpenSetRow
from .protocol import Protocol
from .rates import Rate
from .templates import FPIR, TemplateRow

_PIPE_WIDTH = 200  # characters, without a terminal
_MAX_NAMED = 10  # failures that the table names

NOTE = (
    "In brackets: limits at 95 % (Wilson; the rule of three where no error was seen), as if the comparisons were "
    "independent. Those that share a picture or a person are not, so that the truth may lie further off."
)


def document(protocol: Protocol, measured: Mapping[str, Measurement], pack: str) -> dict[str, Any]:
    """Return measurements as a JSON document.

    Parameters
    ----------
    protocol : Protocol
        The test set.
    measured : mapping of str to Measurement
        By the name of the variant.
    pack : str
        Name of the pack.

    Returns
    -------
    dict
        Rates as 0 to 1 with ``errors``, ``trials`` and ``limits_95``; thresholds as cosines, inclusive.
    """
    return {
        "protocol": protocol.name,
        "pack": pack,
        "pairs": {"mated": int(protocol.same.sum()), "impostor": int((~protocol.same).sum())},
        "variants": {name: _measurement(measurement) for name, measurement in measured.items()},
    }


def _measurement(measurement: Measurement) -> dict[str, Any]:
    folds = measurement.by_folds
    return {
        "pictures": measurement.pictures,
        "people": measurement.people,
        "failures_to_enrol": [
            {"picture": f"{path.parent.name}/{path.name}", "reason": why} for path, why in measurement.failures
        ],
        "accuracy": {
            "mean": folds.mean,
            "standard_error": folds.standard_error,
            "folds": list(folds.folds),
            "thresholds": list(folds.thresholds),
        },
        "protocol_pairs": [
            {"far": point.wanted, "tar": 1 - point.fnmr.value, **_point(point)} for point in measurement.pairs
        ],
        "all_pairs": [_point(point) for point in measurement.crossed],
        "impostor_mean": measurement.impostor_mean,
        "impostor_std": measurement.impostor_std,
        "impostor_pairs": measurement.impostor_pairs,
        "seconds": measurement.seconds,
        "ms_per_picture": 1e3 * measurement.seconds / measurement.pictures,
        "threads": measurement.threads,
    }


def _point(point: OperatingPoint) -> dict[str, Any]:
    return {
        "wanted_fmr": point.wanted,
        "threshold": point.threshold,
        "fmr": _rate(point.fmr),
        "fnmr": _rate(point.fnmr),
    }


def _rate(rate: Rate) -> dict[str, Any]:
    return {"rate": rate.value, "errors": rate.errors, "trials": rate.trials, "limits_95": list(rate.limits)}


def show(console: Console, protocol: Protocol, measured: Mapping[str, Measurement], pack: str) -> None:
    """Print a table with a column for each variant.

    Parameters
    ----------
    console : rich.console.Console
        The output.
    protocol, measured, pack
        As for `document`.
    """
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=f"{pack}: {protocol.name}", title_justify="left")
    table.add_column("")
    for name in measured:
        table.add_column(name)
    columns = [dict(_cells(measurement)) for measurement in measured.values()]
    for row in columns[0]:
        table.add_row(row, *(column[row] for column in columns))
    console.print(table)
    for name, measurement in measured.items():
        for path, why in measurement.failures[:_MAX_NAMED]:
            console.print(f"{name}, not enrolled: {path.parent.name}/{path.name}: {why}")
        if len(measurement.failures) > _MAX_NAMED:
            console.print(f"{name}, not enrolled: {len(measurement.failures) - _MAX_NAMED} more")
    console.print(NOTE)


def show_open_set(console: Console, rows: Sequence[OpenSetRow], protocol: Protocol, pack: str, flat: float) -> None:
    """Print the expected and the observed rate of galleries of each size.

    Parameters
    ----------
    console : rich.console.Console
        The output.
    rows : sequence of OpenSetRow
    protocol : Protocol
    pack : str
    flat : float
        The threshold of the column for comparison.
    """
    title = f"{pack}: share of unknown people who match somebody; {protocol.name}"
    table = Table(box=SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("pictures a person", justify="right")
    for name in ("people", "threshold", "expected", "interval", "observed", "inside", "of the splits", f"at {flat:g}"):
        table.add_column(name, justify="right")
    for row in rows:
        cells = [f"{row.pictures}", f"{row.people}", f"{row.threshold:.4f}", f"{row.expected:.2%}"]
        cells += [f"{row.low:.2%} to {row.high:.2%}", f"{row.observed:.2%}", "yes" if row.holds else "no"]
        table.add_row(*cells, f"{row.inside:.0%}", f"{row.flat:.2%}")
    console.print(table)
    console.print(
        "Means over random splits of the people: half of them for the tail, of the others some registered and the rest "
        "unknown. Last column: the pack's own threshold, whatever the number of people."
    )


def show_templates(console: Console, rows: Sequence[TemplateRow], protocol: Protocol, pack: str) -> None:
    """Print the error rate of search by the number of pictures a person and the way to score the person.

    Parameters
    ----------
    console : rich.console.Console
        The output.
    rows : sequence of TemplateRow
        From one picture a person up.
    protocol : Protocol
    pack : str
    """
    first = rows[0]
    title = f"{pack}: FNIR at FPIR {FPIR:.0%} among {first.people} people; {protocol.name}"
    console.print(title)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("pictures a person", *first.fnir):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(f"{row.pictures}", *(f"{rate:.1%}" for rate in row.fnir.values()))
    console.print(table)
    console.print(
        f"Means over random galleries: one search for each person, {first.unknown} for others. Each rate has its own "
        "threshold. A gallery's default is fused; weighting by quality is for comparison."
    )


def console() -> Console:
    """Open the console on standard output; rows are not wrapped in a file or pipe."""
    terminal = Console(highlight=False, markup=False)
    return terminal if terminal.is_terminal else Console(highlight=False, markup=False, width=_PIPE_WIDTH)


def _cells(measurement: Measurement) -> list[tuple[str, str]]:
    folds = measurement.by_folds
    thresholds = f"{min(folds.thresholds):.3f} to {max(folds.thresholds):.3f}"
    cells = [
        ("people, pictures", f"{measurement.people:,}, {measurement.pictures:,}"),
        ("failures to enrol", _format_rate(Rate(len(measurement.failures), measurement.pictures))),
        (
            f"accuracy, {len(folds.folds)} folds",
            f"{folds.mean:.2%} ± {folds.standard_error:.2%} of {folds.correct.trials:,} pairs",
        ),
        ("  at thresholds from the other folds", thresholds),
    ]
    for point in measurement.pairs:
        reached = Rate(point.fnmr.trials - point.fnmr.errors, point.fnmr.trials)
        cells.append((f"TAR at FAR {point.wanted:.0e}, protocol's pairs", _format_rate(reached)))
    for point in measurement.crossed:
        cells.append((f"FNMR at FMR {point.wanted:.0e}, all pairs", _format_rate(point.fnmr)))
        matches = f"{point.fmr.errors:,} of {point.fmr.trials:,} impostor pairs match"
        cells.append(
            (f"  threshold for FMR {point.wanted:.0e}", f"cosine {round_up(point.threshold, 4):.4f}, {matches}")
        )
    spread = f"{measurement.impostor_mean:.4f} ± {measurement.impostor_std:.4f}"
    cells.append(("cosine of different people", f"{spread}, {measurement.impostor_pairs:,} pairs"))
    milliseconds = 1e3 * measurement.seconds / measurement.pictures
    cells.append(("time a picture", f"{milliseconds:.1f} ms by the clock, {measurement.threads} threads"))
    return cells


def _format_rate(rate: Rate) -> str:
    low, high = rate.limits
    return f"{rate.value:.2%} ({low:.2%} to {high:.2%}), {rate.errors:,} of {rate.trials:,}"


def round_up(threshold: float, digits: int) -> float:
    """Round a threshold up, so that its false match rate does not rise.

    Examples
    --------
    >>> round_up(0.92512, 3), round_up(0.925, 3)
    (0.926, 0.925)
    """
    step = 10**digits
    return float(math.ceil(round(threshold * step, 6)) / step)
