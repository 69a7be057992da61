"""The deletion benchmark draws honest pairs and reports every row, on the synthetic world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.benchmarks import bench_deletion
from xda.explanation.run import Explainer


def test_draw_pairs_takes_supporters_and_opposers_in_turn(explainer: Explainer) -> None:
    pairs = bench_deletion.draw_pairs(explainer, 6, np.random.default_rng(0))
    assert [np.sign(pair.tau) for pair in pairs] == [1, -1, 1, -1, 1, -1]
    assert len({pair.test for pair in pairs}) == 6
    for pair in pairs:
        told = explainer.explain(pair.test, limit=bench_deletion.LISTED)
        listed = {each.index: each.attribution for each in (*told.supporting, *told.opposing)}
        assert listed[pair.train] == pair.tau


def test_both_sides_of_a_pair_give_its_contribution(explainer: Explainer) -> None:
    (pair,) = bench_deletion.draw_pairs(explainer, 1, np.random.default_rng(1))
    found = dict(bench_deletion.sides(explainer, pair))
    assert list(found) == ["test", "training"]
    for side in found.values():
        assert np.isclose(side.weights @ side.features, pair.tau, rtol=1e-6)
    assert not np.array_equal(found["test"].image, found["training"].image)


def test_report_has_a_row_for_every_side_replacement_and_cell(run_path: Path) -> None:
    about, measured = bench_deletion.measure(run_path, 2, 5, (7, 4))
    assert "2 pairs" in about
    sizes = sorted({cell for _, _, cell in measured})
    assert len(sizes) == 2
    assert len(measured) == 2 * len(bench_deletion.REPLACEMENTS) * len(sizes)
    for values in measured.values():
        assert values.shape == (2, len(bench_deletion.ORDERS) + 1)
        assert np.isfinite(values).all()
    # every pixel replaced: the same image, whatever the cells
    for side, replaced, cell in measured:
        level = measured[side, replaced, cell][:, -1]
        assert np.allclose(level, measured[side, replaced, sizes[0]][:, -1], rtol=1e-5)
    text = bench_deletion.report(about, measured)
    for key in measured:
        assert text.count(f"| {bench_deletion.told(key)} |") == 2


def test_share_of_pairs_counts_smaller_areas_of_relevance() -> None:
    areas = np.array([[0.1, 0.3, 0.3, 0.3, 0.4, 0.2, 0.0], [0.2, 0.1, 0.3, 0.3, 0.4, 0.2, 0.0]])
    text = bench_deletion.report("toy", {("test", "blur", 1): areas})
    row = text.splitlines()[-1]
    assert row == (
        "| test, blur, 1 × 1 | 50%, -0.050 ± 0.150 | 100%, -0.150 ± 0.050 | 100%, -0.150 ± 0.050 | 0%, +0.200 ± 0.000 |"
    )
