"""The comparison page: the same test image under two surrogates, and the changes between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from xda.attribution.results import Explanation
from xda.explanation.comparison import Comparison, Only, Side
from xda.numerals import MINUS, addends, count, number, parameter, percent, signed
from xda.present.colour import OPACITY
from xda.present.words import logit_in_words, question
from xda.web.pages.chrome import Choice, Chrome, Option
from xda.web.pages.class_tables import LogitRow, softmax
from xda.web.pages.comparison.matched import (
    KEYS,
    Figure,
    LabelLine,
    Row,
    columns,
    figures,
    label_lines,
    logit_lines,
    rows,
    side_query,
)
from xda.web.pages.comparison.state import PINNED, ROWS, CompareView
from xda.web.pages.controls import Ask, Legend, ask, legend
from xda.web.pages.pictures import MapLayer, map_query, served_map
from xda.web.urls import Urls

if TYPE_CHECKING:
    from xda.explanation.run import Explainer


FILTERS: tuple[tuple[Only, str], ...] = (
    ("all", "all"),
    ("both", "on both sides"),
    ("first", "only A"),
    ("second", "only B"),
    ("flipped", "sign flipped"),
)


@dataclass(frozen=True, slots=True)
class SideView:
    """One side."""

    key: str
    side: Side
    image: str
    own_map: MapLayer | None
    """None if the run has no heat-maps."""
    explanation: str
    confidence: str
    logit: str
    network_logit: str
    sum_supporting: str
    sum_opposing: str
    supporting_share: str
    opposing_share: str
    """Shares of the total evidence, for and against."""
    gap: str


@dataclass(frozen=True, slots=True)
class ComparisonPage:
    """Everything that the comparison template shows."""

    chrome: Chrome
    compared: Comparison
    explanation: str
    previous: str | None
    following: str | None
    question: str
    ask: Ask
    others: tuple[tuple[str, tuple[Option, ...]], ...]
    """Every comparable run with its C."""
    swap: str
    link: str
    """The complete state of this page."""
    exports: tuple[Choice, ...]
    sides: tuple[SideView, SideView]
    verdict: str
    ask_other: str | None
    """The same question about the prediction of the second side's network."""
    ask_other_name: str
    notices: tuple[str, ...]
    matching: str
    logit_name: str
    change: str
    change_both: str
    change_only_second: str
    change_only_first: str
    nets: tuple[str, str]
    """The evidence for minus that against, on each side, as a share of all of it."""
    figures: tuple[Figure, ...]
    columns: tuple[str, ...]
    logits: tuple[LogitRow, ...]
    logits_left_out: str
    by_label: tuple[LabelLine, ...]
    labels_left_out: str
    filters: tuple[Choice, ...]
    orders: tuple[Choice, ...]
    found: str
    rows: tuple[Row, ...]
    more: str | None
    more_label: str
    fewer: str | None
    legend: Legend


def build(
    compared: Comparison,
    state: CompareView,
    chrome: Chrome,
    urls: Urls,
    runs: Sequence[Explainer],
    *,
    neighbours: tuple[int | None, int | None] = (None, None),
) -> ComparisonPage:
    """Make the page.

    Parameters
    ----------
    compared : Comparison
    state : CompareView
        State with both sides explicit.
    chrome : Chrome
    urls : Urls
    runs : sequence of Explainer
        Runs that the first side can be compared with.
    neighbours : tuple
        Test images before and after this one.
    """
    names, view = compared.classes, state.view
    first, second = compared.sides
    told = first.explanation
    run, test = first.run_id, told.test
    query = view.query(target=told.target)
    both_c = first.explanation.c, second.explanation.c

    action = urls.comparison(run, test.index)

    def here(**changes: object) -> str:
        return urls.comparison(run, test.index, state.query(**changes))

    def neighbour(index: int | None) -> str | None:
        elsewhere = replace(state, view=view.elsewhere())
        return None if index is None else urls.comparison(run, index, elsewhere.query())

    swapped: dict[str, Any] = {"c": both_c[1], "other": run, "other_c": both_c[0], "target": told.target}
    if state.only in ("first", "second"):
        swapped["only"] = "second" if state.only == "first" else "first"
    spelt = state.query(c=both_c[0], target=told.target)
    pins = {"at": first.run_digest[:PINNED], "with_at": second.run_digest[:PINNED]}
    # Shares, since the logits of two C differ by their scale alone.
    moved = compared.matched.change_of_share
    points = tuple(100 * part for part in (moved.both, moved.only_second, moved.only_first))
    parts, total = addends(points, 100 * moved.total)
    counts = compared.counts()
    found = counts[state.only]
    more = next((k for k in ROWS if k > state.rows), None)
    logits, logits_left_out = logit_lines(compared)
    by_label, labels_left_out = label_lines(compared)
    exports = {**state.query(target=told.target, colours="red-blue", opacity=OPACITY), "rows": None}
    other_class = second.explanation.test.predicted
    return ComparisonPage(
        chrome=chrome,
        compared=compared,
        explanation=urls.explanation(run, test.index, query),
        previous=neighbour(neighbours[0]),
        following=neighbour(neighbours[1]),
        question=question(told, names),
        ask=ask(told, names, action, {**state.query(target=None, against=None), "with": None, "with_c": None}),
        others=tuple(
            (
                each.id,
                tuple(
                    Option(
                        f"{each.id}:{c:g}",
                        f"{each.id} · C {parameter(c)}",
                        (each.id, c) == (second.run_id, both_c[1]),
                    )
                    for c in each.c_values
                ),
            )
            for each in runs
        ),
        swap=urls.comparison(second.run_id, test.index, state.query(**swapped)),
        link=urls.comparison(run, test.index, {**spelt, **pins}),
        exports=(
            Choice("CSV", urls.comparison_export(run, test.index, "csv", exports), note="every contribution, exact"),
            Choice("JSON", urls.comparison_export(run, test.index, "json", exports), note="all numbers, exact"),
        ),
        sides=(_side(first, 0, state, urls), _side(second, 1, state, urls)),
        verdict=_verdict(compared),
        ask_other=here(target=other_class, against=None) if other_class not in (test.predicted, told.target) else None,
        ask_other_name=names[other_class],
        notices=_notices(compared, state),
        matching=_matching(compared),
        logit_name=logit_in_words(told, names),
        change=total if total == "0" or total.startswith(MINUS) else f"+{total}",
        change_both=parts[0],
        change_only_second=parts[1],
        change_only_first=parts[2],
        nets=(_net(first), _net(second)),
        figures=figures(compared),
        columns=columns(compared),
        logits=logits,
        logits_left_out=logits_left_out,
        by_label=by_label,
        labels_left_out=labels_left_out,
        filters=tuple(
            Choice(words, here(only=only, rows=ROWS[0]), only == state.only, count(counts[only]))
            for only, words in FILTERS
        ),
        orders=tuple(
            Choice(words, here(order=order), order == state.order)
            for order, words in (("strongest", "strongest first"), ("change", "most changed first"))
        ),
        found=f"{count(min(found, state.rows))} of {count(found)} training images",
        rows=rows(compared, state, urls),
        more=here(rows=more) if found > state.rows and more is not None else None,
        more_label="" if more is None else f"Show {count(min(more, found))} of {count(found)}",
        fewer=here(rows=ROWS[0]) if state.rows > ROWS[0] and found > ROWS[0] else None,
        legend=legend(view, here, action, state.query(opacity=OPACITY)),
    )


