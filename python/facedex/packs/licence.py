"""Licences that forbid commercial use: nobody comes to use such weights by accident.

They are accepted by name, once, by whoever answers for it; what was accepted is kept with its date in
``licences.json``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..config import settings
from ..errors import LicenseError, PackFolderError
from .home import home, locked, read_json, write_json
from .record import now

if TYPE_CHECKING:
    from .._core import PackFile, PackInfo

_log = logging.getLogger("facedex")


def restricted(info: PackInfo) -> dict[str, PackFile]:
    """Licences of a pack that forbid commercial use, each with a file that is under it."""
    found: dict[str, PackFile] = {}
    for file in info.files:
        if not file.commercial:
            found.setdefault(file.licence, file)
    return found


def accepted() -> dict[str, str]:
    """Licences that were accepted on this machine, each with the date.

    Raises
    ------
    PackFolderError
        The record is damaged.
    """
    entries = read_json(home() / "licences.json")
    return {name: str(entry.get("accepted_at")) for name, entry in entries.items() if isinstance(entry, dict)}


def unaccepted(info: PackInfo) -> tuple[str, ...]:
    """Licences of a pack that have still to be accepted."""
    needed = restricted(info)
    if not needed:
        return ()
    known = {name.casefold() for name in accepted()} | _names(settings().accept_license)
    return tuple(name for name in needed if name.casefold() not in known)


def require(info: PackInfo, accept_license: str | None = None) -> None:
    """Let nobody past who has not accepted the licences of a pack; keep what is accepted now.

    Parameters
    ----------
    info : PackInfo
        The pack.
    accept_license : str, optional
        Names of licences, separated by commas; also ``FACEDEX_ACCEPT_LICENSE``.

    Raises
    ------
    LicenseError
        One is not accepted; it says what the licence allows and how to accept it.
    """
    needed = restricted(info)
    if not needed:
        return
    kept = {name.casefold() for name in accepted()}
    given = _names(accept_license) | _names(settings().accept_license)
    missing = [name for name in needed if name.casefold() not in kept | given]
    if missing:
        file = needed[missing[0]]
        names = ",".join(missing)
        raise LicenseError(
            f"the weights of pack {info.name!r} are under {' and '.join(missing)}: "
            f"{(file.terms or '').rstrip('.')} ({file.licence_source}); to accept it give accept_license={names!r}, "
            f"set FACEDEX_ACCEPT_LICENSE={names}, or say --accept-license {names}",
            licences=tuple(missing),
        )
    fresh = {name: file for name, file in needed.items() if name.casefold() not in kept}
    if fresh:
        _keep(fresh, info.name)


def _keep(fresh: dict[str, PackFile], pack: str) -> None:
    place = home() / "licences.json"
    try:
        with locked("licences"):
            content = read_json(place)
            for name, file in fresh.items():
                content[name] = {
                    "accepted_at": now(),
                    "pack": pack,
                    "terms": file.terms,
                    "source": file.licence_source,
                }
            write_json(place, content)
    except PackFolderError as error:
        # It was accepted and holds for this call; a read-only container must not stop it.
        _log.warning("the accepted licence could not be kept: %s", error)


def _names(text: str | None) -> set[str]:
    return {name.strip().casefold() for name in (text or "").split(",") if name.strip()}
