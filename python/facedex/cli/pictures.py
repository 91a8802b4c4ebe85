"""The commands that look at pictures: recognize, verify, compare, detect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ..errors import FacedexError
from .documents import to_json
from .opening import OutFolder, Target, command, read_pictures
from .options import (
    AttributesOption,
    FacesOption,
    IndexOption,
    LivenessOption,
    MinFaceOption,
    OutOption,
    PackOption,
    PersonArgument,
    PictureArgument,
    PicturesArgument,
    QualityOption,
    ScoreOption,
    ThresholdOption,
)
from .output import FAILED, NO, Output, format_bbox, pluralize, print_error, print_line, print_note, print_table

if TYPE_CHECKING:
    from .._core import Face, Liveness
    from ..results import Analysis, Comparison, FoundFace, Recognition, Verification

_Result = TypeVar("_Result", "Analysis", "Recognition")


@command
def recognize(
    target: Target,
    pictures: PicturesArgument,
    threshold: ThresholdOption = None,
    k: Annotated[int, typer.Option("--candidates", "-k", min=1, help="How many candidates to name for each face.")] = 1,
    min_face: MinFaceOption = None,
    liveness: LivenessOption = "off",
    quality: QualityOption = False,
    attributes: AttributesOption = False,
    index: IndexOption = None,
    score: ScoreOption = None,
    out: OutOption = None,
) -> Output:
    """Recognize who is in each picture: one line for each face, largest first."""
    folder = OutFolder(out) if out else None
    given = read_pictures(pictures)
    with target.open(index=index, score=score) as gallery:
        results = gallery.recognize_many(
            given,
            k=k,
            threshold=threshold,
            min_face=min_face,
            liveness=liveness,
            quality=quality,
            attributes=attributes,
        )
        _, faces = gallery.lookup.counts()
        note = None if faces else f"{gallery!r} is empty: no face is registered, so every face is unknown"
    return _pictures_output(pictures, results, folder, _show_recognition, note)


@command
def detect(
    pictures: PicturesArgument,
    pack: PackOption = None,
    min_face: MinFaceOption = None,
    quality: QualityOption = False,
    attributes: AttributesOption = False,
    out: OutOption = None,
) -> Output:
    """Find the faces in each picture, without recognizing them."""
    from ..engine import Engine

    folder = OutFolder(out) if out else None
    results = Engine(pack).analyze_many(
        read_pictures(pictures), min_face=min_face, embed=False, quality=quality, attributes=attributes
    )
    return _pictures_output(pictures, results, folder, _show_analysis)


@command
def verify(
    target: Target,
    person_id: PersonArgument,
    picture: PictureArgument,
    threshold: ThresholdOption = None,
    faces: FacesOption = "one",
    min_face: MinFaceOption = None,
    liveness: LivenessOption = "off",
    quality: QualityOption = False,
    attributes: AttributesOption = False,
    score: ScoreOption = None,
) -> Output:
    """Check whether a picture shows the person it claims to show. Exit code 1: it does not."""
    (given,) = read_pictures([picture])
    with target.open(score=score) as gallery:
        result = gallery.verify(
            person_id,
            given,
            threshold=threshold,
            faces=faces,
            min_face=min_face,
            liveness=liveness,
            quality=quality,
            attributes=attributes,
        )
    return _match_output(result, _describe_face(result))


@command
def compare(
    a: Annotated[Path, typer.Argument(metavar="PICTURE_A", help="A picture; - is standard input.")],
    b: Annotated[Path, typer.Argument(metavar="PICTURE_B", help="Another picture; one may be -.")],
    pack: PackOption = None,
    threshold: ThresholdOption = None,
) -> Output:
    """Check whether the largest faces of two pictures show the same person. Exit code 1: they do not."""
    from ..engine import Engine

    first, second = read_pictures([a, b])
    return _match_output(Engine(pack).compare(first, second, threshold=threshold), "")


def _match_output(result: Verification | Comparison, about_face: str) -> Output:
    verdict = "match" if result.match else "no match"
    sentence = f"{verdict}: similarity {result.similarity:.3f}, threshold {result.threshold:.3f}"
    sentence += f", {about_face}" if about_face else ""
    return Output(result, lambda: print_line(sentence), 0 if result.match else NO)


def _pictures_output(
    pictures: list[Path],
    results: list[_Result | FacedexError],
    folder: OutFolder | None,
    show_results: Callable[[list[tuple[str, _Result]]], None],
    note: str | None = None,
) -> Output:
    """Describe the result of each picture; the exit code tells whether one was rejected."""
    described: list[dict[str, Any]] = []
    accepted: list[tuple[str, _Result]] = []
    rejected: list[tuple[str, FacedexError]] = []
    for picture, result in zip(pictures, results, strict=True):
        if isinstance(result, FacedexError):
            rejected.append((str(picture), result))
            described.append({"picture": picture, "error": result})
            continue
        accepted.append((str(picture), result))
        described.append({"picture": picture} | to_json(result))
        if folder is not None:
            described[-1]["annotated"] = folder.write(picture, result.draw())

    def show() -> None:
        if accepted:
            show_results(accepted)
        if note is not None:
            print_note(note)
        for name, error in rejected:
            print_error(error, name)
        if folder is not None:
            print_line(f"{pluralize(len(accepted), 'picture')} with boxes written to {folder.folder}")

    return Output({"pictures": described}, show, FAILED if rejected else 0)


def _show_recognition(results: list[tuple[str, Recognition]]) -> None:
    rows = []
    for picture, recognition in results:
        if not recognition:
            rows.append([picture, "no face", "", "", "", "", recognition.hint or ""])
        for face in recognition:
            person = "unknown" if face.person_id is None else str(face.person_id)
            scores = [f"{face.similarity:.3f}" if face.candidates else "", f"{face.threshold:.3f}"]
            rows.append([picture, person, face.name or "", *scores, format_bbox(face.bbox), _describe_face(face)])
            for candidate in face.candidates if len(face.candidates) > 1 else ():
                similarity = f"{candidate.similarity:.3f}"
                rows.append(["", f"  {candidate.person_id}?", candidate.name or "", similarity, "", "", ""])
    columns = ["picture", "person", "name", "similarity", "threshold", "box", "face"]
    _print_faces(columns, rows, right="similarity,threshold")


def _show_analysis(results: list[tuple[str, Analysis]]) -> None:
    rows = []
    for picture, analysis in results:
        if not analysis:
            rows.append([picture, "no face", "", analysis.hint or ""])
        for face in analysis:
            rows.append([picture, format_bbox(face.bbox.tolist()), f"{face.det_score:.3f}", _describe_face(face)])
    _print_faces(["picture", "box", "score", "face"], rows, right="score")


def _print_faces(columns: list[str], rows: list[list[str]], *, right: str) -> None:
    """Print a table, without its last column if that is empty."""
    if not any(row[-1] for row in rows):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    print_table(columns, rows, right=right)


def _describe_face(face: FoundFace | Face | Verification) -> str:
    """Describe liveness, quality and attributes, as far as they were requested."""
    parts = []
    if face.liveness is not None:
        parts.append(_describe_liveness(face.liveness))
    if face.quality is not None:
        parts.append(f"quality {face.quality.unified_score:.0f}")
    if face.attributes is not None:
        parts.append(f"{face.attributes.gender}, about {face.attributes.age:.0f}")
    return "; ".join(parts)


def _describe_liveness(liveness: Liveness) -> str:
    if liveness.score is None:
        return f"liveness {liveness.status}: {liveness.reason}"
    return f"{liveness.status} {liveness.score:.3f}"
