"""Sums that nearly cancel: page, figures, command line and notebook show as many digits as their result needs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tests.present.test_png_figure import material
from xda.attribution.results import ClassContribution, Explanation
from xda.explanation.illustration import run_panel
from xda.explanation.run import Explainer
from xda.present.matplotlib_figure import draw
from xda.present.png_figure import explanation_canvas
from xda.present.story import Story, tell
from xda.present.text import explanation_text
from xda.present.words import sum_in_words
from xda.web.pages.chrome import Chrome
from xda.web.pages.class_tables import class_rows
from xda.web.pages.explanation import context
from xda.web.pages.pictures import ServedPictures
from xda.web.urls import Urls
from xda.web.view import View

SUPPORTING, OPPOSING, LOGIT = 4660.69612, -4660.0, 0.69612


def cancelling(told: Explanation) -> Explanation:
    """Return an explanation whose sums nearly cancel."""
    return replace(told, sum_supporting=SUPPORTING, sum_opposing=OPPOSING, surrogate_logit=LOGIT)


@pytest.fixture(scope="module")
def story(explainer: Explainer) -> Story:
    told = tell(explainer, explainer.decide(14), limit=2)
    row = ClassContribution(3, SUPPORTING, OPPOSING, 5, 6)
    return replace(told, explanation=cancelling(told.explanation), by_class=(row,))


def value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def test_figure_headings_add_up_to_the_logit(story: Story) -> None:
    words = [each.words for each in explanation_canvas(story, material(story)).texts]
    sums = [value(match[1]) for each in words if (match := re.search(r"images?, ([+−][\d,.]+)$", each))]
    assert len(sums) == 2
    assert sum(sums) == pytest.approx(LOGIT, abs=6e-4)
    assert "= 0.696," in sum_in_words(story.explanation, story.classes)


def test_matplotlib_headings_add_up_to_the_logit(explainer: Explainer) -> None:
    panel = run_panel(explainer, explainer.decide(14), limit=2)
    drawn = draw(replace(panel, explanation=cancelling(panel.explanation)))
    sums = [value(drawn.subfigs[k].get_suptitle().split(", ")[-1]) for k in (0, 2)]
    assert sum(sums) == pytest.approx(LOGIT, abs=6e-4)


def test_command_line_and_notebook_add_up_to_the_logit(explainer: Explainer) -> None:
    told = cancelling(explainer.explain(14))
    text = explanation_text(explainer, told)
    for line in (next(line for line in text.splitlines() if "the surrogate's logit for" in line), repr(told)):
        terms = re.findall(r"([+-] ?[\d,.]+)(?= (?:of|-|=) ?)", line)
        supporting, opposing = (value(term.replace(" ", "")) for term in terms)
        logit = value(re.findall(r" = ([\d.]+)", line)[0])
        assert supporting + opposing == pytest.approx(logit, rel=1e-3)
        assert logit == pytest.approx(LOGIT, rel=1e-4)


def test_rows_by_label_add_up(story: Story) -> None:
    ((row,), _) = class_rows(story, lambda **_: None)
    assert value(row.supporting) + value(row.opposing) == pytest.approx(value(row.net), abs=1e-9)
    assert row.net == "+0.696"
    assert np.isclose(value(row.supporting), SUPPORTING, rtol=1e-6)


def test_explanation_page_adds_up_to_the_logit(story: Story, explainer: Explainer) -> None:
    urls, view = Urls(), View()
    page = context.build(
        story, view, Chrome("x", None, "x"), urls, ServedPictures(urls, story, view, explainer.images.place)
    )
    for terms in ((page.supporting.total, page.opposing.total), tuple(part.value for part in page.sum_parts)):
        assert sum(map(value, terms)) == pytest.approx(value(page.logit), abs=1e-9)
    assert page.logit == "0.696"
