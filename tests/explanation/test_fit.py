"""Explanations in memory equal those of a run of the same network and data, and are exact by themselves."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import nn
from torch.utils.data import DataLoader

import xda
from tests.explanation.notebooks import NamedDataset, make_model, make_tensors
from tests.reference import dualda
from tests.world import C_VALUES, N_TEST, N_TRAIN, World
from xda.attribution.results import UNLABELLED
from xda.errors import ConfigError, DataError, InvalidRequestError, NoHeatmapsError, NotFoundError
from xda.explanation.model import ModelExplainer
from xda.explanation.run import Explainer
from xda.progress import silent


@pytest.fixture(scope="module")
def images(world: World) -> torch.Tensor:
    return make_tensors(world.dataset.test)[0]


@pytest.fixture(scope="module")
def in_memory(world: World) -> ModelExplainer:
    train_set = NamedDataset(*make_tensors(world.dataset.train), world.dataset.classes)
    return xda.explain(make_model(world), train_set, c=C_VALUES, progress=silent)


@pytest.fixture(scope="module")
def augmented(world: World) -> ModelExplainer:
    return xda.explain(
        make_model(world), make_tensors(world.dataset.train), c=1e-2, intercept="augment", progress=silent
    )


def test_explain_test_set_keeps_its_labels(in_memory: ModelExplainer, world: World) -> None:
    test_set = NamedDataset(*make_tensors(world.dataset.test), world.dataset.classes)
    pair = make_tensors(world.dataset.test)
    by_hand = in_memory.explain(pair[0], limit=2)
    for data in (test_set, DataLoader(test_set, batch_size=50, shuffle=True), pair):
        found = in_memory.explain(data, limit=2)
        assert len(found) == N_TEST
        assert [each.test.label for each in found] == world.dataset.test.labels.tolist()
        assert [each.supporting for each in found] == [each.supporting for each in by_hand]
    assert (in_memory.attributions(test_set) != in_memory.attributions(pair[0])).nnz == 0


def test_explain_class_names_equal_numbers(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    (named,) = in_memory.explain(images[:1], target="3", against="8")
    assert named == in_memory.explain(images[:1], target=3, against=8)[0]
    each = in_memory.explain(images[:2], target=["1", "4"])
    assert [told.target for told in each] == [1, 4]
    with pytest.raises(NotFoundError, match="No class is called 'owl'"):
        in_memory.own_relevance(images[0], target="owl")
    maps = in_memory.relevance(images[0], [named.supporting[0].index], target="3", against="8")
    assert maps[0].attribution == pytest.approx(named.supporting[0].attribution, rel=1e-6)


def test_explain_list_of_images_equals_a_batch(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    together = in_memory.explain(images[:3], limit=2)
    assert list(in_memory.explain(list(images[:3]), limit=2)) == list(together)
    assert in_memory.fidelity(images) == in_memory.fidelity(list(images))


def test_explain_predicted_class_as_contrast_names_the_image(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    predicted = [told.target for told in in_memory.explain(images[:6])]
    with pytest.raises(InvalidRequestError, match=f"the contrast class {predicted[4]} on image 4 itself"):
        in_memory.explain(images[:6], against=predicted[4])


def test_repr_in_a_notebook_is_short(in_memory: ModelExplainer, explainer: Explainer, images: torch.Tensor) -> None:
    told = in_memory.explain(images[:7])
    assert len(repr(told).splitlines()) == 7
    assert repr(told).endswith("… 2 more")
    shown = repr(explainer.explain(3, against=5, limit=2))
    assert re.fullmatch(r"<Explanation of test image 3, why 3 and not 5, C=0.01: .* = \S+; 2 \+ 2 listed>", shown)
    assert repr(told[0].test) == "<TestSample 0: label -1, predicted 0, by the surrogate 0>"
    assert re.fullmatch(r"<Decomposition: \d+ of 600 training images sum to \S+>", repr(explainer.decompose(3)))


@pytest.mark.parametrize("c", C_VALUES)
@pytest.mark.parametrize(("target", "against"), [(None, None), (3, None), (3, 8)])
def test_explain_equals_the_run(
    in_memory: ModelExplainer,
    explainer: Explainer,
    images: torch.Tensor,
    c: float,
    target: int | None,
    against: int | None,
) -> None:
    found = in_memory.explain(images[:6], c=c, target=target, against=against, limit=None)
    for test, mine in enumerate(found):
        stored = explainer.explain(test, c=c, target=target, against=against, limit=N_TRAIN)
        assert (mine.test.predicted, mine.target, mine.against) == (stored.test.predicted, stored.target, against)
        assert mine.surrogate_logit == pytest.approx(stored.surrogate_logit, rel=1e-3, abs=1e-3)
        assert mine.sum_supporting == pytest.approx(stored.sum_supporting, rel=1e-3)
        strong = {part.index: part.attribution for part in stored.supporting[:5] + stored.opposing[:5]}
        own = {part.index: part.attribution for part in mine.supporting + mine.opposing}
        assert [own[index] for index in strong] == pytest.approx(list(strong.values()), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("which", ["in_memory", "augmented"])
@pytest.mark.parametrize("against", [None, 2])
def test_explain_without_limit_lists_everything_and_sums_exactly(
    which: str, against: int | None, images: torch.Tensor, request: pytest.FixtureRequest
) -> None:
    fitted: ModelExplainer = request.getfixturevalue(which)
    for mine in fitted.explain(images[:8], target=5, against=against, limit=None):
        listed = [part.attribution for part in mine.supporting + mine.opposing]
        assert len(listed) == mine.n_supporting + mine.n_opposing > 0
        assert sum(listed) == pytest.approx(mine.surrogate_logit, rel=1e-9, abs=1e-12)
        assert mine.sum_supporting + mine.sum_opposing == pytest.approx(mine.surrogate_logit, rel=1e-9, abs=1e-12)


def test_attributions_equal_the_definition(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    support = in_memory.surrogate(1e-2).support
    dual = np.zeros((N_TRAIN, 10))
    dual[support.index] = support.dual_coef.toarray()
    queries = in_memory._classifier.features(images[:3])[0].astype(np.float64)
    targets = [4, 0, 4]
    found = in_memory.attributions(images[:3], c=1e-2, target=targets)
    assert found.shape == (3, N_TRAIN)
    expected = [
        [dualda.attribution(dual, in_memory.features.astype(np.float64), query, i, target) for i in range(N_TRAIN)]
        for query, target in zip(queries, targets, strict=True)
    ]
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-9, atol=1e-12)
    assert found.nnz < len(support) * 3


def test_explain_single_or_no_image_returns_as_many(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    alone = in_memory.explain(images[2])
    assert in_memory.explain(images[2:3])[0].supporting == alone.supporting
    assert alone.sum_supporting == pytest.approx(in_memory.explain(images[:3])[2].sum_supporting, rel=1e-4)
    assert len(in_memory.explain(images[:0])) == 0
    assert in_memory.attributions(images[:0]).shape == (0, N_TRAIN)


def test_explain_limit_shortens_lists_and_keeps_totals(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    whole, short = (in_memory.explain(images[0], limit=limit) for limit in (None, 2))
    assert short.supporting == whole.supporting[:2]
    assert short.opposing == whole.opposing[:2]
    assert short.sum_supporting == whole.sum_supporting


def test_explain_known_labels_are_kept(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    assert in_memory.explain(images[0]).test.label == UNLABELLED
    assert [e.test.label for e in in_memory.explain(images[:2], labels=[7, 1])] == [7, 1]


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_explain_traced_model_is_refused_with_advice(world: World) -> None:
    images = make_tensors(world.dataset.train)
    traced = torch.jit.trace(make_model(world), images[0][:2])  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigError, match=r"is a TorchScript program .* load the model that it was made from"):
        xda.explain(traced, images, progress=silent)


def test_tables_of_several_images_are_one_table(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    found = in_memory.explain(images[:4], limit=None)
    frame = found.to_pandas()
    assert list(frame.columns) == [
        "test",
        "target",
        "index",
        "label",
        "class",
        "attribution",
        "share",
        "sign",
        "at_bound",
        "intercept",
    ]
    sums = frame.groupby("test")["attribution"].sum()
    np.testing.assert_allclose(sums, [e.surrogate_logit for e in found], rtol=1e-9)
    np.testing.assert_allclose(frame.groupby("test")["share"].sum(), 1.0)
    assert (frame["target"] == [found[i].target for i in frame["test"]]).all()
    assert found[2:].to_pandas()["test"].unique().tolist() == [2, 3]
    assert found[:0].to_arrow().schema.equals(found.to_arrow().schema)
    assert found[:0].to_arrow().num_rows == 0


def test_heatmaps_sum_to_attributions_and_own_map(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    told = in_memory.explain(images[5], against=8, c=1e-2, limit=None)
    parts = told.supporting + told.opposing
    pairs = in_memory.relevance(images[5], [part.index for part in parts], against=8, c=1e-2)
    for pair, part in zip(pairs[:10], parts, strict=False):
        assert pair.train_index == part.index
        assert pair.attribution == pytest.approx(part.attribution, rel=1e-6)
        assert pair.test.sum() == pytest.approx(part.attribution, rel=1e-3, abs=1e-6)
        assert pair.train.sum() == pytest.approx(part.attribution, rel=1e-3, abs=1e-6)
    own = in_memory.own_relevance(images[5], against=8, c=1e-2)
    assert own.shape == tuple(images.shape[2:])
    scale = np.sum([np.abs(pair.test) for pair in pairs], axis=0).max()
    np.testing.assert_allclose(own, np.sum([pair.test for pair in pairs], axis=0), atol=1e-4 * scale)
    assert in_memory.relevance(images[5], []) == []


def test_heatmaps_with_intercept_sum_to_the_rest(augmented: ModelExplainer, images: torch.Tensor) -> None:
    told = augmented.explain(images[1])
    coef = augmented.surrogate().coef
    own = augmented.own_relevance(images[1]).sum()
    assert own == pytest.approx(told.surrogate_logit - coef[told.target, -1], rel=2e-3, abs=1e-4)


def test_heatmaps_equal_the_run(in_memory: ModelExplainer, explainer: Explainer, images: torch.Tensor) -> None:
    train = explainer.surrogate(1e-2).support.index[:3].tolist()
    stored = explainer.relevance(4, train, c=1e-2, target=1).result(60)
    for mine, theirs in zip(in_memory.relevance(images[4], train, c=1e-2, target=1), stored, strict=True):
        scale = max(np.abs(theirs.test).max(), np.abs(theirs.train).max())
        np.testing.assert_allclose(mine.test, theirs.test, atol=2e-3 * scale)
        np.testing.assert_allclose(mine.train, theirs.train, atol=2e-3 * scale)


def test_surrogate_figures_equal_the_run(
    in_memory: ModelExplainer, explainer: Explainer, world: World, images: torch.Tensor
) -> None:
    for entry in explainer.surrogates:
        assert in_memory.certificate(entry.c).converged
        assert in_memory.certificate(entry.c).n_support == pytest.approx(entry.n_support, rel=0.02)
        test_set = make_tensors(world.dataset.test)
        assert in_memory.fidelity(test_set, c=entry.c) == pytest.approx(entry.agreement, abs=1.5 / N_TEST)
        assert 0.5 < in_memory.fidelity(c=entry.c) <= 1
    sample = explainer.training_sample(int(world.mislabelled[0]))
    assert in_memory.slack()[sample.index] == pytest.approx(sample.slack, rel=1e-2)
    assert in_memory.self_influence()[sample.index] == pytest.approx(sample.self_influence, rel=1e-2)
    assert in_memory.self_influence().shape == in_memory.slack().shape == (N_TRAIN,)


def test_self_influence_equals_attribution_to_itself(augmented: ModelExplainer, world: World) -> None:
    images, labels = make_tensors(world.dataset.train)
    chosen = augmented.surrogate().support.index[:5]
    found = augmented.attributions(images[chosen], target=labels[chosen].tolist())
    np.testing.assert_allclose(augmented.self_influence()[chosen], found[np.arange(5), chosen], rtol=1e-5)


def test_explain_shuffling_loader_keeps_positions(
    in_memory: ModelExplainer, world: World, images: torch.Tensor
) -> None:
    loader = DataLoader(NamedDataset(*make_tensors(world.dataset.train), world.dataset.classes), 128, shuffle=True)
    again = xda.explain(make_model(world), loader, c=C_VALUES[1], progress=silent)
    assert again.classes == in_memory.classes
    mine, theirs = (e.attributions(images[:4], c=C_VALUES[1]).toarray() for e in (again, in_memory))
    np.testing.assert_allclose(mine, theirs, atol=1e-3 * np.abs(theirs).max())


def test_progress_reports_both_stages_to_the_end(world: World) -> None:
    told: list[tuple[str, int, int]] = []
    xda.explain(
        make_model(world), make_tensors(world.dataset.train), c=C_VALUES, progress=lambda *now: told.append(now)
    )
    stages = list(dict.fromkeys(stage for stage, _, _ in told))
    assert stages == ["Features of the training images", "Fitting surrogates"]
    for stage in stages:
        done = [d for s, d, _ in told if s == stage]
        assert done == sorted(done)
        assert done[-1] == next(total for s, _, total in told if s == stage)


def test_progress_by_default_shows_bars(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    xda.explain(make_model(world), make_tensors(world.dataset.train), c=1e-2)
    assert "Fitting surrogates" in capsys.readouterr().err


def test_repr_names_sizes_and_c(in_memory: ModelExplainer) -> None:
    assert repr(in_memory).startswith("<ModelExplainer: 600 training images, 10 classes; C=0.0001: ")


def test_explain_not_converged_warns(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from xda.surrogate import CrammerSingerSVC

    path = CrammerSingerSVC.path
    monkeypatch.setattr(CrammerSingerSVC, "path", lambda *args, **params: path(*args, max_iter=1, **params))
    with pytest.warns(ConvergenceWarning, match="relative gap"):
        xda.explain(make_model(world), make_tensors(world.dataset.train), c=1e-1, progress=silent)


IMAGES, LABELS = torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3


def small(n_classes: int = 3) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, n_classes))


def test_explain_accepts_numbers_of_any_type(in_memory: ModelExplainer, images: torch.Tensor) -> None:
    small_tol: Any = np.float32(1e-6)
    reals: tuple[Any, ...] = (
        np.float32(1e-3), torch.tensor(1e-3), Fraction(1, 1000), np.array([1e-3]), (np.float16(1e-3),),
    )  # fmt: skip
    for c in reals:
        fitted = xda.explain(small(), (IMAGES, LABELS), c=c, tol=small_tol, progress=silent)
        assert fitted.c_values == pytest.approx((1e-3,), rel=1e-3)
        assert isinstance(fitted.c_values[0], float)
    classes: Any = np.array([1, 2], dtype=np.uint8)
    asked: dict[str, Any] = {"limit": np.int32(3), "against": np.int16(3), "c": np.float32(C_VALUES[1])}
    two = in_memory.explain(images[:2], target=classes, **asked)
    assert [(one.target, one.against, len(one.supporting)) for one in two] == [(1, 3, 3), (2, 3, 3)]


def test_explain_keeps_global_random_generators(world: World, images: torch.Tensor) -> None:
    def states() -> tuple[object, ...]:
        legacy = np.random.get_state(legacy=False)  # noqa: NPY002
        return torch.get_rng_state().tolist(), repr(legacy), random.getstate()

    model, data = make_model(world), make_tensors(world.dataset.train)
    before = states()
    fitted = xda.explain(model, data, c=1e-2, progress=silent)
    fitted.explain(data, limit=1)
    fitted.fidelity(data)
    fitted.panel(images[0])
    with Explainer.open(world.run, device="cpu") as opened:
        opened.explain(0)
        opened.relevance(0, [0, 1]).result()
    assert states() == before


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"c": []}, ConfigError, "different positive numbers"),
        ({"c": [1e-3, 1e-3]}, ConfigError, "different positive numbers"),
        ({"c": -1.0}, ConfigError, "different positive numbers"),
        ({"c": "a"}, ConfigError, "different positive numbers"),
        ({"c": True}, ConfigError, "different positive numbers"),
        ({"c": [1e-3, True]}, ConfigError, "different positive numbers"),
        ({"c": np.True_}, ConfigError, "different positive numbers"),
        ({"c": ["0.1"]}, ConfigError, "different positive numbers"),
        ({"c": None}, ConfigError, "different positive numbers"),
        ({"tol": 0.0}, ConfigError, "between 0 and 1"),
        ({"tol": True}, ConfigError, "between 0 and 1"),
        ({"tol": "1e-6"}, ConfigError, "between 0 and 1"),
        ({"intercept": "free"}, ConfigError, "augment"),
        ({"model": small(4)}, DataError, "Class '3' has no training image"),
        ({"classes": ["a", "b"]}, ConfigError, "classes"),
        ({"classes": ["a"]}, ConfigError, "one name for each logit"),
        ({"head": "nowhere"}, ConfigError, "no layer 'nowhere'"),
    ],
)
def test_explain_unusable_input_is_refused(options: dict[str, object], error: type[Exception], words: str) -> None:
    asked = {"model": small(), "train_set": (IMAGES, LABELS), "progress": silent} | options
    with pytest.raises(error, match=words):
        xda.explain(**asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda e, x: e.explain(x, c=0.5), NotFoundError, "This explainer has no surrogate with C = 0.5"),
        (lambda e, x: e.explain(x, target=10), NotFoundError, "This explainer has no class 10"),
        (lambda e, x: e.explain(x, target=[1, 2]), InvalidRequestError, "one for each of the 3 images"),
        (lambda e, x: e.explain(x, target=1.5), InvalidRequestError, "give one class, or one for each"),
        (lambda e, x: e.explain(x, target=1, against=1), InvalidRequestError, "two different"),
        (lambda e, x: e.explain(x, limit=-1), InvalidRequestError, "at least 0"),
        (lambda e, x: e.explain(x, limit=1.5), InvalidRequestError, "limit is 1.5; it must be a whole number"),
        (lambda e, x: e.explain(x, limit=True), InvalidRequestError, "limit is True; it must be a whole number"),
        (lambda e, x: e.explain(x, target=True), InvalidRequestError, "give one class, or one for each"),
        (lambda e, x: e.explain(x, target=[1, 2, True]), InvalidRequestError, "give one class, or one for each"),
        (lambda e, x: e.explain(x, against=1.7), InvalidRequestError, "class is 1.7; give its number or its name"),
        (lambda e, x: e.explain(x, c="0.01"), InvalidRequestError, "C is '0.01'; it must be a number"),
        (lambda e, x: e.explain(x, labels=[1]), InvalidRequestError, "1 labels were given for 3"),
        (lambda e, x: e.explain(x, labels=[0, 1.7, 2]), InvalidRequestError, "whole numbers are needed"),
        (lambda e, x: e.relevance(x[0], [True]), InvalidRequestError, "is True; it must be a whole number"),
        (lambda e, x: e.explain(x[:, :, :5]), DataError, "is what the training images have"),
        (lambda e, x: e.explain(x * float("nan")), DataError, "features of image 0 are not finite"),
        (lambda e, x: e.relevance(x, [0]), InvalidRequestError, "this takes one image at a time"),
        (lambda e, x: e.explain("a.png"), DataError, "The given str cannot be read as numbers"),
        (lambda e, x: e.relevance(x[0], 0), InvalidRequestError, r"images are 0; give a list such as \[0, 7\]"),
        (lambda e, x: e.relevance(x[0], [0.5]), InvalidRequestError, "is 0.5; it must be a whole number"),
        (lambda e, x: e.relevance(x[0], [N_TRAIN]), NotFoundError, "no training image 600"),
        (lambda e, x: e.certificate(0.5), NotFoundError, "no surrogate with C"),
        (lambda e, x: e.fidelity((x, [10, 0, 0])), DataError, "label 10"),
    ],
)
def test_bad_request_names_the_problem(
    in_memory: ModelExplainer, images: torch.Tensor, call: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        call(in_memory, images[:3])  # type: ignore[operator]


def test_model_without_heatmaps_is_explained_with_the_reason() -> None:
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(36, 5), nn.Linear(5, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            scores: torch.Tensor = self.head(torch.special.expit(self.body(x.flatten(1))).cumsum(1))
            return scores

    fitted = xda.explain(Squared(), (IMAGES, LABELS), c=1.0, progress=silent)
    told = fitted.explain(IMAGES[0])
    assert told.sum_supporting + told.sum_opposing == pytest.approx(told.surrogate_logit, rel=1e-9, abs=1e-12)
    with pytest.raises(NoHeatmapsError, match="Heat-maps are not available for this network"):
        fitted.relevance(IMAGES[0], [0])
    with pytest.raises(NoHeatmapsError):
        xda.figure(fitted, IMAGES[0])


def test_import_of_xda_loads_nothing_heavy() -> None:
    heavy = "torch zennit numba scipy sklearn pandas pyarrow matplotlib quanda"
    program = f"import sys, xda; dir(xda); print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_import_of_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'explian'"):
        xda.explian  # noqa: B018
