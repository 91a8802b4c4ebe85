"""The results of recognizing, verifying and comparing: frozen, typed, comparable, without vectors.

In a notebook `Analysis` and `Recognition` show their picture with the boxes drawn on it. A box is x1, y1, x2, y2 in
pixels of the upright original. A similarity is a cosine in [-1, 1], higher is closer, and no probability; a threshold
is on similarity and inclusive.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from .config import settings
from .errors import ArgumentError, BBox, ImageError, ImageReadError, NoFaceError, RoleMissingError, SeveralFacesError
from .inputs import ImageInput, describe
from .options import FacePolicy
from .plain import pydantic_schema, record_to_dict, to_plain
from .records import PersonId, pluralize
from .thresholds import Decision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from ._core import Attributes, Face, Liveness, Quality
    from .draw import Mark

Point = tuple[float, float]
Landmarks = tuple[Point, Point, Point, Point, Point]

SHOWN_SIDE = 1280
"""A notebook shows a larger picture reduced to this longer side, pixels."""


class ImageSize(NamedTuple):
    """Size of the upright picture, pixels."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A registered person who resembles a face.

    Attributes
    ----------
    person_id : str or int
        The person's id as given at registration.
    name : str or None
        The person's name.
    similarity : float
        To the normalised mean of the person's embeddings, or to the closest stored faces where the gallery was opened
        so; [-1, 1], higher is closer.
    face_id : int
        The closest stored face.
    """

    person_id: PersonId
    name: str | None
    similarity: float
    face_id: int

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema


@dataclass(frozen=True, slots=True)
class FoundFace:
    """A face in a picture and who it is.

    Attributes
    ----------
    bbox : tuple of float
        x1, y1, x2, y2, pixels.
    landmarks : tuple of (float, float)
        Right eye, left eye, nose, right and left mouth corner of the subject; x, y in pixels.
    det_score : float
        The detector's score, [0, 1].
    person_id : str or int or None
        The person; None is unknown.
    name : str or None
        The person's name.
    similarity : float
        Of the closest person, also when that is below the threshold; -1 when nobody is registered.
    threshold : float
        The cut-off that was applied.
    margin : float or None
        Similarity of the closest person less that of the second; None when fewer than two people are registered.
    candidates : tuple of Candidate
        The `k` closest people, closest first, whether or not they reach the threshold; empty when nobody is
        registered.
    liveness, quality, attributes : Liveness, Quality, Attributes or None
        What else was requested. With required liveness, a face that is not live is never matched.
    source : ImageInput or None
        The picture as it was given; None when it was a stream that has been read.
    decision : Decision or None
        Where the threshold comes from, and how often an unknown face reaches it.
    """

    bbox: BBox
    landmarks: Landmarks
    det_score: float
    person_id: PersonId | None
    name: str | None
    similarity: float
    threshold: float
    margin: float | None
    candidates: tuple[Candidate, ...]
    liveness: Liveness | None = None
    quality: Quality | None = None
    attributes: Attributes | None = None
    source: ImageInput | None = field(default=None, compare=False, repr=False)
    decision: Decision | None = field(default=None, compare=False)

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    @property
    def roll(self) -> float:
        """The angle of the eye line in degrees, −180 to 180: 0 in an upright face, positive when turned clockwise."""
        (right_x, right_y), (left_x, left_y) = self.landmarks[:2]
        return math.degrees(math.atan2(left_y - right_y, left_x - right_x))

    def __repr__(self) -> str:
        who = "unknown" if self.person_id is None else repr(self.person_id)
        return f"FoundFace({who}, similarity {self.similarity:.3f}, bbox {tuple(map(round, self.bbox))})"


@dataclass(frozen=True, slots=True)
class Analysis(Sequence["Face"]):
    """The faces of one picture, largest first.

    Attributes
    ----------
    faces : tuple of Face
        Each with bbox, landmarks, det_score and, where requested, embedding.
    image_size : ImageSize
        Width and height of the upright picture.
    source : ImageInput or None
        The picture as it was given; None when it was a stream that has been read.
    hint : str or None
        Why no face may have been found: the picture is very dark, very bright, blurred or tiny; or that the
        file is cut off, where the engine is not strict, or was decoded smaller, where it reduces.
    """

    faces: tuple[Face, ...]
    image_size: ImageSize
    source: ImageInput | None = field(default=None, compare=False, repr=False)
    hint: str | None = field(default=None, compare=False)

    __get_pydantic_core_schema__ = pydantic_schema

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Face, ...]: ...
    def __getitem__(self, index: int | slice) -> Face | tuple[Face, ...]:
        return self.faces[index]

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        return f"Analysis({pluralize(len(self.faces), 'face')}{_format_source(self.source, self.image_size)})"

    def to_dict(self, *, embeddings: bool = False) -> dict[str, Any]:
        """Return the fields as plain Python that JSON can write.

        Parameters
        ----------
        embeddings : bool, default False
            Whether to include the embeddings of the faces.

        Returns
        -------
        dict
        """
        values: dict[str, Any] = to_plain(self, embeddings=embeddings)
        return values

    def draw(
        self,
        *,
        longest_side: int | None = None,
        labels: Callable[[Face], str] | None = None,
        font: str | os.PathLike[str] | None = None,
    ) -> Image:
        """Draw the faces and their ``det_score`` on a copy of the picture.

        Parameters
        ----------
        longest_side : int, optional
            A larger picture is reduced to this, pixels.
        labels : callable, optional
            Returns what to write beside a face, in place of its ``det_score``; an empty text for nothing.
        font : path, optional
            A TrueType or OpenType font for all labels; by default one that has their letters.

        Returns
        -------
        PIL.Image.Image

        Raises
        ------
        ImageError
            When the picture is gone: a file that was removed, or a stream that has been read.
        """
        from .draw import Mark

        label = labels or (lambda face: f"{face.det_score:.2f}")
        marks = [Mark(bbox_of(face.bbox), label(face), None) for face in self.faces]
        return _draw(self.source, marks, longest_side, font)

    def _repr_png_(self) -> bytes | None:
        return _render_png(self.draw)


@dataclass(frozen=True, slots=True)
class Recognition(Sequence[FoundFace]):
    """The people in one picture: a `FoundFace` for each face, largest first.

    Attributes
    ----------
    faces : tuple of FoundFace
    image_size : ImageSize
        Width and height of the upright picture.
    source : ImageInput or None
        The picture as it was given; None when it was a stream that has been read.
    elapsed_s : float
        Time of this picture, or its share of a batch, seconds.
    hint : str or None
        Why no face may have been found: the picture is very dark, very bright, blurred or tiny; or that the
        file is cut off, where the engine is not strict, or was decoded smaller, where it reduces.
    decision : Decision or None
        Where the threshold comes from, and how often an unknown face reaches it.
    """

    faces: tuple[FoundFace, ...]
    image_size: ImageSize
    source: ImageInput | None = field(default=None, compare=False, repr=False)
    elapsed_s: float = field(default=0.0, compare=False)
    hint: str | None = field(default=None, compare=False)
    decision: Decision | None = field(default=None, compare=False)

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    @overload
    def __getitem__(self, index: int) -> FoundFace: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FoundFace, ...]: ...
    def __getitem__(self, index: int | slice) -> FoundFace | tuple[FoundFace, ...]:
        return self.faces[index]

    def __len__(self) -> int:
        return len(self.faces)

    def __repr__(self) -> str:
        who = ", ".join(
            f"{'unknown' if face.person_id is None else repr(face.person_id)} {face.similarity:.3f}"
            for face in self.faces
        )
        found = f"{pluralize(len(self.faces), 'face')}{_format_source(self.source, self.image_size)}"
        return f"Recognition({found}: {who})" if who else f"Recognition({found})"

    def draw(
        self,
        *,
        longest_side: int | None = None,
        labels: Callable[[FoundFace], str] | None = None,
        unknown: bool = True,
        font: str | os.PathLike[str] | None = None,
    ) -> Image:
        """Draw the faces, their people and the similarity on a copy of the picture.

        Parameters
        ----------
        longest_side : int, optional
            A larger picture is reduced to this, pixels.
        labels : callable, optional
            Returns what to write beside a face, in place of person and similarity; an empty text for nothing.
        unknown : bool, default True
            Whether to draw unknown people, with a thin line; their labels give way to those of known people.
        font : path, optional
            A TrueType or OpenType font for all labels; by default one that has their letters.

        Returns
        -------
        PIL.Image.Image

        Raises
        ------
        ImageError
            When the picture is gone: a file that was removed, or a stream that has been read.
        """
        from .draw import Mark

        shown = [face for face in self.faces if unknown or face.person_id is not None]
        marks = [
            Mark(face.bbox, (labels or _label)(face), face.person_id is not None, face.person_id) for face in shown
        ]
        return _draw(self.source, marks, longest_side, font)

    def _repr_png_(self) -> bytes | None:
        return _render_png(self.draw)


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a picture shows the person it is claimed to show.

    Attributes
    ----------
    person_id : str or int
        The person claimed.
    match : bool
        Whether the similarity reaches the threshold and, where liveness is required, the face is live.
    similarity : float
        To the normalised mean of the person's embeddings, or to the closest stored faces where the gallery was opened
        so; [-1, 1], higher is closer.
    threshold : float
        The cut-off that was applied.
    bbox : tuple of float
        The face that was compared: x1, y1, x2, y2, pixels.
    face_id : int
        The person's closest stored face.
    liveness, quality, attributes : Liveness, Quality, Attributes or None
        What else was requested.
    decision : Decision or None
        Where the threshold comes from, and how often another person's face reaches it.
    """

    person_id: PersonId
    match: bool
    similarity: float
    threshold: float
    bbox: BBox
    face_id: int
    liveness: Liveness | None = None
    quality: Quality | None = None
    attributes: Attributes | None = None
    decision: Decision | None = field(default=None, compare=False)

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    def __repr__(self) -> str:
        verdict = "match" if self.match else "no match"
        scores = f"similarity {self.similarity:.3f}, threshold {self.threshold:.3f}"
        return f"Verification({self.person_id!r}: {verdict}, {scores})"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two pictures show the same person.

    Attributes
    ----------
    similarity : float
        [-1, 1], higher is closer.
    threshold : float
        The cut-off that was applied.
    match : bool
        Whether the similarity reaches the threshold.
    bbox_a, bbox_b : tuple of float
        The faces that were compared: x1, y1, x2, y2, pixels.
    decision : Decision or None
        Where the threshold comes from, and how often two people reach it.
    """

    similarity: float
    threshold: float
    match: bool
    bbox_a: BBox
    bbox_b: BBox
    decision: Decision | None = field(default=None, compare=False)

    to_dict = record_to_dict
    __get_pydantic_core_schema__ = pydantic_schema

    @classmethod
    def between(cls, a: Face, b: Face, *, decision: Decision) -> Comparison:
        """Compare two faces.

        Parameters
        ----------
        a, b : Face
            With embeddings of one and the same pack, which a face does not name.
        decision : Decision
            With the least similarity of a match.

        Raises
        ------
        ArgumentError
            When an embedding is missing, or they differ in length.
        """
        import numpy as np  # here, because importing this module must stay cheap

        if a.embedding is None or b.embedding is None or a.embedding.shape != b.embedding.shape:
            raise ArgumentError("both faces must have embeddings, and of the same pack")
        similarity = float(np.clip(np.dot(a.embedding, b.embedding), -1.0, 1.0))
        threshold = decision.threshold
        return cls(similarity, threshold, similarity >= threshold, bbox_of(a.bbox), bbox_of(b.bbox), decision)

    def __repr__(self) -> str:
        verdict = "match" if self.match else "no match"
        return f"Comparison({verdict}, similarity {self.similarity:.3f}, threshold {self.threshold:.3f})"


def _format_source(source: ImageInput | None, size: ImageSize) -> str:
    named = "" if source is None else f" in {describe(source)}"
    return f"{named}, {size.width} x {size.height}"


def _label(face: FoundFace) -> str:
    who = "unknown" if face.person_id is None else (face.name or str(face.person_id))
    return f"{who} {face.similarity:.2f}"


def _draw(
    source: ImageInput | None,
    marks: Sequence[Mark],
    longest_side: int | None,
    font: str | os.PathLike[str] | None,
) -> Image:
    from . import draw

    if source is None:
        raise ImageReadError(
            "the picture was a stream that has been read; give a path, bytes or an array to draw on it"
        )
    return draw.annotate(source, marks, longest_side=longest_side, max_pixels=settings().max_pixels, font=font)


def _render_png(drawing: Callable[..., Image]) -> bytes | None:
    """Return the drawing as PNG; None when the picture is gone, and a notebook shows the text instead."""
    from . import draw

    try:
        return draw.png(drawing(longest_side=SHOWN_SIDE))
    except ImageError:
        return None


def bbox_of(values: Iterable[float]) -> BBox:
    """Return a box from an array: x1, y1, x2, y2 in pixels.

    Examples
    --------
    >>> bbox_of([1, 2, 3, 4])
    (1.0, 2.0, 3.0, 4.0)
    """
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2


def embedding_of(face: Face) -> NDArray[np.float32]:
    """Return the embedding of an analysed face.

    Raises
    ------
    RoleMissingError
        When it has none.
    """
    if face.embedding is None:
        raise RoleMissingError("the engine returned a face without an embedding; use a pack that has an embedder")
    return face.embedding


def choose_face(analysis: Analysis, policy: FacePolicy, image: object) -> Face:
    """Choose the face of a picture.

    Parameters
    ----------
    analysis : Analysis
    policy : {"one", "largest"}
    image : ImageInput
        The picture, to name it in a message.

    Returns
    -------
    Face

    Raises
    ------
    NoFaceError
        When there is none.
    SeveralFacesError
        When the policy is "one" and there are more; it lists the boxes.
    """
    if len(analysis) == 0:
        size = analysis.image_size
        hint = "" if analysis.hint is None else f"; {analysis.hint}"
        raise NoFaceError(f"no face was found in {describe(image)} ({size[0]} x {size[1]} pixels); one is needed{hint}")
    if len(analysis) > 1 and policy == "one":
        bboxes = tuple(bbox_of(face.bbox) for face in analysis)
        places = ", ".join(str(tuple(map(round, bbox))) for bbox in bboxes[:8])
        more = ", ..." if len(bboxes) > 8 else ""
        raise SeveralFacesError(
            f"{len(bboxes)} faces were found in {describe(image)} where exactly one is needed, at {places}{more}; "
            "cut out the person, or choose faces='largest'",
            bboxes=bboxes,
        )
    return analysis[0]
