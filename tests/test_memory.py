"""Closed and garbage-collected galleries release their networks, threads and index at once.

The collector of reference cycles is off here: it counts Python's objects, and knows nothing of the hundred megabytes
that the native ones hold.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from facedex import packs, people
from facedex.engine import Engine
from facedex.errors import GalleryClosedError
from facedex.gallery import Gallery

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def engine_of(gallery: Gallery) -> weakref.ref[Engine]:
    return weakref.ref(gallery.engine)


def test_closing_releases_the_engine_that_the_gallery_opened(tmp_path: Path) -> None:
    gallery = Gallery.open(tmp_path / "people.db")
    gallery.register("ayu", people.PICTURES["ayu"][0])
    engine, search = engine_of(gallery), weakref.ref(gallery._resources.search)
    gallery.close()
    assert engine() is None
    assert search() is None
    # What is told without the database is still told, and the rest says why not.
    assert (gallery.name, gallery.pack.name, gallery.encrypted) == ("default", packs.default(), False)
    for call in (gallery.people, gallery.status, lambda: gallery.recognize(people.PICTURES["ayu"][0])):
        with pytest.raises(GalleryClosedError):
            call()
    gallery.close()


def test_a_garbage_collected_gallery_releases_its_engine(tmp_path: Path) -> None:
    gallery = Gallery.open(tmp_path / "people.db")
    gallery.create("ayu")
    engine, alive = engine_of(gallery), weakref.ref(gallery)
    parts = [weakref.ref(part) for part in (gallery._registrar, gallery._recognizer, gallery._photos)]
    del gallery
    assert alive() is None
    assert engine() is None
    assert [part() for part in parts] == [None] * 3


def test_a_call_that_closes_the_gallery_releases_the_engine_when_it_ends(tmp_path: Path) -> None:
    gallery = Gallery.open(tmp_path / "people.db")
    engine = engine_of(gallery)
    answers = gallery.register_many([("ayu", people.PICTURES["ayu"][0])], progress=lambda done, of: gallery.close())
    assert str(answers[0]) == "Registration('ayu', 1 face)"
    del answers
    assert engine() is None


def test_a_shared_engine_is_not_released(tmp_path: Path, engine: Engine) -> None:
    with Gallery.open(tmp_path / "people.db", engine=engine):
        pass
    assert len(engine.analyze(people.GROUP, embed=False)) == 5


def test_memory_and_threads_do_not_grow_over_many_galleries(tmp_path: Path) -> None:
    program = """
import gc, sys, psutil
from facedex import people
from facedex.gallery import Gallery

gc.disable()
me = psutil.Process()

def cycle(number):
    for _ in range(number):
        with Gallery.open(sys.argv[1]) as gallery:
            gallery.register("ayu", people.PICTURES["ayu"][0], on_existing="replace")
            gallery.recognize(people.PROBES["ayu"][0])

cycle(24)
before, threads = me.memory_info().rss, me.num_threads()
cycle(36)
print((me.memory_info().rss - before) >> 20, me.num_threads() - threads)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "people.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    grown, threads = map(int, done.stdout.split())
    assert grown < 60, f"36 galleries that were opened and closed left {grown} MB"
    assert threads < 6, f"36 galleries that were opened and closed left {threads} threads"


@pytest.mark.timeout(600)
def test_memory_is_flat_over_many_requests_that_open_a_gallery(tmp_path: Path) -> None:
    """As a server would that opens one for each request: with an engine for all, and with one for each.

    The collector runs, as it does by default. A gallery that stayed would leave 0.4 MB, its engine 8 MB.
    """
    program = """
import sys, psutil
from facedex import people
from facedex.engine import Engine
from facedex.gallery import Gallery

picture = people.PROBES["ayu"][0]
shared = Engine(threads=1)
embeddings = shared.analyze(picture)[0].embedding[None]

def cycle(number, engine):
    for _ in range(number):
        with Gallery.open(sys.argv[1], engine=engine) as gallery:
            gallery.register_templates("ayu", embeddings, on_existing="replace")
            if engine is None:
                assert gallery.recognize(picture)[0].person_id == "ayu"

def growth(number, engine):
    cycle(number // 4, engine)
    before = psutil.Process().memory_info().rss
    cycle(number, engine)
    return (psutil.Process().memory_info().rss - before) >> 20

print(growth(300, shared), growth(40, None))
"""
    command = [sys.executable, "-c", program, str(tmp_path / "people.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    of_shared, of_own = map(int, done.stdout.split())
    assert of_shared < 20, f"300 galleries with one engine left {of_shared} MB"
    assert of_own < 60, f"40 galleries with an engine each left {of_own} MB"
