"""The manifest of a run: what the run is, which files it consists of, and the numbers that people judge it by.

``manifest.json`` is read strictly: unknown keys, wrong types, NaN and unsafe file names are refused. The *digest* of
a run is the SHA-256 of the bytes of this file; as the manifest holds the hash of every other file, it stands for the
whole run.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic_core import from_json

from xda.errors import RunError

SCHEMA_VERSION: Final = 1
"""Version of the run folder's layout that this program writes, and the only one it reads."""

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024
MAX_CLASSES = 100_000

Split = Literal["train", "test"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, le=2**53)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]{0,62}$")]
RelativePath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}(/[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}){0,7}$")
]
"""Path inside the run folder: forward slashes, no part that starts with a dot, so nothing that leads out of it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileEntry(_Part):
    """What one file of the run must be."""

    sha256: Sha256
    bytes: Count
    dtype: str | None = None
    """NumPy type string such as ``<f4``; None for what is not an array."""
    shape: tuple[Count, ...] | None = None


class LeftOutEntry(_Part):
    """How many images could not be used and were left out, by split; the file ``left_out.parquet`` names them."""

    train: Count
    test: Count


class DatasetEntry(_Part):
    """The data set the run was built from."""

    name: str
    title: str
    fingerprint: Sha256
    """SHA-256 over the content of both splits."""
    left_out: LeftOutEntry | None = None
    """None where all images were used."""


class NetworkEntry(_Part):
    """The network that is explained; ``xda.networks`` reads the specification, ``xda.data`` the preprocessing."""

    spec: dict[str, JsonValue]
    preprocessing: dict[str, JsonValue]
    weights_sha256: Sha256
    """Hash of the weights with which the features were computed; must be that of ``network.safetensors``."""
    accuracy: Share
    """Share of test images that the network classifies as labelled."""
    remark: str | None = None
    """What the network does with the scores of its head, or returns beside them; None where it is nothing."""


class CertificateEntry(_Part):
    """How well a surrogate is solved (method section 3): the fields of ``xda.surrogate.certificate.Certificate``."""

    primal: float
    dual: float
    relative_gap: float
    """(primal - dual) / max(1e-12, abs(primal))."""
    kkt_violation: float
    """Largest violation of the optimality conditions, in units of the margin."""
    n_support: Count
    n_bounded: Count
    """Support vectors whose dual variable is at its bound C."""
    n_sweeps: Count
    seconds: float
    converged: bool
    C: float
    tol: float
    n_samples: Count
    infeasibility: float
    """Largest violation of the constraints on the dual variables, divided by C."""


class SparsityEntry(_Part):
    """Mean sparsity of the explanations of all test images (method section 2), higher is sparser."""

    l0: Share
    hoyer: Share


class SurrogateEntry(_Part):
    """One surrogate of the run."""

    name: Name
    """Folder under ``surrogates/``."""
    c: Annotated[float, Field(gt=0.0)]
    certificate: CertificateEntry
    agreement: Share
    """Share of test images for which surrogate and network predict the same class."""
    n_support: Count
    sparsity: SparsityEntry


class Counts(_Part):
    """Sizes that all parts of the run share."""

    train: Count
    test: Count
    features: Count
    """Dimension d of the features (without the constant of ``intercept="augment"``)."""


class RunDescription(_Part):
    """What the builder of a run says about it; :class:`Manifest` adds what the writer finds out itself."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    counts: Counts
    dataset: DatasetEntry
    network: NetworkEntry
    composite: str
    """Rules of the layer-wise relevance propagation, for people; empty where the run has no heat-maps."""
    no_heatmaps: str | None = None
    """Why the run has no heat-maps, one sentence; None where it has."""
    intercept: Literal["none", "augment"]
    per_sign: Annotated[int, Field(ge=1)]
    """Contributions of each sign that the index holds for a test image."""
    surrogates: Annotated[tuple[SurrogateEntry, ...], Field(min_length=1)]
    libraries: dict[str, str]
    """Versions with which the run was built."""

    @field_validator("surrogates")
    @classmethod
    def _distinct(cls, surrogates: tuple[SurrogateEntry, ...]) -> tuple[SurrogateEntry, ...]:
        for what, values in (("name", [s.name for s in surrogates]), ("c", [s.c for s in surrogates])):
            if len(set(values)) != len(values):
                raise ValueError(f"two surrogates have the same {what}")
        return surrogates


class Manifest(RunDescription):
    """All of ``manifest.json``."""

    schema_version: Literal[1]
    created: AwareDatetime
    files: dict[RelativePath, FileEntry]

    def to_bytes(self) -> bytes:
        """Return the content of ``manifest.json``."""
        return (self.model_dump_json(indent=2, exclude_none=True) + "\n").encode()


def describe(description: RunDescription, files: dict[str, FileEntry]) -> Manifest:
    """Return the manifest of a finished run, dated now."""
    return Manifest(
        **dict(description),
        schema_version=SCHEMA_VERSION,
        created=datetime.now(UTC).replace(microsecond=0),
        files=files,
    )


def digest(content: bytes) -> str:
    """Return the digest of a run from the bytes of its ``manifest.json``: 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Read the bytes of a ``manifest.json``.

    Parameters
    ----------
    content : bytes
        All of the file.
    where : str
        The run folder, for messages.

    Raises
    ------
    RunError
        The bytes are no manifest, or one of another schema version.
    """
    try:
        document = from_json(content, allow_inf_nan=False)
    except ValueError as error:
        raise RunError(
            f"{where}: {MANIFEST_NAME} is damaged, it is not valid JSON ({error}). "
            "Copy the run folder again or rebuild it with `xda build`."
        ) from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if type(version) is not int:
        raise RunError(f"{where}: {MANIFEST_NAME} is not the manifest of a run. Name a folder written by `xda build`.")
    if version != SCHEMA_VERSION:
        age, remedy = (
            ("a newer", "Update this program")
            if version > SCHEMA_VERSION
            else ("an older", "Rebuild the run with `xda build`")
        )
        raise RunError(
            f"{where}: the run has schema version {version}, this program reads version {SCHEMA_VERSION}: "
            f"it was written by {age} program. {remedy}."
        )
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RunError(
            f"{where}: {MANIFEST_NAME} is damaged at {place!r}: {first['msg']}. "
            "Copy the run folder again or rebuild it with `xda build`."
        ) from error
