"""The verbs that look at pictures: recognize, verify, compare, detect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..errors import BBox, FacedexError
from . import documents
from .opening import OutFolder, engine_of, gallery_at
from .options import (
    AttributesOption,
    DatabaseOption,
    FacePolicy,
    FacesOption,
    GalleryOption,
    IndexOption,
    JsonOption,
    Liveness,
    LivenessOption,
    MinFaceOption,
    OutOption,
    PackOption,
    PersonArgument,
    PictureArgument,
    PicturesArgument,
    QualityOption,
    SearchIndex,
    ThresholdOption,
)
from .output import FAILED, NO, answering, complain, counted, document, say, table

if TYPE_CHECKING:
    from .._core import Liveness as LivenessResult
    from ..results import Analysis, Comparison, FoundFace, Recognition, Verification

_Result = TypeVar("_Result", "Analysis", "Recognition")


def recognize(
    pictures: PicturesArgument,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    threshold: ThresholdOption = None,
    k: Annotated[int, typer.Option("--candidates", "-k", min=1, help="How many candidates to name for each face.")] = 1,
    min_face: MinFaceOption = None,
    liveness: LivenessOption = Liveness.off,
    quality: QualityOption = False,
    attributes: AttributesOption = False,
    index: IndexOption = SearchIndex.auto,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say who is in each picture: one line for each face, largest first."""
    with answering(as_json):
        folder = OutFolder(out) if out else None
        with gallery_at(db, within, pack=pack, index=index.value) as gallery:
            results = gallery.recognize_many(
                [str(picture) for picture in pictures],
                k=k,
                threshold=threshold,
                min_face=min_face,
                liveness=liveness.value,
                quality=quality,
                attributes=attributes,
            )
        _tell(pictures, results, folder, as_json, documents.recognized_picture, _show_recognition)


def detect(
    pictures: PicturesArgument,
    pack: PackOption = None,
    min_face: MinFaceOption = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the faces of each picture, without asking who they are."""
    with answering(as_json):
        folder = OutFolder(out) if out else None
        results = engine_of(pack).analyze_many([str(picture) for picture in pictures], min_face=min_face, embed=False)
        _tell(pictures, results, folder, as_json, documents.analysed_picture, _show_analysis)


def verify(
    person_id: PersonArgument,
    picture: PictureArgument,
    db: DatabaseOption = None,
    within: GalleryOption = None,
    pack: PackOption = None,
    threshold: ThresholdOption = None,
    faces: FacesOption = FacePolicy.one,
    min_face: MinFaceOption = None,
    liveness: LivenessOption = Liveness.off,
    as_json: JsonOption = False,
) -> None:
    """Say whether a picture shows the person it is claimed to show. Exit code 1: it does not."""
    with answering(as_json):
        with gallery_at(db, within, pack=pack) as gallery:
            result = gallery.verify(
                person_id,
                str(picture),
                threshold=threshold,
                faces=faces.value,
                min_face=min_face,
                liveness=liveness.value,
            )
        _decide(result, documents.verification(result), as_json)


def compare(
    a: Annotated[Path, typer.Argument(metavar="PICTURE_A", help="A picture.")],
    b: Annotated[Path, typer.Argument(metavar="PICTURE_B", help="Another picture.")],
    pack: PackOption = None,
    threshold: ThresholdOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether the largest faces of two pictures are of the same person. Exit code 1: they are not."""
    with answering(as_json):
        result = engine_of(pack).compare(str(a), str(b), threshold=threshold)
        _decide(result, documents.comparison(result), as_json)


def _decide(result: Verification | Comparison, described: dict[str, Any], as_json: bool) -> None:
    if as_json:
        document(described)
    else:
        verdict = "match" if result.match else "no match"
        live = getattr(result, "liveness", None)
        tail = "" if live is None else f", {_liveness(live)}"
        say(f"{verdict}: similarity {result.similarity:.3f}, threshold {result.threshold:.3f}{tail}")
    if not result.match:
        raise typer.Exit(NO)


def _tell(
    pictures: list[Path],
    results: list[_Result | FacedexError],
    folder: OutFolder | None,
    as_json: bool,
    describe: Callable[[str, _Result], dict[str, Any]],
    show: Callable[[list[tuple[str, _Result]]], None],
) -> None:
    """Print the result of each picture, and fail at the end when one was refused."""
    described, shown, refused = [], [], []
    for picture, result in zip(pictures, results, strict=True):
        if isinstance(result, FacedexError):
            refused.append((str(picture), result))
            described.append(documents.failed_picture(str(picture), result))
            continue
        content = describe(str(picture), result)
        if folder is not None:
            content["annotated"] = str(folder.write(picture, result.draw()))
        shown.append((str(picture), result))
        described.append(content)
    if as_json:
        document({"pictures": described})
    else:
        if shown:
            show(shown)
        for name, error in refused:
            complain(error, name)
        if folder is not None:
            say(f"{counted(len(shown), 'picture')} with boxes written to {folder.folder}")
    if refused:
        raise typer.Exit(FAILED)


def _show_recognition(results: list[tuple[str, Recognition]]) -> None:
    rows = []
    for picture, recognition in results:
        if not recognition:
            rows.append([picture, "no face", "", "", "", "", ""])
        for face in recognition:
            who = "unknown" if face.person_id is None else str(face.person_id)
            cells = [
                picture,
                who,
                face.name or "",
                f"{face.similarity:.3f}",
                f"{face.threshold:.3f}",
                _corners(face.bbox),
                _told(face),
            ]
            rows.append(cells)
            for candidate in face.candidates if len(face.candidates) > 1 else ():
                rows.append(
                    ["", f"  {candidate.person_id}?", candidate.name or "", f"{candidate.similarity:.3f}", "", "", ""]
                )
    columns = ["picture", "person", "name", "similarity", "threshold", "box", "face"]
    if not any(row[-1] for row in rows):  # nothing else was asked
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    table(columns, rows, right="similarity,threshold")


def _show_analysis(results: list[tuple[str, Analysis]]) -> None:
    rows = []
    for picture, analysis in results:
        if not analysis:
            rows.append([picture, "no face", ""])
        for face in analysis:
            x1, y1, x2, y2 = (float(value) for value in face.bbox)
            rows.append([picture, _corners((x1, y1, x2, y2)), f"{face.det_score:.3f}"])
    table(["picture", "box", "score"], rows, right="score")


def _told(face: FoundFace) -> str:
    """Say what else was asked of a face."""
    told = []
    if face.liveness is not None:
        told.append(_liveness(face.liveness))
    if face.quality is not None:
        told.append(f"quality {face.quality.unified_score:.0f}")
    if face.attributes is not None:
        told.append(f"{face.attributes.gender}, about {face.attributes.age:.0f}")
    return "; ".join(told)


def _liveness(judged: LivenessResult) -> str:
    if judged.score is None:
        return f"liveness {judged.status}: {judged.reason}"
    return f"{judged.status} {judged.score:.3f}"


def _corners(bbox: BBox) -> str:
    return ", ".join(str(round(value)) for value in bbox)
