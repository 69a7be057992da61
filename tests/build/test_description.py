"""The record of a run describes its finished build."""

from __future__ import annotations

import platform
from dataclasses import replace

import numpy as np
import pytest

from tests.world import C_VALUES, World
from xda.build.description import LIBRARIES, data_key
from xda.storage.files import fingerprint
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.version import __version__


def test_data_key_changes_with_name_and_either_split(world: World) -> None:
    dataset = world.dataset
    keys = [
        data_key(dataset),
        data_key(replace(dataset, name="other")),
        data_key(replace(dataset, train=dataset.test)),
        data_key(replace(dataset, test=dataset.train)),
    ]
    assert len({tuple(key) for key in keys}) == 4


def test_record_describes_data_network_and_versions(world: World) -> None:
    run = RunFolder.open(world.run)
    manifest = run.manifest
    assert manifest.dataset.fingerprint == fingerprint(data_key(world.dataset))
    assert manifest.dataset.left_out is None
    assert (manifest.counts.train, manifest.counts.test) == (len(world.dataset.train), len(world.dataset.test))
    logits = np.asarray(run.array(layout.logits("test")))
    assert manifest.network.accuracy == pytest.approx((logits.argmax(axis=1) == world.dataset.test.labels).mean())
    assert manifest.network.weights_sha256 == manifest.files[layout.NETWORK].sha256
    assert manifest.libraries.keys() == {"dualxda-explorer", "python", *LIBRARIES}
    assert manifest.libraries["dualxda-explorer"] == __version__
    assert manifest.libraries["python"] == platform.python_version()


def test_record_describes_each_surrogate_by_its_own_arrays(world: World) -> None:
    run = RunFolder.open(world.run)
    network = np.asarray(run.array(layout.logits("test"))).argmax(axis=1)
    assert tuple(entry.c for entry in run.manifest.surrogates) == C_VALUES
    for entry in run.manifest.surrogates:
        logits = np.asarray(run.array(layout.surrogate(entry.c, layout.TEST_LOGITS)))
        assert entry.agreement == pytest.approx((logits.argmax(axis=1) == network).mean())
        assert entry.n_support == len(run.array(layout.surrogate(entry.c, layout.SUPPORT)))
        assert entry.sparsity.l0 == pytest.approx(np.mean(run.array(layout.index(entry.c, "l0"))))
        assert entry.sparsity.hoyer == pytest.approx(np.mean(run.array(layout.index(entry.c, "hoyer"))))
