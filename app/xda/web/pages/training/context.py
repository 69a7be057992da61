"""The page of one training image: dual variables, strongest influences, and a warning about its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from xda.attribution.results import TestInfluence, TrainingSample
from xda.numerals import count, percent, signed
from xda.web.pages.chrome import Chrome, origin
from xda.web.pages.class_tables import MOST_ROWS, LogitRow, column, softmax
from xda.web.urls import Urls
from xda.web.view import NO_CONTRAST

if TYPE_CHECKING:
    from xda.explanation.run import Explainer


@dataclass(frozen=True, slots=True)
class Influence:
    """One test image that the training image supports or opposes."""

    number: str
    attribution: str
    label: str
    predicted: str
    correct: bool
    source: str
    image: str
    url: str


@dataclass(frozen=True, slots=True)
class TrainingPage:
    """Everything that the training template shows."""

    chrome: Chrome
    sample: TrainingSample
    classes: tuple[str, ...]
    source: str
    """Source of the image; empty if it says nothing."""
    image: str
    confidence: str
    state: str
    state_words: str
    n_train: int
    suspicious: bool
    """Whether the slack is among the largest hundredth and above the margin."""
    rows: tuple[LogitRow, ...]
    left_out: str
    supports: tuple[Influence, ...]
    opposes: tuple[Influence, ...]
    copies: tuple[tuple[int, str], ...]
    """Training images with the same label and features, with the address of each."""
    previous: str | None
    following: str | None


def build(
    sample: TrainingSample, explainer: Explainer, chrome: Chrome, urls: Urls, query: dict[str, object]
) -> TrainingPage:
    """Make the page.

    Parameters
    ----------
    sample : TrainingSample
    explainer : Explainer
    chrome : Chrome
    urls : Urls
    query : dict
        Kept in the links to other pages.
    """
    names, run = explainer.classes, explainer.id
    if not sample.is_support:
        state, words = "weight zero", "Weight zero: the surrogate stays as it is without this image."
    elif sample.at_bound:
        state, words = "weight at maximum", "Weight at its maximum: inside the margin or misclassified."
    else:
        state, words = "weight below maximum", "Weight below its maximum: exactly on the margin."
    shown = list(range(len(names)))
    if len(names) > MOST_ROWS:
        strength = [abs(sample.dual_coef[k]) for k in shown]
        first = sorted(shown, key=lambda k: (-strength[k], -sample.network_logits[k]))[: MOST_ROWS - 2]
        shown = sorted({*first, sample.label, sample.predicted})
    columns = column(sample.dual_coef, shown), column(sample.network_logits, shown, "ink", sample.predicted)
    left_out = len(names) - len(shown)

    def neighbour(index: int) -> str | None:
        return urls.training(run, index, query) if 0 <= index < explainer.n_train else None

    def influence(each: TestInfluence) -> Influence:
        # The listed contribution is to the predicted class alone.
        alone = {} if each.label == each.predicted else {"against": NO_CONTRAST}
        return Influence(
            number=count(each.test),
            attribution=signed(each.attribution),
            label=names[each.label],
            predicted=names[each.predicted],
            correct=each.label == each.predicted,
            source=origin(each.source, "test", each.test),
            image=urls.image(explainer.digest, "test", each.test, thumb=True),
            url=urls.pair(run, each.test, sample.index, {**query, **alone}),
        )

    return TrainingPage(
        chrome=chrome,
        sample=sample,
        classes=names,
        source=origin(sample.source, "train", sample.index),
        image=urls.image(explainer.digest, "train", sample.index),
        confidence=percent(softmax(sample.network_logits)[sample.predicted], 1),
        state=state,
        state_words=words,
        n_train=explainer.n_train,
        suspicious=sample.slack > 1 and sample.slack_rank * 100 <= explainer.n_train,
        rows=tuple(
            LogitRow(names[k], cells, is_label=k == sample.label)
            for k, cells in zip(shown, zip(*columns, strict=True), strict=True)
        ),
        left_out=f"{count(left_out)} more classes are not listed here." if left_out else "",
        supports=tuple(influence(each) for each in sample.supports),
        opposes=tuple(influence(each) for each in sample.opposes),
        copies=tuple((each, urls.training(run, each, query)) for each in sample.copies),
        previous=neighbour(sample.index - 1),
        following=neighbour(sample.index + 1),
    )
