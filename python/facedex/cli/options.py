"""The arguments and options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

PersonArgument = Annotated[str, typer.Argument(metavar="ID", help="The person's id: any text, your own key.")]
PicturesArgument = Annotated[list[Path], typer.Argument(metavar="PICTURE", help="JPEG, PNG, WebP, BMP, GIF or TIFF.")]
PictureArgument = Annotated[Path, typer.Argument(metavar="PICTURE", help="JPEG, PNG, WebP, BMP, GIF or TIFF.")]

DatabaseOption = Annotated[
    str | None,
    typer.Option(
        "--db",
        "-d",
        metavar="PATH|URL",
        help="The gallery's database. Without it $FACEDEX_DB, else people.db in this folder.",
    ),
]
GalleryOption = Annotated[
    str | None,
    typer.Option(
        "--gallery",
        "-g",
        metavar="NAME",
        help="Which gallery of the database. Without it $FACEDEX_GALLERY, else default.",
    ),
]
PackOption = Annotated[
    str | None,
    typer.Option(
        "--pack",
        metavar="NAME|PATH",
        help="The networks to use; see 'facedex packs'. Without it those that made the gallery, else built-in ones.",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option(
        "--threshold", "-t", min=-1.0, max=1.0, help="Least similarity of a match. Without it the pack's own."
    ),
]
MinFaceOption = Annotated[
    int | None,
    typer.Option(
        "--min-face", min=1, metavar="PIXELS", help="Smallest face to look for. Without it a share of the picture."
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="DIR", help="Write the pictures with boxes and names into this folder."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

DEFAULT_DATABASE = "people.db"


class FacePolicy(Enum):
    """What a picture with several faces means."""

    one = "one"
    largest = "largest"


class Liveness(Enum):
    """What to ask of a face's being live."""

    off = "off"
    advisory = "advisory"
    required = "required"


class SearchIndex(Enum):
    """How faces are searched."""

    auto = "auto"
    exact = "exact"
    ivf = "ivf"
    hnsw = "hnsw"


class Rendition(Enum):
    """What is kept of a picture."""

    none = "none"
    thumbnail = "thumbnail"
    original = "original"


class OnExisting(Enum):
    """What to do when the person is registered already."""

    error = "error"
    add = "add"
    replace = "replace"


FacesOption = Annotated[
    FacePolicy,
    typer.Option("--faces", help="A picture must show exactly one face, or its largest is taken."),
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Refuse a face that resembles a person of another id.")]
IndexOption = Annotated[
    SearchIndex,
    typer.Option("--index", help="How to search: every face, the nearest lists, a graph, or what the size asks for."),
]
PhotosOption = Annotated[
    Rendition,
    typer.Option("--photos", help="Keep of each picture nothing, the face in small, or all but its metadata."),
]
LivenessOption = Annotated[
    Liveness,
    typer.Option("--liveness", help="Judge whether each face is live; required: one that is not is nobody's."),
]
QualityOption = Annotated[bool, typer.Option("--quality", help="Tell each face's quality for recognition, 0 to 100.")]
AttributesOption = Annotated[
    bool, typer.Option("--attributes", help="Tell age and gender, as a network guesses them; not every pack has one.")
]