def _side(side: Side, place: int, state: CompareView, urls: Urls) -> SideView:
    told = side.explanation
    test = told.test
    network = test.network_logits
    sums, logit = addends((told.sum_supporting, told.sum_opposing), told.surrogate_logit)
    return SideView(
        key=KEYS[place],
        side=side,
        image=urls.image(side.run_digest, "test", test.index),
        own_map=None if side.no_heatmaps else _own_map(side, state, urls),
        explanation=urls.explanation(side.run_id, test.index, side_query(state, told, place)),
        confidence=percent(softmax(network)[test.predicted], 1),
        logit=logit,
        network_logit=number(told.decision.contrast(network)),
        sum_supporting=sums[0],
        sum_opposing=sums[1],
        supporting_share=percent(told.sum_supporting / _evidence(told), 1),
        opposing_share=percent(-told.sum_opposing / _evidence(told), 1),
        gap=number(max(0.0, side.relative_gap), 2),
    )


def _evidence(told: Explanation) -> float:
    """Return the total evidence, for and against; 1 if there is none."""
    return told.sum_supporting - told.sum_opposing or 1.0


def _net(side: Side) -> str:
    told = side.explanation
    return f"{signed(100 * told.surrogate_logit / _evidence(told))}\N{NO-BREAK SPACE}%"


def _own_map(side: Side, state: CompareView, urls: Urls) -> MapLayer:
    colouring = map_query(replace(state.view, scale="own"), "page")
    decision = side.explanation.decision
    return served_map(urls, side.run_digest, decision, "own", "test", side.place, colouring, {"alone": True})


def _verdict(compared: Comparison) -> str:
    names = compared.classes
    first, second = (side.explanation.test for side in compared.sides)
    one_network = compared.matched_by == "run"
    if one_network:
        network = f"The network, the same on both sides, says {names[first.predicted]}"
    elif first.predicted == second.predicted:
        network = f"Both networks say {names[first.predicted]}"
    else:
        network = f"The networks disagree: A says {names[first.predicted]}, B says {names[second.predicted]}"
    if first.surrogate_predicted == second.surrogate_predicted:
        return f"{network}; both surrogates say {names[first.surrogate_predicted]}."
    return (
        f"{network}; the surrogates disagree: A says {names[first.surrogate_predicted]}, "
        f"B says {names[second.surrogate_predicted]}."
    )


def _matching(compared: Comparison) -> str:
    first, second = (side.explanation.n_train for side in compared.sides)
    return {
        "run": "Both sides are surrogates of one run, with the same training images.",
        "data": f"Both runs were built from the same data; all {count(first)} training images are matched.",
        "images": f"Both runs have the same {count(first)} training images, but not all with the same labels: "
        f"{count(compared.n_relabelled)} of those that contribute here have another label in B.",
        "content": f"The runs were built from different data. {count(compared.n_common)} training images are in both, "
        f"matched by their content; A has {count(first)} in all, B {count(second)}.",
    }[compared.matched_by]


def _notices(compared: Comparison, state: CompareView) -> tuple[str, ...]:
    pins = (state.pinned, state.other_pinned)
    rebuilt = [
        side.run_id
        for side, pin in zip(compared.sides, pins, strict=True)
        if pin and not side.run_digest.startswith(pin)
    ]
    return tuple(
        f"Run {run} was rebuilt after this link was copied; the page shows its present state."
        for run in dict.fromkeys(rebuilt)
    )
