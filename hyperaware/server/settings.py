"""The settings of the server: by flags, by the environment, by a TOML file, under the same names.

`--set batch_size=32` is the variable `HYPERAWARE_BATCH_SIZE=32` and the line `batch_size = 32` of a file.
Flags go before the environment, and that goes before the file. `docs/server.md` has them all, from here.
"""

import os
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from hyperaware.errors import ConfigError
from hyperaware.options import unknown_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["DEMO_POLICY", "Settings", "is_loopback", "read_settings"]

DEMO_POLICY = Path(__file__).with_name("demo-policy.toml")
"""The policy of `--demo`: a role for each action."""
PREFIX = "HYPERAWARE_"
"""Of the variables that are settings. HYPERAWARE_CACHE is none: it is of the whole package."""


class Settings(BaseSettings):
    """Everything that can be set. Limits hold before the work that they limit."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, use_attribute_docstrings=True
    )

    index: Path | None = None
    """Folder of the index to search; without one the server only moderates and embeds."""
    model: str | None = None
    """A shipped model or a model's folder; the index's own, or else the default model."""
    policy: Path | None = None
    """A TOML file; the package's default policy without one."""
    concepts: Path | None = None
    """A TOML file of categories; the package's own without one."""
    state: Path | None = None
    """Folder of audit log, reviews and keys; `INDEX/server`, or `hyperaware-server` without an index."""
    demo: bool = False
    """Serve the demo's index under the names of its roles, without keys, on loopback only."""
    host: str = "127.0.0.1"
    """Address to listen at. Another one than loopback needs keys."""
    port: int = Field(8000, ge=0, le=65535)
    """0 takes a free one."""
    no_auth: bool = False
    """Take requests without a key, as the policy's default role. Refused unless `host` is loopback."""

    model_threads: int = Field(1, ge=1, le=256)
    """Threads of the model's process."""
    device: str = "auto"
    """Where the model computes: `cpu`, `cuda`, `cuda:1`; `auto` takes a GPU if there is one."""
    spare_worker: bool = True
    """Keep a second process that has loaded the libraries, so that a dead model is back within a second."""
    batch_size: int = Field(64, ge=1, le=4096)
    """Most inputs in one forward pass."""
    batch_wait_ms: float = Field(5.0, ge=0, le=1000)
    """How long an input waits for others to share its forward pass."""
    queue_size: int = Field(2048, ge=1)
    """Most inputs that wait for the model; further ones get 429."""
    request_seconds: float = Field(30.0, gt=0)
    """How long a request may wait for the model; then 503. Many long texts ask it several times. A forward
    pass that takes as long is killed."""
    drain_seconds: float = Field(20.0, gt=0)
    """How long requests in progress may go on when the server stops."""

    max_body_bytes: int = Field(20 * 2**20, ge=1024)
    """Most bytes of a request's body."""
    max_inputs: int = Field(256, ge=1, le=10_000)
    """Most inputs (texts, or parts) of one request."""
    max_images: int = Field(16, ge=1)
    """Most pictures of one request."""
    max_text_chars: int = Field(20_000, ge=1)
    """Most characters of one text."""
    max_image_bytes: int = Field(10 * 2**20, ge=1024)
    """Most bytes of the file of one picture."""
    max_image_pixels: int = Field(40_000_000, ge=1)
    """Most pixels of one picture, by its header."""
    decode_workers: int = Field(1, ge=1, le=64)
    """Processes that decode pictures."""
    decode_seconds: float = Field(10.0, gt=0)
    """How long one picture may take to decode; then its process is killed."""
    decode_memory_mb: int = Field(1024, ge=256)
    """Address space of a process that decodes, in MiB."""

    quarantine_days: float = Field(30.0, gt=0)
    """How long a copy of what is under review is kept, in days."""
    requests_per_minute: int = Field(3000, ge=0)
    """Per key; a tenth of it may come at once. 0: no limit."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the server; none by default."""
    fetch_hosts: tuple[str, ...] = ()
    """Hosts from which pictures may be fetched by URL; none by default, so that nothing is fetched."""
    fetch_seconds: float = Field(5.0, gt=0)
    """How long fetching one picture may take, redirects included."""

    @model_validator(mode="after")
    def _together(self) -> "Settings":
        if self.demo and not is_loopback(self.host):
            raise ValueError(f"host is {self.host!r}, but --demo asks for no keys: it runs on 127.0.0.1 only")
        if self.no_auth and not is_loopback(self.host):
            raise ValueError(f"host is {self.host!r}, but --no-auth is allowed on 127.0.0.1 only: make keys")
        if self.queue_size < self.max_inputs:
            raise ValueError(f"queue_size {self.queue_size} is less than max_inputs {self.max_inputs}")
        if "*" in self.cors_origins:
            raise ValueError(
                "cors_origins has '*', which would let every page call the server: name the origins"
            )
        return self

    @property
    def open(self) -> bool:
        """Whether requests without a key are taken."""
        return self.demo or self.no_auth

    @property
    def state_folder(self) -> Path:
        """`state`, or its default."""
        if self.state is not None:
            return self.state
        return Path("hyperaware-server") if self.index is None else self.index / "server"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_settings(flags: Mapping[str, Any], *, file: Path | None = None) -> Settings:
    """The settings from flags (those that are not None), the environment and a TOML file, in this order.

    Raises:
        ConfigError: no such file, no TOML, an unknown name, also of a variable, or a value that is refused;
            it names the setting.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    from_file = {} if file is None else _read(file)
    for name in (*given, *from_file, *_variables()):
        if name not in Settings.model_fields:
            raise unknown_name("setting of the server", name, Settings.model_fields)
    try:
        return Settings(**{**from_file, **EnvSettingsSource(Settings)(), **given})
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(each) for each in error.errors())) from error


def _variables() -> list[str]:
    """The settings that the environment names, whether there are such or not."""
    found = (name.upper().partition(PREFIX) for name in os.environ)
    return [name.lower() for before, prefix, name in found if prefix and not before and name != "CACHE"]


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"the settings {file} cannot be read: {error}") from error


def _sentence(error: Any) -> str:
    name = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{name} is {error['input']!r}: {message}" if name else message
