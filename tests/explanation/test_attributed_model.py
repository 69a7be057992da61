"""Fitted surrogates in memory: each surrogate, certificate and slack is that of its C."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from xda.errors import InvalidRequestError, NotFoundError
from xda.explanation.attributed_model import AttributedModel
from xda.explanation.fit import explain
from xda.progress import silent

IMAGES = torch.randn(60, 1, 6, 6, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(60) % 3
CS = (0.1, 0.001, 0.01)


@pytest.fixture(scope="module")
def model() -> AttributedModel:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 5), nn.ReLU(), nn.Linear(5, 3))
    return explain(network, (IMAGES, LABELS), c=CS, progress=silent)


def test_surrogates_are_found_by_their_c_and_the_middle_one_by_default(model: AttributedModel) -> None:
    assert (model.c_values, model.default_c) == ((0.001, 0.01, 0.1), 0.01)
    for c in CS:
        assert model.surrogate(c).c == model.certificate(c).C == c
    assert model.surrogate().c == model.certificate().C == 0.01
    with pytest.raises(NotFoundError, match="This explainer has no surrogate with C = 5"):
        model.surrogate(5.0)


def test_slack_and_self_influence_follow_their_formulas(model: AttributedModel) -> None:
    surrogate = model.surrogate(0.1)
    logits = surrogate.logits(model.features)
    own = logits[np.arange(60), LABELS]
    others = np.where(np.arange(3) == LABELS.numpy()[:, None], -np.inf, logits).max(axis=1)
    np.testing.assert_allclose(model.slack(0.1), np.maximum(0.0, 1.0 + others - own), atol=1e-3)
    expected = np.zeros(60)
    for i in surrogate.support.index.tolist():
        z = model.features[i].astype(np.float64)
        expected[i] = surrogate.support.row(i)[int(LABELS[i])] * (z @ z)
    np.testing.assert_allclose(model.self_influence(0.1), expected, rtol=1e-5)


def test_fidelity_is_the_share_of_equal_predictions(model: AttributedModel) -> None:
    surrogate = model.surrogate(0.1).logits(model.features).argmax(axis=1)
    assert model.fidelity(c=0.1) == pytest.approx((surrogate == model.train_logits.argmax(axis=1)).mean())
    half = model.fidelity(IMAGES[:30], c=0.1)
    assert half == pytest.approx((surrogate == model.train_logits.argmax(axis=1))[:30].mean())


def test_attributions_of_each_image_sum_to_its_logit(model: AttributedModel) -> None:
    found = model.attributions(IMAGES[:4], c=0.1, target=1).toarray()
    np.testing.assert_allclose(found.sum(axis=1), model.surrogate(0.1).logits(model.features[:4])[:, 1], atol=1e-5)
    assert model.decompose(IMAGES[2], c=0.1, target=1).explanation(3).surrogate_logit == pytest.approx(
        found[2].sum(), abs=1e-5
    )


def test_labels_are_one_whole_number_for_each_image(model: AttributedModel) -> None:
    assert [each.test.label for each in model.explain(IMAGES[:2], labels=[1, 2])] == [1, 2]
    for labels in ([1], [1.0, 2.0]):
        with pytest.raises(InvalidRequestError):
            model.explain(IMAGES[:2], labels=labels)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match="2 images were given; this takes one image at a time"):
        model.decompose(IMAGES[:2])
