"""The settings that come from the environment: one set for the library, the command line and the server.

`settings` reads the variables anew at each call, so that nothing is fixed at import. An argument that
a caller gives always wins over a variable. A value outside its range is an `ArgumentError` that names the variable, and
so is a variable of this prefix that is no setting. ``facedex config`` prints the settings and where each comes from.

=======================  =================================================================================
``FACEDEX_HOME``         folder for packs that were fetched or added, and for snapshots of galleries on servers
``FACEDEX_THREADS``      networks that run side by side, from 1
``FACEDEX_PROVIDERS``    ONNX Runtime execution providers, separated by commas, in order of preference
``FACEDEX_MAX_PIXELS``   largest picture that is decoded, pixels, from 1
``FACEDEX_OVERSIZE``     ``reduce`` decodes a JPEG file over that limit at a half, a quarter or an eighth; ``refuse``
``FACEDEX_STRICT``       0 decodes what a JPEG file holds whose end is cut off; 1, the default, refuses it
``FACEDEX_ACCEPT_LICENSE``  licences of weights that the user has accepted, as the pack's error asks for it
``FACEDEX_MIRROR``       address from which the files of packs are fetched, instead of their own
``FACEDEX_DB``           database that the command line uses, a path or a URL, instead of ``people.db``
``FACEDEX_GALLERY``      gallery of that database that the command line uses, instead of ``default``
``FACEDEX_PACK``         pack of networks for new galleries and for engines, instead of the built-in one
``FACEDEX_ADD_PACKS``    packs that add liveness and attributes, separated by commas
``FACEDEX_THRESHOLD``    cut-off on similarity, from -1 to 1, or a rate such as fpir=0.01
``FACEDEX_PHOTOS``       which photos galleries store: none, thumbnail or original
``FACEDEX_INDEX``        how faces are searched: auto, exact, ivf or hnsw
``FACEDEX_SCORE``        how similar a face is to a person: fused, closest or mean
``FACEDEX_AUDIT``        what the audit records: changes, all or none
``FACEDEX_MAX_FACES``    maximum number of faces of a person, from 1
``FACEDEX_KEY``          key of encrypted galleries, 32 bytes in base64
``FACEDEX_AUDIT_KEY``    key that signs the audit, 32 bytes in base64, instead of the gallery's own
``FACEDEX_ACTOR``        the actor that the audit records
``FACEDEX_SEARCH``       where galleries are searched: local, pgvector, or the address of a Milvus
``FACEDEX_ONNXRUNTIME``  path of the ONNX Runtime library to load instead of that of the package ``onnxruntime``
``FACEDEX_ACCOUNT_SCOPES``  scopes of clients' accounts; one with broader scopes stays when its person is deleted
=======================  =================================================================================

A server has further settings, `facedex.http.Settings`.
"""

from __future__ import annotations

import base64
import difflib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Literal

from .errors import ArgumentError

MAX_PIXELS = 50_000_000
"""Default limit on the pixels of a picture: 50 megapixels take 150 MB as RGB."""

Oversize = Literal["refuse", "reduce"]
"""A JPEG file over the limit of pixels is refused, or decoded at a half, a quarter or an eighth of its sides."""

SCOPES = ("read", "recognise", "enrol", "admin")
"""What a client of a server can be allowed to do; `facedex.server.principals` defines each."""

SCOPE_SPELLINGS = {"recognize": "recognise", "enroll": "enrol"}
"""American spellings of scopes, accepted wherever a scope is given."""

ACCOUNT_SCOPES = ("read", "recognise", "enrol")
"""Default scopes of the accounts of a server's clients."""

KEY_BYTES = 32
"""Length of a gallery's key: AES-256."""

SERVER_SETTINGS = (
    *("host", "port", "workers", "insecure", "tls_cert", "tls_key", "trusted_proxies", "cors_origins", "contracts"),
    *("docs", "public_scopes", "token_ttl_s", "lockout_after", "rate_per_minute"),
    *("face_login_liveness", "face_login_challenge"),
    *("connections_per_address", "max_upload_bytes", "max_request_pixels", "max_pictures", "concurrency", "waiting"),
    *("request_timeout_s", "body_timeout_s", "embed", "access_log", "log_format"),
    *("attendance_folder", "attendance_zone"),  # of the contract mtcnn-facenet
)
"""Names of the settings that only a server reads, known here so that they are no spelling mistakes."""

_PREFIX = "FACEDEX_"

_RATE = re.compile("f(mr|pir)=.+")  # facedex.thresholds reads it

