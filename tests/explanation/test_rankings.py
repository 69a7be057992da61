"""The rankings "for this image" and "effect of removal" of a run: stored, computed, with an intercept, and forged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.explanation.hostile import adopt, forge
from tests.reference import removal
from tests.world import C_VALUES
from xda.attribution.class_means import class_means
from xda.attribution.preparation import curvature_of
from xda.attribution.ranking import RANKS, Rank
from xda.errors import InvalidRequestError, RunError
from xda.explanation import rankings
from xda.explanation.rankings import TrainingSet
from xda.explanation.run import Explainer
from xda.runs.ranking_arrays import read_class_means, read_removal
from xda.storage.run import layout

TEST, C = 5, C_VALUES[1]


def without_rankings(document: dict[str, Any]) -> None:
    """Make the manifest that of a run of an earlier version."""
    for name in list(document["files"]):
        if "/removal/" in name or name.endswith("class_means.npy"):
            del document["files"][name]


@pytest.fixture
def earlier(run_path: Path, tmp_path: Path) -> Path:
    return forge(run_path, tmp_path / "earlier", without_rankings)


def tree(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_build_stores_the_class_means_and_a_curvature_for_each_c(explainer: Explainer) -> None:
    files = explainer.run.manifest.files
    for c in C_VALUES:
        assert layout.removal(c, "inverse_packed") in files
    stored = explainer.run.array(layout.split_array("train", layout.CLASS_MEANS))
    features, predicted = explainer.train_features.astype(np.float64), explainer.outcomes.predicted["train"]
    for number in range(len(explainer.classes)):
        np.testing.assert_allclose(stored[number], features[predicted == number].mean(axis=0), rtol=1e-12)


def test_earlier_run_answers_the_same_and_stays_as_it_is(earlier: Path, explainer: Explainer) -> None:
    before = tree(earlier)
    with Explainer.open(earlier, device="cpu") as opened:
        assert (read_removal(opened.run, C), read_class_means(opened.run)) == ({}, None)
        told: list[tuple[str, int, int]] = []
        opened.prepare_removal(c=C, progress=lambda stage, done, total: told.append((stage, done, total)))
        assert told[-1] == ("Effects of removal: C = 1e-2", 100, 100)
        assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)
        for rank in RANKS[1:]:
            found, expected = (each.explain(TEST, c=C, rank=rank) for each in (opened, explainer))
            assert [part.index for part in found.supporting] == [part.index for part in expected.supporting]
            assert found.sum_supporting == pytest.approx(expected.sum_supporting, rel=1e-5)
        again = len(told)
        opened.prepare_removal(c=C, progress=lambda stage, done, total: told.append((stage, done, total)))
        assert len(told) == again
        opened.measured_removal(TEST, [0, 1, 2], c=C)
    assert tree(earlier) == before


def test_curvature_is_computed_once_for_many_threads(earlier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return curvature_of(*arguments)

    monkeypatch.setattr(rankings, "curvature_of", counted)
    with Explainer.open(earlier, device="cpu") as opened, ThreadPoolExecutor(4) as pool:
        sums = set(pool.map(lambda _: opened.explain(TEST, c=C, rank="removal").sum_opposing, range(8)))
    assert (len(sums), len(calls)) == (1, 1)


@pytest.mark.parametrize("against", [None, 2])
def test_rankings_with_an_intercept_equal_the_slow_twins(augmented: Explainer, against: int | None) -> None:
    whole = augmented.decompose(TEST, c=C, against=against)
    surrogate, target = augmented.surrogate(C), whole.decision.target
    train = np.column_stack([augmented.train_features.astype(np.float64), np.ones(augmented.n_train)])
    query = np.append(augmented.test_features[TEST].astype(np.float64), 1.0)
    alpha = np.zeros((augmented.n_train, len(augmented.classes)))
    alpha[surrogate.support.index] = surrogate.support.dual_coef.toarray()
    u = removal.response(train, augmented.train_labels, surrogate.coef, C, query, target, against, 0.1)
    mean = train[augmented.outcomes.predicted["train"] == target].mean(axis=0)
    expected: dict[Rank, NDArray[np.float64]] = {
        "removal": removal.effects(alpha, train, u),
        "image": removal.specific(alpha, train, query, mean, target, against),
    }
    for rank, values in expected.items():
        ranked = whole.ranked(rank)
        found = np.zeros(augmented.n_train)
        found[ranked.index] = ranked.value
        np.testing.assert_allclose(found, values, rtol=0, atol=3e-4 * np.abs(values).max())
    assert whole.baseline_logit == pytest.approx(float(whole.decision.contrast(surrogate.coef) @ mean), rel=1e-9)
    told = augmented.explain(TEST, c=C, against=against, rank="image", limit=None)
    assert told.surrogate_logit - whole.baseline_logit == pytest.approx(
        told.sum_supporting + told.sum_opposing, rel=1e-5, abs=1e-6
    )
    measured = augmented.measured_removal(TEST, whole.index[:3].tolist(), c=C, against=against)
    assert measured.before == pytest.approx(whole.total, rel=1e-6, abs=1e-8)
    assert measured.converged


def rewrite(run: Path, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Path:
    """Change an array of a run, and its hash with it."""
    path = run / name
    np.save(path, change(np.load(path)))
    return adopt(run, name)


def test_open_with_forged_curvature_of_another_shape_is_refused(run_path: Path, tmp_path: Path) -> None:
    name = layout.removal(C, "rival")

    def shortened(document: dict[str, Any]) -> None:
        document["files"][name]["shape"][0] -= 1

    run = rewrite(forge(run_path, tmp_path / "run", shortened), name, lambda rival: rival[:-1])
    with pytest.raises(RunError, match=r"removal/rival.npy has shape \[\d+\], but the manifest says \d+ active images"):
        Explainer.open(run, device="cpu")


@pytest.mark.parametrize("name", ["inverse_packed", "weight"])
def test_forged_curvature_that_is_not_finite_is_refused_when_it_is_asked_for(
    name: str, run_path: Path, tmp_path: Path
) -> None:
    path = layout.removal(C, name)
    run = rewrite(forge(run_path, tmp_path / "run"), path, lambda values: values * np.nan)
    with Explainer.open(run, device="cpu") as opened:
        assert opened.explain(TEST, c=C).n_supporting > 0
        with pytest.raises(RunError, match=rf"surrogate of C = 0.01 is damaged: removal/{name} .* not finite"):
            opened.explain(TEST, c=C, rank="removal")


def test_average_of_a_class_that_the_network_never_calls_is_refused() -> None:
    features = np.ones((4, 3), dtype=np.float32)
    training = TrainingSet(features, np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]), ("cat", "dog"))
    assert training.mean(0).tolist() == [1.0, 1.0, 1.0]
    with pytest.raises(InvalidRequestError, match="calls no training image 'dog'"):
        training.mean(1)


@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_class_means_equal_their_definition_in_any_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xda.attribution.class_means.BLOCK_VALUES", block)
    rng = np.random.default_rng(0)
    features, predicted = rng.random((23, 4), dtype=np.float32), rng.integers(0, 3, 23)
    means = class_means(features, predicted, 4)
    for number in range(3):
        np.testing.assert_allclose(means[number], features[predicted == number].mean(axis=0), rtol=1e-6)
    assert means[3].tolist() == [0.0] * 4
