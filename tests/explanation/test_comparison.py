"""Comparison of a test image under two surrogates: both sides equal the explainer, matched, listed, counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.explanation import variants
from tests.reference import comparison as slow
from tests.world import C_VALUES, N_TRAIN, World, make_config
from xda.build.pipeline import build_run
from xda.errors import InvalidRequestError, NotFoundError
from xda.explanation.comparison import ONLY, Comparison, compare, opponents, other_side
from xda.explanation.run import Explainer

pytestmark = pytest.mark.slow

LOW, HIGH = C_VALUES


@pytest.fixture(scope="module")
def relabelled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    folder = tmp_path_factory.mktemp("relabelled")
    path = variants.build(world, variants.relabelled(world), folder, "digits-relabelled")
    with Explainer.open(path, device="cpu") as opened:
        yield opened


@pytest.fixture(scope="module")
def shuffled(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    dataset, _ = variants.shuffled(world)
    folder = tmp_path_factory.mktemp("shuffled")
    with Explainer.open(variants.build(world, dataset, folder, "digits-shuffled"), device="cpu") as opened:
        yield opened


def contributions(explainer: Explainer, test: int, **asked: float | int | None) -> dict[int, float]:
    parts = explainer.decompose(test, **asked)  # type: ignore[arg-type]
    return dict(zip(parts.index.tolist(), parts.attribution.tolist(), strict=True))


def listed(compared: Comparison, side: int) -> dict[int | None, float]:
    return {image.index[side]: image.attribution[side] for image in compared.images() if image.attribution[side]}


@pytest.mark.parametrize(("target", "against"), [(None, None), (3, None), (3, 8)])
def test_compare_two_c_of_one_run_matches_by_position(
    explainer: Explainer, target: int | None, against: int | None
) -> None:
    compared = compare(explainer, explainer, explainer.decide(14, c=LOW, target=target, against=against), HIGH)
    first, second = (contributions(explainer, 14, c=c, target=target, against=against) for c in C_VALUES)
    assert compared.matched_by == "run"
    assert listed(compared, 0) == first
    assert listed(compared, 1) == second
    for side, c in zip(compared.sides, C_VALUES, strict=True):
        assert side.explanation == explainer.explain(14, c=c, target=target, against=against, limit=0)
        assert side.n_support == len(explainer.surrogate(c).support)
    named = {str(i): value for i, value in first.items()}, {str(i): value for i, value in second.items()}
    assert compared.matched.agreement.jaccard == pytest.approx(slow.jaccard(*named))
    assert compared.matched.agreement.shared_weight == pytest.approx(slow.shared_weight(*named))


def test_compare_two_networks_explains_class_of_the_first(explainer: Explainer, retrained: Explainer) -> None:
    differ = np.flatnonzero(
        [explainer.predicted("test", i) != retrained.predicted("test", i) for i in range(explainer.n_test)]
    )
    test = int(differ[0]) if len(differ) else 14
    compared = compare(explainer, retrained, explainer.decide(test))
    assert compared.matched_by == "data"
    assert compared.target == explainer.predicted("test", test)
    assert [side.explanation.target for side in compared.sides] == [compared.target] * 2
    assert listed(compared, 1) == contributions(retrained, test, target=compared.target)
    change = compared.matched.change
    logits = [side.explanation.surrogate_logit for side in compared.sides]
    assert change.total == pytest.approx(logits[1] - logits[0], abs=1e-9)


def test_compare_image_without_contribution_has_a_reason(explainer: Explainer) -> None:
    compared = compare(explainer, explainer, explainer.decide(14, c=LOW), HIGH)
    seen = set()
    for image in compared.images():
        for index, attribution, presence, c in zip(
            image.index, image.attribution, image.presence, C_VALUES, strict=True
        ):
            assert index is not None
            is_support = explainer.surrogate(c).support.position(index) is not None
            expected = "contributes" if attribution else "adds nothing" if is_support else "without effect"
            assert presence == expected
            seen.add(presence)
    assert seen == {"contributes", "adds nothing", "without effect"}


def test_compare_filters_partition_the_images(explainer: Explainer, retrained: Explainer) -> None:
    compared = compare(explainer, retrained, explainer.decide(14))
    counts, agreement = compared.counts(), compared.matched.agreement
    assert {only: len(compared.images(only)) for only in ONLY} == counts
    assert counts["all"] == counts["both"] + counts["first"] + counts["second"]
    assert counts["both"] == agreement.n_both
    assert counts["both"] + counts["first"] == agreement.n_first
    assert counts["flipped"] == agreement.n_flipped
    assert all(image.attribution[1] == 0 for image in compared.images("first"))
    assert all(image.attribution[0] == 0 for image in compared.images("second"))
    assert all(image.flipped for image in compared.images("flipped"))


def test_compare_images_are_ordered_and_limited(explainer: Explainer, retrained: Explainer) -> None:
    compared = compare(explainer, retrained, explainer.decide(14))
    strongest = [max(map(abs, image.share)) for image in compared.images()]
    assert strongest == sorted(strongest, reverse=True)
    changes = [abs(image.share[1] - image.share[0]) for image in compared.images(order="change")]
    assert changes == sorted(changes, reverse=True)
    assert compared.images(limit=5) == compared.images()[:5]


def test_compare_corrected_labels_are_counted(world: World, explainer: Explainer, relabelled: Explainer) -> None:
    compared = compare(explainer, relabelled, explainer.decide(14, c=LOW), LOW)
    assert compared.matched_by == "images"
    wrong = set(world.mislabelled.tolist())
    differ = {image.index[0] for image in compared.images() if image.label[0] != image.label[1]}
    assert differ
    assert differ <= wrong
    assert compared.n_relabelled == len(differ)
    assert all(image.index[0] == image.index[1] for image in compared.images())


def test_compare_missing_images_are_counted(world: World, explainer: Explainer, shuffled: Explainer) -> None:
    kept = variants.shuffled(world)[1]
    compared = compare(explainer, shuffled, explainer.decide(14, c=LOW), LOW)
    assert (compared.matched_by, compared.n_common) == ("content", len(kept))
    assert compared.sides[1].explanation.n_train == len(kept) < N_TRAIN
    absent = [image for image in compared.images() if image.presence[1] == "absent"]
    assert absent
    for image in absent:
        assert image.index[0] is not None
        assert image.index[0] % 7 == 0
        assert (image.index[1], image.label[1], image.attribution[1]) == (None, None, 0.0)
    for image in compared.images():
        if image.index[1] is not None:
            assert kept[image.index[1]] == image.index[0]
    # and the other way round
    turned = compare(shuffled, explainer, shuffled.decide(14, c=LOW), LOW)
    assert turned.matched.agreement.jaccard == compared.matched.agreement.jaccard
    assert {image.index[::-1] for image in turned.images()} == {image.index for image in compared.images()}


def test_opponents_list_same_data_first(explainer: Explainer, retrained: Explainer, shuffled: Explainer) -> None:
    runs = {run.id: run for run in (explainer, shuffled, retrained)}
    assert opponents(explainer, runs) == (retrained, explainer, shuffled)
    assert opponents(shuffled, runs) == (shuffled, explainer, retrained)


def test_other_side_by_default_is_most_telling(explainer: Explainer, retrained: Explainer) -> None:
    alone, both = {explainer.id: explainer}, {run.id: run for run in (explainer, retrained)}
    assert other_side(explainer, LOW, both, None, None) == (retrained, LOW)
    assert other_side(explainer, LOW, alone, None, None) == (explainer, HIGH)
    assert other_side(explainer, HIGH, alone, None, None) == (explainer, LOW)
    assert other_side(explainer, LOW, both, explainer, None) == (explainer, HIGH)
    assert other_side(explainer, LOW, both, None, HIGH) == (explainer, HIGH)
    assert other_side(explainer, None, both, retrained, LOW) == (retrained, LOW)


def test_other_side_without_second_c_or_run_is_refused(
    world: World, explainer: Explainer, shuffled: Explainer, tmp_path: Path
) -> None:
    config = make_config(world.config.network.checkpoint, run_id="digits-single", c=(HIGH,))
    build_run(config, world.dataset, tmp_path / "single", device="cpu")
    with Explainer.open(tmp_path / "single", device="cpu") as single:
        assert other_side(single, None, {single.id: single, shuffled.id: shuffled}, None, None) == (shuffled, HIGH)
        assert other_side(single, None, {r.id: r for r in (single, explainer)}, None, None) == (explainer, HIGH)
        with pytest.raises(InvalidRequestError, match="has only one C"):
            other_side(single, None, {single.id: single}, None, None)


def test_compare_unknown_c_run_or_class_is_refused(explainer: Explainer, retrained: Explainer) -> None:
    with pytest.raises(NotFoundError, match="no surrogate with C = 7"):
        compare(explainer, retrained, explainer.decide(0), 7)
    with pytest.raises(NotFoundError, match="no test image 999"):
        compare(explainer, retrained, explainer.decide(999))
    with pytest.raises(InvalidRequestError, match="choose two different classes"):
        compare(explainer, retrained, explainer.decide(0, target=3, against=3))
