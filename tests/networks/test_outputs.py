"""Tests of xda.networks.outputs: it tells scores, their softmax and several heads apart."""

from __future__ import annotations

import torch

from xda.networks.outputs import form_of, remark, tensors

SCORES = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


def test_form_of_scores_and_softmax_is_recognised_and_nothing_else() -> None:
    assert form_of(SCORES.clone(), SCORES) == "scores"
    assert form_of(SCORES.softmax(1), SCORES) == "softmax"
    assert form_of(SCORES.log_softmax(1), SCORES) == "log-softmax"
    for other in (SCORES.relu(), SCORES[:, :3], SCORES.sigmoid(), 2 * SCORES):
        assert form_of(other, SCORES) is None


def test_tensors_of_an_output_yield_logits_first() -> None:
    first, second = torch.zeros(1), torch.ones(1)
    assert list(tensors({"features": second, "logits": first})) == [first, second]


def test_remark_on_plain_scores_is_empty() -> None:
    assert remark([SCORES], SCORES, "fc", chosen=False) == ""
    assert remark([SCORES, torch.zeros(3, 512)], SCORES, "fc", chosen=False) == ""
    assert remark([SCORES, SCORES.softmax(1)], SCORES, "fc", chosen=False) == ""


def test_remark_names_a_softmax() -> None:
    for output, name in ((SCORES.softmax(1), "softmax"), (SCORES.log_softmax(1), "log-softmax")):
        expected = f"The network ends in a {name}; the logits here are those of the linear layer 'fc' before it."
        assert remark([output], SCORES, "fc", chosen=False) == expected


def test_remark_names_several_heads_unless_one_was_chosen() -> None:
    outputs = [SCORES, SCORES.flip(1)]
    said = remark(outputs, SCORES, "a", chosen=False)
    assert said.startswith("The network returns 2 outputs with one value for each class; that of the linear layer 'a'")
    assert remark(outputs, SCORES, "a", chosen=True) == ""


def test_form_of_one_value_is_the_difference_or_its_sigmoid() -> None:
    scores = SCORES[:, :2]
    difference = scores[:, 1] - scores[:, 0]
    for output in (difference, difference[:, None]):
        assert form_of(output, scores) == "difference"
        assert form_of(output.sigmoid(), scores) == "sigmoid"
        for other in (-output, output / 2, (output / 2).sigmoid(), output.tanh(), output.sigmoid().round()):
            assert form_of(other, scores) is None
    assert form_of(SCORES[:, 0], SCORES) is None


def test_remark_names_a_single_logit() -> None:
    scores = torch.stack([torch.zeros(3), SCORES[:, 0]], dim=1)
    plain = "the logits here are 0 for the first class and, for the second, that of the linear layer 'fc'"
    assert remark([SCORES[:, :1]], scores, "fc", chosen=False) == f"The network returns one logit; {plain}."
    assert remark([SCORES[:, 0].sigmoid()], scores, "fc", chosen=False) == (
        f"The network returns the sigmoid of one logit; {plain} before the sigmoid."
    )
    said = remark([SCORES[:, 1] - SCORES[:, 0]], SCORES[:, :2], "fc", chosen=False)
    assert said.startswith("The network returns the difference of two logits; the logits here are those of the linear")
    beside = [SCORES[:, :2], torch.ones(3, 1)]
    assert remark(beside, SCORES[:, :2], "fc", chosen=False) == ""
