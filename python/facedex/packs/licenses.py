"""What one may do with a pack: licences that must be accepted, and what the training data allow.

A licence that forbids commercial use is accepted by name, once; ``licences.json`` keeps what was accepted and when.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..config import settings
from ..errors import LicenseError, PackFolderError
from .records import data_folder, lock, now, read_own_json, write_json

if TYPE_CHECKING:
    from .._core import PackFile, PackInfo

_log = logging.getLogger("facedex")

_ACCEPTED = "licences.json"

_WEB = "{} was gathered from the web without the consent of the people in it"
_COLLECTIONS = {
    # Guo et al. (2016) and its site, msceleb.org, while it stood: for non-commercial research. Withdrawn: Financial
    # Times, 6 June 2019, "Microsoft quietly deletes largest public face recognition data set".
    "MS-Celeb-1M": _WEB.format("MS-Celeb-1M")
    + ", for research only, and withdrawn by its publisher, Microsoft, in 2019.",
    # Its parts, as its publisher names them (github.com/deepinsight/insightface).
    "Glint360K": "Glint360K is made of Celeb-500K and MS-Celeb-1M, which its publisher, Microsoft, withdrew in 2019.",
    # The licence agreement at face-benchmark.org.
    "WebFace600K": _WEB.format("WebFace600K, a part of WebFace260M,") + "; it is offered for research only.",
    # Cao et al. (2018), section 3.
    "VGGFace2": _WEB.format("VGGFace2") + ".",
    # Yi et al. (2014).
    "CASIA-WebFace": _WEB.format("CASIA-WebFace") + "; it is offered for research only.",
    # Ng and Winkler (2014); Parkhi et al. (2015).
    "FaceScrub": _WEB.format("FaceScrub") + ".",
    "VGG and": _WEB.format("The VGG collection") + ".",
    # Its page, mmlab.ie.cuhk.edu.hk/projects/CelebA.html, "Agreement".
    "CelebA": "CelebA is offered for non-commercial research only; its pictures are from the web.",
    # huggingface.co/datasets/CUHK-CSE/wider_face, by its publisher.
    "WIDER FACE": "WIDER FACE is under CC BY-NC-ND 4.0, which forbids commercial use; its pictures are from the web.",
    **{
        reason: f"The training data are {reason}, so what they allow is unknown."
        for reason in ("not disclosed", "not published", "not stated")
    },
}
_DECISION = (
    "The licence of the weights does not settle what their training data allow: decide this, with legal advice, before "
    "you sell a product with them."
)


def cautions(trained_on: str) -> tuple[str, ...]:
    """Describe what the training data of a network allow, as far as that may matter for commercial use.

    Parameters
    ----------
    trained_on : str
        As a manifest states it.

    Returns
    -------
    tuple of str
        A sentence for each collection that is known here, then who decides; empty where none is known.

    Examples
    --------
    >>> "withdrawn" in cautions("MS1MV3, a cleaned MS-Celeb-1M")[0]
    True
    >>> cautions("its authors' own recordings")
    ()
    """
    text = trained_on.casefold()
    found = tuple(caution for name, caution in _COLLECTIONS.items() if name.casefold() in text)
    return (*found, _DECISION) if found else ()


def restricted_licenses(info: PackInfo) -> dict[str, PackFile]:
    """Return the licences of a pack that forbid commercial use, each with a file that is under it."""
    found: dict[str, PackFile] = {}
    for file in info.files:
        if not file.commercial:
            found.setdefault(file.licence, file)
    return found


def unaccepted_licenses(info: PackInfo) -> tuple[str, ...]:
    """List the licences of a pack that have still to be accepted."""
    restricted = restricted_licenses(info)
    known = _accepted() | _split(settings().accept_license) if restricted else set()
    return tuple(name for name in restricted if name.casefold() not in known)


def require_licenses(info: PackInfo, accept_license: str | None = None) -> None:
    """Check that the licences of a pack are accepted, and record those that are accepted now.

    Parameters
    ----------
    info : PackInfo
        The pack.
    accept_license : str, optional
        Names of licences, separated by commas; also ``FACEDEX_ACCEPT_LICENSE``.

    Raises
    ------
    LicenseError
        One is not accepted; the message says what it allows and how to accept it.
    """
    restricted = restricted_licenses(info)
    if not restricted:
        return
    accepted = _accepted()
    given = _split(accept_license) | _split(settings().accept_license)
    missing = [name for name in restricted if name.casefold() not in accepted | given]
    if missing:
        file = restricted[missing[0]]
        names = ",".join(missing)
        raise LicenseError(
            f"the weights of pack {info.name!r} are under {' and '.join(missing)}: "
            f"{(file.terms or '').rstrip('.')} ({file.licence_source}); to accept it give accept_license={names!r}, "
            f"set FACEDEX_ACCEPT_LICENSE={names}, or say --accept-license {names}",
            licences=tuple(missing),
        )
    fresh = {name: file for name, file in restricted.items() if name.casefold() not in accepted}
    if fresh:
        _record_accepted(fresh, info.name)


def _accepted() -> set[str]:
    """Read the names of the licences that were accepted on this machine, casefolded."""
    entries = read_own_json(_ACCEPTED)
    return {name.casefold() for name, entry in entries.items() if isinstance(entry, dict)}


def _record_accepted(licenses: dict[str, PackFile], pack: str) -> None:
    entry = {"accepted_at": now(), "pack": pack}
    try:
        with lock("licences"):
            fresh = {
                name: {**entry, "terms": file.terms, "source": file.licence_source} for name, file in licenses.items()
            }
            write_json(data_folder() / _ACCEPTED, {**read_own_json(_ACCEPTED), **fresh})
    except PackFolderError as error:
        # The acceptance holds for this call; a read-only container must not stop it.
        _log.warning("the accepted licence could not be stored: %s", error)


def _split(text: str | None) -> set[str]:
    return {name.strip().casefold() for name in (text or "").split(",") if name.strip()}