_OTHERS = re.compile(
    "FACEDEX_(SHARED|ARTEFACTS|SEED|SCHEMA_EXAMPLES|(REQUIRE|FUZZ|SOAK|LAYER)_[A-Z]+"  # of the tests of facedex
    r"|(\w+_)?SERVICE_(HOST|PORT)(_\w+)?|(\w+_)?PORT_\d+_(TCP|UDP)(_\w+)?)"  # of Kubernetes, for a service "facedex"
)
"""Variables that have the prefix and are no settings."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the environment; None where a variable is not set.

    Attributes
    ----------
    home : Path or None
        Folder for packs that were fetched or added, and for search snapshots of galleries on database servers.
    threads : int or None
        Networks that run side by side, from 1.
    providers : tuple of str or None
        ONNX Runtime execution providers in order of preference.
    max_pixels : int
        Largest picture that is decoded, pixels.
    oversize : {"refuse", "reduce"}
        Whether a JPEG file over that limit is refused, or decoded smaller.
    strict : bool
        Whether a JPEG file whose end is cut off is refused.
    accept_license : str or None
        Licences of weights that the user has accepted.
    mirror : str or None
        Address from which the files of packs are fetched, instead of their own.
    db : str or None
        Database that the command line uses, a path or a URL.
    gallery : str
        Gallery of that database that the command line uses.
    pack : str or None
        Pack of networks for new galleries and for engines, name or path, instead of the built-in one.
    add_packs : tuple of str
        Packs that add networks for liveness and attributes.
    threshold : float or str or None
        Cut-off on similarity, [-1, 1], inclusive, or a rate such as ``"fpir=0.01"``, instead of the default.
    photos, index, audit, score : str or None
        The defaults of `Gallery.open`, which checks them.
    max_faces : int or None
        Maximum number of faces of a person, where a gallery is opened without rules of its own.
    key : bytes or None
        Key of encrypted galleries; never shown.
    audit_key : bytes or None
        Key that signs the audit, instead of the gallery's own; never shown.
    actor : str or None
        The actor that the audit records.
    search : str
        Where galleries are searched: "local", "pgvector", or the address of a Milvus.
    onnxruntime : Path or None
        The ONNX Runtime library to load.
    account_scopes : tuple of str
        Scopes of clients' accounts, as the server's setting of that name. An account with broader scopes stays,
        without the person, when its person is deleted.
    """

    home: Path | None = None
    threads: int | None = None
    providers: tuple[str, ...] | None = None
    max_pixels: int = MAX_PIXELS
    oversize: Oversize = "refuse"
    strict: bool = True
    accept_license: str | None = None
    mirror: str | None = None
    db: str | None = field(default=None, repr=False)  # a URL may hold a password
    gallery: str = "default"
    pack: str | None = None
    add_packs: tuple[str, ...] = ()
    threshold: float | str | None = None
    photos: str | None = None
    index: str | None = None
    audit: str | None = None
    score: str | None = None
    max_faces: int | None = None
    key: bytes | None = field(default=None, repr=False)
    audit_key: bytes | None = field(default=None, repr=False)
    actor: str | None = None
    search: str = field(default="local", repr=False)  # an address may hold a password
    onnxruntime: Path | None = None
    account_scopes: tuple[str, ...] = ACCOUNT_SCOPES


def settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from the environment.

    Parameters
    ----------
    environ : mapping of str to str, optional
        Read instead of the process's environment.

    Returns
    -------
    Settings

    Raises
    ------
    ArgumentError
        When a variable is no setting, a number is out of range, a key is not base64 of 32 bytes, or a scope is unknown.

    Examples
    --------
    >>> settings({"FACEDEX_THREADS": "4", "FACEDEX_PROVIDERS": "CUDA, CPU"}).providers
    ('CUDA', 'CPU')
    """
    variables = os.environ if environ is None else environ
    check_names(variables)

    def text(name: str) -> str | None:
        return variables.get(name, "").strip() or None

    def path(name: str) -> Path | None:
        value = text(name)
        return None if value is None else Path(value)

    def count(name: str) -> int | None:
        value = text(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit()) or int(value) < 1:
            raise ArgumentError(f"{name} must be a whole number from 1, got {value!r}")
        return int(value)

    def cosine_or_rate(name: str) -> float | str | None:
        value = text(name)
        if value is not None and _RATE.fullmatch(value):
            return value
        try:
            number = None if value is None else float(value)
        except ValueError:
            number = math.nan
        if number is not None and not -1.0 <= number <= 1.0:
            raise ArgumentError(f"{name} must be a number from -1 to 1, or a rate such as fpir=0.01, got {value!r}")
        return number

    def flag(name: str, *, default: bool) -> bool:
        value = text(name)
        if value not in (None, "0", "1"):
            raise ArgumentError(f"{name} must be 0 or 1, got {value!r}")
        return default if value is None else value == "1"

    def oversize() -> Oversize:
        value = text("FACEDEX_OVERSIZE")
        if value not in (None, "refuse", "reduce"):
            raise ArgumentError(f"FACEDEX_OVERSIZE must be refuse or reduce, got {value!r}")
        return "reduce" if value == "reduce" else "refuse"

    def secret(name: str) -> bytes | None:
        value = text(name)
        return None if value is None else key_from(value, name)

    def words(value: str) -> tuple[str, ...]:
        return tuple(word for part in value.split(",") if (word := part.strip()))

    scopes: tuple[str, ...] = ACCOUNT_SCOPES
    if "FACEDEX_ACCOUNT_SCOPES" in variables:
        scopes = tuple(SCOPE_SPELLINGS.get(word, word) for word in words(variables["FACEDEX_ACCOUNT_SCOPES"]))
        if not set(scopes) <= set(SCOPES):
            raise ArgumentError(
                f"FACEDEX_ACCOUNT_SCOPES must be some of {', '.join(SCOPES)}, got {', '.join(scopes)!r}"
            )
    return Settings(
        home=path("FACEDEX_HOME"),
        threads=count("FACEDEX_THREADS"),
        providers=words(text("FACEDEX_PROVIDERS") or "") or None,
        max_pixels=count("FACEDEX_MAX_PIXELS") or MAX_PIXELS,
        oversize=oversize(),
        strict=flag("FACEDEX_STRICT", default=True),
        accept_license=text("FACEDEX_ACCEPT_LICENSE"),
        mirror=text("FACEDEX_MIRROR"),
        db=text("FACEDEX_DB"),
        gallery=text("FACEDEX_GALLERY") or "default",
        pack=text("FACEDEX_PACK"),
        add_packs=words(text("FACEDEX_ADD_PACKS") or ""),
        threshold=cosine_or_rate("FACEDEX_THRESHOLD"),
        photos=text("FACEDEX_PHOTOS"),
        index=text("FACEDEX_INDEX"),
        audit=text("FACEDEX_AUDIT"),
        score=text("FACEDEX_SCORE"),
        max_faces=count("FACEDEX_MAX_FACES"),
        key=secret("FACEDEX_KEY"),
        audit_key=secret("FACEDEX_AUDIT_KEY"),
        actor=text("FACEDEX_ACTOR"),
        search=text("FACEDEX_SEARCH") or "local",
        onnxruntime=path("FACEDEX_ONNXRUNTIME"),
        account_scopes=scopes,
    )


def check_names(variables: Mapping[str, str]) -> None:
    """Refuse variables that have the prefix of facedex and are no settings.

    Raises
    ------
    ArgumentError
        It names the nearest setting.

    Examples
    --------
    >>> check_names({"FACEDEX_THRESHOLD": "0.5", "FACEDEX_PORT": "8000", "PATH": "/bin"})
    """
    known = _variables()
    unknown = [
        name
        for name in variables
        if name.upper().startswith(_PREFIX) and name not in known and not _OTHERS.fullmatch(name)
    ]
    if unknown:
        name = min(unknown)
        near = difflib.get_close_matches(name[len(_PREFIX) :].lower(), sorted(known.values()), n=1)
        remedy = f"did you mean {variable_of(near[0])}?" if near else "remove it; 'facedex config' lists the settings"
        raise ArgumentError(f"the environment has {name}, which is no setting of facedex: {remedy}")


@cache
def _variables() -> dict[str, str]:
    """Return the setting of each variable."""
    return {variable_of(name): name for name in (*SERVER_SETTINGS, *(one.name for one in fields(Settings)))}


def variable_of(name: str) -> str:
    """Return the variable of a setting.

    Examples
    --------
    >>> variable_of("max_pixels")
    'FACEDEX_MAX_PIXELS'
    """
    return _PREFIX + name.upper()


def user_folder(kind: Literal["data", "cache"]) -> Path | None:
    """Return ``FACEDEX_HOME``, else the platform's folder for the data or the caches of this user.

    Returns
    -------
    Path or None
        None where the user has no such folder: a user without a home, as in many containers, or with the home of
        another user.
    """
    home = settings().home
    if home is not None:
        return home
    from platformdirs import user_cache_path, user_data_path

    try:
        folder = (user_data_path if kind == "data" else user_cache_path)("facedex", appauthor=False)
        (folder / "packs").stat()  # fails unless the folder can be searched
    except FileNotFoundError:
        pass  # whoever writes creates it
    except (RuntimeError, OSError, ValueError):  # RuntimeError: platformdirs finds no home
        return None
    return folder if folder.is_absolute() else None


def key_from(text: str, name: str) -> bytes:
    """Decode a key from base64.

    Parameters
    ----------
    text : str
    name : str
        Where it comes from, for the message, which never shows the text.

    Returns
    -------
    bytes
        32 bytes.

    Raises
    ------
    ArgumentError
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ArgumentError(f"{name} must be base64 of {KEY_BYTES} bytes; 'facedex gallery new-key' makes one")
    return key
