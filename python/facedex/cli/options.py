"""The arguments and options that several commands share; the choices are those of facedex.options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ArgumentError
from ..options import FacePolicy, IndexMethod, KeptPhotos, LivenessMode, Score
from ..thresholds import parse_rule

PersonArgument = Annotated[str, typer.Argument(metavar="ID", help="The person's id: any text, your own key.")]
_FORMATS = "JPEG, PNG, WebP, BMP, GIF, TIFF, AVIF, JPEG 2000, HEIC or JPEG XL; - is standard input."

PicturesArgument = Annotated[list[Path], typer.Argument(metavar="PICTURE", help=_FORMATS)]
PictureArgument = Annotated[Path, typer.Argument(metavar="PICTURE", help=_FORMATS)]

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        "-d",
        metavar="PATH|URL",
        help="The gallery's database. Default: $FACEDEX_DB, else people.db in this folder.",
    ),
]
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        "-g",
        metavar="NAME",
        help="Which gallery of the database. Default: $FACEDEX_GALLERY, else default.",
    ),
]
PackOption = Annotated[
    str | None,
    typer.Option(
        "--pack",
        metavar="NAME|PATH",
        help="The networks to use; see 'facedex packs'. Default: those that made the gallery, else $FACEDEX_PACK, else "
        "built-in ones.",
    ),
]
ScoreOption = Annotated[
    Score | None,
    typer.Option("--score", help="How similar a face is to a person. Default: $FACEDEX_SCORE, else fused."),
]


def parse_threshold(text: str) -> str:
    """Check a threshold, which is used as it was written."""
    try:
        parse_rule(text)
    except ArgumentError as error:
        raise typer.BadParameter(str(error)) from error
    return text


ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        "-t",
        metavar="NUMBER|RATE",
        parser=parse_threshold,
        help="When a face matches: its similarity, -1 to 1, or a rate such as fmr=1e-4 or fpir=0.01. Default: "
        "$FACEDEX_THRESHOLD, else fpir=0.01 for recognize and fmr=1e-4 for verify and compare.",
    ),
]
MinFaceOption = Annotated[
    int | None,
    typer.Option(
        "--min-face", min=1, metavar="PIXELS", help="Smallest face to look for. Default: a fraction of the picture."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Write the pictures with boxes and names into this folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
FacesOption = Annotated[
    FacePolicy, typer.Option("--faces", help="Require exactly one face in a picture, or use the largest.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Reject a face that resembles another person.")]
IndexOption = Annotated[
    IndexMethod | None,
    typer.Option(
        "--index",
        help="How to search: all faces, the nearest lists, a graph, or chosen by size. Default: $FACEDEX_INDEX, else "
        "auto.",
    ),
]
PhotosOption = Annotated[
    KeptPhotos | None,
    typer.Option(
        "--photos",
        help="What to store of each picture: nothing, the face in small, or the original. Default: $FACEDEX_PHOTOS, "
        "else none.",
    ),
]
LivenessOption = Annotated[
    LivenessMode,
    typer.Option("--liveness", help="Judge whether each face is live; required: one that is not is never matched."),
]
QualityOption = Annotated[bool, typer.Option("--quality", help="Measure the quality of each face, 0 to 100.")]
AttributesOption = Annotated[
    bool, typer.Option("--attributes", help="Estimate age and gender with a network; not every pack has one.")
]

DEFAULT_DATABASE = "people.db"
