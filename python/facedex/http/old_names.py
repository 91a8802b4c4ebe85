"""Settings under the names of older backends whose contracts are served; arguments and ``FACEDEX_*`` take precedence.

They are read from the environment and from a file ``.env`` in the working directory, as the old backends did. A
contract reads its own settings itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

DOTENV = Path(".env")

ALL = "all"
"""Every contract, where the names of contracts are expected."""


def _index(text: str) -> str:
    """Return the index that replaces one of FAISS.

    Examples
    --------
    >>> _index("IndexFlatIP"), _index("IVF1024,Flat"), _index("HNSW32"), _index("else")
    ('exact', 'ivf', 'hnsw', 'auto')
    """
    lower = text.lower()
    return next((ours for theirs, ours in _FAISS.items() if theirs in lower), "auto")


_FAISS = {"ivf": "ivf", "hnsw": "hnsw", "flat": "exact"}

NAMES: dict[str, dict[str, tuple[str, Callable[[str], object]]]] = {
    "face-server": {"FLASK_HOST": ("host", str), "FLASK_PORT": ("port", str)},
    "face-re": {"ENVIRONMENT": ("docs", lambda text: text.strip().lower() != "production")},
    "face-api": {
        "HOST": ("host", str),
        "PORT": ("port", str),
        "ASYNC_WORKERS": ("concurrency", str),
        "FAISS_INDEX_TYPE": ("index", _index),
    },
}
"""For each contract: the old name, its setting, and how its text is parsed."""


MIB = 1 << 20
LARGEST_BODY = {"flask-face": 64 * MIB, "face-server": 15 * MIB, "face-api": 11 * MIB, "mtcnn-facenet": 64 * MIB}
"""Maximum body of a contract's routes, if it accepts several pictures, or one of 10 MiB and other fields."""


class OldNames(PydanticBaseSettingsSource):
    """A source of settings for the contracts that the other sources enable.

    Parameters
    ----------
    settings_cls : type
    others : callable
        Each returns the settings of another source.
    """

    def __init__(self, settings_cls: type[BaseSettings], *others: Callable[[], Mapping[str, Any]]) -> None:
        super().__init__(settings_cls)
        self._others = others

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the setting of one field."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Read the settings."""
        named = [given["contracts"] for other in self._others if "contracts" in (given := other())]
        first = named[0] if named else ()
        contracts = {part.strip() for part in first.split(",")} if isinstance(first, str) else set(first or ())
        found = {name: value for name, value in dotenv_values(DOTENV).items() if value} if DOTENV.is_file() else {}
        found |= {name: value for name, value in os.environ.items() if value}
        old: dict[str, Any] = {}
        for contract, names in NAMES.items():
            if contract in contracts or ALL in contracts:
                for name, (field, read) in names.items():
                    if name in found:
                        old.setdefault(field, read(found[name]))
        return old
