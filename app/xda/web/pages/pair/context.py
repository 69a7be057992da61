"""The pair page: one test image and one training image, large, with the two heat-maps of the same relevance."""

from __future__ import annotations

from dataclasses import dataclass

from xda.attribution.results import Explanation
from xda.data.geometry import Place
from xda.numerals import count, number
from xda.present.colour import Colours
from xda.present.intercept import split
from xda.present.pair_facts import PairFacts
from xda.present.words import aim
from xda.web.pages.chrome import Choice, Chrome, Option, origin
from xda.web.pages.explanation.context import Shared
from xda.web.urls import Urls, fields
from xda.web.view import View


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
    map: str
    values: str | None
    """Address of the raw relevances, float32, row by row; None if they are not stored."""
    grid: str


@dataclass(frozen=True, slots=True)
class PairPage:
    """Everything that the pair template shows."""

    chrome: Chrome
    test_number: str
    train_number: str
    explanation: str | None
    previous: str | None
    following: str | None
    sign: str
    """support, oppose or nothing."""
    attribution: str
    spread: str
    """Sum of each heat-map: the attribution without the intercept's part."""
    intercept: str
    """The intercept's part of the attribution; empty without one."""
    verdict: str
    logit: str
    weight: str | None
    weight_name: str
    product: str | None
    at_bound: bool
    rank: str
    panels: tuple[Panel, ...]
    action: str | None
    targets: tuple[Option, ...]
    contrasts: tuple[Option, ...]
    keep: tuple[tuple[str, str], ...]
    colours: str
    opacity: int
    colour_choices: tuple[Choice, ...]
    scale_choices: tuple[Choice, ...]
    one_scale: bool
    opacity_keep: tuple[tuple[str, str], ...]
    npz: str | None
    share_action: str | None
    share_fields: tuple[tuple[str, str], ...]
    shared: Shared | None


@dataclass(frozen=True, slots=True)
class PairPictures:
    """Addresses of the four pictures of a pair, and of their raw values if these are stored."""

    test: str
    train: str
    test_map: str
    train_map: str
    test_values: str | None = None
    train_values: str | None = None
    test_grid: str = ""
    train_grid: str = ""
    """Position of the heat-map's pixels on the original, see ``grid_of``."""


def grid_of(where: Place) -> str:
    """Return columns, rows, and left, top, width, height of the visible part as shares of the original."""
    (width, height), seen = where.original, where.seen
    shares = (seen.left / width, seen.top / height, seen.width / width, seen.height / height)
    return " ".join(f"{value:.6g}" for value in (*where.grid, *shares))


COLOUR_NAMES: tuple[tuple[Colours, str], ...] = (("red-blue", "red – blue"), ("orange-purple", "orange – purple"))


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
    against = None if told.against is None else names[told.against]
    sign = "support" if pair.attribution > 0 else "oppose" if pair.attribution < 0 else "nothing"
    nothing = "adds nothing to" if pair.is_support else "has weight zero in the surrogate and adds nothing to"
    verb = {"support": "supports", "oppose": "opposes", "nothing": nothing}[sign]
    asked = view.query(target=told.target)

    def here(train: int | None = pair.train, /, **changes: object) -> str | None:
        if frozen or train is None:
            return None
        return urls.pair(run, test.index, train, view.query(**changes))

    def choices(name: str, current: str, options: tuple[tuple[str, str], ...]) -> tuple[Choice, ...]:
        return tuple(Choice(label, here(**{name: value}) or "", value == current) for value, label in options)

    parts = split(pair.attribution, pair.intercept)
    rank = ""
    if pair.rank is not None:
        place = "strongest" if pair.rank == 1 else f"number {count(pair.rank)}"
        rank = f"the {place} of {count(pair.n_same_sign)} that {verb.removesuffix('s')}"
    return PairPage(
        chrome=chrome,
        test_number=count(test.index),
        train_number=count(pair.train),
        explanation=None if frozen else urls.explanation(run, test.index, asked),
        previous=here(pair.stronger),
        following=here(pair.weaker),
        sign=sign,
        attribution=parts.total,
        spread=parts.spread,
        intercept=parts.intercept,
        verdict=f"{verb} {aim(told, names)}",
        logit=number(told.surrogate_logit),
        weight=None if pair.weight is None else number(pair.weight),
        weight_name="α" if against is None else "α difference",
        product=None if pair.product is None else number(pair.product),
        at_bound=pair.at_bound,
        rank=rank,
        panels=(
            Panel(
                "test",
                f"Test image {count(test.index)}",
                f"label {names[test.label]}, network says {names[test.predicted]}",
                origin(test.source, "test", test.index),
                None if frozen else urls.explanation(run, test.index, asked),
                pictures.test,
                pictures.test_map,
                pictures.test_values,
                pictures.test_grid,
            ),
            Panel(
                "train",
                f"Training image {count(pair.train)}",
                f"label {names[pair.label]}{_network_says(names, pair.label, predicted)}",
                origin(pair.source, "train", pair.train),
                None if frozen else urls.training(run, pair.train, {"c": view.query()["c"]}),
                pictures.train,
                pictures.train_map,
                pictures.train_values,
                pictures.train_grid,
            ),
        ),
        action=here(),
        targets=tuple(Option(str(k), name, k == told.target) for k, name in enumerate(names)),
        contrasts=(
            Option("", "nothing", told.against is None),
            *(Option(str(k), name, k == told.against) for k, name in enumerate(names)),
        ),
        keep=fields(view.query(target=None, against=None)),
        colours=view.colours,
        opacity=view.opacity,
        colour_choices=choices("colours", view.colours, COLOUR_NAMES),
        scale_choices=choices("scale", view.scale, (("own", "each its own"), ("page", "one for both"))),
        one_scale=view.scale == "page",
        opacity_keep=fields(view.query(opacity=100)),
        npz=None
        if frozen
        else urls.api_pair(
            run, test.index, pair.train, {"c": f"{told.c:g}", "target": told.target, "against": told.against}
        ),
        share_action=None if frozen or shared else urls.links(),
        share_fields=(
            ("run", run),
            ("test", str(test.index)),
            ("train", str(pair.train)),
            *fields(view.sharing(told.c, told.target)),
        ),
        shared=shared,
    )


def _network_says(names: tuple[str, ...], label: int, predicted: int | None) -> str:
    if predicted is None:
        return ""
    return f", network says {names[predicted]}" + ("" if predicted == label else ": is its label right?")
