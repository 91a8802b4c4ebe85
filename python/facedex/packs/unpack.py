"""A zip archive whose digest is known → one file of it.

No name from the archive becomes a path, nothing grows beyond its declared size, and what is not there, encrypted, there
twice or damaged is refused.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from ..errors import ArchiveError
from .home import writing

_BLOCK = 1 << 18
_ENCRYPTED = 0x1


def unpack(archive: Path, member: str, target: Path, *, name: str, size: int | None, most: int) -> None:
    """Write one member of an archive.

    Parameters
    ----------
    archive : pathlib.Path
        The zip file.
    member : str
        Its path within the archive, exactly.
    target : pathlib.Path
        The file to write; overwritten.
    name : str
        The archive's name, for messages.
    size : int, optional
        The member's size, bytes, where it is known.
    most : int
        Larger members are refused, bytes.

    Raises
    ------
    ArchiveError
        It is no zip file, damaged, or does not hold that member, once and in the clear, with that size.
    PackFolderError
        It cannot be written.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            found = [entry for entry in file.infolist() if entry.filename == member]
            if len(found) != 1:
                raise ArchiveError(f"archive {name!r} holds {member!r} {len(found)} times; once is needed")
            (entry,) = found
            if entry.flag_bits & _ENCRYPTED:
                raise ArchiveError(f"{member!r} of archive {name!r} is encrypted")
            if entry.file_size > most or (size is not None and entry.file_size != size):
                raise ArchiveError(
                    f"{member!r} of archive {name!r} has {entry.file_size} bytes, {most if size is None else size} "
                    f"{'at most are allowed' if size is None else 'are declared'}"
                )
            with file.open(entry) as source, writing(target.parent), target.open("wb") as output:
                done = 0
                while block := source.read(_BLOCK):
                    done += len(block)
                    if done > entry.file_size:
                        raise ArchiveError(f"{member!r} of archive {name!r} is larger than it says")
                    output.write(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ArchiveError(f"archive {name!r} is damaged or no zip archive: {error}") from error
