"""The context of the explanation page, for served runs and shared links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xda.attribution.ranking import Rank
from xda.attribution.results import Contribution, Explanation
from xda.numerals import count, number, percent, signed, terms
from xda.present.colour import OPACITY
from xda.present.named_sum import NamedSum, named_sum
from xda.present.story import STRONGEST, Story
from xda.present.words import (
    RANK_NAMES,
    SHARE_IS_NO_EFFECT,
    evidence,
    fidelity_in_words,
    intercept_in_words,
    logit_in_words,
    question,
    ranking_in_words,
    total_in_words,
)
from xda.web.pages.charts import Bar, Curve, bars, curve
from xda.web.pages.chrome import Choice, Chrome, origin
from xda.web.pages.class_tables import ClassRow, LogitRow, class_rows, logit_rows, softmax
from xda.web.pages.controls import Ask, Fields, Here, Legend, ask, legend, share
from xda.web.pages.explanation.removal import Answer, Removal, removal_panel
from xda.web.pages.figures import figure_choices
from xda.web.pages.pictures import LowerRow, MapLayer, Pictures
from xda.web.urls import Urls
from xda.web.view import MORE, View


@dataclass(frozen=True, slots=True)
class Tile:
    """One training image with its heat-map, and what the pair adds to that of the test image."""

    part: Contribution
    value: str
    """The value that the ranking sorts by."""
    others: tuple[str, ...]
    """Its other numbers, with their names."""
    label: str
    network: str
    """The network's prediction if it is not the label; else empty."""
    source: str
    """Source of the image; empty if it says nothing."""
    url: str | None
    image: str
    train_map: MapLayer | None
    lower_map: MapLayer | None
    """How the pair's map on the test image differs from what its side shares; in earlier shared links, that map."""
    chosen: bool
    """Whether it is chosen for removal."""


@dataclass(frozen=True, slots=True)
class SideOfBoard:
    """The contributions for the target, or those against it."""

    key: str
    heading: str
    total: str
    n: str
    tiles: tuple[Tile, ...]
    empty: str
    more: str | None
    more_label: str
    fewer: str | None


@dataclass(frozen=True, slots=True)
class SumPart:
    """The training images of one label, or of all labels that are left, as a term of the sum."""

    name: str
    value: str
    kind: str
    """support or oppose."""
    bar: Bar
    url: str | None
    """Address that lists only the training images of this label."""


@dataclass(frozen=True, slots=True)
class OpenGraph:
    """Tags of a shared link for chat programs."""

    title: str
    description: str
    url: str
    image: str


@dataclass(frozen=True, slots=True)
class Shared:
    """Facts about the link of a shared page."""

    when: str
    iso: str
    url: str
    """The link itself, for copying without JavaScript."""
    rebuilt: str
    """Reason why the page shows a stored copy; empty if the run is unchanged."""
    live: str | None
    """Address of the same question to the present run."""
    open_graph: OpenGraph | None = None
    """None if cards are switched off."""


@dataclass(frozen=True, slots=True)
class ExplanationPage:
    """Everything that the explanation template shows."""

    chrome: Chrome
    story: Story
    source: str
    """Source of the test image; empty if it says nothing."""
    previous: str | None
    following: str | None
    confidence: str
    ask_surrogate: str | None
    """The same question about the surrogate's prediction, where that differs and is not asked already."""
    question: str
    ask: Ask
    image: str
    own_map: MapLayer | None
    supporting_map: MapLayer | None
    """Map of all supporting training images together, on the test image."""
    opposing_map: MapLayer | None
    lower_row: LowerRow
    ranks: tuple[Choice, ...]
    """The three rankings; one if the page is a stored copy."""
    rank_says: str
    """Meaning of the listed numbers, and their sum."""
    removal: Removal | None
    """The selection; None if the page is a stored copy."""
    supporting: SideOfBoard
    opposing: SideOfBoard
    legend: Legend
    sum_parts: tuple[SumPart, ...]
    """The sum by label; the parts add up to the logit as they are printed."""
    logit: str
    """The sum of what is ranked."""
    total_name: str
    logit_name: str
    intercept: str
    """The intercept's part of the logit; empty without one."""
    network_logit: str
    curve: Curve | None
    strongest: int
    n_listed: int
    fidelity: str
    """Whether the surrogate agrees with the network here, and how often on all test images."""
    better_c: Choice | None
    """The same decision under a C that agrees clearly better with the network, with a sentence about it."""
    logits: tuple[LogitRow, ...]
    logits_left_out: str
    by_class: tuple[ClassRow, ...]
    classes_left_out: str
    filter_off: str | None
    exports: tuple[Choice, ...]
    share: Fields
    """Empty if the page cannot be shared."""
    shared: Shared | None


