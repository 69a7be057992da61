"""All settings, read from the environment (prefix ``XDA_``) in one place.

Nothing is read at import time; ``Settings()`` reads the environment when it is called, and the command line overrides
single values through keyword arguments. Every field appears in docs/reference/settings.md (a test says so).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|\[[0-9a-f:.]+\]")

DeviceChoice = Literal["auto", "cpu", "cuda"]


def _bracketed(host: str) -> str:
    return f"[{host}]" if host.count(":") > 1 and not host.startswith("[") else host


def _names(hosts: str) -> list[str]:
    """Split a list of host names; lower case, as requests are compared."""
    return [_bracketed(name.strip().lower()) for name in hosts.split(",") if name.strip()]


class Settings(BaseSettings):
    """Settings of build and serve; the environment sets each as ``XDA_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="XDA_", frozen=True, extra="forbid")

    home: Path = Field(default=Path(), description="Folder that holds data/, runs/, cache/ and the link database.")
    runs: str = Field(default="", description="Run folders to serve, separated by ':' (set by `xda serve`).")
    database_url: str = Field(
        default="", description="SQLAlchemy URL of the link database; empty: SQLite in the home folder."
    )
    allow_factory: str = Field(
        default="",
        description="Modules, separated by ',', from which a run's factory may be imported; a package: all of it.",
    )
    device: DeviceChoice = Field(default="auto", description="Where the surrogate and the heat-maps are computed.")
    root_path: str = Field(default="", description="Path prefix under which a proxy serves the application.")
    public_url: str = Field(
        default="", description="Absolute base URL for shared links and cards; empty: taken from the request."
    )
    allowed_hosts: str = Field(
        default="",
        description="Names, separated by commas, under which the server answers besides those of loopback and of the "
        "public URL; '*.example.org': all names below it, '*': any.",
    )
    social_cards: bool = Field(default=True, description="Whether shared links carry OpenGraph tags and a card image.")
    queue_size: int = Field(default=64, ge=1, le=10_000, description="Heat-map jobs that may wait for the device.")
    wait_seconds: float = Field(default=30.0, gt=0, le=600, description="Longest wait for a heat-map, in seconds.")
    max_body_bytes: int = Field(default=1_000_000, ge=1_000, description="Largest request body accepted, in bytes.")
    max_page: int = Field(default=500, ge=1, le=10_000, description="Largest `limit` of a list or an explanation.")
    cache_bytes: int = Field(default=2_000_000_000, ge=0, description="Size of the heat-map cache on disk, in bytes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Log level.")

    @field_validator("allowed_hosts")
    @classmethod
    def _check_hosts(cls, value: str) -> str:
        for name in _names(value):
            if not _HOST.fullmatch(name):
                raise ValueError(
                    f"'{name}' is not a host name; give names without scheme and port, separated by commas, "
                    "such as xda.example.org,*.lab.example.org"
                )
        return value

    @property
    def hosts(self) -> tuple[str, ...]:
        """Host names to which the server answers: lower case, IPv6 addresses in brackets."""
        public = urlsplit(self.public_url).hostname
        return tuple(
            dict.fromkeys([*LOOPBACK_HOSTS, *([_bracketed(public)] if public else []), *_names(self.allowed_hosts)])
        )

    @field_validator("allow_factory")
    @classmethod
    def _modules(cls, value: str) -> str:
        for module in value.split(","):
            if module.strip() and not all(part.isidentifier() for part in module.strip().split(".")):
                raise ValueError(f"'{module.strip()}' is not a module name such as my_project.models")
        return value

    @property
    def allowed_factories(self) -> tuple[str, ...]:
        """Modules from which a run's factory may be imported."""
        return tuple(module.strip() for module in self.allow_factory.split(",") if module.strip())

    @property
    def data_dir(self) -> Path:
        """Folder of the data sets."""
        return self.home / "data"

    @property
    def runs_dir(self) -> Path:
        """Folder in which `xda demo` puts its run."""
        return self.home / "runs"

    @property
    def cache_dir(self) -> Path:
        """Folder of the heat-map cache."""
        return self.home / "cache"

    @property
    def link_database_url(self) -> str:
        """SQLAlchemy URL of the link database, with the default filled in."""
        return self.database_url or f"sqlite:///{(self.home / 'links.sqlite3').resolve()}"

    @property
    def run_paths(self) -> tuple[Path, ...]:
        """Run folders to serve."""
        return tuple(Path(part) for part in self.runs.split(":") if part)


def resource_dir(name: Literal["frontend", "static"]) -> Path:
    """Return the folder of the templates or of the static files.

    An installed wheel carries them inside the package (``xda/_resources``); a checkout has them at its top level.
    """
    packaged = Path(__file__).parent / "_resources" / name
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name
