"""The build: images → features → dual variables → index, written as an immutable run folder.

Each stage has a fingerprint of all its inputs. An interrupted build continues after its last finished stage; a changed
input redoes the stages that depend on it (``xda.storage.run.writer``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from xda.attribution.class_means import class_means
from xda.attribution.decomposition import self_influence
from xda.attribution.fidelity import confidence_and_margin
from xda.attribution.index import build_index
from xda.attribution.preparation import curvature_of
from xda.build.config import BuildConfig
from xda.build.configured_network import configured_network
from xda.build.description import data_key, describe_run
from xda.build.warnings import accuracy_warnings, configuration_warnings, normalisation_warnings, warn
from xda.data.dataset import ImageDataset, ImageSplit
from xda.decision import SPLITS, Split
from xda.errors import DataError
from xda.networks.device import resolve_device
from xda.networks.features import extract_batches, output_widths
from xda.networks.kept_code import collect
from xda.networks.loading import LoadedNetwork
from xda.networks.products import DeviceFeatures
from xda.progress import Progress, silent
from xda.relevance.relevance_model import RelevanceModel
from xda.runs.sources import pack
from xda.runs.support_reader import read_support
from xda.settings import DeviceChoice
from xda.storage.files import fingerprint
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.storage.run.writer import RunWriter
from xda.surrogate import CrammerSingerSVC, blocks
from xda.surrogate.fit_progress import STAGE, gap_progress

FORMAT = 1
"""Part of every stage's fingerprint; change it when a stage computes something else."""


def build_run(
    config: BuildConfig,
    dataset: ImageDataset,
    out: Path,
    *,
    device: DeviceChoice = "auto",
    progress: Progress = silent,
    features: Mapping[Split, NDArray[np.float32]] = MappingProxyType({}),
) -> RunFolder:
    """Build a run folder, or continue an interrupted build of it.

    Parameters
    ----------
    config : BuildConfig
    dataset : ImageDataset
        The data set that the configuration names.
    out : Path
        The run folder. An existing run stays in use until the new one is complete.
    device : {"auto", "cpu", "cuda"}
    progress : Progress
    features : mapping of {"train", "test"} to NDArray[np.float32], optional
        Features that this network has computed before, each of shape (N, d), so that the build need not.

    Returns
    -------
    RunFolder
        The finished run, open.

    Raises
    ------
    ConfigError, DataError
        Data or weights are missing or do not fit each other.
    ConflictError
        Another build writes the same folder, or it holds something else, such as a run of another id.
    """
    where = resolve_device(device)
    _refuse_untrained_classes(dataset)
    network = configured_network(config, dataset)
    warn(configuration_warnings(config, dataset), remark=network.remark)
    with RunWriter(out, config.run.id) as writer:
        return _Build(config, dataset, network, writer, where, progress, features).run()


