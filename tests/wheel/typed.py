# pyright: strict
"""What a user with a type checker writes; `check.py` has mypy and pyright read it against the installed wheel."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facedex import (
    Analysis,
    Deletion,
    Engine,
    Face,
    FacedexError,
    FoundFace,
    Gallery,
    Person,
    Recognition,
    Registration,
    Verification,
    people,
)


def crop_faces(engine: Engine, picture: Path, found: Recognition) -> list[NDArray[np.uint8]]:
    """Crop the faces that a gallery has recognized."""
    return [engine.crop(picture, face.landmarks) for face in found]


def name_of(face: FoundFace) -> str:
    """Name a face."""
    similarity: float = face.similarity
    return f"{face.name or 'unknown'} {similarity:.2f} {face.candidates[0].person_id if face.candidates else ''}"


async def ask(gallery: Gallery, picture: bytes) -> dict[str, Any]:
    """Recognize a picture in a coroutine."""
    found: Recognition = await gallery.arecognize(picture, k=2)
    return found.to_dict()


def main(folder: Path) -> None:
    """Use every verb of the first page of the README, with the type of its result."""
    engine = Engine(providers="cpu", threads=1)
    picture = people.PROBES["ayu"][0]
    with Gallery.open(folder / "people.db", engine=engine) as gallery:
        answers: list[Registration | FacedexError] = gallery.register_many(
            people.PICTURES, on_existing="add", progress=lambda done, total: print(f"{done} of {total}")
        )
        kept: list[Person] = [gallery.person(one.person_id) for one in answers if isinstance(one, Registration)]
        verification: Verification = gallery.verify(kept[0].person_id, picture, threshold=0.5)
        found = gallery.recognize(picture)
        crops = crop_faces(engine, picture, found)
        analysis: Analysis = engine.analyze(picture, quality=True)
        faces: list[Face] = [face for face in analysis if face.quality]
        boxes = [engine.attributes_crop(picture, face.bbox, face.landmarks) for face in found if face.attributes]
        receipt: Deletion = gallery.delete("ayu")
        print(
            verification.match,
            name_of(found[0]),
            len(faces),
            len(boxes),
            crops[0].shape,
            receipt.templates,
            found.draw().size,
        )
        print(asyncio.run(ask(gallery, picture.read_bytes())))


if __name__ == "__main__":
    main(Path())
