"""The explainer of the synthetic world's run equals a computation from the run's arrays."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.reference import dualda
from tests.world import N_TEST, N_TRAIN, World
from xda.attribution.ranking import Rank
from xda.attribution.results import PairRelevance, difference
from xda.decision import Decision
from xda.errors import InvalidRequestError, NoHeatmapsError, NotFoundError
from xda.explanation.map_requests import own_request, pair_requests
from xda.explanation.run import Explainer
from xda.storage.run import layout


def dense_dual(explainer: Explainer, c: float) -> NDArray[np.float64]:
    dense = np.zeros((explainer.n_train, len(explainer.classes)))
    support = explainer.surrogate(c).support
    dense[support.index] = support.dual_coef.toarray()
    return dense


@pytest.mark.parametrize("test", [0, 17, N_TEST - 1])
@pytest.mark.parametrize(("target", "against"), [(None, None), (4, None), (None, 8), (5, 2)])
def test_explanation_equals_the_definition(
    explainer: Explainer, test: int, target: int | None, against: int | None
) -> None:
    c = explainer.c_values[0]
    predicted = explainer.explain(test).test.predicted
    if against == (predicted if target is None else target):
        against = (against + 1) % 10
    result = explainer.explain(test, c=c, target=target, against=against, limit=N_TRAIN)
    features = np.asarray(explainer.run.array(layout.features("train")), dtype=np.float64)
    query = np.asarray(explainer.run.array(layout.features("test"))[test], dtype=np.float64)
    dual = dense_dual(explainer, c)
    tau = dual[:, result.target] * (features @ query)
    if against is not None:
        tau -= dual[:, against] * (features @ query)
    assert result.target == (predicted if target is None else target)
    assert result.sum_supporting == pytest.approx(tau[tau > 0].sum(), rel=1e-9)
    assert result.sum_opposing == pytest.approx(tau[tau < 0].sum(), rel=1e-9)
    assert (result.n_supporting, result.n_opposing) == ((tau > 0).sum(), (tau < 0).sum())
    assert result.sum_supporting + result.sum_opposing == pytest.approx(result.surrogate_logit, rel=1e-5)
    listed = {entry.index: entry.attribution for entry in result.supporting + result.opposing}
    assert set(listed) == set(np.flatnonzero(tau))
    np.testing.assert_allclose([listed[i] for i in sorted(listed)], tau[np.flatnonzero(tau)], rtol=1e-9)
    for listed_side in (result.supporting, result.opposing):
        magnitudes = [abs(entry.attribution) for entry in listed_side]
        assert magnitudes == sorted(magnitudes, reverse=True)


def test_explanation_from_index_equals_on_demand(explainer: Explainer) -> None:
    for test in range(0, N_TEST, 7):
        looked_up = explainer.explain(test, limit=12)
        computed = explainer.explain(test, limit=12 + explainer.run.manifest.per_sign)
        for found, expected in (
            (looked_up.supporting, computed.supporting),
            (looked_up.opposing, computed.opposing),
        ):
            assert [entry.index for entry in found] == [entry.index for entry in expected[:12]]
            assert [e.attribution for e in found] == pytest.approx([e.attribution for e in expected[:12]], rel=1e-12)
        assert looked_up.sum_supporting == pytest.approx(computed.sum_supporting, rel=1e-12)
        assert (looked_up.n_supporting, looked_up.n_opposing) == (computed.n_supporting, computed.n_opposing)


def test_decomposition_lists_everything_and_sums_to_the_logit(explainer: Explainer) -> None:
    for test in (1, 50):
        whole = explainer.decompose(test)
        summary = explainer.explain(test)
        assert len(whole.index) == summary.n_supporting + summary.n_opposing
        assert whole.total == pytest.approx(summary.surrogate_logit, rel=1e-9)
        assert sum(part.supporting for part in whole.by_class) == pytest.approx(summary.sum_supporting, rel=1e-9)


def test_decide_resolves_names_once_and_every_method_takes_the_decision(explainer: Explainer) -> None:
    c = explainer.c_values[0]
    decision = explainer.decide(14, c=c * (1 + 1e-9), target="4", against="9")
    assert decision == Decision(14, c, 4, 9) == explainer.decide(decision)
    assert explainer.decide(14) == Decision(14, explainer.default_c, explainer.predicted("test", 14))
    asked = {"c": c, "target": 4, "against": 9}
    told = explainer.explain(decision, limit=3)
    assert told == explainer.explain(14, limit=3, **asked)  # type: ignore[call-overload]
    assert told.decision == decision
    np.testing.assert_array_equal(
        explainer.decompose(decision).attribution,
        explainer.decompose(14, **asked).attribution,  # type: ignore[arg-type]
    )
    (pair,) = explainer.relevance(decision, [told.supporting[0].index]).result(60)
    assert pair.attribution == pytest.approx(told.supporting[0].attribution, rel=1e-9)
    (own,) = explainer.own_relevance(decision).result(60)
    assert own.attribution == pytest.approx(told.surrogate_logit, rel=1e-9)


def test_heatmaps_keep_their_cache_keys(explainer: Explainer) -> None:
    def key(*asked: object) -> str:
        parts = ("3", explainer.digest, explainer.composite, "0.0001", *map(str, asked))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    query = explainer.test_features[14].astype(np.float64)
    for against in (None, 9):
        decision = explainer.decide(14, c=1e-4, target=4, against=against)
        served = explainer.surrogate(1e-4)
        (pair,) = pair_requests(explainer.run, explainer.composite, served, query, decision, [7])
        own = own_request(explainer.run, explainer.composite, served, query, decision)
        assert pair.key == key("pair", 14, 7, 4, against)
        assert own.key == key("own", 14, 4, against)


def test_explanation_train_class_filters_list_and_keeps_totals(explainer: Explainer) -> None:
    whole = explainer.explain(3)
    label = whole.opposing[0].label
    part = explainer.explain(3, train_class=label, limit=N_TRAIN)
    assert {entry.label for entry in part.supporting + part.opposing} == {label}
    assert part.sum_opposing == pytest.approx(whole.sum_opposing, rel=1e-12)


def test_heatmaps_of_a_pair_sum_to_the_attribution(explainer: Explainer) -> None:
    explanation = explainer.explain(5)
    partners = [entry.index for entry in explanation.supporting[:4] + explanation.opposing[:4]]
    expected = [entry.attribution for entry in explanation.supporting[:4] + explanation.opposing[:4]]
    pairs = explainer.relevance(5, partners).result(60)
    for pair, index, attribution in zip(pairs, partners, expected, strict=True):
        assert pair.train_index == index
        assert pair.attribution == pytest.approx(attribution, rel=1e-6)
        assert pair.test.sum() == pytest.approx(attribution, rel=1e-3)
        assert pair.train.sum() == pytest.approx(attribution, rel=1e-3)


def test_own_map_equals_sum_of_pair_maps(explainer: Explainer) -> None:
    whole = explainer.decompose(5)
    pairs = explainer.relevance(5, whole.index.tolist()).result(120)
    own = explainer.own_relevance(5).result(60)[0]
    total = np.sum([pair.test.astype(np.float64) for pair in pairs], axis=0)
    scale = np.sum([np.abs(pair.test) for pair in pairs], axis=0).max()
    np.testing.assert_allclose(own.test, total, atol=1e-4 * scale)


@pytest.mark.parametrize(("target", "against"), [(None, None), (4, 9)])
def test_evidence_maps_equal_sums_of_pair_maps_and_add_to_the_own_map(
    explainer: Explainer, target: int | None, against: int | None
) -> None:
    told = explainer.explain(5, target=target, against=against, limit=None)
    own, supporting, opposing = explainer.evidence_relevance(told.decision).result(60)
    largest = np.abs(supporting.test).max()
    np.testing.assert_allclose(supporting.test + opposing.test, own.test, atol=1e-5 * largest)
    for group, parts, total in (
        (supporting, told.supporting, told.sum_supporting),
        (opposing, told.opposing, told.sum_opposing),
    ):
        pairs = explainer.relevance(told.decision, [part.index for part in parts]).result(60)
        np.testing.assert_allclose(group.test, sum(pair.test for pair in pairs), atol=1e-5 * largest)
        assert group.attribution == pytest.approx(total, rel=1e-6)
        assert not group.train.any()


def test_differences_sum_to_zero_each_and_over_their_side(explainer: Explainer) -> None:
    told = explainer.explain(5, limit=None)
    _, *groups = explainer.evidence_relevance(told.decision).result(60)
    for group, parts in zip(groups, (told.supporting, told.opposing), strict=True):
        pairs = explainer.relevance(told.decision, [part.index for part in parts]).result(60)
        found = [difference(pair, group) for pair in pairs]
        share = [pair.attribution / group.attribution for pair in pairs]
        for pair, part, each in zip(pairs, share, found, strict=True):
            np.testing.assert_allclose(each, pair.test - part * group.test, atol=1e-5 * np.abs(group.test).max())
            assert abs(each.sum()) <= 2e-3 * abs(pair.attribution)
        assert np.abs(sum(found)).max() <= 1e-4 * np.abs(group.test).max()


def test_difference_of_the_only_image_of_its_side_is_nothing() -> None:
    relevance = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    alone = PairRelevance(3, relevance, relevance, 2.0, 0.5)
    assert not difference(alone, alone).any()
    nothing = PairRelevance(-1, np.zeros_like(relevance), np.zeros_like(relevance), 0.0)
    np.testing.assert_array_equal(difference(alone, nothing), relevance)


def test_heatmaps_without_effect_are_empty(explainer: Explainer) -> None:
    silent = next(i for i in range(explainer.n_train) if not explainer.training_sample(i).is_support)
    (pair,) = explainer.relevance(0, [silent]).result(60)
    assert pair.attribution == 0.0
    assert not pair.test.any()
    assert not pair.train.any()


def test_training_sample_equals_its_row_of_alpha(explainer: Explainer) -> None:
    c = explainer.default_c
    dual = dense_dual(explainer, c)
    features = np.asarray(explainer.run.array(layout.features("train")), dtype=np.float64)
    queries = np.asarray(explainer.run.array(layout.features("test")), dtype=np.float64)
    predicted = np.asarray(explainer.run.array(layout.logits("test"))).argmax(axis=1)
    for index in (int(explainer.surrogate(c).support.index[0]), int(explainer.surrogate(c).support.index[-1])):
        sample = explainer.training_sample(index, limit=3)
        tau = np.array(
            [dualda.attribution(dual, features, query, index, p) for query, p in zip(queries, predicted, strict=True)]
        )
        np.testing.assert_allclose(sample.dual_coef, dual[index])
        assert sum(sample.dual_coef) == pytest.approx(0.0, abs=1e-12)
        assert sample.self_influence == pytest.approx(dual[index, sample.label] * features[index] @ features[index])
        expected = [float(tau[i]) for i in np.argsort(-tau)[:3] if tau[i] > 0]
        assert [entry.attribution for entry in sample.supports] == pytest.approx(expected)


def test_slack_finds_wrong_labels(explainer: Explainer, world: World) -> None:
    ranks = [explainer.training_sample(i).slack_rank for i in world.mislabelled.tolist()]
    assert np.median(ranks) <= 2 * len(ranks)


def test_equal_slacks_share_the_best_rank(explainer: Explainer) -> None:
    served = explainer.surrogate()
    expected = [1 + int(np.count_nonzero(served.slack > value)) for value in served.slack]
    assert [served.slack_rank(index) for index in range(explainer.n_train)] == expected
    assert len(set(expected)) < len(expected)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda e: e.explain(-1), NotFoundError, "test image -1"),
        (lambda e: e.explain(10**18), NotFoundError, "test images are 0 to"),
        (lambda e: e.explain("3"), InvalidRequestError, "is '3'; it must be a whole number"),
        (lambda e: e.explain(3.0), InvalidRequestError, "is 3.0; it must be a whole number"),
        (lambda e: e.explain(0, target="owl"), NotFoundError, "No class is called 'owl'"),
        (lambda e: e.relevance(0, 4), InvalidRequestError, "such as"),
        (lambda e: e.explain(Decision(999, 1e-4, 0)), NotFoundError, "test image 999"),
        (lambda e: e.decompose(Decision(0, 0.5, 0)), NotFoundError, "it has C = 1e-4, 1e-2"),
        (lambda e: e.relevance(Decision(0, 1e-4, 3, 3), [0]), InvalidRequestError, "two different"),
        (lambda e: e.explain(Decision(0, 1e-4, 3), target=3), InvalidRequestError, "leave c, target and against out"),
        (lambda e: e.explain(0, target=10), NotFoundError, "class 10"),
        (lambda e: e.explain(0, against=-1), NotFoundError, "class -1"),
        (lambda e: e.explain(0, target=3, against=3), InvalidRequestError, "two different"),
        (lambda e: e.explain(0, c=0.5), NotFoundError, "it has C = 1e-4, 1e-2"),
        (lambda e: e.explain(0, c=float("nan")), NotFoundError, "C = nan"),
        (lambda e: e.explain(0, limit=-1), InvalidRequestError, "limit"),
        (lambda e: e.explain(0, limit=2.5), InvalidRequestError, "limit is 2.5; it must be a whole number"),
        (lambda e: e.training_sample(0, limit=True), InvalidRequestError, "limit is True"),
        (lambda e: e.gallery(limit="3"), InvalidRequestError, "limit is '3'"),
        (lambda e: e.explain(1.7), InvalidRequestError, "is 1.7; it must be a whole number"),
        (lambda e: e.explain(True), InvalidRequestError, "is True; it must be a whole number"),
        (lambda e: e.explain(0, target=1.7), InvalidRequestError, "class is 1.7; give its number or its name"),
        (lambda e: e.explain(0, against=True), InvalidRequestError, "class is True; give its number"),
        (lambda e: e.explain(0, train_class=1.0), InvalidRequestError, "class is 1.0; give its number"),
        (lambda e: e.explain(0, c=True), InvalidRequestError, "C is True; it must be a number"),
        (lambda e: e.relevance(0, [0, True]), InvalidRequestError, "is True; it must be a whole number"),
        (lambda e: e.image("train", False), InvalidRequestError, "is False; it must be a whole number"),
        (lambda e: e.explain(0, train_class=99), NotFoundError, "class 99"),
        (lambda e: e.relevance(0, [N_TRAIN]), NotFoundError, "training image 600"),
        (lambda e: e.training_sample(-5), NotFoundError, "training image -5"),
        (lambda e: e.image("test", N_TEST), NotFoundError, "test image 120"),
        (lambda e: e.gallery(limit=0), InvalidRequestError, "limit"),
    ],
)
def test_bad_request_names_the_problem(explainer: Explainer, call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(explainer)  # type: ignore[operator]


def test_run_built_without_heatmaps_stays_without(world: World, tmp_path: Path) -> None:
    folder = shutil.copytree(world.run, tmp_path / "run")
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"composite": "", "no_heatmaps": "An old verdict."}))
    with Explainer.open(folder, device="cpu") as opened:
        assert opened.no_heatmaps == "An old verdict."
        assert opened.composite == ""
        with pytest.raises(NoHeatmapsError, match="An old verdict"):
            opened.own_relevance(0)


@pytest.mark.parametrize("rank", ["image", "removal"])
def test_other_rankings_change_the_training_side_alone(explainer: Explainer, rank: Rank) -> None:
    told = explainer.explain(14, target=4, against=9, c=0.01, rank=rank, limit=3)
    decision, served = told.decision, explainer.surrogate(0.01)
    expected = [told.value(part) * (-1 if rank == "removal" else 1) for part in (*told.supporting, *told.opposing)]
    query = np.asarray(explainer.test_features[14], dtype=np.float64)
    requests = pair_requests(explainer.run, "rules", served, query, decision, told.listed, rank)
    starts = [request.train_relevance for request in requests if request.train_relevance is not None]
    np.testing.assert_allclose([start.sum() for start in starts], expected, rtol=1e-6)
    plain = explainer.pair_maps(14, told.listed, target=4, against=9, c=0.01)
    ranked = explainer.relevance(decision, told.listed, rank=rank).result()
    for pair, same, value in zip(ranked, plain, expected, strict=True):
        np.testing.assert_array_equal(pair.test, same.test)
        assert pair.attribution == same.attribution
        assert pair.train.sum() == pytest.approx(value, rel=2e-3)
        assert not np.allclose(pair.train, same.train, rtol=1e-2, atol=1e-3 * np.abs(same.train).max())
    assert not {request.key for request in requests} & {
        request.key for request in pair_requests(explainer.run, "rules", served, query, decision, told.listed)
    }
