"""The build continues after a stop and redoes stages with changed inputs; verification finds tampering."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import xda
from tests.storage.run.small_disk import leave_free, small_disk
from tests.sweeps import drawn
from tests.world import World, make_config
from xda.build.pipeline import build_run
from xda.build.verify import verify_run
from xda.decision import SPLITS
from xda.errors import DataError, RunError
from xda.explanation.run import Explainer
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder

pytestmark = pytest.mark.slow

CHECKS = [
    "hashes",
    "features",
    *(f"C = {c}: {what}" for c in ("0.0001", "0.01") for what in ("decomposition", "certificate")),
]


@pytest.fixture
def copy(run_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_path, tmp_path / "copy"))


def test_finished_run_passes_every_check(run_path: Path) -> None:
    findings = verify_run(run_path, device="cpu")
    assert [finding.name for finding in findings] == CHECKS
    assert all(finding.passed for finding in findings), findings


def test_manifest_holds_measured_figures(run_path: Path, world: World) -> None:
    manifest = RunFolder.open(run_path).manifest
    assert manifest.counts.train == len(world.dataset.train)
    assert manifest.classes == world.dataset.classes
    assert [entry.c for entry in manifest.surrogates] == list(world.config.surrogate.c)
    for entry in manifest.surrogates:
        assert entry.certificate.converged
        assert entry.certificate.relative_gap <= 1e-6
        assert 0 < entry.agreement <= 1
    assert {"torch", "zennit", "numpy"} <= manifest.libraries.keys()
    assert manifest.libraries["dualxda-explorer"] == xda.__version__


def test_tables_hold_sortable_columns(run_path: Path, world: World) -> None:
    run = RunFolder.open(run_path)
    train, test = run.table("train.parquet"), run.table("test.parquet")
    assert train["label"].to_pylist() == world.dataset.train.labels.tolist()
    assert {"predicted", "confidence", "slack c-0.01", "self_influence c-0.01"} <= set(train.column_names)
    assert {"label", "margin", "surrogate_predicted c-0.01"} <= set(test.column_names)
    with Explainer.open(run_path, device="cpu") as explainer:
        sample = explainer.training_sample(7, c=1e-2)
    assert train["self_influence c-0.01"][7].as_py() == pytest.approx(sample.self_influence, rel=1e-6)


def test_build_interrupted_continues_after_last_finished_stage(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xda.attribution.index import build_index
    from xda.build import pipeline
    from xda.networks.features import extract_batches
    from xda.surrogate import CrammerSingerSVC

    computed: list[str] = []
    real_extract, real_index = extract_batches, build_index

    def counted(*args: object, stage: str, **kwargs: object) -> object:
        computed.append(stage)
        return real_extract(*args, stage=stage, **kwargs)  # type: ignore[arg-type]

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "extract_batches", counted)
    monkeypatch.setattr(pipeline, "build_index", stop)
    with pytest.raises(KeyboardInterrupt):
        build_run(world.config, world.dataset, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(pipeline, "build_index", real_index)
    monkeypatch.setattr(CrammerSingerSVC, "path", stop)
    run = build_run(world.config, world.dataset, tmp_path / "run", device="cpu")
    assert computed == ["Features: train", "Features: test"]
    assert all(finding.passed for finding in verify_run(tmp_path / "run", device="cpu"))
    assert run.manifest.files.keys() == RunFolder.open(world.run).manifest.files.keys()


def _killed_build(world: World, out: Path, moment: str) -> None:
    """Build in a process of its own, killed without warning when it says ``moment``."""
    program = (
        "import os, pathlib, signal, sys\nfrom functools import partial\n"
        "from tests.world import make_config, make_dataset\n"
        "from xda.build import pipeline\nfrom xda.storage.run import growing_arrays\ngrowing_arrays.PATIENCE = 0.0\n"
        "pipeline.extract_batches = partial(pipeline.extract_batches, batch_size=100)\n"
        "def progress(stage, done, total):\n"
        "    if f'{stage} {done}'.startswith(sys.argv[3]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "pipeline.build_run(make_config(pathlib.Path(sys.argv[1])), make_dataset()[0], pathlib.Path(sys.argv[2]),"
        " device='cpu', progress=progress)"
    )
    command = [sys.executable, "-c", program, str(world.config.network.checkpoint), str(out), moment]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], timeout=120)
    assert killed.returncode == -signal.SIGKILL


def test_build_killed_continues_and_shows_no_partial_run(world: World, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _killed_build(world, out, "Fitting")
    assert not out.exists()
    with pytest.raises(RunError):
        RunFolder.open(out)
    build_run(world.config, world.dataset, out, device="cpu")
    assert all(finding.passed for finding in verify_run(out, device="cpu"))


# by default one split, drawn with a seed
@pytest.mark.parametrize("split", drawn(["train", "test"], seed=3))
def test_build_killed_between_batches_continues_with_next(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    from xda.build import pipeline
    from xda.networks.features import extract_batches

    out = tmp_path / "run"
    total = len(getattr(world.dataset, split))
    killed_at = 100 if split == "test" else 300
    _killed_build(world, out, f"Features: {split} {killed_at}")
    told: list[int] = []
    monkeypatch.setattr(pipeline, "extract_batches", partial(extract_batches, batch_size=100))
    monkeypatch.setattr(pipeline, "gap_progress", lambda *_: None)
    run = build_run(
        world.config,
        world.dataset,
        out,
        device="cpu",
        progress=lambda stage, done, _: told.append(done) if stage == f"Features: {split}" else None,
    )
    # What was said to be done is done.
    assert told[0] == min(total, killed_at + 100)
    assert told[-1] == total
    for name in (layout.features, layout.logits):
        for each in SPLITS:
            expected = RunFolder.open(world.run).array(name(each))
            np.testing.assert_allclose(run.array(name(each)), expected, rtol=1e-4, atol=1e-5)
    assert all(finding.passed for finding in verify_run(out, device="cpu"))


def test_build_on_full_disk_keeps_old_run_and_continues(world: World, tmp_path: Path) -> None:
    """Start with almost no space, and add a little whenever an attempt got no further than the last one."""
    config = make_config(world.config.network.checkpoint, c=[1e-3])

    def attempt() -> str:
        try:
            build_run(config, world.dataset, out, device="cpu")
        except RunError as error:
            return str(error)
        return ""

    with small_disk(tmp_path / "disk", 32_000_000) as disk:
        out = disk / "run"
        shutil.copytree(world.run, out)
        digest = RunFolder.open(out).digest
        failed: list[str] = []
        free = 20_000
        with Explainer.open(out, device="cpu") as served:
            explanation = served.explain(4)
            leave_free(disk, free)
            while message := attempt():
                found = re.search(r"(\S+) needs? (at least )?[\d.]+ \w+, [\d.]+ \w+ are free on its disk", message)
                assert found, message
                assert "\n" not in message
                assert RunFolder.open(out).digest == digest
                assert served.explain(4) == explanation
                free = free + 200_000 if found[1] in failed else 20_000
                failed.append(found[1])
                assert free < 32_000_000, failed  # else no attempt could ever succeed
                leave_free(disk, free)
            assert [entry.c for entry in RunFolder.open(out).manifest.surrogates] == [1e-3]
            # the old run, replaced, is still there for those who have it open
            assert served.explain(4) == explanation
        assert {"network.safetensors", "images.bin", "features.npy"} <= set(failed)
        assert all(finding.passed for finding in verify_run(out, device="cpu"))


def test_build_with_intercept_sums_exactly(world: World, tmp_path: Path) -> None:
    config = make_config(world.config.network.checkpoint, run_id="augmented", c=[1e-2], intercept="augment")
    build_run(config, world.dataset, tmp_path / "run", device="cpu")
    assert all(finding.passed for finding in verify_run(tmp_path / "run", device="cpu"))
    with Explainer.open(tmp_path / "run", device="cpu") as explainer:
        explanation = explainer.explain(4)
        total = explanation.sum_supporting + explanation.sum_opposing
        assert total == pytest.approx(explanation.surrogate_logit, rel=1e-9)
        own = explainer.own_relevance(4).result(60)[0]
        coef = explainer.run.array(layout.surrogate(1e-2, layout.COEF))
        without_intercept = explanation.surrogate_logit - float(coef[explanation.target, -1])
        assert own.test.sum() == pytest.approx(without_intercept, rel=1e-3)


def test_build_without_checkpoint_or_class_is_refused(world: World, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(DataError, match="xda train mnist-cnn"):
        build_run(make_config(tmp_path / "none.safetensors"), world.dataset, tmp_path / "run", device="cpu")
    labels = np.where(world.dataset.train.labels == 9, 8, world.dataset.train.labels)
    train = replace(world.dataset.train, labels=labels, fingerprint="0" * 64)
    with pytest.raises(DataError, match="Class '9' has no training image"):
        build_run(world.config, replace(world.dataset, train=train), tmp_path / "run", device="cpu")


def test_verify_finds_dual_variables_that_are_not_optimal(copy: Path) -> None:
    """Someone scales the dual variables and makes all hashes fit again."""
    from hashlib import sha256

    name = layout.surrogate(1e-2, layout.DUAL_DATA)
    np.save(copy / name, np.load(copy / name) * 0.9)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = sha256((copy / name).read_bytes()).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    failed = [finding.name for finding in verify_run(copy, device="cpu") if not finding.passed]
    assert failed == ["C = 0.01: decomposition", "C = 0.01: certificate"]


def test_open_with_weights_of_another_network_is_refused(copy: Path) -> None:
    from hashlib import sha256

    from safetensors.numpy import load_file, save_file

    weights = copy / layout.NETWORK
    tensors = load_file(weights)
    save_file({name: values * np.float32(1.1) for name, values in tensors.items()}, weights)
    manifest = json.loads((copy / "manifest.json").read_text())
    digest = sha256(weights.read_bytes()).hexdigest()
    manifest["network"]["weights_sha256"] = digest
    manifest["files"][layout.NETWORK] |= {"sha256": digest, "bytes": weights.stat().st_size}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match="not of the same build"):
        Explainer.open(copy, device="cpu")
    assert [f.name for f in verify_run(copy, device="cpu") if not f.passed] == ["features"]
