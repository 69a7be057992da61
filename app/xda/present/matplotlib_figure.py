"""The figure of an explanation in the layout of the paper, drawn by matplotlib (method section 4).

In the middle the test image and its own heat-map; to the left the opposing training images, to the right the supporting
ones, strongest next to the centre; above each training image its side of the relevance, below it the test image's; over
each its attribution and label. A map lies over its image as in the explorer: red supports, blue opposes, zero has no
colour.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import Contribution
from xda.data.geometry import Box, seen_region
from xda.errors import ConfigError
from xda.explanation.illustration import Panel
from xda.numerals import signed, terms
from xda.present.canvas import broken, sign_colors
from xda.present.colour import full_scale, rgba
from xda.present.words import decision_in_words, evidence, intercept_in_words, question, sum_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from xda.explanation.model import ModelExplainer
    from xda.explanation.run import Explainer

TILE = 1.25
"""Width of a training image in inches."""
FAINT = "#706c65"
NARROWER = 0.92
"""Share of a column's width that its text may take."""
BOLD = 1.2
"""Bold letters are at most so much wider."""


def figure(
    explainer: Explainer | ModelExplainer,
    query: Any,
    *,
    c: float | None = None,
    target: int | str | None = None,
    against: int | str | None = None,
    limit: int = 4,
    one_scale: bool = False,
    **options: Any,
) -> Figure:
    """Explain a decision and draw it.

    Parameters
    ----------
    explainer : Explainer or ModelExplainer
        An open run, or the result of ``xda.explain``.
    query : int, tensor or array
        The test image: its position in the run, or for a ``ModelExplainer`` the image itself, (C, H, W).
    c, target, against
        As for ``explain``.
    limit : int
        Training images of each sign.
    one_scale : bool
        All pairs' maps on one scale rather than each on its own; the own map is always on its own.
    **options
        ``label`` and ``show`` as for ``ModelExplainer.panel``.

    Returns
    -------
    matplotlib.figure.Figure
        Shown by a notebook at the end of a cell; ``savefig`` writes it. It belongs to no window and needs no closing.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.
    NotFoundError, InvalidRequestError, DataError, NoHeatmapsError
        As for ``explain`` and ``relevance``.
    """
    _figure_class()
    panel = explainer.panel(query, c=c, target=target, against=against, limit=limit, **options)
    return draw(panel, one_scale=one_scale)


def draw(panel: Panel, *, one_scale: bool = False) -> Figure:
    """Draw a panel; ``one_scale`` and errors as for ``figure``.

    Parameters
    ----------
    panel : Panel
    one_scale : bool

    Returns
    -------
    matplotlib.figure.Figure
    """
    told, names = panel.explanation, panel.classes
    columns = max(2, len(told.supporting), len(told.opposing))
    width = TILE * (2 * columns + 2.2)
    drawn = _figure_class()(figsize=(width, 3 * TILE + 1.6), layout="constrained")
    oppose, support = (tuple(level / 255 for level in color) for color in sign_colors("red-blue"))
    left, centre, right = drawn.subfigures(1, 3, width_ratios=(columns, 2, columns), squeeze=False)[0]
    scale = full_scale(*(side for pair in panel.pairs.values() for side in (pair.test, pair.train)))
    against, speaking = (evidence(told, names, supports=sign) for sign in (False, True))
    shared = scale if one_scale else None
    totals, _ = terms((told.sum_supporting, told.sum_opposing), told.surrogate_logit)
    wing = columns * TILE * NARROWER
    headings = _alike(
        [
            [*_lines(f"{against}:", "medium", wing), f"{told.n_opposing:,} images, {totals[1]}"],
            [*_lines(f"{speaking}:", "medium", wing), f"{told.n_supporting:,} images, {totals[0]}"],
        ]
    )
    labels = sorted({part.label for part in (*told.opposing, *told.supporting)})
    class_names = _alike([_lines(names[label], "small", TILE * NARROWER, 3) for label in labels])
    shown = dict(zip(labels, class_names, strict=True))
    _wing(left, panel, told.opposing[::-1], columns, headings[0], oppose, shared, shown, at_the_end=True)
    _wing(right, panel, told.supporting, columns, headings[1], support, shared, shown, at_the_end=False)
    upper, lower = centre.subplots(2, 1)
    _picture(upper, panel.test_image)
    _covered(lower, panel, panel.test_image, panel.own_map)
    lower.set_title("with its heat-map", fontsize="small", color=FAINT)
    middle = _lines(f"test image: {decision_in_words(told, names)}", "small", 2 * TILE * NARROWER, 6)
    centre.suptitle("\n".join(middle), fontsize="small")
    room = width * NARROWER
    drawn.suptitle("\n".join(_lines(question(told, names), "large", room / BOLD, 3)), fontweight="bold")
    foot = [line for words in _foot(panel) for line in _lines(words, "small", room, 4)]
    drawn.supxlabel("\n".join(foot), fontsize="small")
    return drawn


