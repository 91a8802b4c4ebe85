"""Import from other programs; the kind of a file is detected from its content.

Vectors are imported only when it is proven that the gallery's own network made them; see facedex.transfer.vectors.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..checks import check_choice
from ..errors import ArgumentError, FacedexError, ImportFileError
from ..options import FacePolicy, ImportKind, OnExisting, RegisterOptions
from ..store import KeyInput
from . import encodings, faiss_file, tables
from .archive import import_gallery, is_gallery_file
from .folder import import_folder
from .report import ImportReport, Tally
from .vectors import PersonVectors, check_dlib, check_dlib_pack, check_pack, check_sound, unproven

if TYPE_CHECKING:
    from .._core import PackInfo
    from ..gallery import Gallery
    from ..records import Registration

_NPY = b"\x93NUMPY"


def import_from(
    gallery: Gallery,
    path: str | os.PathLike[str],
    *,
    kind: ImportKind | None = None,
    names: str | os.PathLike[str] | None = None,
    same_pack: str | None = None,
    key: KeyInput | None = None,
    on_existing: OnExisting = "error",
    faces: FacePolicy = "one",
    min_face: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Import people from another program, or from a gallery file.

    Each person is stored in one transaction, completely or not at all; one who is rejected does not stop the others.

    Parameters
    ----------
    gallery : Gallery
    path : str or PathLike
        A folder of ``<person>/<photo>``; a file of pickled dlib encodings, or a folder of them; an ``.npy`` array; a
        flat index of faiss; a gallery file that `export_to` wrote.
    kind : {"folder", "pickles", "array", "faiss", "gallery"}, optional
        What the path is; detected from its content by default.
    names : str or PathLike, optional
        For a folder, a CSV file with names; for an array its JSON, for an index its ``.npz``, when they are elsewhere
        or have another name.
    same_pack : str, optional
        Name or digest of the pack that made the vectors of an array, an index or a pickle. It must be the gallery's.
        Without it arrays and indexes are refused, and pickles must hold vectors of dlib's ResNet.
    key : bytes, str or callable, optional
        Of an encrypted gallery file; by default ``FACEDEX_KEY``.
    on_existing : {"error", "add", "replace", "skip"}
        When a person is already registered: reject, add the faces, replace the stored ones, or leave the person as
        stored.
    faces, min_face
        As in `Gallery.register`; for photos.
    strict : bool
        Whether a face that resembles another person is rejected; not used for a gallery file.
    progress : callable, optional
        Called with the number of people done and of all.

    Returns
    -------
    ImportReport

    Raises
    ------
    ImportFileError, UnsafePickleError, GalleryFileError, GalleryFileVersionError
        When the file is invalid; nothing is stored.
    ForeignTemplatesError, GalleryPackError
        When the vectors are not those of the gallery's pack; nothing is stored.
    KeyMissingError, WrongKeyError
        When an encrypted file cannot be decrypted.
    StoreError
        When the database fails; people stored before remain stored.
    """
    options = RegisterOptions(on_existing=on_existing, faces=faces, min_face=min_face, strict=strict)
    if kind is not None:
        check_choice("kind", kind, ImportKind)
    if same_pack is not None and not isinstance(same_pack, str):
        raise ArgumentError(f"same_pack must be the name or digest of a pack, got {type(same_pack).__name__}")
    place, beside = Path(path), None if names is None else Path(names)
    kind = kind_of(place) if kind is None else kind
    if kind == "gallery":
        return import_gallery(gallery, place, key=key, on_existing=on_existing, progress=progress)
    if kind == "folder":
        return import_folder(gallery, place, options, names=beside, progress=progress)
    pack, tally = gallery.pack, Tally(kind)
    people = _read_vectors(pack, place, kind, beside, same_pack, tally)
    for number, person in enumerate(people, 1):
        answer: Registration | FacedexError
        where = person.where
        try:
            answer = gallery.register_templates(
                person.person_id,
                person.unit_vectors(),
                name=person.name,
                on_existing=options.on_existing,
                strict=options.strict,
                pack=pack.digest,
            )
        except FacedexError as error:
            answer, where = error, f"{person.person_id!r} in {where}"
        tally.add_answer(person.person_id, where, answer)
        if progress is not None:
            progress(number, len(people))
    return tally.report()


def kind_of(path: Path) -> ImportKind:
    """Detect what is at a path, from its content.

    Raises
    ------
    ImportFileError
        When it is of no known kind, or missing.
    """
    try:
        if path.is_dir():
            return "pickles" if encodings.files_in(path) else "folder"
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error
    if is_gallery_file(head):
        return "gallery"
    if head.startswith(_NPY):
        return "array"
    if head[:2] == b"Ix":
        return "faiss"
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickles"
    raise ImportFileError(
        f"{path} is of no known kind: a folder of <person>/<photo>, a gallery file, a pickle of protocol 2 "
        f"to 5, an .npy array, a flat faiss index ({', '.join(kind.decode() for kind in faiss_file.FLAT)}); "
        f"kinds: {', '.join(get_args(ImportKind))}"
    )


def _read_vectors(
    pack: PackInfo, path: Path, kind: ImportKind, beside: Path | None, same_pack: str | None, tally: Tally
) -> list[PersonVectors]:
    """Read vectors, and refuse those that are not proven to be of the gallery's pack."""
    if same_pack is not None:
        check_pack(pack, same_pack)
    elif kind == "pickles":
        check_dlib_pack(pack)
    else:
        raise unproven(pack, path.name)
    if kind == "array":
        people = tables.from_npy(path, beside)
    elif kind == "faiss":
        people = tables.from_faiss(path, beside)
    elif path.is_dir():
        people = encodings.in_folder(path, tally)
    else:
        people = encodings.in_file(path, path.stem)
    check_sound(people, pack.dimension or 0)
    if same_pack is None:
        check_dlib(people, str(path))
    return people
