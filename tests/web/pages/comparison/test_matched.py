"""The parts of the comparison page about both sides, from two surrogates of the world's run."""

from __future__ import annotations

import pytest

from tests.world import C_VALUES
from xda import numerals
from xda.explanation.comparison import Comparison, compare
from xda.explanation.run import Explainer
from xda.web.pages.comparison.matched import (
    _points,
    columns,
    figures,
    label_lines,
    logit_lines,
    rows,
    side_query,
)
from xda.web.pages.comparison.state import CompareView
from xda.web.urls import Urls
from xda.web.view import Listing, View

LOW, HIGH = C_VALUES


@pytest.fixture(scope="module")
def compared(explainer: Explainer) -> Comparison:
    return compare(explainer, explainer, explainer.decide(14, c=LOW), HIGH)


def test_figures_are_those_of_the_agreement(compared: Comparison) -> None:
    found = compared.matched.agreement
    values = {figure.name: figure.value for figure in figures(compared)}
    assert values["weight in common"] == numerals.percent(found.shared_weight)
    assert values["the strongest"] == f"{found.n_top_common} of {found.n_top}"
    assert values["images with effect"] == f"{found.n_both} in common"
    assert values["sign flipped"] == str(found.n_flipped)


def test_rows_have_both_attributions_and_their_change(compared: Comparison) -> None:
    state = CompareView(View(c=LOW), "digits", HIGH, rows=5)
    listed = compared.images(limit=5)
    for row, image in zip(rows(compared, state, Urls("")), listed, strict=True):
        assert [line.key for line in row.lines] == ["A", "B"]
        assert row.number == numerals.count(image.index[0] or 0)
        for line, value in zip(row.lines, image.attribution, strict=True):
            assert line.attribution == (numerals.signed(value) if value else "")
            assert line.kind == ("support" if value > 0 else "oppose")
        assert row.change == numerals.signed(image.attribution[1] - image.attribution[0])
        assert (row.note == "sign flipped") == image.flipped


def test_logits_of_one_run_share_the_column_of_its_network(compared: Comparison) -> None:
    assert columns(compared) == ("network", "surrogate A", "surrogate B")
    lines, left_out = logit_lines(compared)
    assert (len(lines), left_out) == (10, "")
    test = compared.sides[0].explanation.test
    assert [line.cells[0].value for line in lines] == [numerals.number(value) for value in test.network_logits]
    assert [line.name for line in lines if line.cells[0].first] == [str(test.predicted)]
    assert [line.name for line in lines if line.is_target] == ["4"]
    assert [line.name for line in lines if line.is_label] == [str(test.label)]


def test_label_lines_sum_the_images_of_each_label(compared: Comparison) -> None:
    lines, left_out = label_lines(compared)
    assert left_out == ""
    sums = [{part.label: part.supporting + part.opposing for part in side.by_class} for side in compared.sides]
    evidence = [side.explanation.sum_supporting - side.explanation.sum_opposing for side in compared.sides]
    for line in lines:
        for cell, side, whole in zip(line.cells, sums, evidence, strict=True):
            value = side.get(int(line.name), 0.0)
            assert cell.value == f"{numerals.signed(100 * value / whole)}\N{NO-BREAK SPACE}%"
            assert cell.kind == ("support" if value > 0 else "oppose")


def test_listing_stays_with_the_first_side(compared: Comparison) -> None:
    state = CompareView(View(listing=Listing(order="margin")))
    told = compared.sides[0].explanation
    first, second = (side_query(state, told, place) for place in (0, 1))
    assert (first["sort"], second.get("sort")) == ("margin", None)
    assert first["target"] == second["target"] == told.target


def test_change_of_share_is_in_signed_points() -> None:
    assert [_points(change) for change in (0.1234, -0.1234, 0.0001)] == ["+12.3", "−12.3", "±0.0"]
