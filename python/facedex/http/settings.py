"""How a server is set up: arguments, then ``FACEDEX_*`` of the environment, then defaults.

This is the server's part of `facedex.config`: the two are the only readers of the environment. Where a contract has
names of its own for a setting, its router reads them.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from ..config import ACCOUNT_SCOPES
from ..options import AuditLevel, IndexMethod, KeptPhotos, LivenessMode
from ..server import SCOPES
from .connections import MOST, MOST_OF_ONE
from .old_names import ALL, LARGEST_BODY, OldNames
from .pixels import MOST as MOST_PIXELS

Names = Annotated[tuple[str, ...], NoDecode]
"""Several words; in the environment they are separated by commas."""


class Settings(BaseSettings):
    """The settings of a server; each is read from ``FACEDEX_`` and its name in upper case where it is not given."""

    model_config = SettingsConfigDict(env_prefix="FACEDEX_", frozen=True, extra="forbid", hide_input_in_errors=True)

    db: SecretStr = Field(default=SecretStr("people.db"), description="The gallery's database: a path or a URL.")
    pack: str | None = Field(
        default=None, description="The networks; by default those that made the gallery, else the built-in ones."
    )
    add_packs: Names = Field(default=(), description="Packs that bring liveness and attributes.")
    gallery: str = Field(default="default", description="The gallery that is meant where a request names none.")
    threshold: float | None = Field(
        default=None, ge=-1, le=1, description="Cut-off on similarity; by default the pack's."
    )
    audit: AuditLevel = Field(default="changes", description="What the audit tells.")
    index: IndexMethod = Field(default="auto", description="How faces are searched.")
    photos: KeptPhotos = Field(default="none", description="What is kept of the pictures.")
    max_faces: int | None = Field(default=None, ge=1, description="Most faces of a person.")

    host: str = Field(default="127.0.0.1", description="The address to listen at.")
    port: int = Field(default=8000, ge=0, le=65535, description="The port to listen at.")
    workers: int = Field(default=1, ge=1, le=64, description="Processes that share the database.")
    insecure: bool = Field(default=False, description="Serve other machines without keys or accounts.")
    tls_cert: str | None = Field(default=None, description="File of the certificate, PEM.")
    tls_key: str | None = Field(default=None, description="File of its private key, PEM.")
    trusted_proxies: Names = Field(default=(), description="Addresses whose forwarded headers are believed.")
    cors_origins: Names = Field(default=(), description="Origins whose pages may call this server.")
    contracts: Names = Field(default=(), description="Contracts of older backends to answer, or 'all'.")
    docs: bool = Field(default=True, description="Show the OpenAPI page at /api/docs.")

    public_scopes: Names = Field(default=(), description="What anybody may do without a key once keys are on.")
    account_scopes: Names = Field(default=ACCOUNT_SCOPES, description="What an account of a client may do.")
    token_ttl_s: int = Field(default=12 * 3600, ge=60, description="How long a sign-in lasts, seconds.")
    lockout_after: int = Field(default=5, ge=1, description="Failed sign-ins of an account before it must wait.")
    rate_per_minute: int = Field(
        default=0, ge=0, description="Requests a minute from one address, and of one key or account; 0 is any number."
    )
    face_login_liveness: LivenessMode = Field(
        default="required", description="Whether a face must be judged live where it takes the place of a password."
    )

    connections_per_address: int = Field(
        default=MOST_OF_ONE,
        ge=1,
        le=MOST,
        description="Connections that a worker keeps with one address; a proxy has any number.",
    )
    max_upload_bytes: int = Field(default=10 * 1024 * 1024, ge=1024, description="Largest body of a request.")
    max_request_pixels: int = Field(
        default=MOST_PIXELS,
        ge=1_000_000,
        description="Most pixels in one request, and of one key or address at a time.",
    )
    max_pictures: int = Field(default=100, ge=1, le=1000, description="Most pictures in one request.")
    concurrency: int = Field(
        default=0, ge=0, description="Requests that a worker works on side by side; 0 is one a core."
    )
    waiting: int = Field(
        default=64, ge=0, description="Requests that may wait for their turn; one more is answered 503."
    )
    request_timeout_s: float = Field(default=30.0, gt=0, description="How long an answer may take.")
    body_timeout_s: float = Field(default=20.0, gt=0, description="How long the body of a request may take to come.")
    embed: bool = Field(default=False, description="Give embeddings to those who may; they are personal data.")
    access_log: bool = Field(default=True, description="A line for each request, without its query.")
    log_format: Literal["text", "json"] = Field(default="text", description="How those lines are written.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, ``FACEDEX_*``, then the names of the older backends that are stood in for."""
        return init_settings, env_settings, OldNames(settings_cls, init_settings, env_settings)

    @field_validator(
        "add_packs", "trusted_proxies", "cors_origins", "contracts", "public_scopes", "account_scopes", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("public_scopes", "account_scopes")
    @classmethod
    def _known_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
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
            raise ValueError("tls_cert and tls_key go together: give both or none")
        return self

    @property
    def location(self) -> str:
        """Where the database is; may hold a password."""
        return self.db.get_secret_value()

    @property
    def exposed(self) -> bool:
        """Whether other machines can reach the server: directly, or through a proxy."""
        return bool(self.trusted_proxies) or not is_loopback(self.host)

    @property
    def largest_body(self) -> int:
        """The largest body that any route takes, bytes."""
        named = LARGEST_BODY if ALL in self.contracts else self.contracts
        return max(self.largest_body_of(contract) for contract in (None, *named))

    def largest_body_of(self, contract: str | None) -> int:
        """Tell the largest body of a contract's routes, or of all others, bytes; what was set holds for all."""
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