def _wing(
    where: SubFigure,
    panel: Panel,
    parts: Sequence[Contribution],
    columns: int,
    heading: str,
    color: tuple[float, ...],
    shared: float | None,
    shown: Mapping[int, str],
    *,
    at_the_end: bool,
) -> None:
    """Draw the training images of one sign; unused columns stay empty."""
    axes = where.subplots(3, columns, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    first = columns - len(parts) if at_the_end else 0
    for column, part in zip(axes.T[first:], parts, strict=False):
        pair = panel.pairs[part.index]
        _covered(column[0], panel, panel.train_images[part.index], pair.train, shared)
        _picture(column[1], panel.train_images[part.index])
        _covered(column[2], panel, panel.test_image, pair.test, shared)
        words = f"{signed(part.attribution)}\n{shown[part.label]}"
        column[0].set_title(words, fontsize="small", color=color)
        column[1].set_title(f"#{part.index:,}", fontsize="x-small", color=FAINT)
        if part.intercept:
            column[2].set_title(f"intercept {signed(part.intercept)}", fontsize="x-small", color=FAINT)
    where.suptitle(heading, fontsize="medium", color=color)


def _picture(axis: Axes, pixels: NDArray[Any]) -> None:
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255 if pixels.dtype == np.uint8 else 1, interpolation="nearest")
    axis.set_axis_on()
    axis.set(xticks=[], yticks=[])


def _covered(
    axis: Axes, panel: Panel, pixels: NDArray[Any], relevance: NDArray[np.float32], scale: float | None = None
) -> None:
    """Draw an image with a heat-map over the part that the network saw; without a scale, on the map's own."""
    _picture(axis, pixels)
    height, width = pixels.shape[:2]
    seen = Box(0, 0, width, height) if panel.resizing is None else seen_region((width, height), panel.resizing)
    # imshow counts from the middle of the first pixel
    left, top = seen.left - 0.5, seen.top - 0.5
    axis.imshow(
        rgba(relevance, full_scale(relevance) if scale is None else scale),
        extent=(left, left + seen.width, top + seen.height, top),
        interpolation="nearest",
    )
    axis.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _foot(panel: Panel) -> tuple[str, str]:
    told = panel.explanation
    c = f"C\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{told.c:g}"
    apart = f", {intercept_in_words(told.intercept)}" if told.intercept else ""
    rows = "rows: relevance on the training image, the training image, relevance on the test image; no colour is zero"
    return f"{sum_in_words(told, panel.classes)} ({c}){apart}", rows


def _lines(words: str, size: str, inches: float, most: int = 3) -> list[str]:
    """Break words into lines that fit in a width, measured in the letters that matplotlib draws."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    letters = FontProperties(size=size)

    def length(line: str) -> float:
        return float(text_to_path.get_text_width_height_descent(line, letters, False)[0]) / 72

    return broken(words, inches, most, length)[0]


def _alike(blocks: Sequence[Sequence[str]]) -> list[str]:
    """Return blocks of lines as text, padded to as many lines as the longest, so that the rows below are level."""
    most = max(map(len, blocks), default=0)
    return ["\n".join([*lines, *[" "] * (most - len(lines))]) for lines in blocks]


def _figure_class() -> type[Figure]:
    """Return matplotlib's figure class with a PNG of itself, which a notebook shows even without pyplot.

    Saved as SVG or PDF, its text stays text, which matplotlib would otherwise draw as outlines in SVG.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise ConfigError("A figure needs matplotlib: pip install 'dualxda-explorer[notebook]'.") from None

    class ExplanationFigure(Figure):
        def savefig(self, fname: Any, **options: Any) -> None:
            with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
                super().savefig(fname, **options)

        def _repr_png_(self) -> bytes:
            content = io.BytesIO()
            self.savefig(content, format="png")
            return content.getvalue()

    return ExplanationFigure