def build(
    story: Story,
    view: View,
    chrome: Chrome,
    urls: Urls,
    pictures: Pictures,
    *,
    neighbours: tuple[int | None, int | None] = (None, None),
    frozen: bool = False,
    shared: Shared | None = None,
    predicted: Callable[[int], int] | None = None,
    better_c: Choice | None = None,
    answer: Answer | None = None,
) -> ExplanationPage:
    """Make the page from a story.

    Parameters
    ----------
    story : Story
    view : View
        View with the requested ``c`` (None for the default).
    chrome : Chrome
    urls : Urls
    pictures : Pictures
    neighbours : tuple
        Test images before and after this one.
    frozen : bool
        The run is gone: the page has no links into a run, which may now be another one.
    shared : Shared, optional
    predicted : callable, optional
        Gives the network's prediction on a training image; unknown if the run is gone.
    better_c : Choice, optional
        Another C that agrees clearly better with the network.
    answer : Answer, optional
        Numbers about the training images chosen for removal.

    Returns
    -------
    ExplanationPage
    """
    told, names = story.explanation, story.classes
    test, run = told.test, story.run_id

    def here(**changes: object) -> str | None:
        return None if frozen else urls.explanation(run, test.index, view.query(**changes))

    def pair(part: Contribution) -> str | None:
        query = view.query(target=told.target, train_class=None, shown=View().shown, remove=())
        return None if frozen else urls.pair(run, test.index, part.index, query)

    def neighbour(index: int | None) -> str | None:
        return None if index is None or frozen else urls.explanation(run, index, view.elsewhere().query())

    # The other rankings change no map on the test image.
    lower_row = pictures.lower_row if told.rank == "sum" else "none"
    only = next((part for part in story.by_class if part.label == story.train_class), None)

    def side(key: str, parts: tuple[Contribution, ...], n: int, total: str) -> SideOfBoard:
        verb = "supports" if key == "support" else "opposes"
        if story.train_class is None:
            available = n
        else:
            available = 0 if only is None else only.n_supporting if key == "support" else only.n_opposing
        more = next((k for k in MORE if k > view.shown), None)
        filtered = "" if story.train_class is None else f" with label {names[story.train_class]}"
        can_grow = len(parts) < available and more is not None
        return SideOfBoard(
            key=key,
            heading=evidence(told, names, supports=key == "support"),
            total=total,
            n=count(n),
            tiles=tuple(_tile(part, told, view, names, pictures, pair(part), predicted, lower_row) for part in parts),
            empty=f"No training image{filtered} {verb} this.",
            more=here(shown=more) if can_grow and more is not None else None,
            more_label="" if more is None else f"Show {count(min(more, available))} of {count(available)}{filtered}",
            fewer=here(shown=MORE[0]) if len(parts) > MORE[0] else None,
        )

    logits, logits_left_out = logit_rows(story, here, view.against)
    by_class, classes_left_out = class_rows(story, here)
    network = test.network_logits
    exports = view.query(target=told.target, shown=View().shown, train_class=None, remove=())
    action = None if frozen else urls.explanation(run, test.index)
    roles = [_roles(k, test.predicted, test.label) for k in range(len(names))]
    both = (told.sum_supporting, told.sum_opposing)
    totals, _ = terms(both, told.total)
    surrogate_asked = test.surrogate_predicted in (test.predicted, told.target)
    ask_surrogate = None if surrogate_asked else here(target=test.surrogate_predicted, against=None, train_class=None)
    by_label = named_sum(story.by_class, names, told.total)
    return ExplanationPage(
        chrome=chrome,
        story=story,
        source=origin(test.source, "test", test.index),
        previous=neighbour(neighbours[0]),
        following=neighbour(neighbours[1]),
        confidence=percent(softmax(network)[test.predicted], 1),
        ask_surrogate=ask_surrogate,
        question=question(told, names),
        ask=ask(told, names, action, view.query(target=None, against=None), roles),
        image=pictures.test(),
        own_map=pictures.own_map(),
        supporting_map=pictures.evidence_map("for"),
        opposing_map=pictures.evidence_map("against"),
        lower_row=lower_row,
        ranks=tuple(
            Choice(words, here(rank=rank) or "", rank == told.rank)
            for rank, words in RANK_NAMES.items()
            if not frozen or rank == told.rank
        ),
        rank_says=" ".join(filter(None, (ranking_in_words(told) or _share_says(told, names), SHARE_IS_NO_EFFECT))),
        removal=None if frozen or shared else removal_panel(told, names, run, view, urls, here, answer),
        supporting=side("support", told.supporting, told.n_supporting, totals[0]),
        opposing=side("oppose", told.opposing, told.n_opposing, totals[1]),
        legend=legend(view, here, action, view.query(opacity=OPACITY), "one for all pairs"),
        sum_parts=_sum_parts(by_label, told, here),
        logit=by_label.total,
        total_name=total_in_words(told, names),
        logit_name=logit_in_words(told, names),
        intercept=intercept_in_words(told.intercept),
        network_logit=number(told.decision.contrast(network)),
        curve=curve(story.running_sum, STRONGEST),
        strongest=min(STRONGEST, story.n_contributing),
        n_listed=len(told.supporting) + len(told.opposing),
        fidelity=fidelity_in_words(told, names, story.agreement),
        better_c=better_c,
        logits=logits,
        logits_left_out=logits_left_out,
        by_class=by_class,
        classes_left_out=classes_left_out,
        filter_off=here(train_class=None),
        exports=()
        if frozen
        else (
            Choice("CSV", urls.export(run, test.index, "csv", exports), note="every contribution, exact"),
            Choice("JSON", urls.export(run, test.index, "json", exports), note="everything on this page, exact"),
            *figure_choices(lambda kind: urls.export(run, test.index, kind, view.query())),
        ),
        share=() if frozen or shared else share(run, told, view),
        shared=shared,
    )


