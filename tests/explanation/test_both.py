"""A run folder and a model in memory of the same network and data: one face, one suite, one slow twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import xda
from tests.explanation.notebooks import NamedDataset, make_model, make_tensors
from tests.reference import dualda, removal
from tests.world import C_VALUES, N_TRAIN, World
from xda.attribution.collection import Explanations
from xda.attribution.decomposition import Decomposition
from xda.attribution.ranking import VALUE_NAMES, Rank
from xda.attribution.results import Explanation
from xda.errors import InvalidRequestError, NotFoundError
from xda.explanation.model import ModelExplainer
from xda.explanation.protocol import DecisionExplainer
from xda.explanation.refit import MeasuredRemoval
from xda.explanation.run import Explainer
from xda.progress import silent
from xda.surrogate import CrammerSingerSVC

TEST, SEVERAL = 5, 7
ASKED: list[dict[str, Any]] = [{}, {"target": 3}, {"target": "3", "against": "8"}, {"c": C_VALUES[0], "against": 2}]


@dataclass(frozen=True)
class Asked:
    """Something that explains, and how it is asked about test image ``TEST``."""

    explainer: DecisionExplainer[Any, list[Any]]
    query: Any
    several: list[Any]
    """One for each of the first ``SEVERAL`` images."""
    features: NDArray[np.float64]
    """phi of that image."""

    def dual_coef(self, c: float | None) -> NDArray[np.float64]:
        support = self.explainer.surrogate(c).support
        dense = np.zeros((self.explainer.n_train, len(self.explainer.classes)))
        dense[support.index] = support.dual_coef.toarray()
        return dense

    def attributions(self, c: float | None, target: int, against: int | None) -> NDArray[np.float64]:
        train = np.asarray(self.explainer.train_features)
        return dualda.attributions(self.dual_coef(c), train, self.features, target, against)


@pytest.fixture(scope="module")
def in_memory(world: World) -> ModelExplainer:
    train_set = NamedDataset(*make_tensors(world.dataset.train), world.dataset.classes)
    return xda.explain(make_model(world), train_set, c=C_VALUES, progress=silent)


def of_run(explainer: Explainer) -> Asked:
    face: DecisionExplainer[int, list[int]] = explainer
    return Asked(face, TEST, list(range(SEVERAL)), explainer.test_features[TEST].astype(np.float64))


def of_model(in_memory: ModelExplainer, images: Any) -> Asked:
    face: DecisionExplainer[Any, Any] = in_memory
    features = in_memory._classifier.features(images[TEST])[0][0].astype(np.float64)
    return Asked(face, images[TEST], images[:SEVERAL], features)


@pytest.fixture(params=["run", "model"])
def asked(request: pytest.FixtureRequest, world: World) -> Asked:
    if request.param == "run":
        return of_run(request.getfixturevalue("explainer"))
    return of_model(request.getfixturevalue("in_memory"), make_tensors(world.dataset.test)[0])


def test_training_facts_equal_the_world(asked: Asked, world: World) -> None:
    face = asked.explainer
    assert face.classes == world.dataset.classes
    assert face.c_values == tuple(sorted(C_VALUES))
    assert face.default_c in face.c_values
    assert face.n_train == N_TRAIN == len(face.train_features)
    np.testing.assert_array_equal(face.train_labels, world.dataset.train.labels)


@pytest.mark.parametrize("c", [None, *C_VALUES])
def test_surrogate_figures_equal_the_definition(asked: Asked, c: float | None) -> None:
    face = asked.explainer
    surrogate = face.surrogate(c)
    assert surrogate.c == face.certificate(c).C == (face.default_c if c is None else c)
    assert face.certificate(c).relative_gap <= face.certificate(c).tol
    assert face.certificate(c).n_support == len(surrogate.support)
    assert 0.5 < face.fidelity(c=c) <= 1.0
    train, labels = np.asarray(face.train_features, dtype=np.float64), face.train_labels
    scores = train @ surrogate.coef.T
    margins = scores + (np.arange(len(face.classes)) != labels[:, None])
    np.testing.assert_allclose(
        face.slack(c), margins.max(axis=1) - scores[np.arange(N_TRAIN), labels], rtol=1e-4, atol=1e-4
    )
    own = asked.dual_coef(c)[np.arange(N_TRAIN), labels]
    np.testing.assert_allclose(face.self_influence(c), own * np.square(train).sum(axis=1), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("how", ASKED)
def test_decomposition_and_explanation_equal_the_slow_twin(asked: Asked, how: dict[str, Any]) -> None:
    whole = asked.explainer.decompose(asked.query, **how)
    decision = whole.decision
    tau = asked.attributions(decision.c, decision.target, decision.against)
    found = np.zeros(N_TRAIN)
    found[whole.index] = whole.attribution
    np.testing.assert_allclose(found, tau, rtol=1e-6, atol=1e-6 * np.abs(tau).max())
    assert decision.target == int(how.get("target", whole.test.predicted))
    assert decision.c == how.get("c", asked.explainer.default_c)
    assert asked.explainer.decide(asked.query, **how) in (decision, replace(decision, test=TEST))
    row = asked.explainer.attributions(asked.query, **how)
    assert row.shape == (1, N_TRAIN)
    np.testing.assert_allclose(row.toarray()[0], found, rtol=1e-12, atol=1e-15)
    one = asked.explainer.explain(asked.query, limit=3, **how)
    assert isinstance(one, Explanation)
    assert one.sum_supporting + one.sum_opposing == pytest.approx(whole.total, rel=1e-9, abs=1e-9)
    assert one.surrogate_logit == pytest.approx(whole.total, rel=1e-5, abs=1e-6)
    assert [part.index for part in one.supporting] == whole.index[whole.attribution > 0][:3].tolist()
    listed = sorted((part.attribution for part in (*one.supporting, *one.opposing)), key=abs, reverse=True)
    assert one.to_pandas()["attribution"].tolist() == listed


@pytest.mark.parametrize(
    "how", [*ASKED, {"target": [3, 1, 4, 1, 5, 9, 2]}, {"target": list("3141592"), "against": "0"}]
)
def test_several_queries_give_what_each_gives_alone(asked: Asked, how: dict[str, Any]) -> None:
    if "against" in how and "target" not in how:
        how = {**how, "target": [1] * SEVERAL}  # else one of the images is predicted as the contrast class
    face, several = asked.explainer, asked.several
    together, decisions, matrix = (call(several, **how) for call in (face.explain, face.decide, face.attributions))
    assert isinstance(together, Explanations)
    assert together.classes == face.classes
    assert matrix.shape == (SEVERAL, face.n_train)
    assert len(together) == len(decisions) == SEVERAL
    for place, (query, told, decision) in enumerate(zip(several, together, decisions, strict=True)):
        own = how if isinstance(how.get("target"), str | int | None) else {**how, "target": how["target"][place]}
        alone = face.explain(query, **own)
        assert (
            told.decision
            == decision
            == replace(alone.decision, test=place)
            == replace(face.decide(query, **own), test=place)
        )
        assert (len(told.supporting), len(told.opposing)) == (len(alone.supporting), len(alone.opposing))
        assert len(told.supporting) == min(12, told.n_supporting)
        assert told.surrogate_logit == pytest.approx(alone.surrogate_logit, rel=1e-4, abs=1e-5)
        assert matrix[[place]].sum() == pytest.approx(told.surrogate_logit, rel=1e-5, abs=1e-6)
        every = face.explain(query, limit=None, **own)
        assert (len(every.supporting), len(every.opposing)) == (every.n_supporting, every.n_opposing)
    assert together.to_pandas()["test"].unique().tolist() == list(range(SEVERAL))


def test_training_images_of_one_class_are_listed_alone(asked: Asked) -> None:
    face = asked.explainer
    whole = face.explain(asked.query, limit=None)
    label = whole.supporting[0].label
    part = face.explain(asked.query, limit=None, train_class=face.classes[label])
    assert part.supporting == tuple(each for each in whole.supporting if each.label == label)
    assert (part.sum_supporting, part.n_supporting) == (whole.sum_supporting, whole.n_supporting)
    (same,) = face.explain(asked.several[TEST : TEST + 1], limit=2, train_class=label)
    assert {each.label for each in (*same.supporting, *same.opposing)} == {label}


def test_no_queries_give_no_answers(asked: Asked) -> None:
    none = asked.several[:0]
    assert len(asked.explainer.explain(none)) == len(asked.explainer.decide(none)) == 0
    assert asked.explainer.attributions(none).shape == (0, N_TRAIN)


@pytest.mark.parametrize("how", ASKED)
def test_heatmaps_sum_to_attributions(asked: Asked, how: dict[str, Any]) -> None:
    whole = asked.explainer.decompose(asked.query, **how)
    pairs = asked.explainer.pair_maps(asked.query, whole.index[:4].tolist(), **how)
    assert [pair.train_index for pair in pairs] == whole.index[:4].tolist()
    assert [pair.attribution for pair in pairs] == pytest.approx(whole.attribution[:4].tolist(), rel=1e-5)
    for pair in pairs:
        for relevance in (pair.test, pair.train):
            assert relevance.sum() == pytest.approx(pair.attribution, rel=1e-3, abs=1e-6)
    own = asked.explainer.own_map(asked.query, **how)
    assert own.attribution == pytest.approx(whole.total, rel=1e-5, abs=1e-6)
    assert own.test.shape == pairs[0].test.shape
    assert own.test.sum() == pytest.approx(own.attribution, rel=1e-3, abs=1e-3 * float(np.abs(own.test).sum()))
    assert not own.train.any()


@pytest.mark.parametrize("how", ASKED)
def test_other_rankings_equal_the_slow_twins(asked: Asked, how: dict[str, Any]) -> None:
    face = asked.explainer
    whole = face.decompose(asked.query, **how)
    decision, surrogate = whole.decision, face.surrogate(whole.decision.c)
    train, alpha = np.asarray(face.train_features, dtype=np.float64), asked.dual_coef(decision.c)
    called = surrogate.training.predicted == decision.target
    mean = train[called].mean(axis=0)
    response = removal.response(
        train, face.train_labels, surrogate.coef, decision.c, asked.features, decision.target, decision.against, 0.1
    )
    expected: dict[Rank, NDArray[np.float64]] = {
        "image": removal.specific(alpha, train, asked.features, mean, decision.target, decision.against),
        "removal": removal.effects(alpha, train, response),
    }
    for rank, values in expected.items():
        found = np.zeros(N_TRAIN)
        ranked = whole.ranked(rank)
        found[ranked.index] = ranked.value
        np.testing.assert_allclose(found, values, rtol=0, atol=3e-4 * np.abs(values).max())
        assert (np.diff(np.abs(ranked.value)) <= 0).all()
        told = face.explain(asked.query, limit=3, rank=rank, **how)
        assert told.rank == rank
        supports = ranked.value < 0 if rank == "removal" else ranked.value > 0
        assert [part.index for part in told.supporting] == ranked.index[supports][:3].tolist()
        assert [part.index for part in told.opposing] == ranked.index[~supports][:3].tolist()
        assert (told.n_supporting, told.n_opposing) == (supports.sum(), (~supports).sum())
        assert told.sum_supporting == pytest.approx(ranked.value[supports].sum())
        assert told.sum_opposing == pytest.approx(ranked.value[~supports].sum())
        name = VALUE_NAMES[told.rank]
        table = told.to_pandas()
        assert table[name].tolist() == sorted(table[name], key=abs, reverse=True)
        assert (table["sign"] == "supports").tolist() == [
            index in ranked.index[supports] for index in table["index"].tolist()
        ]
        np.testing.assert_allclose(table["attribution"], found_tau(whole, table["index"].to_numpy()))
    image = face.explain(asked.query, rank="image", **how)
    assert image.baseline_logit == pytest.approx(float(decision.contrast(surrogate.coef) @ mean), rel=1e-9)
    assert image.sum_supporting + image.sum_opposing == pytest.approx(
        image.surrogate_logit - float(image.baseline_logit or 0), rel=1e-4, abs=1e-5
    )
    # The products are float32; their rounding is relative to the terms before they cancel over the classes.
    assert whole.effects.values.sum() == pytest.approx(
        -float(np.vdot(surrogate.coef, whole.effects.response.u)), abs=1e-5 * np.abs(whole.effects.values).sum()
    )


def found_tau(whole: Decomposition, index: NDArray[np.int64]) -> NDArray[np.float64]:
    known = dict(zip(whole.index.tolist(), whole.attribution.tolist(), strict=True))
    return np.array([known.get(i, 0.0) for i in index.tolist()])


def test_measured_removal_equals_a_fit_without_the_images(asked: Asked) -> None:
    face = asked.explainer
    whole = face.decompose(asked.query, against=2)
    ranked = whole.ranked("removal")
    removed = ranked.index[ranked.value < 0][:5].tolist()
    measured = face.measured_removal(asked.query, removed[::-1] + removed[:1], against=2)
    assert isinstance(measured, MeasuredRemoval)
    assert measured.removed == tuple(sorted(removed))
    assert (measured.decision.target, measured.decision.against) == (whole.decision.target, 2)
    assert measured.before == pytest.approx(whole.total, rel=1e-6)
    assert measured.estimate == pytest.approx(float(ranked.value[ranked.value < 0][:5].sum()))
    assert measured.converged
    assert measured.relative_gap <= face.certificate().tol
    kept = np.setdiff1d(np.arange(N_TRAIN), removed)
    svc = CrammerSingerSVC(C=face.default_c, tol=1e-9).fit(
        np.asarray(face.train_features)[kept], face.train_labels[kept]
    )
    logits = svc.coef_ @ asked.features
    np.testing.assert_allclose(measured.logits_after, logits, rtol=1e-2, atol=1e-2 * np.abs(logits).max())
    assert measured.after == pytest.approx(measured.before + measured.change)
    assert measured.change == pytest.approx(measured.estimate, rel=1.0)
    assert measured.predicted_after == int(logits.argmax())
    assert "estimate" in repr(measured)


def test_measured_removal_of_images_without_weight_changes_nothing(asked: Asked) -> None:
    face = asked.explainer
    idle = np.setdiff1d(np.arange(N_TRAIN), face.surrogate().support.index)[:3].tolist()
    measured = face.measured_removal(asked.query, idle)
    assert measured.logits_after == measured.logits_before
    assert (measured.estimate, measured.change, measured.relative_gap) == (0.0, 0.0, 0.0)


def test_bad_removals_and_rankings_are_refused_in_the_same_words(asked: Asked) -> None:
    face = asked.explainer
    with pytest.raises(NotFoundError, match="no training image 600"):
        face.measured_removal(asked.query, [0, N_TRAIN])
    with pytest.raises(InvalidRequestError, match="leave at least one"):
        face.measured_removal(asked.query, range(N_TRAIN))
    with pytest.raises(InvalidRequestError, match="rank is 'size'; it must be sum, image or removal"):
        face.explain(asked.query, rank="size")  # type: ignore[call-overload]


def test_panel_holds_images_and_maps(asked: Asked) -> None:
    panel = asked.explainer.panel(asked.query, against="2", limit=2)
    told = panel.explanation
    listed = [part.index for part in (*told.supporting, *told.opposing)]
    assert (told.against, len(told.supporting)) == (2, 2)
    assert list(panel.pairs) == list(panel.train_images) == listed
    assert panel.classes == asked.explainer.classes
    np.testing.assert_array_equal(panel.own_map, asked.explainer.own_map(asked.query, against=2).test)


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({"c": 7.0}, NotFoundError, "no surrogate with C = 7"),
        ({"target": "owl"}, NotFoundError, "No class is called 'owl'"),
        ({"target": 10}, NotFoundError, "no class 10"),
        ({"target": 3, "against": 3}, InvalidRequestError, "choose two different classes"),
        ({"against": "owl"}, NotFoundError, "No class is called 'owl'"),
    ],
)
def test_bad_request_is_refused_in_the_same_words(
    asked: Asked, how: dict[str, Any], error: type[Exception], words: str
) -> None:
    face, query = asked.explainer, asked.query
    for call in (face.explain, face.decompose, face.own_map, face.panel, lambda q, **h: face.pair_maps(q, [0], **h)):
        with pytest.raises(error, match=words):
            call(query, **how)
    for of_several in (face.explain, face.decide, face.attributions):
        for queries in (query, asked.several):
            with pytest.raises(error, match=words):
                of_several(queries, **how)
    if "c" in how:
        for figure in (face.surrogate, face.certificate, face.slack, face.self_influence):
            with pytest.raises(error, match=words):
                figure(7.0)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ([1, 2], "one for each of the 7 images"),
        ([1, 2, True, 3, 4, 5, 6], "give one class"),
        ([1.5] * 7, "give one class"),
        ([3, 1, 4, 1, 5, 9, 10], "no class 10"),
    ],
)
def test_bad_targets_of_several_queries_are_refused_in_the_same_words(asked: Asked, target: Any, words: str) -> None:
    for call in (asked.explainer.explain, asked.explainer.decide, asked.explainer.attributions):
        with pytest.raises((InvalidRequestError, NotFoundError), match=words):
            call(asked.several, target=target)


@pytest.mark.parametrize(("how", "words"), [({"limit": -1}, "at least 0"), ({"limit": 1.5}, "must be a whole number")])
def test_bad_limits_are_refused_in_the_same_words(asked: Asked, how: dict[str, Any], words: str) -> None:
    for query in (asked.query, asked.several):
        with pytest.raises(InvalidRequestError, match=words):
            asked.explainer.explain(query, **how)
    with pytest.raises(NotFoundError, match="no class 99"):
        asked.explainer.explain(asked.query, train_class=99)
