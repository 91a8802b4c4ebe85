"""Which face of a picture is meant, where one face is needed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, get_args

from .errors import ArgumentError, BBox, NoFaceError, RoleMissingError, SeveralFacesError
from .inputs import described
from .results import Analysis

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._core import Face

FacePolicy = Literal["one", "largest"]
"""A picture must show exactly one face, or its largest is taken."""


def check_choice(name: str, value: str, accepted: object) -> None:
    """Refuse a word that is not one of a `Literal`.

    Raises
    ------
    ArgumentError
    """
    words = get_args(accepted)
    if value not in words:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, words))}, got {value!r}")


def bbox_of(values: Iterable[float]) -> BBox:
    """Take a box from an array: x1, y1, x2, y2 in pixels.

    Examples
    --------
    >>> bbox_of([1, 2, 3, 4])
    (1.0, 2.0, 3.0, 4.0)
    """
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2


def embedding_of(face: Face) -> NDArray[np.float32]:
    """Take the embedding of an analysed face.

    Raises
    ------
    RoleMissingError
        When it has none.
    """
    if face.embedding is None:
        raise RoleMissingError("the engine gave a face without an embedding; a gallery needs a pack that embeds")
    return face.embedding


def one_face(analysis: Analysis, policy: FacePolicy, image: object) -> Face:
    """Choose the face that is meant.

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
        raise NoFaceError(f"no face was found in {described(image)} ({size[0]} x {size[1]} pixels); one is needed")
    if len(analysis) > 1 and policy == "one":
        bboxes = tuple(bbox_of(face.bbox) for face in analysis)
        listed = ", ".join("(" + ", ".join(str(round(value)) for value in bbox) + ")" for bbox in bboxes[:8])
        more = ", ..." if len(bboxes) > 8 else ""
        raise SeveralFacesError(
            f"{len(bboxes)} faces were found in {described(image)} where exactly one is needed, at {listed}{more}; "
            "cut out the person, or choose faces='largest'",
            bboxes=bboxes,
        )
    return analysis[0]
