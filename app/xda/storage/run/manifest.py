"""The manifest of a run: its description, its files with their hashes, and its quality figures.

``manifest.json`` is read strictly: unknown keys, wrong types, NaN and unsafe file names are refused. The *digest* of
a run is the SHA-256 of the bytes of this file. Since the manifest holds the hash of every other file, the digest
identifies the whole run.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator
from pydantic_core import from_json

from xda.errors import RunError

SCHEMA_VERSION: Final = 1
"""Version of the run folder's layout; this program writes and reads no other."""

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
"""Path inside the run folder: forward slashes, no part that starts with a dot, so it cannot lead out of the folder."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileEntry(_Part):
    """Size, hash and form of one file of the run."""

    sha256: Sha256
    bytes: Count
    dtype: str | None = None
    """NumPy type string such as ``<f4``; None if the file is not an array."""
    shape: tuple[Count, ...] | None = None


class LeftOutEntry(_Part):
    """Number of unusable images that were left out, by split; the file ``left_out.parquet`` names them."""

    train: Count
    test: Count


class DatasetEntry(_Part):
    """The data set of the run."""

    name: str
    title: str
    fingerprint: Sha256
    """SHA-256 over the content of both splits."""
    left_out: LeftOutEntry | None = None
    """None if all images were used."""


class NetworkEntry(_Part):
    """The explained network; ``xda.networks`` reads the specification, ``xda.data`` the preprocessing."""

    spec: dict[str, JsonValue]
    preprocessing: dict[str, JsonValue]
    weights_sha256: Sha256
    """Hash of the weights that computed the features; equal to that of ``network.safetensors``."""
    accuracy: Share
    """Share of test images that the network classifies as labelled."""
    remark: str | None = None
    """Says if the network changes the scores of its head, or returns more than them; None if it does neither."""


class CertificateEntry(_Part):
    """The certificate of a surrogate (method section 3), with the fields of ``xda.surrogate.certificate``."""

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
    """Share of test images with the same prediction of surrogate and network."""
    n_support: Count
    sparsity: SparsityEntry


class Counts(_Part):
    """Sizes that all parts of the run have in common."""

    train: Count
    test: Count
    features: Count
    """Dimension d of the features (without the constant of ``intercept="augment"``)."""


class RunDescription(_Part):
    """The builder's description of a run; :class:`Manifest` adds the facts that the writer finds."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    classes: Annotated[tuple[str, ...], Field(min_length=2, max_length=MAX_CLASSES)]
    counts: Counts
    dataset: DatasetEntry
    network: NetworkEntry
    composite: str
    """Rules of the layer-wise relevance propagation, for people; empty if the run has no heat-maps."""
    no_heatmaps: str | None = None
    """Reason why the run has no heat-maps, one sentence; None if it has them."""
    intercept: Literal["none", "augment"]
    per_sign: Annotated[int, Field(ge=1)]
    """Number of contributions of each sign in the index, per test image."""
    surrogates: Annotated[tuple[SurrogateEntry, ...], Field(min_length=1)]
    libraries: dict[str, str]
    """Versions of the libraries that built the run."""

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
        The bytes are not a manifest, or one of another schema version.
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
