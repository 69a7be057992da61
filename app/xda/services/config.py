"""What to build: one TOML file, every key validated, unknown keys refused; relative paths are relative to the file."""

from __future__ import annotations

import difflib
import glob
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from xda.errors import ConfigError
from xda.vision.networks import NetworkKind, NetworkSpec
from xda.vision.preprocessing import Interpolation

PositiveC = Annotated[float, Field(gt=0, le=1e12)]
Side = Annotated[int, Field(ge=1, le=10_000)]


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None else folder / path.expanduser()


RelativePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path that is relative to the configuration file."""
RelativePaths = Annotated[
    tuple[RelativePath, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str | Path) else value)
]
"""One such path or several; file names may be patterns."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RunTable(_Table):
    """``[run]``: how the run is called."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name in URLs.")
    title: str = Field(min_length=1, max_length=120)


class DataTable(_Table):
    """``[data]``: where the images are; exactly one of ``name``, ``train`` with ``test``, and ``factory``."""

    name: str | None = Field(default=None, description="A data set that `xda data` knows, such as 'mnist'.")
    train: RelativePaths = Field(default=(), description="Folder with a folder for each class, or Parquet files.")
    test: RelativePaths = Field(default=(), description="The same of the test images.")
    image: str | None = Field(default=None, description="Parquet column of the images, if it is not called so.")
    label: str | None = Field(default=None, description="Parquet column of the labels, if it is not called so.")
    factory: str | None = Field(default=None, description="'module:function', called with 'train' and 'test'.")
    classes: tuple[str, ...] | None = Field(default=None, min_length=2, description="Names of the classes.")
    skip_bad: bool = Field(default=False, description="Leave out images that cannot be used.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [key for key in ("name", "train", "test", "factory") if getattr(self, key)]
        if given not in (["name"], ["train", "test"], ["factory"]):
            found = " with ".join(given) or "none"
            raise ValueError(f"exactly one of name, train with test, and factory is needed, not {found}")
        if (self.image or self.label) and not self.train:
            raise ValueError("image and label are columns of Parquet files, which train and test must name")
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes holds a name twice")
        return self

    @property
    def is_parquet(self) -> bool:
        """Whether the images are in Parquet files: named, meant by a pattern, or in a folder of them."""
        return any(
            glob.has_magic(path.name) or path.suffix.lower() == ".parquet" or any(path.glob("*.parquet"))
            for path in self.train
        )


class PreprocessingTable(_Table):
    """``[network.preprocessing]``: what replaces the model's own transform, key by key."""

    mode: Literal["L", "RGB"] | None = Field(default=None, description="Grey or colour.")
    size: tuple[Side, Side] | None = Field(default=None, description="[height, width] of the network's input.")
    mean: tuple[float, ...] | None = Field(default=None, description="Per channel, on the scale 0 to 1.")
    std: tuple[float, ...] | None = Field(default=None, description="Per channel, on the scale 0 to 1.")
    resize: Side | None = Field(default=None, description="Shorter side before cropping; without it, no cropping.")
    crop: Literal["center"] | None = Field(default=None, description="What is kept after `resize`: the centre.")
    interpolation: Interpolation | None = None

    @model_validator(mode="after")
    def _crop_has_something_to_crop(self) -> Self:
        if self.crop is not None and self.resize is None:
            raise ValueError("'crop' needs 'resize', the length of the shorter side before cropping")
        return self


class NetworkTable(_Table):
    """``[network]``: how the network is made."""

    preset: str | None = Field(default=None, description="A preset that `xda train` knows, such as 'mnist-cnn'.")
    torchvision: str | None = Field(default=None, description="A classification model, such as 'resnet50'.")
    timm: str | None = Field(default=None, description="A model of timm, such as 'efficientnet_lite0'.")
    factory: str | None = Field(default=None, description="'module:function' that returns a torch.nn.Module.")
    arguments: dict[str, JsonValue] = Field(default={}, description="Keyword arguments of model or factory.")
    checkpoint: RelativePath | None = Field(default=None, description="Its weights: safetensors, or a state dict.")
    head: str | None = Field(default=None, min_length=1, description="Name of the last linear layer.")
    preprocessing: PreprocessingTable = PreprocessingTable()

    @model_validator(mode="after")
    def _one_network(self) -> Self:
        kinds = [kind for kind in get_args(NetworkKind) if getattr(self, kind) is not None]
        if len(kinds) != 1:
            raise ValueError(
                f"exactly one of {', '.join(get_args(NetworkKind))} is needed, not {' and '.join(kinds) or 'none'}"
            )
        if self.preset is not None and self.arguments:
            raise ValueError("a preset takes no 'arguments'")
        if self.factory is None and self.checkpoint is None:
            raise ValueError("'checkpoint' is needed, the file with the network's weights")
        return self

    @property
    def kind(self) -> NetworkKind:
        """Where the architecture comes from."""
        kind: NetworkKind
        (kind,) = (kind for kind in get_args(NetworkKind) if getattr(self, kind) is not None)
        return kind

    def spec(self, n_classes: int) -> NetworkSpec:
        """Return what is needed to build the network."""
        return NetworkSpec(
            name=getattr(self, self.kind),
            n_classes=n_classes,
            kind=self.kind,
            arguments=self.arguments,
            head=self.head or "",
        )


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
        If the file cannot be read, is no TOML, or has a missing, unknown or unusable key; the message names it and, for
        an unknown one, the key that was probably meant.
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
        return BuildConfig.model_validate(content, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigError(f"{path}: {_mistake(error)}") from None


def _mistake(error: ValidationError) -> str:
    """Say what is wrong with the first key: an unknown one rather than the missing one that it was meant to be."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    loc = [str(part) for part in first["loc"]]
    key = ".".join(loc)
    if first["type"] != "extra_forbidden":
        return f"key '{key}': {first['msg'].removeprefix('Value error, ')}."
    known = _keys(BuildConfig, loc[:-1])
    close = difflib.get_close_matches(loc[-1].lower(), known, n=1)
    advice = f"did you mean '{close[0]}'?" if close else f"known are: {', '.join(known)}."
    return f"key '{key}' is unknown; {advice}"


def _keys(table: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Return the keys of the table at a path of keys."""
    for part in path:
        annotation = table.model_fields[part].annotation if part in table.model_fields else None
        inner = [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type)]
        table = next((kind for kind in inner if issubclass(kind, BaseModel)), table)
    return list(table.model_fields)
