"""A process that migrates a gallery to another pack, until it is done or killed.

Arguments: the location of the gallery, the manifest of the new pack. It writes "begin" when the work begins, "kept"
after each commit and "done" at the end, also if the gallery has this pack already.
"""

from __future__ import annotations

import os
import sys

from facedex import Engine
from facedex.errors import GalleryPackError
from facedex.gallery import Gallery, migration


def report(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def main(location: str, manifest: str) -> None:
    migration.BATCH = 1  # a commit for each face: more points at which to be killed
    before, after = Engine("classic"), Engine(manifest)
    try:
        gallery = Gallery.open(location, engine=before)
    except GalleryPackError:
        gallery = Gallery.open(location, engine=after)
    with gallery:
        report("begin")
        gallery.migrate(engine=after, progress=lambda done, number: report("kept"))
        report("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
