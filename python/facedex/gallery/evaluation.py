"""How well a gallery recognizes probes: its templates as they are stored, its threshold as its answers state it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..checks import check_path
from ..errors import FacedexError, PictureSetError
from ..inputs import ImageInput, describe, list_images
from ..options import RecognizeOptions
from ..records import PersonId
from ..store import plain_id
from .lifetime import Progress
from .recognition import Recognizer
from .resources import Resources

if TYPE_CHECKING:
    from ..evaluate import EvaluateOptions, PictureSet, Report

Probes: TypeAlias = "str | os.PathLike[str] | Mapping[PersonId, ImageInput | Iterable[ImageInput]]"
"""A folder of ``<person>/<picture>``, or the pictures of each id."""

_TRIED = 20  # probes in which a face is looked for to read the threshold


def evaluate(
    resources: Resources,
    recognizer: Recognizer,
    probes: Probes,
    *,
    threshold: float | None,
    cache: str | os.PathLike[str] | None,
    progress: Progress | None,
    options: EvaluateOptions | None,
) -> Report:
    """Measure how a gallery recognizes probes, as `facedex.Gallery.evaluate` does."""
    from ..evaluate.evaluation import evaluate_probes

    pictures = _read(probes)
    templates = _templates(resources)
    if not templates:
        raise PictureSetError(f"gallery {resources.feed.name!r} is empty: register people before it is evaluated")
    cut = threshold if threshold is not None else _threshold(recognizer, pictures)
    return evaluate_probes(
        resources.engine,
        f"gallery {resources.feed.name!r}",
        templates,
        pictures,
        threshold=cut,
        pack_digest=resources.pack.digest,
        cache=None if cache is None else Path(check_path("cache", cache)),
        progress=progress,
        options=options,
    )


def _read(probes: Probes) -> PictureSet:
    from ..evaluate import PictureSet, read_folder

    if not isinstance(probes, Mapping):
        read = read_folder(Path(check_path("probes", probes)))
        if not read.people:
            raise PictureSetError(f"{read.name} has no pictures of people; it needs a folder for each id")
        return read
    listed = [(plain_id(person), image) for person, images in probes.items() for image in list_images(images)]
    if not listed:
        raise PictureSetError("there is no probe: give a folder, or the pictures of each id")
    return PictureSet(
        "probes",
        tuple(image for _, image in listed),
        tuple(f"{person}: {describe(image)}" for person, image in listed),
        tuple(person for person, _ in listed),
    )


def _templates(resources: Resources) -> list[tuple[str, NDArray[np.float32]]]:
    """Return the embeddings of each person who has any, in the order of registration."""
    vectors: dict[int, list[NDArray[np.float32]]] = {}
    for batch in resources.feed.templates():
        for number, vector in zip(batch.people.tolist(), batch.vectors, strict=True):
            vectors.setdefault(number, []).append(vector)
    return [
        (plain_id(person.person_id), np.stack(vectors[person.number]))
        for person in resources.store.people()
        if person.number in vectors
    ]


def _threshold(recognizer: Recognizer, probes: PictureSet) -> float:
    """Return the threshold that an answer states."""
    for picture in probes.pictures[:_TRIED]:
        try:
            found = recognizer.recognize(picture, RecognizeOptions())
        except FacedexError:
            continue  # it is a failure of the report
        if len(found):
            return found[0].threshold
    raise PictureSetError(
        f"no face was found in the first {min(_TRIED, len(probes.pictures))} probes; give a threshold"
    )
