"""The context of the explanation page, for served runs and shared links."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xda.attribution.results import Contribution
from xda.numerals import addends, count, number, percent, signed, terms
from xda.present.story import STRONGEST, Story
from xda.present.words import evidence, intercept_in_words, logit_in_words, question
from xda.web.pages.charts import Curve, Waterfall, curve, waterfall
from xda.web.pages.chrome import Choice, Chrome, Option, origin
from xda.web.pages.class_tables import ClassRow, Here, LogitRow, class_rows, logit_rows, softmax
from xda.web.pages.pictures import Pictures
from xda.web.urls import Urls, fields
from xda.web.view import MORE, View


@dataclass(frozen=True, slots=True)
class Tile:
    """One training image with its two heat-maps."""

    number: str
    attribution: str
    label: str
    same_label: bool
    """Whether the label is the explained class."""
    network: str
    """The network's prediction if it is not the label; else empty."""
    at_bound: bool
    intercept: str
    """The intercept's part of the attribution; empty without one."""
    source: str
    """Source of the image; empty if it says nothing."""
    url: str | None
    image: str
    train_map: str
    test_map: str


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
    test_number: str
    source: str
    """Source of the test image; empty if it says nothing."""
    previous: str | None
    following: str | None
    label: str
    predicted: str
    confidence: str
    correct: bool
    surrogate_predicted: str
    agrees: bool
    ask_surrogate: str | None
    """The same question about the surrogate's prediction."""
    target: str
    against: str | None
    question: str
    action: str | None
    targets: tuple[Option, ...]
    contrasts: tuple[Option, ...]
    keep: tuple[tuple[str, str], ...]
    image: str
    own_map: str
    supporting: SideOfBoard
    opposing: SideOfBoard
    colours: str
    opacity: int
    colour_choices: tuple[Choice, ...]
    scale_choices: tuple[Choice, ...]
    one_scale: bool
    opacity_keep: tuple[tuple[str, str], ...]
    waterfall: Waterfall
    sum_supporting: str
    sum_opposing: str
    logit: str
    logit_name: str
    intercept: str
    """The intercept's part of the logit; empty without one."""
    network_logit: str
    curve: Curve | None
    n_contributing: str
    n_without_effect: str
    n_adding_nothing: str
    """Empty if every support vector contributes."""
    n_train: str
    strongest: int
    share_strongest: str
    n_listed: str
    share_listed: str
    l0: str
    hoyer: str
    agreement: str
    better_c: Choice | None
    """The same decision under a C that agrees clearly better with the network, with a sentence about it."""
    logits: tuple[LogitRow, ...]
    logits_left_out: str
    by_class: tuple[ClassRow, ...]
    classes_left_out: str
    filter_name: str | None
    filter_off: str | None
    exports: tuple[Choice, ...]
    share_action: str | None
    share_fields: tuple[tuple[str, str], ...]
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

    Returns
    -------
    ExplanationPage
    """
    told, names = story.explanation, story.classes
    test, run = told.test, story.run_id

    def here(**changes: object) -> str | None:
        return None if frozen else urls.explanation(run, test.index, view.query(**changes))

    def pair(part: Contribution) -> str | None:
        query = view.query(target=told.target, train_class=None, shown=View().shown)
        return None if frozen else urls.pair(run, test.index, part.index, query)

    def neighbour(index: int | None) -> str | None:
        return None if index is None or frozen else urls.explanation(run, index, view.elsewhere().query())

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
            tiles=tuple(_tile(part, told.target, names, pictures, pair(part), predicted) for part in parts),
            empty=f"No training image{filtered} {verb} this.",
            more=here(shown=more) if can_grow and more is not None else None,
            more_label="" if more is None else f"Show {count(min(more, available))} of {count(available)}{filtered}",
            fewer=here(shown=MORE[0]) if len(parts) > MORE[0] else None,
        )

    target = names[told.target]
    against = None if told.against is None else names[told.against]
    listed = (
        [(part, pair(part) or "") for part in told.supporting],
        [(part, pair(part) or "") for part in told.opposing],
    )
    logits, logits_left_out = logit_rows(story, here)
    by_class, classes_left_out = class_rows(story, here)
    network = test.network_logits
    exports = view.query(target=told.target, shown=View().shown, train_class=None)
    n_listed = len(told.supporting) + len(told.opposing)
    both = (told.sum_supporting, told.sum_opposing)
    (totals, _), (sums, logit) = terms(both, told.surrogate_logit), addends(both, told.surrogate_logit)
    return ExplanationPage(
        chrome=chrome,
        test_number=count(test.index),
        source=origin(test.source, "test", test.index),
        previous=neighbour(neighbours[0]),
        following=neighbour(neighbours[1]),
        label=names[test.label],
        predicted=names[test.predicted],
        confidence=percent(softmax(network)[test.predicted], 1),
        correct=test.label == test.predicted,
        surrogate_predicted=names[test.surrogate_predicted],
        agrees=test.agrees,
        ask_surrogate=here(target=test.surrogate_predicted, against=None, train_class=None),
        target=target,
        against=against,
        question=question(told, names),
        action=None if frozen else urls.explanation(run, test.index),
        targets=tuple(
            Option(str(k), name + _roles(k, test.predicted, test.label), k == told.target)
            for k, name in enumerate(names)
        ),
        contrasts=(
            Option("", "nothing", told.against is None),
            *(Option(str(k), name, k == told.against) for k, name in enumerate(names)),
        ),
        keep=fields(view.query(target=None, against=None)),
        image=pictures.test(),
        own_map=pictures.own_map(),
        supporting=side("support", told.supporting, told.n_supporting, totals[0]),
        opposing=side("oppose", told.opposing, told.n_opposing, totals[1]),
        colours=view.colours,
        opacity=view.opacity,
        colour_choices=_choices(
            here, "colours", view.colours, (("red-blue", "red – blue"), ("orange-purple", "orange – purple"))
        ),
        scale_choices=_choices(here, "scale", view.scale, (("own", "each its own"), ("page", "one for all pairs"))),
        one_scale=view.scale == "page",
        opacity_keep=fields(view.query(opacity=100)),
        waterfall=waterfall(*listed, told.sum_supporting, told.sum_opposing, told.n_supporting, told.n_opposing),
        sum_supporting=sums[0],
        sum_opposing=sums[1],
        logit=logit,
        logit_name=logit_in_words(told, names),
        intercept=intercept_in_words(told.intercept),
        network_logit=number(told.decision.contrast(network)),
        curve=curve(story.running_sum, STRONGEST),
        n_contributing=count(story.n_contributing),
        n_without_effect=count(story.n_without_effect),
        n_adding_nothing=count(story.n_adding_nothing) if story.n_adding_nothing else "",
        n_train=count(told.n_train),
        strongest=min(STRONGEST, story.n_contributing),
        share_strongest=percent(story.share_strongest),
        n_listed=count(n_listed),
        share_listed=percent(story.share_listed),
        l0=number(story.sparsity.l0),
        hoyer=number(story.sparsity.hoyer),
        agreement=percent(story.agreement, 1),
        better_c=better_c,
        logits=logits,
        logits_left_out=logits_left_out,
        by_class=by_class,
        classes_left_out=classes_left_out,
        filter_name=None if story.train_class is None else names[story.train_class],
        filter_off=here(train_class=None),
        exports=()
        if frozen
        else (
            Choice("CSV", urls.export(run, test.index, "csv", exports), note="every contribution, exact"),
            Choice("JSON", urls.export(run, test.index, "json", exports), note="everything on this page, exact"),
            Choice("PNG", urls.export(run, test.index, "png", view.query()), note="the figure with its heat-maps"),
        ),
        share_action=None if frozen or shared else urls.links(),
        share_fields=(
            ("run", run),
            ("test", str(test.index)),
            *fields(view.sharing(told.c, told.target)),
        ),
        shared=shared,
    )


def _tile(
    part: Contribution,
    target: int,
    names: Sequence[str],
    pictures: Pictures,
    url: str | None,
    predicted: Callable[[int], int] | None,
) -> Tile:
    says = part.label if predicted is None else predicted(part.index)
    return Tile(
        number=count(part.index),
        attribution=signed(part.attribution),
        label=names[part.label],
        same_label=part.label == target,
        network="" if says == part.label else names[says],
        at_bound=part.at_bound,
        source=origin(part.source, "train", part.index),
        intercept=signed(part.intercept) if part.intercept else "",
        url=url,
        image=pictures.train(part.index),
        train_map=pictures.pair_map(part.index, "train"),
        test_map=pictures.pair_map(part.index, "test"),
    )


def _roles(k: int, predicted: int, label: int) -> str:
    roles = [word for word, holds in (("network", k == predicted), ("label", k == label)) if holds]
    return f" ({', '.join(roles)})" if roles else ""


def _choices(here: Here, name: str, current: str, options: Sequence[tuple[str, str]]) -> tuple[Choice, ...]:
    return tuple(Choice(label, here(**{name: value}) or "", value == current) for value, label in options)