def _tile(
    part: Contribution,
    told: Explanation,
    view: View,
    names: Sequence[str],
    pictures: Pictures,
    url: str | None,
    predicted: Callable[[int], int] | None,
    lower_row: LowerRow,
) -> Tile:
    says = part.label if predicted is None else predicted(part.index)
    return Tile(
        part=part,
        value=signed(told.value(part)),
        others=_others(part, told.rank),
        label=names[part.label],
        network="" if says == part.label else names[says],
        source=origin(part.source, "train", part.index),
        url=url,
        image=pictures.train(part.index),
        train_map=pictures.pair_map(part.index, "train"),
        lower_map=None if lower_row == "none" else pictures.lower_map(part.index),
        chosen=part.index in view.remove,
    )


def _others(part: Contribution, rank: Rank) -> tuple[str, ...]:
    share = () if rank == "sum" else (f"share {signed(part.attribution)}",)
    if rank == "removal" or part.removal_effect is None:
        return share
    return (*share, f"without it {signed(part.removal_effect, 2)}")


def _share_says(told: Explanation, names: Sequence[str]) -> str:
    return f"Each number is a share; all together they add up to {logit_in_words(told, names)}."


def _sum_parts(summed: NamedSum, told: Explanation, here: Here) -> tuple[SumPart, ...]:
    supports = -1.0 if told.rank == "removal" else 1.0
    shapes = bars([part.value for part in summed.parts])
    return tuple(
        SumPart(
            part.name,
            part.text,
            "support" if part.value * supports > 0 else "oppose",
            bar,
            None if part.label is None else here(train_class=part.label),
        )
        for part, bar in zip(summed.parts, shapes, strict=True)
    )


def _roles(k: int, predicted: int, label: int) -> str:
    roles = [word for word, holds in (("network", k == predicted), ("label", k == label)) if holds]
    return f" ({', '.join(roles)})" if roles else ""
