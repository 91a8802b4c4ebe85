"""Pieces of HTML: the style of a report, tables, rates, pictures. Texts are escaped; nothing is loaded from outside."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from .verification import Estimate

STYLE = """
.facedex-report { font: 14px/1.45 system-ui, sans-serif; color: #1f2937; background: #fff; max-width: 1120px; }
.facedex-report h1 { font-size: 22px; margin: 0 0 4px; }
.facedex-report h2 { font-size: 16px; margin: 28px 0 8px; }
.facedex-report p { margin: 4px 0 8px; max-width: 80ch; }
.facedex-report .about, .facedex-report .low { color: #6b7280; }
.facedex-report table { border-collapse: collapse; margin: 4px 0 12px; }
.facedex-report th, .facedex-report td { padding: 3px 14px 3px 0; text-align: right; border-bottom: 1px solid #e5e7eb; }
.facedex-report td { font-variant-numeric: tabular-nums; background: none; }
.facedex-report th { font-weight: 600; }
.facedex-report th:first-child, .facedex-report td:first-child, .facedex-report .text { text-align: left; }
.facedex-report .cards { display: flex; flex-wrap: wrap; gap: 12px; margin: 12px 0; }
.facedex-report .card { border: 1px solid #e5e7eb; border-radius: 8px; padding: 10px 14px; min-width: 140px; }
.facedex-report .card b { display: block; font-size: 20px; font-weight: 600; }
.facedex-report .plots { display: flex; flex-wrap: wrap; gap: 16px; }
.facedex-report figure { margin: 0; width: 354px; }
.facedex-report .plots figure { width: min(520px, 100%); }
.facedex-report .plots img { width: 100%; }
.facedex-report figcaption { font-size: 12px; color: #374151; overflow-wrap: anywhere; }
.facedex-report .pairs { display: flex; flex-wrap: wrap; gap: 14px 18px; }
.facedex-report .pairs figure { width: 248px; }
.facedex-report .pairs .several { width: auto; max-width: 480px; }
.facedex-report .pairs img { width: 112px; height: 112px; border-radius: 6px; margin: 0 4px 4px 0; object-fit: cover; }
.facedex-report ul.notes { padding-left: 18px; max-width: 90ch; }
"""

TERMS = (
    "FMR: share of comparisons of different people that match. FNMR: share of comparisons of one person that do not. "
    "FPIR: share of searches for people who are not in the gallery that return somebody. FNIR: share of searches for "
    "people in the gallery who are not returned first, at or above the threshold. FTE, FTA: people and pictures "
    "without a usable face; they are not in the other rates. GFRR: FNMR with failures as misses (ISO/IEC 19795-1). "
    "APCER: share of attacks that pass as live; BPCER: share of live people who do not (ISO/IEC 30107-3). In brackets: "
    "limits at 95 %, from people drawn again and again; for FTE, FTA and liveness as if trials were independent."
)


def page(title: str, body: str) -> str:
    """Return a whole HTML document."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>body {{ margin: 24px; background: #fff; }}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def image(jpeg: bytes | None, name: str) -> str:
    """Return a picture as a data address; nothing where there is none."""
    if jpeg is None:
        return ""
    return f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode("ascii")}">'


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, text: int | None = None) -> str:
    """Return an HTML table; the first column, and that number `text`, are texts, the others figures."""
    texts = ' class="text"'

    def cells(tag: str, values: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{texts if place == text else ''}>{escape(value)}</{tag}>" for place, value in enumerate(values)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><thead><tr>{cells('th', columns)}</tr></thead><tbody>{body}</tbody></table>"


def percent(value: float) -> str:
    """Write a rate with as many decimals as its size needs.

    Examples
    --------
    >>> percent(0.123456), percent(0.00012), percent(0.0)
    ('12.3%', '0.012%', '0%')
    """
    if value == 0:
        return "0%"
    return f"{100 * value:.3g}%" if value < 0.1 else f"{value:.1%}"


def rate(estimate: Estimate) -> str:
    """Write a rate with its limits.

    Examples
    --------
    >>> rate(Estimate(0.0409, 0.03, 0.0526, 1320))
    '4.09% (3% to 5.26%)'
    """
    return f"{percent(estimate.value)} ({percent(estimate.low)} to {percent(estimate.high)})"
