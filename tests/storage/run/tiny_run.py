"""A run small enough to build in milliseconds: six training images, four test images, three classes, one surrogate."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xda.storage.files import fingerprint
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.storage.run.manifest import (
    CertificateEntry,
    Counts,
    DatasetEntry,
    NetworkEntry,
    RunDescription,
    SparsityEntry,
    Split,
    SurrogateEntry,
)
from xda.storage.run.writer import RunWriter

COUNTS = Counts(train=6, test=4, features=5)
CLASSES = ("zero", "one", "two")
SPLITS: tuple[Split, Split] = ("train", "test")
SURROGATE = "surrogates/c-0.001"


def weights(seed: int) -> bytes:
    """Return stand-in weights; storage never looks inside."""
    return f"weights of network {seed}".encode() * 10


def images(seed: int, split: str) -> list[bytes]:
    """Return stand-in encoded images of different lengths."""
    return [f"{split} image {index} of {seed}".encode() * (index + 1) for index in range(getattr(COUNTS, split))]


def description(seed: int = 0) -> RunDescription:
    """Return the description of the tiny run."""
    certificate = CertificateEntry(
        primal=1.0,
        dual=1.0,
        relative_gap=0.0,
        kkt_violation=0.0,
        n_support=2,
        n_bounded=1,
        n_sweeps=3,
        seconds=0.5,
        converged=True,
        C=1e-3,
        tol=1e-6,
        n_samples=6,
        infeasibility=0.0,
    )
    return RunDescription(
        id="tiny",
        title=f"Tiny {seed}",
        classes=CLASSES,
        counts=COUNTS,
        dataset=DatasetEntry(name="tiny", title="Tiny", fingerprint="0" * 64),
        network=NetworkEntry(
            spec={"preset": "tiny"},
            preprocessing={"mean": [0.5]},
            weights_sha256=hashlib.sha256(weights(seed)).hexdigest(),
            accuracy=0.5,
        ),
        composite="none",
        intercept="none",
        per_sign=4,
        surrogates=(
            SurrogateEntry(
                name="c-0.001",
                c=1e-3,
                certificate=certificate,
                agreement=1.0,
                n_support=2,
                sparsity=SparsityEntry(l0=0.5, hoyer=0.5),
            ),
        ),
        libraries={"numpy": np.__version__},
    )


def write_network(writer: RunWriter, seed: int) -> None:
    """Write the stage of the weights."""
    writer.write_bytes("network.safetensors", weights(seed))


def outputs(seed: int, split: str) -> dict[str, NDArray[np.float32]]:
    """Return stand-in features and logits of a split by the names of their files."""
    random = np.random.default_rng(seed)
    count = getattr(COUNTS, split)
    return {
        f"{split}/features.npy": random.normal(size=(count, COUNTS.features)).astype(np.float32),
        f"{split}/logits.npy": random.normal(size=(count, len(CLASSES))).astype(np.float32),
    }


def write_outputs(writer: RunWriter, seed: int, split: str) -> int:
    """Write the stage of features and logits of a split, two images at a time; return the first row of this attempt."""
    arrays = outputs(seed, split)
    forms = {name: (array.shape, array.dtype) for name, array in arrays.items()}
    with writer.growing_stage(f"features: {split}", fingerprint([split, seed]), forms) as growing:
        began = growing.done
        for start in range(began, growing.total, 2):
            growing.append({name: array[start : start + 2] for name, array in arrays.items()})
    return began


def write_data(writer: RunWriter, seed: int) -> None:
    """Write the stage of images and tables."""
    for split in SPLITS:
        count = getattr(COUNTS, split)
        writer.write_images(split, images(seed, split), count)
        writer.write_table(
            f"{split}.parquet", pa.table({"label": np.arange(count) % 3, "predicted": np.arange(count) % 3})
        )


def write_surrogate(writer: RunWriter, seed: int) -> None:
    """Write the stage of the surrogate."""
    random = np.random.default_rng(seed + 1)
    writer.write_array(f"{SURROGATE}/coef.npy", random.normal(size=(len(CLASSES), COUNTS.features)))
    writer.write_array(f"{SURROGATE}/support.npy", np.array([1, 4]))
    writer.write_array(f"{SURROGATE}/dual_data.npy", np.array([1e-3, -1e-3, 5e-4, -5e-4]))
    writer.write_array(f"{SURROGATE}/dual_indices.npy", np.array([0, 1, 1, 2], np.int32))
    writer.write_array(f"{SURROGATE}/dual_indptr.npy", np.array([0, 2, 4]))
    writer.write_array(f"{SURROGATE}/slack.npy", np.zeros(COUNTS.train, np.float32))
    writer.write_array(f"{SURROGATE}/test_logits.npy", random.normal(size=(COUNTS.test, len(CLASSES))))
    for name, array in layout.INDEX.items():
        counted = {"test images": COUNTS.test, "test images plus one": COUNTS.test + 1}
        values = np.zeros(counted.get(array.dimensions[0], 2), array.dtype)
        writer.write_array(f"{SURROGATE}/index/{name}.npy", values)


STAGES: dict[str, Callable[[RunWriter, int], None]] = {
    "network": write_network,
    "data": write_data,
    "surrogate": write_surrogate,
}


FEATURES = [f"features: {split}" for split in SPLITS]
ALL_STAGES = [*STAGES, *FEATURES]


def write_stages(writer: RunWriter, seed: int = 0) -> list[str]:
    """Write all unfinished stages; return their names, with the first row of those that continued."""
    computed = []
    for stage, write in STAGES.items():
        inputs = fingerprint([stage, seed])
        if not writer.finished(stage, inputs):
            computed.append(stage)
            with writer.stage(stage, inputs):
                write(writer, seed)
    for split in SPLITS:
        if not writer.finished(f"features: {split}", fingerprint([split, seed])):
            began = write_outputs(writer, seed, split)
            computed.append(f"features: {split}" + (f" from {began}" if began else ""))
    return computed


def build(out: Path, seed: int = 0) -> tuple[RunFolder, list[str]]:
    """Build the tiny run as ``xda build`` builds a large one.

    Returns
    -------
    RunFolder
        The run.
    list of str
        The stages that had to be computed.
    """
    with RunWriter(out, "tiny") as writer:
        computed = write_stages(writer, seed)
        return writer.commit(description(seed)), computed
