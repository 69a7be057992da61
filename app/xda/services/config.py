"""What to build: one TOML file, every key validated, unknown keys refused; relative paths are relative to the file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from xda.errors import ConfigError

PositiveC = Annotated[float, Field(gt=0, le=1e12)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunTable(_Table):
    """``[run]``: how the run is called."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name in URLs.")
    title: str = Field(min_length=1, max_length=120)


class DataTable(_Table):
    """``[data]``: where the images are."""

    name: str = Field(description="A data set that `xda data` knows, such as 'mnist'.")


class NetworkTable(_Table):
    """``[network]``: how the network is made."""

    preset: str = Field(description="A preset that `xda train` knows, such as 'mnist-cnn'.")
    checkpoint: Path = Field(description="Its weights, a safetensors file.")


class SurrogateTable(_Table):
    """``[surrogate]``: what to fit (method section 2)."""

    c: tuple[PositiveC, ...] = Field(default=(1e-5, 1e-3, 1e-1), min_length=1, max_length=20)
    tol: float = Field(default=1e-6, gt=0, lt=1, description="Relative duality gap.")
    intercept: Literal["none", "augment"] = "none"

    @field_validator("c")
    @classmethod
    def _ascending(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(values)))


class IndexTable(_Table):
    """``[index]``: what is precomputed."""

    per_sign: int = Field(default=128, ge=1, le=10_000, description="Contributions kept of each sign.")


class BuildConfig(_Table):
    """A whole build configuration."""

    run: RunTable
    data: DataTable
    network: NetworkTable
    surrogate: SurrogateTable = SurrogateTable()
    index: IndexTable = IndexTable()


def load_config(path: Path, *, c: Sequence[float] | None = None) -> BuildConfig:
    """Read a build configuration.

    Parameters
    ----------
    path : Path
        A TOML file.
    c : sequence of float, optional
        Fit these C instead of those in the file.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no TOML, or has a missing, unknown or unusable key; the message names it.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    if c is not None:
        content["surrogate"] = {**content.get("surrogate", {}), "c": list(c)}
    try:
        config = BuildConfig.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path}: key '{key}': {first['msg']}.") from None
    checkpoint = path.parent / config.network.checkpoint
    return config.model_copy(update={"network": config.network.model_copy(update={"checkpoint": checkpoint})})
