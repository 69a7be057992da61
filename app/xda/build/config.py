"""The build configuration: one TOML file with validated keys; relative paths start at the file's folder.

Unknown keys are refused.
"""

from __future__ import annotations

import glob
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

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

from xda.build.config_errors import first_error
from xda.data.preprocessing import CHANNELS, NEEDED, Interpolation
from xda.errors import ConfigError
from xda.networks.spec import NetworkKind, NetworkSpec

PositiveC = Annotated[float, Field(gt=0, le=1e12)]
Side = Annotated[int, Field(ge=1, le=10_000)]
Level = Annotated[float, Field(allow_inf_nan=False)]
Spread = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _beside_the_file(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return path if folder is None else folder / path.expanduser()


RelativePath = Annotated[Path, AfterValidator(_beside_the_file)]
"""A path; a relative one starts at the folder of the configuration file."""


def _one_or_several(value: object) -> object:
    if not isinstance(value, str | Path | Sequence):
        raise ValueError("a path in quotes is needed, or a list of them")
    return (value,) if isinstance(value, str | Path) else value


RelativePaths = Annotated[tuple[RelativePath, ...], BeforeValidator(_one_or_several)]
"""One such path or several; file names may be patterns."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _run_id(found: dict[str, Any]) -> str:
    return str(found.get("id", ""))


class RunTable(_Table):
    """``[run]``: the id and the title of the run."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="Name in URLs.", examples=["my-run"])
    title: str = Field(default_factory=_run_id, min_length=1, max_length=120, description="Title; default: the id.")


class DataTable(_Table):
    """``[data]``: the source of the images: exactly one of ``name``, ``train`` with ``test``, and ``factory``."""

    name: str | None = Field(default=None, description="A data set that `xda data` knows, such as 'mnist'.")
    train: RelativePaths = Field(default=(), description="Folder with a folder for each class, or Parquet files.")
    test: RelativePaths = Field(default=(), description="Folder or Parquet files of the test images.")
    image: str | None = Field(default=None, description="Parquet column of the images; default: image.")
    label: str | None = Field(default=None, description="Parquet column of the labels; default: label.")
    factory: str | None = Field(default=None, description="'module:function', called with 'train' and 'test'.")
    classes: tuple[str, ...] | None = Field(
        default=None, min_length=2, description="Names of the classes.", examples=[["cat", "dog"]]
    )
    skip_bad: bool = Field(default=False, description="Leave out images that cannot be used.")
    follow_links: bool = Field(default=False, description="Follow links that lead out of the folders of images.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [key for key in ("name", "train", "test", "factory") if getattr(self, key)]
        if given not in (["name"], ["train", "test"], ["factory"]):
            found = " with ".join(given) or "none"
            raise ValueError(f"exactly one of name, train with test, and factory is needed, not {found}")
        if (self.image or self.label) and not self.train:
            raise ValueError("image and label are columns of Parquet files, which train and test must name")
        if self.follow_links and not self.train:
            raise ValueError("follow_links is for folders of images, which train and test must name")
        if self.classes is not None and len(set(self.classes)) != len(self.classes):
            raise ValueError("classes holds a name twice")
        return self

    @property
    def is_parquet(self) -> bool:
        """Whether the images are in Parquet files, given by name, by a pattern or by their folder."""
        return any(
            glob.has_magic(path.name) or path.suffix.lower() == ".parquet" or any(path.glob("*.parquet"))
            for path in self.train
        )


class PreprocessingTable(_Table):
    """``[network.preprocessing]``: each key replaces that key of the model's own transform."""

    mode: Literal["L", "RGB"] | None = Field(default=None, description="Grey or colour.", examples=["RGB"])
    size: tuple[Side, Side] | None = Field(
        default=None, description="[height, width] of the network's input.", examples=[[224, 224]]
    )
    mean: tuple[Level, ...] | None = Field(
        default=None, description="Per channel, on the scale 0 to 1.", examples=[[0.485, 0.456, 0.406]]
    )
    std: tuple[Spread, ...] | None = Field(
        default=None, description="Per channel, on the scale 0 to 1.", examples=[[0.229, 0.224, 0.225]]
    )
    resize: Side | None = Field(default=None, description="Shorter side before cropping; without it, no cropping.")
    crop: Literal["center"] | None = Field(default=None, description="Part that is kept after `resize`: the centre.")
    interpolation: Interpolation | None = None

    @model_validator(mode="after")
    def _crop_has_something_to_crop(self) -> Self:
        if self.crop is not None and self.resize is None:
            raise ValueError("'crop' needs 'resize', the length of the shorter side before cropping")
        for key, values in (("mean", self.mean), ("std", self.std)):
            if self.mode is not None and values is not None and len(values) != (channels := CHANNELS[self.mode]):
                raise ValueError(f"'{key}' has {len(values)} value(s), but mode \"{self.mode}\" needs {channels}")
        return self


class NetworkTable(_Table):
    """``[network]``: the network, its weights and its preprocessing."""

    preset: str | None = Field(default=None, description="A preset that `xda train` knows, such as 'mnist-cnn'.")
    torchvision: str | None = Field(default=None, description="A classification model, such as 'resnet50'.")
    timm: str | None = Field(default=None, description="A model of timm, such as 'efficientnet_lite0'.")
    factory: str | None = Field(default=None, description="'module:function' that returns a torch.nn.Module.")
    arguments: dict[str, JsonValue] = Field(default={}, description="Keyword arguments of model or factory.")
    checkpoint: RelativePath | None = Field(default=None, description="Its weights: safetensors, or a state dict.")
    weights: str | None = Field(default=None, min_length=1, description="'pretrained': torchvision's or timm's own.")
    keep_code: bool = Field(default=False, description="Copy the factory's module or package into the run.")
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
        if self.keep_code and self.factory is None:
            raise ValueError("'keep_code' keeps the module of a 'factory', and there is none")
        if self.weights is not None and self.torchvision is None and self.timm is None:
            raise ValueError("'weights' names those that torchvision or timm distribute; a file is a 'checkpoint'")
        if self.weights is not None and self.checkpoint is not None:
            raise ValueError("one of 'checkpoint' and 'weights' is needed, not both")
        if self.factory is None and self.checkpoint is None and self.weights is None:
            raise ValueError(
                "'checkpoint' is needed, the file with the network's weights"
                + ("" if self.preset is not None else ', or weights = "pretrained" for those of its makers')
            )
        missing = [key for key in NEEDED if getattr(self.preprocessing, key) is None]
        if self.factory is not None and missing:
            raise ValueError(
                f"a factory comes without a preprocessing; give {', '.join(missing)} in [network.preprocessing]"
            )
        return self

    @property
    def kind(self) -> NetworkKind:
        """The source of the architecture."""
        kind: NetworkKind
        (kind,) = (kind for kind in get_args(NetworkKind) if getattr(self, kind) is not None)
        return kind

    def spec(self, n_classes: int) -> NetworkSpec:
        """Return the specification from which the network is built."""
        return NetworkSpec(
            name=getattr(self, self.kind),
            n_classes=n_classes,
            kind=self.kind,
            arguments=self.arguments,
            head=self.head or "",
            weights=self.weights or "",
        )


class SurrogateTable(_Table):
    """``[surrogate]``: the surrogates to fit (method section 2)."""

    c: tuple[PositiveC, ...] = Field(default=(1e-5, 1e-3, 1e-1), min_length=1, max_length=20, examples=[[0.001]])
    tol: float = Field(default=1e-6, gt=0, lt=1, description="Relative duality gap.")
    intercept: Literal["none", "augment"] = "none"

    @field_validator("c")
    @classmethod
    def _ascending(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted(set(values)))


class IndexTable(_Table):
    """``[index]``: the size of the precomputed index."""

    per_sign: int = Field(default=128, ge=1, le=10_000, description="Stored contributions of each sign.")


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
        The file cannot be read, is not TOML, or has a missing, unknown or unusable key. The message names the key
        and, if it is unknown, a similar known one.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); give the path of a TOML file.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} is not valid TOML: {error}; text stands in quotes, and each key = value on a line of its own."
        ) from None
    if not content:
        raise ConfigError(f"{path} is empty; it needs the tables [run], [data] and [network].")
    if c is not None and isinstance(content.setdefault("surrogate", {}), dict):
        content["surrogate"]["c"] = list(c)
    try:
        return BuildConfig.model_validate(content, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_error(error, BuildConfig)}") from None
