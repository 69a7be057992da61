"""The pair page: one test image and one training image, large, with the two heat-maps of the same relevance."""

from __future__ import annotations

from dataclasses import dataclass

from xda.attribution.results import Explanation
from xda.numerals import addends, count, signed
from xda.present.colour import OPACITY
from xda.present.pair_facts import PairFacts
from xda.present.words import label_in_words, pair_in_words, rank_in_words
from xda.web.pages.chrome import Choice, Chrome, origin
from xda.web.pages.controls import Ask, Fields, Legend, ask, legend, share
from xda.web.pages.explanation.context import Shared
from xda.web.pages.figures import figure_choices
from xda.web.pages.pictures import MapLayer
from xda.web.urls import Urls
from xda.web.view import View

MOST_DIGITS = 12
"""Most digits of a number that is split."""


@dataclass(frozen=True, slots=True)
class Split:
    """A number and its two parts, which add up to it as they are printed."""

    total: str
    spread: str
    """The part that heat-maps spread over pixels."""
    intercept: str
    """Empty without an intercept."""


def split(total: float, intercept: float) -> Split:
    """Return a contribution or logit and its parts, with enough digits to show the intercept's part.

    With ``intercept="augment"`` a contribution is ``tau_i = alpha_i^c (<z_i, phi(x)> + 1)`` (method section 2).
    Heat-maps carry the first summand; the second one, ``alpha_i^c``, belongs to no pixel.

    Parameters
    ----------
    total : float
    intercept : float
        The intercept's part.

    Returns
    -------
    Split
    """
    if not intercept:
        return Split(signed(total), signed(total), "")
    for digits in range(3, MOST_DIGITS + 1):
        (spread, apart), whole = addends((total - intercept, intercept), total, digits)
        if apart != "0":
            break
    else:
        whole, spread, apart = signed(total), signed(total - intercept), signed(intercept)
    return Split(whole if whole.startswith("+") or total <= 0 else f"+{whole}", spread, apart)


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the two images."""

    key: str
    heading: str
    words: str
    source: str
    """Source of the image; empty if it says nothing."""
    url: str | None
    image: str
    map: MapLayer | None
    values: str | None
    """Address of the raw relevances, float32, row by row; None if they are not stored."""


@dataclass(frozen=True, slots=True)
class PairPage:
    """Everything that the pair template shows."""

    chrome: Chrome
    pair: PairFacts
    told: Explanation
    explanation: str | None
    previous: str | None
    following: str | None
    sign: str
    """support, oppose or nothing."""
    attribution: Split
    verdict: str
    rank: str
    specific: str
    """Its part in what sets this image apart; empty in other rankings."""
    effect: str
    """Its estimated effect of removal; empty if it was not asked for."""
    panels: tuple[Panel, ...]
    ask: Ask
    legend: Legend
    npz: str | None
    exports: tuple[Choice, ...]
    """The figure's files; empty if the run is gone."""
    share: Fields
    """Empty if the page cannot be shared."""
    shared: Shared | None


@dataclass(frozen=True, slots=True)
class PairPictures:
    """Addresses of the four pictures of a pair, and of their raw values if these are stored."""

    test: str
    train: str
    test_map: MapLayer | None
    train_map: MapLayer | None
    test_values: str | None = None
    train_values: str | None = None


def build(
    pair: PairFacts,
    told: Explanation,
    names: tuple[str, ...],
    run: str,
    view: View,
    chrome: Chrome,
    urls: Urls,
    pictures: PairPictures,
    *,
    frozen: bool = False,
    shared: Shared | None = None,
    predicted: int | None = None,
) -> PairPage:
    """Make the page.

    Parameters
    ----------
    pair : PairFacts
    told : Explanation
        Of the test image.
    names : tuple of str
        Of the classes.
    run : str
    view : View
    chrome : Chrome
    urls : Urls
    pictures : PairPictures
    frozen : bool
        The run is gone: the page has no links into it.
    shared : Shared, optional
    predicted : int, optional
        The network's prediction on the training image; unknown if the run is gone.
    """
    test = told.test
    sign = "support" if pair.attribution > 0 else "oppose" if pair.attribution < 0 else "nothing"
    explanation = None if frozen else urls.explanation(run, test.index, view.query(target=told.target))

    def here(train: int | None = pair.train, /, **changes: object) -> str | None:
        if frozen or train is None:
            return None
        return urls.pair(run, test.index, train, view.query(**changes))

    return PairPage(
        chrome=chrome,
        pair=pair,
        told=told,
        explanation=explanation,
        previous=here(pair.stronger),
        following=here(pair.weaker),
        sign=sign,
        attribution=split(pair.attribution, pair.intercept),
        verdict=pair_in_words(pair, told, names),
        rank=rank_in_words(pair, told.rank),
        specific="" if pair.specific is None else signed(pair.specific),
        effect="" if pair.removal_effect is None else signed(pair.removal_effect),
        panels=(
            Panel(
                "test",
                f"Test image {count(test.index)}",
                label_in_words(names, test.label, test.predicted),
                origin(test.source, "test", test.index),
                explanation,
                pictures.test,
                pictures.test_map,
                pictures.test_values,
            ),
            Panel(
                "train",
                f"Training image {count(pair.train)}",
                _label(names, pair.label, predicted),
                origin(pair.source, "train", pair.train),
                None if frozen else urls.training(run, pair.train, {"c": view.query()["c"]}),
                pictures.train,
                pictures.train_map,
                pictures.train_values,
            ),
        ),
        ask=ask(told, names, here(), view.query(target=None, against=None)),
        legend=legend(view, here, here(), view.query(opacity=OPACITY), "one for both"),
        npz=None
        if frozen
        else urls.api_pair(
            run, test.index, pair.train, {"c": f"{told.c:g}", "target": told.target, "against": told.against}
        ),
        exports=()
        if frozen
        else figure_choices(
            lambda kind: urls.pair_export(run, test.index, pair.train, kind, view.query(target=told.target))
        ),
        share=() if frozen or shared else share(run, told, view, pair.train),
        shared=shared,
    )


def _label(names: tuple[str, ...], label: int, predicted: int | None) -> str:
    doubt = "" if predicted in (None, label) else ": is its label right?"
    return label_in_words(names, label, predicted) + doubt
