"""Sentences about a result: their words, equal on page, figures and command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.present.test_png_figure import material
from xda.attribution.results import UNLABELLED, Explanation
from xda.explanation.illustration import run_panel
from xda.explanation.run import Explainer
from xda.present import words
from xda.present.canvas import Canvas
from xda.present.matplotlib_figure import draw
from xda.present.png_figure import card_canvas, explanation_canvas
from xda.present.story import tell
from xda.present.text import explanation_text

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def told(explainer: Explainer) -> Explanation:
    """A decision for class 1 with made-up numbers, on which network and surrogate differ."""
    asked = explainer.explain(14, limit=0)
    test = replace(asked.test, label=0, predicted=1, network_logits=(0.0, 0.0, -50.0), surrogate_logits=(0.0, 1.0, 2.0))
    return replace(
        asked, test=test, target=1, against=None, sum_supporting=5.21, sum_opposing=-2.95, surrogate_logit=2.26
    )


def test_question_and_aim_name_the_contrast_class_if_there_is_one(told: Explanation) -> None:
    contrast = replace(told, against=2)
    assert words.question(told, NAMES) == "Why dog?"
    assert words.question(contrast, NAMES) == "Why dog and not owl?"
    assert words.title(contrast, NAMES) == "Test image 14: why dog and not owl"
    assert words.aim(told, NAMES) == "dog"
    assert words.aim(contrast, NAMES) == "dog rather than owl"
    assert words.evidence(told, NAMES, supports=True) == "Evidence for dog"
    assert words.evidence(told, NAMES, supports=False) == "Evidence against dog"
    assert words.evidence(contrast, NAMES, supports=True) == "Evidence for dog over owl"
    assert words.evidence(contrast, NAMES, supports=False) == "Evidence for owl over dog"
    assert words.sum_in_words(told, NAMES) == "+5.21 − 2.95 = 2.26, the surrogate’s logit for dog"
    assert words.logit_in_words(contrast, NAMES) == "the surrogate’s logit for dog minus that for owl"


def test_decision_names_label_network_and_surrogate(told: Explanation) -> None:
    expected = "label cat · network dog (50.0 %) · surrogate owl (disagrees)"
    assert words.decision_in_words(told, NAMES).replace("\N{NO-BREAK SPACE}", " ") == expected
    unknown = replace(told, test=replace(told.test, label=UNLABELLED))
    assert words.decision_in_words(unknown, NAMES).startswith("network dog")


def test_fidelity_proposes_the_surrogates_class_unless_it_is_asked_about(told: Explanation) -> None:
    said = words.fidelity_in_words(told, NAMES, 0.9)
    assert "does NOT agree" in said
    assert "Try another C, or ask why owl; over all test images they agree on 90.0" in said
    assert "or ask" not in words.fidelity_in_words(replace(told, target=2), NAMES, 0.9)
    agreeing = replace(told, test=replace(told.test, predicted=2))
    assert words.fidelity_in_words(agreeing, NAMES, 0.9).startswith("The surrogate agrees with the network here; over")


def test_filter_and_intercept_are_empty_where_there_is_none() -> None:
    assert words.filter_in_words(None, NAMES) == words.intercept_in_words(0.0) == ""
    assert words.filter_in_words(1, NAMES) == "only label dog is listed"


def test_figures_and_command_line_say_the_same(explainer: Explainer) -> None:
    decision = explainer.decide(14, against=9)
    story = tell(explainer, decision, limit=2)
    told, names = story.explanation, story.classes
    drawn = draw(run_panel(explainer, decision, limit=2))
    middle = drawn.subfigs[1].get_suptitle().replace("\n", " ")
    figure = "\n".join([drawn.get_suptitle(), middle, drawn.get_supxlabel().replace("\n", " ")])
    drawings: tuple[Callable[..., Canvas], ...] = (explanation_canvas, card_canvas)
    canvases = [draw_on(story, material(story)) for draw_on in drawings]
    shown = [figure, *("\n".join(each.words for each in canvas.texts) for canvas in canvases)]
    for text in shown:
        for said in (words.question, words.decision_in_words, words.sum_in_words):
            assert said(told, names) in text
    text = explanation_text(explainer, told)
    assert words.question(told, names) in text
    assert words.decision_in_words(told, names) in text
