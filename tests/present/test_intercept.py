"""An augmented intercept: one attribution everywhere, split into its part and the maps' part; in run and model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import xda
from tests.explanation.notebooks import NamedDataset, make_model, make_tensors
from tests.present.test_png_figure import material
from tests.world import C_VALUES, World
from xda.attribution.results import Explanation, PairRelevance
from xda.explanation.heatmaps import from_npz, to_npz
from xda.explanation.illustration import run_panel
from xda.explanation.model import ModelExplainer
from xda.explanation.run import Explainer
from xda.numerals import MINUS, signed
from xda.present.matplotlib_figure import draw
from xda.present.pair_facts import pair_facts
from xda.present.png_figure import explanation_canvas
from xda.present.story import from_snapshot, tell, to_snapshot
from xda.present.text import explanation_text
from xda.present.words import intercept_in_words
from xda.progress import silent

TEST, C = 14, C_VALUES[1]
DECISIONS = [(None, None), (4, 9), (3, None)]
"""Target and contrast class: the first comes from the index, the others are computed."""


@pytest.fixture(scope="module")
def in_memory(world: World) -> ModelExplainer:
    train_set = NamedDataset(*make_tensors(world.dataset.train), world.dataset.classes)
    return xda.explain(make_model(world), train_set, c=C, intercept="augment", progress=silent)


@pytest.fixture(scope="module")
def image(world: World) -> torch.Tensor:
    return make_tensors(world.dataset.test)[0][TEST]


def own_parts(told: Explanation, dual_coef: np.ndarray, index: list[int]) -> list[float]:
    """Return alpha_i^c (minus alpha_i^e) of training images, as the method defines the intercept's part."""
    weights = dual_coef[:, told.target] - (0.0 if told.against is None else dual_coef[:, told.against])
    return [float(weights[i]) for i in index]


def check(told: Explanation, pairs: list[PairRelevance], own: np.ndarray, dual_coef: np.ndarray) -> None:
    listed = [*told.supporting, *told.opposing]
    assert len(listed) == len(pairs) > 4
    assert [part.intercept for part in listed] == own_parts(told, dual_coef, [part.index for part in listed])
    for part, pair in zip(listed, pairs, strict=True):
        assert pair.attribution == pytest.approx(part.attribution, rel=1e-9, abs=1e-14)
        assert pair.intercept == pytest.approx(part.intercept, rel=1e-12)
        assert part.intercept != 0
        for side in (pair.test, pair.train):
            assert side.sum() == pytest.approx(part.attribution - part.intercept, rel=3e-3)
    assert told.intercept == pytest.approx(sum(own_parts(told, dual_coef, list(range(len(dual_coef))))), rel=1e-9)
    assert own.sum() + told.intercept == pytest.approx(told.surrogate_logit, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize(("target", "against"), DECISIONS)
def test_run_with_intercept_has_one_attribution_of_a_pair_everywhere(
    augmented: Explainer, target: int | None, against: int | None
) -> None:
    asked: dict[str, Any] = {"c": C, "target": target, "against": against}
    told = augmented.explain(TEST, limit=5, **asked)
    train = [part.index for part in (*told.supporting, *told.opposing)]
    pairs = augmented.relevance(TEST, train, **asked).result(60)
    own = augmented.own_relevance(TEST, **asked).result(60)[0]
    support = augmented.surrogate(C).support
    dual_coef = np.zeros((augmented.n_train, 10))
    dual_coef[support.index] = support.dual_coef.toarray()
    check(told, pairs, own.test, dual_coef)
    assert own.attribution == pytest.approx(told.surrogate_logit, rel=1e-9)
    assert own.intercept == told.intercept
    decomposed = augmented.decompose(TEST, **asked).to_pandas().set_index("index")
    listed = told.to_pandas().set_index("index")
    assert listed["intercept"].tolist() == decomposed.loc[listed.index, "intercept"].tolist()
    for part in (*told.supporting, *told.opposing):
        facts = pair_facts(augmented, augmented.decompose(told.decision), part.index)
        assert facts.attribution == pytest.approx(part.attribution, rel=1e-12)
        assert facts.intercept == part.intercept
        assert facts.weight is not None
        assert facts.product is not None
        assert facts.weight * (facts.product + 1) == pytest.approx(part.attribution, rel=1e-9)
        inner = float(
            augmented.test_features[TEST].astype(float) @ augmented.run.array("train/features.npy")[part.index]
        )
        assert facts.product == pytest.approx(inner, rel=1e-6)


@pytest.mark.parametrize(("target", "against"), DECISIONS)
def test_model_with_intercept_has_one_attribution_of_a_pair_everywhere(
    in_memory: ModelExplainer, image: torch.Tensor, target: int | None, against: int | None
) -> None:
    told = in_memory.explain(image, target=target, against=against, limit=5)
    train = [part.index for part in (*told.supporting, *told.opposing)]
    pairs = in_memory.relevance(image, train, target=target, against=against)
    support = in_memory.surrogate().support
    dual_coef = np.zeros((in_memory.n_train, 10))
    dual_coef[support.index] = support.dual_coef.toarray()
    check(told, pairs, in_memory.own_relevance(image, target=target, against=against), dual_coef)


def test_run_without_intercept_has_none_in_its_parts(explainer: Explainer) -> None:
    told = explainer.explain(TEST, limit=3)
    (pair,) = explainer.relevance(TEST, [told.supporting[0].index]).result(60)
    assert (told.intercept, told.supporting[0].intercept, pair.intercept) == (0, 0, 0)
    assert not explainer.decompose(TEST).intercept.any()
    assert "intercept" not in explanation_text(explainer, told)
    story = tell(explainer, explainer.decide(TEST))
    texts = explanation_canvas(story, material(story)).texts
    assert not [each.words for each in texts if "intercept" in each.words]


def test_figures_and_text_name_the_part_of_the_intercept(augmented: Explainer) -> None:
    told = augmented.explain(TEST, c=C, limit=2)
    words = intercept_in_words(told.intercept)
    assert words.endswith("from the intercept, which belongs to no pixel")
    assert words.replace(MINUS, "-") in explanation_text(augmented, told)
    story = tell(augmented, augmented.decide(TEST, c=C), limit=2)
    assert words in [each.words for each in explanation_canvas(story, material(story)).texts]
    drawn = draw(run_panel(augmented, augmented.decide(TEST, c=C), limit=2))
    assert words in drawn.get_supxlabel().replace("\n", " ")
    titles = [axis.get_title() for axis in drawn.subfigs[2].axes]
    assert f"intercept {signed(told.supporting[0].intercept)}" in titles


def test_snapshot_keeps_intercept_and_reads_old_ones(augmented: Explainer) -> None:
    story = tell(augmented, augmented.decide(TEST, c=C))
    snapshot = to_snapshot(story)
    assert from_snapshot(snapshot) == story
    del snapshot["explanation"]["intercept"]
    for side in ("supporting", "opposing"):
        for part in snapshot["explanation"][side]:
            del part["intercept"]
    assert from_snapshot(snapshot).explanation.surrogate_logit == story.explanation.surrogate_logit
    (pair,) = augmented.relevance(TEST, [story.explanation.supporting[0].index], c=C).result(60)
    back = from_npz(to_npz(pair), pair.train_index)
    assert (back.attribution, back.intercept) == (pair.attribution, pair.intercept)
