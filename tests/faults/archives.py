"""Flips bits of exported galleries and of pack manifests: nothing is taken from a file that is not what was written."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from synthetic import KEYS

from facedex import Engine, Gallery, packs, people
from facedex.errors import FacedexError
from facedex.transfer import export_to, import_from

Came = tuple[str, Counter[str], list[str]]


def flip_archives(number: int, seed: int, folder: Path) -> list[Came]:
    """Flip so many bits in each kind of file; returns kind, what came of it, and what was wrong."""
    chance = random.Random(seed)
    engine = Engine()
    with Gallery.open(folder / "from.db", engine=engine) as gallery:
        for person in people.IDS[:3]:
            gallery.register(person, people.PICTURES[person][0], name=person.title())
        expected = _told(gallery)
        plain, sealed = folder / "plain.facedex", folder / "sealed.facedex"
        export_to(gallery, plain)
        export_to(gallery, sealed, key=KEYS[1])
    return [
        _flipped("exported gallery", plain, None, number, chance, engine, expected),
        _flipped("encrypted exported gallery", sealed, KEYS[1], number, chance, engine, expected),
        _manifests(number, chance, folder / "manifests"),
    ]


def _told(gallery: Gallery) -> list[tuple[object, ...]]:
    return [(one.person_id, one.name, one.email, one.info, len(one.faces)) for one in gallery.people()]


def _flipped(
    kind: str, path: Path, key: bytes | None, number: int, chance: random.Random, engine: Engine, expected: object
) -> Came:
    came: Counter[str] = Counter()
    wrong: list[str] = []
    whole = path.read_bytes()
    damaged = path.with_name("damaged.facedex")
    into = path.with_name("into.db")
    for _ in range(number):
        place = _write_flipped(damaged, whole, chance)
        for left in path.parent.glob("into.db*"):
            left.unlink()
        with Gallery.open(into, engine=engine) as gallery:
            try:
                import_from(gallery, damaged, key=key)
                came["harmless" if _told(gallery) == expected else "wrong"] += 1
                if _told(gallery) != expected:
                    wrong.append(f"{kind}, byte {place}: {_told(gallery)}")
            except FacedexError:
                came["told"] += 1
                if gallery.people():
                    wrong.append(f"{kind}, byte {place}: told, and somebody was stored")
            except Exception as error:  # noqa: BLE001 whatever else it is, is what must not happen
                wrong.append(f"{kind}, byte {place}: {type(error).__name__}: {error}")
    return kind, came, wrong


def _manifests(number: int, chance: random.Random, folder: Path) -> Came:
    """A manifest is part of the pack's digest, so that a gallery does not open with another than made it."""
    came: Counter[str] = Counter()
    wrong: list[str] = []
    original = packs.info("classic").info
    folder.mkdir()
    manifest = Path(shutil.copy(packs.find("classic").manifest, folder))
    whole = manifest.read_bytes()
    for _ in range(number):
        place = _write_flipped(manifest, whole, chance)
        try:
            found = packs.info(manifest).info
            if found.digest != original.digest:
                came["another pack"] += 1
            else:
                same = all(getattr(found, one) == getattr(original, one) for one in ("threshold", "fmr", "dimension"))
                came["harmless" if same else "another threshold"] += 1
        except FacedexError:
            came["told"] += 1
        except Exception as error:  # noqa: BLE001 whatever else it is, is what must not happen
            wrong.append(f"manifest, byte {place}: {type(error).__name__}: {error}")
    return "pack manifest", came, wrong


def _write_flipped(path: Path, whole: bytes, chance: random.Random) -> int:
    content = bytearray(whole)
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return place
