"""Packs: sets of networks, by name. List them, fetch one, verify it, add one's own, make a wheel of one.

Nothing is fetched without being asked for: a missing pack is an error that names the command.

Examples
--------
>>> from facedex import packs
>>> packs.state("classic").ready
True
>>> [pack.name for pack in packs.list()][:3]
['base', 'classic', 'mobile']
"""

from .find import PackLocation, built_in, find
from .get import Progress, get
from .licenses import cautions
from .registry import Removal, add, path, remove
from .registry import list_packs as list  # noqa: A004 - `packs.list()`, as on the command line
from .state import Condition, FileState, PackState, ReadyPack, default, fallback, require_ready, state, verify
from .wheel import wheel

info = state
"""Describe a pack; see `state`."""

__all__ = [
    "Condition",
    "FileState",
    "PackLocation",
    "PackState",
    "Progress",
    "ReadyPack",
    "Removal",
    "add",
    "built_in",
    "cautions",
    "default",
    "fallback",
    "find",
    "get",
    "info",
    "list",
    "path",
    "remove",
    "require_ready",
    "state",
    "verify",
    "wheel",
]
