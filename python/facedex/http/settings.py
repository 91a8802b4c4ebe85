"""Settings of the server: arguments, then ``FACEDEX_*`` of the environment, then defaults.

This is the server's part of `facedex.config`, which reads the settings that the library has too. A contract reads its
own settings.
"""

from __future__ import annotations

import ipaddress
import os
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ..config import ACCOUNT_SCOPES, SCOPE_SPELLINGS, check_names
from ..options import AuditLevel, IndexMethod, KeptPhotos, LivenessMode, Score
from ..server import SCOPES
from ..store import is_in_memory
from ..thresholds import parse_rule
from .connections import MAX_PER_ADDRESS, MOST
from .limits import cores
from .old_names import ALL, LARGEST_BODY, OldNames
from .pixels import MOST as MOST_PIXELS

Names = Annotated[tuple[str, ...], NoDecode]
"""Several names; separated by commas in the environment."""


def _parse_threshold(value: object) -> float | str | None:
    """Check a threshold; a rate stays a text, which is easily shown."""
    if value is None:
        return None
    rule = parse_rule(value)
    return rule if isinstance(rule, float) else str(rule)


class Settings(BaseSettings):
    """The settings of a server; the default of each is the variable ``FACEDEX_`` and its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="FACEDEX_", frozen=True, extra="forbid", hide_input_in_errors=True)

    db: SecretStr = Field(default=SecretStr("people.db"), description="The gallery's database: a path or a URL.")
    pack: str | None = Field(default=None, description="The pack of new galleries; by default the built-in one.")
    add_packs: Names = Field(default=(), description="Packs that add liveness and attributes.")
    gallery: str = Field(default="default", description="The default gallery of a request.")
    threshold: Annotated[float | str | None, BeforeValidator(_parse_threshold)] = Field(
        default=None, description="A similarity from -1 to 1, or a rate such as fpir=0.01, which is the default."
    )
    audit: AuditLevel = Field(default="changes", description="What the audit records.")
    score: Score = Field(default="fused", description="How similar a face is to a person.")
    index: IndexMethod = Field(default="auto", description="How faces are searched.")
    photos: KeptPhotos = Field(default="none", description="Which photos are stored.")
    max_faces: int | None = Field(default=None, ge=1, description="Maximum number of faces of a person.")

    host: str = Field(default="127.0.0.1", description="The address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen on.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that share the database.")
    insecure: bool = Field(default=False, description="Serve other machines without keys or accounts.")
    tls_cert: str | None = Field(default=None, description="File of the TLS certificate, PEM.")
    tls_key: str | None = Field(default=None, description="File of the private key, PEM.")
    trusted_proxies: Names = Field(default=(), description="Proxies whose forwarded headers are trusted.")
    cors_origins: Names = Field(default=(), description="Origins whose pages may call this server.")
    contracts: Names = Field(default=(), description="Contracts of older backends to serve, or 'all'.")
    docs: bool = Field(default=True, description="Serve the OpenAPI page at /api/docs.")

    public_scopes: Names = Field(default=(), description="Scopes of callers without a key, when keys exist.")
    account_scopes: Names = Field(default=ACCOUNT_SCOPES, description="Scopes of a client account.")
    token_ttl_s: int = Field(default=12 * 3600, ge=60, description="Lifetime of a sign-in, seconds.")
    lockout_after: int = Field(default=5, ge=1, description="Failed sign-ins of an account before it is delayed.")
    rate_per_minute: int = Field(
        default=0, ge=0, description="Maximum requests a minute of one address, key or account; 0 is no limit."
    )
    face_login_liveness: LivenessMode = Field(default="required", description="Whether a face must be live to sign in.")
    face_login_challenge: Literal["off", "required"] = Field(
        default="off",
        description="Whether a sign-in with a face needs an active check; required: the page offers it too.",
    )

    connections_per_address: int = Field(
        default=MAX_PER_ADDRESS,
        ge=1,
        le=MOST,
        description="Maximum connections of one address per worker; a proxy has no limit.",
    )
    max_upload_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, description="Maximum body of a request.")
    max_request_pixels: int = Field(
        default=MOST_PIXELS,
        ge=1_000_000,
        description="Maximum pixels of one request, and of one key or address at a time.",
    )
    max_pictures: int = Field(default=100, ge=1, le=1000, description="Maximum number of pictures in one request.")
    concurrency: int = Field(
        default=0, ge=0, description="Requests with pictures that a worker handles at once; 0 is one per core."
    )
    waiting: int = Field(default=64, ge=0, description="Requests that may wait; one more is answered 503.")
    request_timeout_s: float = Field(default=30.0, gt=0, description="Time limit of a request, seconds.")
    body_timeout_s: float = Field(default=20.0, gt=0, description="Time limit of the body of a request, seconds.")
    embed: bool = Field(default=False, description="Serve embeddings to administrators; they are personal data.")
    access_log: bool = Field(default=True, description="Log a line for each request, without its query.")
    log_format: Literal["text", "json"] = Field(default="text", description="Format of those lines.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: arguments, ``FACEDEX_*``, then the names of older backends; refuse unknown names."""
        check_names(os.environ)
        return init_settings, env_settings, OldNames(settings_cls, init_settings, env_settings)

    @field_validator("*", mode="before")
    @classmethod
    def _unset(cls, value: object, info: ValidationInfo) -> object:
        """Use the default for an empty variable, and for the one that Kubernetes sets for a service "facedex"."""
        name = info.field_name or ""
        empty = value == "" and name != "account_scopes"  # which may be none
        if empty or (name == "port" and isinstance(value, str) and value.startswith(("tcp://", "udp://"))):
            return cls.model_fields[name].get_default()
        return value

    @field_validator(
        "add_packs", "trusted_proxies", "cors_origins", "contracts", "public_scopes", "account_scopes", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("public_scopes", "account_scopes")
    @classmethod
    def _known_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        value = tuple(SCOPE_SPELLINGS.get(scope, scope) for scope in value)
        unknown = set(value) - set(SCOPES)
        if unknown:
            raise ValueError(f"scopes are {', '.join(SCOPES)}; got {', '.join(sorted(unknown))}")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)
        return value

    @model_validator(mode="after")
    def _pair(self) -> Settings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together: set both or none")
        if is_in_memory(self.location):
            raise ValueError("db must be a file or a database server: a server cannot share a database in memory")
        return self

    @property
    def location(self) -> str:
        """Location of the database; may hold a password."""
        return self.db.get_secret_value()

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach the server: directly, or through a proxy."""
        return bool(self.trusted_proxies) or not is_loopback(self.host)

    @property
    def cores(self) -> int:
        """Cores for each worker: more threads than cores would cost memory and gain nothing."""
        return max(1, cores() // self.workers)

    @property
    def largest_body(self) -> int:
        """Maximum body of all routes, bytes."""
        named = LARGEST_BODY if ALL in self.contracts else self.contracts
        return max(self.largest_body_of(contract) for contract in (None, *named))

    def largest_body_of(self, contract: str | None) -> int:
        """Return the maximum body of a contract's routes or of all others, bytes; an explicit setting is for all."""
        if contract is None or "max_upload_bytes" in self.model_fields_set:
            return self.max_upload_bytes
        return max(self.max_upload_bytes, LARGEST_BODY.get(contract, 0))


def is_loopback(host: str) -> bool:
    """Return whether an address is reached from this machine only.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, True, False, True)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
