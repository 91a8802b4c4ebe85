"""Flips bits of exported galleries and of pack manifests: nothing is accepted from a damaged file."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

from synthetic import KEYS

from facedex import Engine, Gallery, packs, people
from facedex.errors import FacedexError
from facedex.transfer import export_to, import_from

Outcome = tuple[str, Counter[str], list[str]]


def flip_archives(number: int, seed: int, folder: Path) -> list[Outcome]:
    """Flip a number of bits in each kind of file; return kind, outcomes and failures."""
    chance = random.Random(seed)
    engine = Engine()
    with Gallery.open(folder / "from.db", engine=engine) as gallery:
        for person in people.IDS[:3]:
            gallery.register(person, people.PICTURES[person][0], name=person.title())
        expected = _describe(gallery)
        plain, encrypted = folder / "plain.facedex", folder / "encrypted.facedex"
        export_to(gallery, plain)
        export_to(gallery, encrypted, key=KEYS[1])
    return [
        _flip_export("exported gallery", plain, None, number, chance, engine, expected),
        _flip_export("encrypted exported gallery", encrypted, KEYS[1], number, chance, engine, expected),
        _flip_manifests(number, chance, folder / "manifests"),
    ]


def _describe(gallery: Gallery) -> list[tuple[object, ...]]:
    return [(one.person_id, one.name, one.email, one.info, len(one.faces)) for one in gallery.people()]


def _flip_export(
    kind: str, path: Path, key: bytes | None, number: int, chance: random.Random, engine: Engine, expected: object
) -> Outcome:
    outcomes: Counter[str] = Counter()
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
                outcomes["harmless" if _describe(gallery) == expected else "wrong"] += 1
                if _describe(gallery) != expected:
                    wrong.append(f"{kind}, byte {place}: {_describe(gallery)}")
            except FacedexError:
                outcomes["reported"] += 1
                if gallery.people():
                    wrong.append(f"{kind}, byte {place}: reported, and people were stored")
            except Exception as error:  # noqa: BLE001 an untyped error is the failure that is looked for
                wrong.append(f"{kind}, byte {place}: {type(error).__name__}: {error}")
    return kind, outcomes, wrong


def _flip_manifests(number: int, chance: random.Random, folder: Path) -> Outcome:
    """Flip bits of a manifest, which is part of the digest: a gallery does not open with a changed pack."""
    outcomes: Counter[str] = Counter()
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
                outcomes["another pack"] += 1
            else:
                same = all(getattr(found, one) == getattr(original, one) for one in ("threshold", "fmr", "dimension"))
                outcomes["harmless" if same else "another threshold"] += 1
        except FacedexError:
            outcomes["reported"] += 1
        except Exception as error:  # noqa: BLE001 an untyped error is the failure that is looked for
            wrong.append(f"manifest, byte {place}: {type(error).__name__}: {error}")
    return "pack manifest", outcomes, wrong


def _write_flipped(path: Path, whole: bytes, chance: random.Random) -> int:
    content = bytearray(whole)
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    return place
