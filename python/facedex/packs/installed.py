"""The packs that pip installed: an entry point → the manifest and the files of its package.

`wheel` makes such packages. Nothing of one is imported: its entry point names the folder of the installation in which
the manifest lies. What its files contain is checked when they are loaded, as for every pack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .._core import is_plain_name

GROUP = "facedex.packs"
"""Group of the entry points that announce packs."""

_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)


@dataclass(frozen=True, slots=True)
class InstalledPack:
    """A pack in a package that pip installed.

    Attributes
    ----------
    manifest : pathlib.Path
        The TOML file that declares it; its files lie beside it.
    distribution : str
        Name of the package, as ``pip uninstall`` takes it.
    """

    manifest: Path
    distribution: str

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.manifest.parent


def installed() -> dict[str, InstalledPack]:
    """Name → pack, of the packs that pip installed. Where two packages bring one, the first on ``sys.path`` counts."""
    from importlib.metadata import entry_points  # takes longer than all of facedex, and few packs need it

    found: dict[str, InstalledPack] = {}
    for point in entry_points(group=GROUP):
        if point.dist is None or not (_MODULE.fullmatch(point.value) and is_plain_name(point.name)):
            continue
        folder = point.value.replace(".", "/")
        manifest = Path(str(point.dist.locate_file(f"{folder}/{point.name}.toml")))
        if manifest.is_file():
            found.setdefault(point.name, InstalledPack(manifest, point.dist.name))
    return found
