"""A process that moves a gallery to another pack, until it is done or killed.

Arguments: the gallery's location, the manifest of the pack to move to. It writes "begin" when the work begins, "kept"
after each commit and "done" at the end. A gallery that is of that pack already is done.
"""

from __future__ import annotations

import os
import sys

from facedex import Engine
from facedex.errors import GalleryPackError
from facedex.gallery import Gallery, migration


def say(word: str) -> None:
    os.write(1, f"{word}\n".encode())


def main(location: str, manifest: str) -> None:
    migration.BATCH = 1  # a commit for each face: more places at which to be killed
    before, after = Engine("classic"), Engine(manifest)
    try:
        gallery = Gallery.open(location, engine=before)
    except GalleryPackError:
        gallery = Gallery.open(location, engine=after)
    with gallery:
        say("begin")
        gallery.migrate(engine=after, progress=lambda done, number: say("kept"))
        say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
