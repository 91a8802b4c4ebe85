"""Import from what other programs leave behind; what it is, is told by its content.

Vectors are taken in only when it is proven that the gallery's own network made them; see facedex.transfer.vectors.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ..checks import check_choice
from ..errors import ArgumentError, FacedexError, ImportFileError
from ..options import FacePolicy, OnExistingImport
from ..store import KeyInput
from . import archive, encodings, faiss_file, tables
from .folder import import_folder
from .report import ImportReport, Kind, Tally
from .vectors import PersonVectors, check_dlib, check_dlib_pack, check_pack, check_sound, unproven

if TYPE_CHECKING:
    from .._core import PackInfo
    from ..gallery import Gallery

_NPY = b"\x93NUMPY"


def import_from(
    gallery: Gallery,
    path: str | os.PathLike[str],
    *,
    kind: Kind | None = None,
    names: str | os.PathLike[str] | None = None,
    same_pack: str | None = None,
    key: KeyInput | None = None,
    on_existing: OnExistingImport = "error",
    faces: FacePolicy = "one",
    min_face: int | None = None,
    strict: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> ImportReport:
    """Import people from another program, or from a gallery file.

    Each person is stored in one transaction, wholly or not at all; a person who is not taken in does not keep the
    others out.

    Parameters
    ----------
    gallery : Gallery
    path : str or PathLike
        A folder of ``<person>/<photo>``; a file of pickled dlib encodings, or a folder of them; an ``.npy`` array; a
        flat index of faiss; a gallery file that `export_to` wrote.
    kind : {"folder", "pickles", "array", "faiss", "gallery"}, optional
        What it is; without it that is told by the content.
    names : str or PathLike, optional
        For a folder, a CSV file with names; for an array its JSON, for an index its ``.npz``, when they stand elsewhere
        or have another name.
    same_pack : str, optional
        Name or digest of the pack that made the vectors of an array, an index or a pickle. It must be the gallery's.
        Without it arrays and indexes are refused, and pickles must hold vectors of dlib's ResNet.
    key : bytes, str or callable, optional
        Of a sealed gallery file; without it ``FACEDEX_KEY``.
    on_existing : {"error", "add", "replace", "skip"}
        When a person is registered already: reject, add the faces, put them in place of the stored ones, or leave the
        person as stored.
    faces, min_face
        As in `Gallery.register`; for photos.
    strict : bool
        Reject a face that resembles a person of another id; not asked of a gallery file.
    progress : callable, optional
        Called with the number of people done and of all.

    Returns
    -------
    ImportReport

    Raises
    ------
    ImportFileError, UnsafePickleError, GalleryFileError, GalleryFileVersionError
        When the file cannot be trusted; nothing is stored.
    ForeignTemplatesError, GalleryPackError
        When the vectors are not those of the gallery's pack; nothing is stored.
    KeyMissingError, WrongKeyError
        When a sealed file does not open.
    StoreError
        When the database fails; what was stored before stays.
    """
    check_choice("on_existing", on_existing, OnExistingImport)
    check_choice("faces", faces, FacePolicy)
    if kind is not None:
        check_choice("kind", kind, Kind)
    if same_pack is not None and not isinstance(same_pack, str):
        raise ArgumentError(f"same_pack must be the name or digest of a pack, got {type(same_pack).__name__}")
    place, beside = Path(path), None if names is None else Path(names)
    kind = kind_of(place) if kind is None else kind
    if kind == "gallery":
        return archive.import_gallery(gallery, place, key=key, on_existing=on_existing, progress=progress)
    if kind == "folder":
        return import_folder(
            gallery,
            place,
            names=beside,
            on_existing=on_existing,
            faces=faces,
            min_face=min_face,
            strict=strict,
            progress=progress,
        )
    pack = gallery.pack
    people, refused = _vectors(pack, place, kind, beside, same_pack)
    return _register(gallery, pack, people, refused, kind, on_existing, strict, progress)


def kind_of(path: Path) -> Kind:
    """Tell what is at a path, from what it holds.

    Raises
    ------
    ImportFileError
        When it is of no known kind, or is not there.
    """
    try:
        if path.is_dir():
            return "pickles" if encodings.files_in(path) else "folder"
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}") from error
    if archive.is_gallery_file(head):
        return "gallery"
    if head.startswith(_NPY):
        return "array"
    if head[:2] == b"Ix":
        return "faiss"
    if len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return "pickles"
    raise ImportFileError(
        f"{path} is none of what can be imported: a folder of <person>/<photo>, a gallery file, a pickle of protocol 2 "
        f"to 5, an .npy array, a flat faiss index ({', '.join(kind.decode() for kind in faiss_file.FLAT)}); "
        f"kinds: {', '.join(get_args(Kind))}"
    )


def _vectors(
    pack: PackInfo, path: Path, kind: Kind, beside: Path | None, same_pack: str | None
) -> tuple[list[PersonVectors], list[tuple[str, FacedexError]]]:
    """Read vectors, and refuse those that are not proven to be of the gallery's pack."""
    if same_pack is not None:
        check_pack(pack, same_pack)
    elif kind == "pickles":
        check_dlib_pack(pack)
    else:
        raise unproven(pack, path.name)
    refused: list[tuple[str, FacedexError]] = []
    if kind == "array":
        people = tables.from_npy(path, beside)
    elif kind == "faiss":
        people = tables.from_faiss(path, beside)
    elif path.is_dir():
        people, refused = encodings.in_folder(path)
    else:
        people = encodings.in_file(path, path.stem)
    check_sound(people, pack.dimension or 0)
    if same_pack is None:
        check_dlib(people, str(path))
    return people, refused


def _register(
    gallery: Gallery,
    pack: PackInfo,
    people: Sequence[PersonVectors],
    refused: Sequence[tuple[str, FacedexError]],
    kind: Kind,
    on_existing: OnExistingImport,
    strict: bool,
    progress: Callable[[int, int], object] | None,
) -> ImportReport:
    tally = Tally(kind, skip=on_existing == "skip")
    for text, error in refused:
        tally.reject(text, error)
    rule = "error" if on_existing == "skip" else on_existing
    for number, person in enumerate(people, 1):
        try:
            answer = gallery.register_templates(
                person.person_id,
                person.taken(),
                name=person.name,
                on_existing=rule,
                strict=strict,
                pack=pack.digest,
            )
            tally.take(person.person_id, person.where, answer)
        except FacedexError as error:
            tally.take(person.person_id, f"{person.person_id!r} in {person.where}", error)
        if progress is not None:
            progress(number, len(people))
    return tally.report()
