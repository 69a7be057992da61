"""Describes a finished build for the manifest of its run."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import numpy as np

from xda.attribution.fidelity import agreement
from xda.build.config import BuildConfig
from xda.data.dataset import ImageDataset
from xda.networks.loading import LoadedNetwork
from xda.storage.files import fingerprint
from xda.storage.run import layout
from xda.storage.run.manifest import (
    CertificateEntry,
    Counts,
    DatasetEntry,
    LeftOutEntry,
    NetworkEntry,
    RunDescription,
    SparsityEntry,
    SurrogateEntry,
)
from xda.storage.run.writer import RunWriter
from xda.version import __version__

LIBRARIES = ("numpy", "scipy", "scikit-learn", "numba", "torch", "torchvision", "zennit")


def data_key(dataset: ImageDataset) -> list[str]:
    """Return the identity of a data set: its name and the fingerprints of both splits."""
    return [dataset.name, dataset.train.fingerprint, dataset.test.fingerprint]


def describe_run(
    config: BuildConfig,
    dataset: ImageDataset,
    network: LoadedNetwork,
    writer: RunWriter,
    composite: str,
    no_heatmaps: str | None,
) -> RunDescription:
    """Describe a run with finished stages.

    Parameters
    ----------
    config : BuildConfig
    dataset : ImageDataset
    network : LoadedNetwork
    writer : RunWriter
        Gives access to the written arrays.
    composite : str
        Name of the rules for heat-maps.
    no_heatmaps : str or None
        Reason why there are no heat-maps.
    """
    predicted = writer.array(layout.logits("test")).argmax(axis=1)
    train, test = dataset.train, dataset.test
    return RunDescription(
        id=config.run.id,
        title=config.run.title,
        classes=dataset.classes,
        counts=Counts(train=len(train), test=len(test), features=writer.array(layout.features("train")).shape[1]),
        dataset=DatasetEntry(
            name=dataset.name,
            title=dataset.title,
            fingerprint=fingerprint(data_key(dataset)),
            left_out=LeftOutEntry(train=len(train.left_out), test=len(test.left_out)) if dataset.left_out else None,
        ),
        network=NetworkEntry(
            spec=network.spec.to_dict(),
            preprocessing=network.preprocessing.to_dict(),
            weights_sha256=writer.sha256(layout.NETWORK),
            accuracy=float(np.mean(predicted == test.labels)),
            remark=network.remark or None,
        ),
        composite=composite,
        no_heatmaps=no_heatmaps,
        intercept=config.surrogate.intercept,
        per_sign=config.index.per_sign,
        surrogates=tuple(_surrogate(writer, c) for c in config.surrogate.c),
        libraries={"dualxda-explorer": __version__, "python": platform.python_version()}
        | {name: version(name) for name in (*LIBRARIES, *(["timm"] if network.spec.kind == "timm" else []))},
    )


def _surrogate(writer: RunWriter, c: float) -> SurrogateEntry:
    certificate = json.loads(writer.read_bytes(layout.certificate(c)))
    return SurrogateEntry(
        name=layout.surrogate_name(c),
        c=c,
        certificate=CertificateEntry(**{name: certificate[name] for name in CertificateEntry.model_fields}),
        agreement=agreement(writer.array(layout.surrogate(c, layout.TEST_LOGITS)), writer.array(layout.logits("test"))),
        n_support=certificate["n_support"],
        sparsity=SparsityEntry(
            l0=float(np.mean(writer.array(layout.index(c, "l0")))),
            hoyer=float(np.mean(writer.array(layout.index(c, "hoyer")))),
        ),
    )
