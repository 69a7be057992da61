"""Tests of xda.attribution.alignment: against the slow twin and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from tests.attribution.problems import make_problem
from tests.reference import comparison as slow
from xda.attribution.alignment import NOWHERE, TOP, Matched, match
from xda.attribution.decomposition import Decomposition
from xda.attribution.results import TestSample
from xda.attribution.support import SupportSet
from xda.decision import Decision


def decomposition(values: dict[int, float], n_train: int) -> Decomposition:
    """Return contributions as a decomposition lists them, strongest first."""
    index = np.array(sorted(values), dtype=np.int64)
    weights = np.array([values[i] for i in index.tolist()]).reshape(-1, 1)
    support = SupportSet(index, np.zeros(len(index), dtype=np.int64), sparse.csr_array(weights), 1.0, n_train)
    test = TestSample(0, 0, 0, (), (float(weights.sum()),))
    return Decomposition(Decision(0, 1.0, 0), test, support, lambda rows: np.ones(len(rows)))


def random_sides(seed: int) -> tuple[dict[int, float], dict[int, float]]:
    rng = np.random.default_rng(seed)
    first, second = (
        {int(i): float(v) for i, v in zip(rng.choice(80, 45, replace=False), rng.normal(size=45), strict=True)}
        for _ in range(2)
    )
    return first, {i: 1e-4 * value for i, value in second.items()}


def as_dict(matched: Matched, side: int) -> dict[tuple[int, int], float]:
    return {
        (i, j): value
        for (i, j), value in zip(matched.index.tolist(), matched.attribution[:, side].tolist(), strict=True)
        if value
    }


@pytest.mark.parametrize("seed", range(5))
def test_agreement_equals_slow_twin(seed: int) -> None:
    first, second = random_sides(seed)
    named = {str(i): value for i, value in first.items()}, {str(i): value for i, value in second.items()}
    matched = match(decomposition(first, 80), decomposition(second, 80))
    found = matched.agreement
    assert found.jaccard == pytest.approx(slow.jaccard(*named))
    assert found.shared_weight == pytest.approx(slow.shared_weight(*named))
    assert (found.pearson, found.spearman) == pytest.approx(slow.correlations(*named))
    assert (found.n_top, found.n_top_common) == (TOP, slow.top_common(*named, TOP))
    assert found.n_flipped == sum(first[i] * second[i] < 0 for i in first.keys() & second.keys())
    assert (found.n_first, found.n_second, found.n_both) == (45, 45, len(first.keys() & second.keys()))


@pytest.mark.parametrize("seed", range(3))
def test_match_lists_each_contribution_once_largest_share_first(seed: int) -> None:
    first, second = random_sides(seed)
    matched = match(decomposition(first, 80), decomposition(second, 80))
    assert as_dict(matched, 0) == {(i, i): value for i, value in first.items()}
    assert as_dict(matched, 1) == {(i, i): value for i, value in second.items()}
    assert len(matched.index) == len(first.keys() | second.keys())
    np.testing.assert_allclose(np.abs(matched.share).sum(axis=0), 1.0)
    largest = np.abs(matched.share).max(axis=1)
    assert (np.diff(largest) <= 0).all()
    assert matched.contributes.tolist() == (matched.attribution != 0).tolist()
    assert matched.flipped.tolist() == [a * b < 0 for a, b in matched.attribution.tolist()]


@pytest.mark.parametrize("seed", range(3))
def test_change_parts_sum_to_logit_difference(seed: int) -> None:
    first, second = random_sides(seed)
    change = match(decomposition(first, 80), decomposition(second, 80)).change
    assert change.total == pytest.approx(sum(second.values()) - sum(first.values()))
    assert change.only_first == pytest.approx(-sum(v for i, v in first.items() if i not in second))
    assert change.only_second == pytest.approx(sum(v for i, v in second.items() if i not in first))
    shares = match(decomposition(first, 80), decomposition(second, 80)).change_of_share
    net_first, net_second = (sum(side.values()) / sum(map(abs, side.values())) for side in (first, second))
    assert shares.total == pytest.approx(net_second - net_first)


def test_agreement_with_itself_or_a_multiple_is_full() -> None:
    problem = make_problem()
    one = problem.decompose(0, 1)
    thrice = decomposition(dict(zip(one.index.tolist(), (3 * one.attribution).tolist(), strict=True)), one.n_train)
    for other in (one, thrice):
        found = match(one, other).agreement
        assert found.n_flipped == 0
        assert found.n_top == found.n_top_common
        assert [found.jaccard, found.shared_weight, found.pearson, found.spearman] == pytest.approx([1.0] * 4)


def test_match_opposite_signs_share_no_weight() -> None:
    matched = match(decomposition({0: 1.0, 1: -1.0}, 4), decomposition({0: -1.0, 2: 3.0}, 4))
    assert matched.agreement.n_flipped == 1
    assert matched.agreement.shared_weight == 0.0
    assert matched.index.tolist() == [[2, 2], [0, 0], [1, 1]]
    assert matched.flipped.tolist() == [False, True, False]


def test_match_tiny_contributions_keep_sign_and_correlation() -> None:
    first = decomposition({0: 1e-200, 1: -2e-200, 2: 3e-200}, 4)
    second = decomposition({0: -1.0, 1: 2.0, 2: -3.0}, 4)
    found = match(first, second).agreement
    assert found.n_flipped == 3
    assert found.pearson == pytest.approx(-1.0)


def test_match_different_training_sets_uses_common_samples() -> None:
    # the second training set is the first without sample 1, in another order, with one of its own at 3
    forward = np.array([2, NOWHERE, 0, 1])
    backward = np.array([2, 3, 0, NOWHERE])
    first = decomposition({0: 4.0, 1: 2.0, 2: 1.0}, 4)
    second = decomposition({2: 5.0, 3: 3.0, 1: 1.0}, 4)
    matched = match(first, second, forward, backward)
    assert as_dict(matched, 0) == {(0, 2): 4.0, (1, NOWHERE): 2.0, (2, 0): 1.0}
    assert as_dict(matched, 1) == {(0, 2): 5.0, (NOWHERE, 3): 3.0, (3, 1): 1.0}
    assert matched.agreement.n_both == 1


@pytest.mark.parametrize(
    ("first", "second", "jaccard", "shared"),
    [({}, {}, 1.0, 1.0), ({0: 1.0}, {}, 0.0, 0.0), ({}, {0: 1.0}, 0.0, 0.0), ({0: 1.0}, {0: 2.0}, 1.0, 1.0)],
)
def test_agreement_of_none_or_one_contribution_is_defined(
    first: dict[int, float], second: dict[int, float], jaccard: float, shared: float
) -> None:
    found = match(decomposition(first, 3), decomposition(second, 3)).agreement
    assert (found.jaccard, found.shared_weight) == (jaccard, shared)
    assert found.pearson is None
    assert found.spearman is None


def test_agreement_constant_side_has_no_correlation() -> None:
    sides: list[NDArray[np.float64]] = [np.array([1.0, 1.0]), np.array([1.0, 2.0])]
    first, second = (decomposition(dict(enumerate(side.tolist())), 2) for side in sides)
    assert match(first, second).agreement.pearson is None