@dataclass(frozen=True)
class _Build:
    """The stages of one build, in the order in which they depend on each other."""

    config: BuildConfig
    dataset: ImageDataset
    network: LoadedNetwork
    writer: RunWriter
    device: torch.device
    progress: Progress
    known: Mapping[Split, NDArray[np.float32]]
    """Features that were computed before."""

    def run(self) -> RunFolder:
        # First, so that a refused network costs no hours of work.
        composite, no_heatmaps = self._composite()
        warn(normalisation_warnings(self.network, self.dataset))
        self._write_network()
        self._write_images()
        self._write_sources()
        self._write_features()
        self._write_class_means()
        self._write_surrogates()
        for c in self.config.surrogate.c:
            self._write_index(c)
            self._write_removal(c)
        self._write_tables()
        self._write_left_out()
        warn(accuracy_warnings(self.dataset.test.labels, self._predicted, len(self.dataset.classes)))
        described = describe_run(self.config, self.dataset, self.network, self.writer, composite, no_heatmaps)
        return self.writer.commit(described)

    @property
    def _data_key(self) -> list[str]:
        return data_key(self.dataset)

    @property
    def _features_key(self) -> list[str]:
        return [self.writer.sha256(layout.features(split)) for split in SPLITS] + self._data_key

    @property
    def _predicted(self) -> NDArray[np.int64]:
        """The network's predictions for the test images."""
        return np.asarray(self.writer.array(layout.logits("test")).argmax(axis=1))

    def _write_network(self) -> None:
        self._write_files("network", {layout.NETWORK: self.network.weights()})
        if self.config.network.keep_code:
            code = collect(self.network.spec.name)
            self._write_files("code", {layout.CODE + name: content for name, content in code.items()})

    def _write_files(self, stage: str, files: dict[str, bytes]) -> None:
        inputs = fingerprint([FORMAT, *((name, sha256(content).hexdigest()) for name, content in files.items())])
        if not self.writer.finished(stage, inputs):
            with self.writer.stage(stage, inputs):
                for name, content in files.items():
                    self.writer.write_bytes(name, content)

    def _write_images(self) -> None:
        inputs = fingerprint([FORMAT, *self._data_key])
        if self.writer.finished("images", inputs):
            return
        with self.writer.stage("images", inputs):
            for split in SPLITS:
                images = getattr(self.dataset, split)
                self.writer.write_images(split, images.all_encoded(), len(images), self.progress, "Storing images")

    def _write_sources(self) -> None:
        """Write the source of each image; nothing is computed from it."""
        for split in SPLITS:
            images: ImageSplit = getattr(self.dataset, split)
            content, offsets = pack(images.origins(split), len(images))
            inputs = fingerprint([FORMAT, sha256(content).hexdigest()])
            if not self.writer.finished(f"sources: {split}", inputs):
                with self.writer.stage(f"sources: {split}", inputs):
                    content_name, offsets_name = layout.source_files(split)
                    self.writer.write_bytes(content_name, content)
                    self.writer.write_array(offsets_name, offsets)

    def _write_features(self) -> None:
        preprocessing = self.network.preprocessing
        for split in SPLITS:
            images: ImageSplit = getattr(self.dataset, split)
            inputs = fingerprint(
                [
                    FORMAT,
                    self.writer.sha256(layout.NETWORK),
                    self.network.spec.to_dict(),
                    preprocessing.to_dict(),
                    images.fingerprint,
                ]
            )
            if self.writer.finished(f"features: {split}", inputs):
                continue
            network = self.network.classifier
            arrays = zip((layout.FEATURES, layout.LOGITS), output_widths(network), strict=True)
            forms = {layout.split_array(split, array): ((len(images), width), array.dtype) for array, width in arrays}
            with self.writer.growing_stage(f"features: {split}", inputs, forms) as growing:
                batches = extract_batches(
                    network,
                    preprocessing,
                    images,
                    device=self.device,
                    progress=self.progress,
                    start=growing.done,
                    stage=f"Features: {split}",
                    known=self.known.get(split),
                )
                for batch in batches:
                    growing.append(dict(zip(forms, batch, strict=True)))

    def _write_class_means(self) -> None:
        """Write the mean features of the training images that the network calls each class."""
        features, logits = layout.features("train"), layout.logits("train")
        inputs = fingerprint([FORMAT, self.writer.sha256(features), self.writer.sha256(logits)])
        if self.writer.finished("class means", inputs):
            return
        predicted = np.asarray(self.writer.array(logits).argmax(axis=1))
        means = class_means(self.writer.array(features), predicted, len(self.dataset.classes))
        with self.writer.stage("class means", inputs):
            self.writer.write_array(layout.split_array("train", layout.CLASS_MEANS), means)

    def _write_surrogates(self) -> None:
        """Fit all C, each started from the solution before."""
        table = self.config.surrogate
        inputs = fingerprint([FORMAT, *self._features_key, table.c, table.tol, table.intercept])
        if self.writer.finished("surrogates", inputs):
            return
        labels = self.dataset.train.labels
        features = np.asarray(self.writer.array(layout.features("train")))
        n_classes, width = len(self.dataset.classes), features.shape[1] + 1
        each = 4 * len(labels) + 8 * n_classes * (len(self.dataset.test) + width)
        self.writer.require_space("the surrogates", each * len(table.c))
        fitted = CrammerSingerSVC.path(
            features,
            labels,
            table.c,
            tol=table.tol,
            intercept=table.intercept,
            progress=gap_progress(self.progress, table.c, table.tol),
        )
        self.progress(STAGE, 100, 100)
        with self.writer.stage("surrogates", inputs):
            for svc in fitted:
                self._write_surrogate(svc)

    def _write_surrogate(self, svc: CrammerSingerSVC) -> None:
        augment = svc.intercept == "augment"
        coef = np.column_stack([svc.coef_, svc.intercept_]) if augment else svc.coef_
        queries = self.writer.array(layout.features("test"))
        test_logits = np.empty((len(queries), len(coef)))
        for span in blocks.spans(*queries.shape):
            test_logits[span] = blocks.read(queries, span, augment=augment) @ coef.T
        dual = svc.dual_coef_[svc.support_]
        arrays: dict[layout.ArraySpec, NDArray[Any]] = {
            layout.COEF: coef,
            layout.SUPPORT: svc.support_,
            layout.DUAL_DATA: dual.data,
            layout.DUAL_INDICES: dual.indices,
            layout.DUAL_INDPTR: dual.indptr,
            layout.SLACK: svc.slack_,
            layout.TEST_LOGITS: test_logits,
        }
        for spec, array in arrays.items():
            self.writer.write_array(layout.surrogate(svc.C, spec), np.asarray(array, spec.dtype))
        certificate = json.dumps(svc.certificate_.to_dict()).encode()
        self.writer.write_bytes(layout.certificate(svc.C), certificate)

    def _write_index(self, c: float) -> None:
        """Rank and sum the contributions to the network's decision on every test image."""
        name = f"index: {layout.surrogate_name(c)}"
        per_sign = self.config.index.per_sign
        own = [layout.COEF, layout.DUAL_DATA, layout.DUAL_INDICES, layout.DUAL_INDPTR, layout.SUPPORT]
        inputs = fingerprint(
            [
                FORMAT,
                per_sign,
                self.writer.sha256(layout.features("test")),
                self.writer.sha256(layout.logits("test")),
                *(self.writer.sha256(layout.surrogate(c, array)) for array in own),
            ]
        )
        if self.writer.finished(name, inputs):
            return
        support = read_support(self.writer.array, c, self.dataset.train.labels, len(self.dataset.classes))
        features = DeviceFeatures(
            self.writer.array(layout.features("train")),
            self.device,
            offset=layout.intercept_offset(self.config.surrogate.intercept),
            index=support.index,
        )
        arrays = build_index(
            support,
            features.products,
            np.asarray(self.writer.array(layout.features("test"))),
            self.writer.array(layout.logits("test")).argmax(axis=1),
            per_sign=per_sign,
            progress=lambda done, total: self.progress(f"Index: C = {c:g}", done, total),
        )
        with self.writer.stage(name, inputs):
            for array, values in arrays.items():
                self.writer.write_array(layout.index(c, array), values)

    def _write_removal(self, c: float) -> None:
        """Invert the curvature of a surrogate, from which effects of removals are estimated."""
        name = f"removal: {layout.surrogate_name(c)}"
        coef = layout.surrogate(c, layout.COEF)
        inputs = fingerprint([FORMAT, *self._features_key, self.writer.sha256(coef)])
        if self.writer.finished(name, inputs):
            return
        curvature = curvature_of(
            self.writer.array(layout.features("train")),
            self.dataset.train.labels,
            np.asarray(self.writer.array(coef)),
            c,
            self.progress,
        )
        with self.writer.stage(name, inputs):
            for array, values in curvature.arrays().items():
                self.writer.write_array(layout.removal(c, array), values)

    def _write_tables(self) -> None:
        """Write the tables that people sort and filter, with one row for each image."""
        cs = self.config.surrogate.c
        inputs = fingerprint(
            [FORMAT, *self._features_key, *(self.writer.sha256(layout.surrogate(c, layout.SLACK)) for c in cs)]
            + [self.writer.sha256(layout.logits(split)) for split in SPLITS]
        )
        if self.writer.finished("tables", inputs):
            return
        columns = {split: _outcome(self.writer, split, getattr(self.dataset, split).labels) for split in SPLITS}
        train_labels = self.dataset.train.labels
        norms = blocks.squared_norms(self.writer.array(layout.features("train")))
        norms += layout.intercept_offset(self.config.surrogate.intercept)
        for c in cs:
            name = layout.surrogate_name(c)
            support = read_support(self.writer.array, c, train_labels, len(self.dataset.classes))
            own = np.zeros(len(train_labels))
            own[support.index] = support.own_dual_coef
            columns["train"][layout.surrogate_column("slack", name)] = self.writer.array(
                layout.surrogate(c, layout.SLACK)
            )
            columns["train"][layout.surrogate_column("self_influence", name)] = self_influence(own, norms)
            test_logits = self.writer.array(layout.surrogate(c, layout.TEST_LOGITS))
            columns["test"][layout.surrogate_column("surrogate_predicted", name)] = test_logits.argmax(axis=1)
        with self.writer.stage("tables", inputs):
            for split in SPLITS:
                self.writer.write_table(layout.table(split), pa.table(columns[split]))

    def _write_left_out(self) -> None:
        """Write the table of left-out images, if there are any."""
        rows = [[split, *astuple(each)] for split in SPLITS for each in getattr(self.dataset, split).left_out]
        inputs = fingerprint([FORMAT, rows])
        if not rows or self.writer.finished("left out", inputs):
            return
        names = [column.name for column in layout.TABLES[layout.LEFT_OUT]]
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        with self.writer.stage("left out", inputs):
            self.writer.write_table(layout.LEFT_OUT, pa.table(columns))

    def _composite(self) -> tuple[str, str | None]:
        """Return the name of the heat-map rules, or the reason why there are none; attribution needs none."""
        with RelevanceModel(self.network.classifier, self.network.preprocessing, self.device) as model:
            return model.composite, model.refusal or None


def _refuse_untrained_classes(dataset: ImageDataset) -> None:
    absent = np.setdiff1d(np.arange(len(dataset.classes)), dataset.train.labels)
    if len(absent):
        raise DataError(f"Class '{dataset.classes[absent[0]]}' has no training image; leave it out of the data set.")


def _outcome(writer: RunWriter, split: Split, labels: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return the columns that both tables share: label, prediction and confidence of each image."""
    logits = writer.array(layout.logits(split))
    confidence, margin = confidence_and_margin(logits)
    return {
        "label": labels.astype(np.int64),
        "predicted": logits.argmax(axis=1).astype(np.int64),
        "confidence": confidence,
        "margin": margin,
    }
