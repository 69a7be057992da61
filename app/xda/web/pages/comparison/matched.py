"""The parts of the comparison page about both sides: figures of agreement, matched images, logits, labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

from xda.attribution.results import Explanation
from xda.explanation.comparison import ComparedImage, Comparison, Presence
from xda.numerals import MINUS, count, number, percent, signed
from xda.web.pages.charts import Bar, bars
from xda.web.pages.chrome import origin
from xda.web.pages.class_tables import MOST_ROWS, Cell, LogitRow, column
from xda.web.pages.comparison.state import CompareView
from xda.web.urls import Urls
from xda.web.view import Listing

KEYS = ("A", "B")
PRESENCE_WORDS: dict[Presence, str] = {
    "contributes": "",
    "adds nothing": "adds nothing to this logit",
    "without effect": "weight zero",
    "absent": "not in this training set",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One number with its name and its meaning."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Line:
    """One training image on one side."""

    key: str
    attribution: str
    """Empty if it does not contribute."""
    share: str
    kind: str
    """support or oppose."""
    bar: Bar
    words: str
    """Reason why it does not contribute; else empty."""
    url: str | None
    """Address of the pair; None if the training set does not have the image."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training image."""

    number: str
    source: str
    label: str
    relabelled: bool
    image: str
    url: str
    lines: tuple[Line, ...]
    change: str
    change_share: str
    note: str


@dataclass(frozen=True, slots=True)
class LabelLine:
    """Training images of one label; a cell for each side."""

    name: str
    cells: tuple[Cell, ...]


def side_query(state: CompareView, told: Explanation, place: int) -> dict[str, object]:
    """Return the query of one side's explanation and pairs."""
    # The gallery that led to the page belongs to the first side's run.
    view = state.view if place == 0 else replace(state.view, listing=Listing())
    return view.query(c=told.c, target=told.target)


def figures(compared: Comparison) -> tuple[Figure, ...]:
    """Return the figures of agreement of the two sides, each with its definition."""
    found = compared.matched.agreement
    return (
        Figure(
            "weight in common",
            percent(found.shared_weight),
            "share of the absolute contributions that both sides place on the same training images with the same "
            "sign: the sum, over all images, of the smaller of the two shares",
        ),
        Figure(
            "the strongest",
            f"{found.n_top_common} of {found.n_top}" if found.n_top else "none",
            f"training images among the {found.n_top} strongest of both sides",
        ),
        Figure(
            "images with effect",
            f"{count(found.n_both)} in common",
            f"of {count(found.n_first)} that contribute in A and {count(found.n_second)} in B: Jaccard index "
            f"{number(found.jaccard)} (images on both sides over images on either side)",
        ),
        Figure(
            "sign flipped",
            count(found.n_flipped),
            f"of the {count(found.n_both)} in common, these support on one side and oppose on the other",
        ),
        Figure(
            "correlation",
            _coefficient(found.pearson),
            "Pearson’s, over all images that contribute on either side; a missing contribution counts as 0",
        ),
        Figure("rank correlation", _coefficient(found.spearman), "Spearman’s, of the signed ranks"),
    )


def _coefficient(value: float | None) -> str:
    return "not defined" if value is None else number(value)


def rows(compared: Comparison, state: CompareView, urls: Urls) -> tuple[Row, ...]:
    """Return the listed training images; their bars share one axis."""
    images = compared.images(state.only, state.order, state.rows)
    axis = bars([share for image in images for share in image.share])
    return tuple(_row(compared, image, (axis[2 * k], axis[2 * k + 1]), state, urls) for k, image in enumerate(images))


def _row(compared: Comparison, image: ComparedImage, shapes: tuple[Bar, Bar], state: CompareView, urls: Urls) -> Row:
    names, index = compared.classes, image.index
    lines = []
    for place, side in enumerate(compared.sides):
        told, here = side.explanation, index[place]
        value = image.attribution[place]
        pair = None if here is None else urls.pair(side.run_id, told.test.index, here, side_query(state, told, place))
        lines.append(
            Line(
                key=KEYS[place],
                attribution=signed(value) if value else "",
                share=percent(abs(image.share[place]), 1),
                kind="support" if value > 0 else "oppose",
                bar=shapes[place],
                words=PRESENCE_WORDS[image.presence[place]],
                url=pair,
            )
        )
    main = 0 if index[0] is not None and abs(image.share[0]) >= abs(image.share[1]) else 1
    digest, shown = compared.sides[main].run_digest, index[main]
    labels = [names[label] for label in image.label if label is not None]
    relabelled = len(set(labels)) > 1
    numbers = [count(known) for known in index if known is not None]
    only = [key for key, value in zip(KEYS, image.attribution, strict=True) if value]
    return Row(
        number=" / ".join(dict.fromkeys(numbers)),
        source=origin(image.source[main], "train", shown if shown is not None else 0),
        label=" → ".join(labels) if relabelled else labels[0],
        relabelled=relabelled,
        image=urls.image(digest, "train", shown if shown is not None else 0, thumb=True),
        url=lines[main].url or "",
        lines=tuple(lines),
        change=signed(image.attribution[1] - image.attribution[0]),
        change_share=_points(image.share[1] - image.share[0]),
        note="sign flipped" if image.flipped else f"only {only[0]}" if len(only) == 1 else "",
    )


def _percent(share: float) -> str:
    return f"{signed(100 * share)}\N{NO-BREAK SPACE}%"


def _points(change: float) -> str:
    """Return a change of a signed share in percentage points."""
    value = round(100 * change, 1)
    return f"{'+' if value > 0 else MINUS if value < 0 else '±'}{abs(value):.1f}"


def columns(compared: Comparison) -> tuple[str, ...]:
    """Return the names of the columns of logits; a network of both sides has only one column."""
    networks = ("network",) if compared.matched_by == "run" else ("network A", "network B")
    return (*networks, "surrogate A", "surrogate B")


def logit_lines(compared: Comparison) -> tuple[tuple[LogitRow, ...], str]:
    """Return a line for each class (or for those that matter), and a sentence that counts the others."""
    tests = [side.explanation.test for side in compared.sides]
    networks = tests[:1] if compared.matched_by == "run" else tests
    values = [*(test.network_logits for test in networks), *(test.surrogate_logits for test in tests)]
    names = compared.classes
    shown = list(range(len(names)))
    if len(names) > MOST_ROWS:
        top = sorted(shown, key=lambda k: -max(each[k] for each in values[: len(networks)]))[: MOST_ROWS - 4]
        chosen = {*top, compared.target, tests[0].label, *(max(shown, key=each.__getitem__) for each in values)}
        if compared.against is not None:
            chosen.add(compared.against)
        shown = sorted(chosen, key=lambda k: -tests[0].network_logits[k])
    cells = [
        column(each, shown, "ink" if c < len(networks) else "soft", max(range(len(names)), key=each.__getitem__))
        for c, each in enumerate(values)
    ]
    lines = tuple(
        LogitRow(names[k], row, is_label=k == tests[0].label, is_target=k == compared.target)
        for k, row in zip(shown, zip(*cells, strict=True), strict=True)
    )
    return lines, _left_out(len(names) - len(lines), "classes")


def label_lines(compared: Comparison) -> tuple[tuple[LabelLine, ...], str]:
    """Return the sum of the training images of each label on each side, as a share of that side's weight."""
    sums = [{part.label: part.supporting + part.opposing for part in side.by_class} for side in compared.sides]
    weights = [side.explanation.sum_supporting - side.explanation.sum_opposing or 1.0 for side in compared.sides]
    strongest = sorted(
        {label for side in sums for label in side},
        key=lambda label: -max(abs(side.get(label, 0.0)) / w for side, w in zip(sums, weights, strict=True)),
    )
    listed = sorted(strongest[:MOST_ROWS])
    shares = [[side.get(label, 0.0) / w for label in listed] for side, w in zip(sums, weights, strict=True)]
    axis = bars([*shares[0], *shares[1]])
    shapes = axis[: len(listed)], axis[len(listed) :]
    lines = tuple(
        LabelLine(
            name=compared.classes[label],
            cells=tuple(
                Cell(_percent(share[place]), shape[place], "support" if share[place] > 0 else "oppose")
                for share, shape in zip(shares, shapes, strict=True)
            ),
        )
        for place, label in enumerate(listed)
    )
    return lines, _left_out(len(strongest) - len(lines), "labels")


def _left_out(n: int, what: str) -> str:
    return "" if n <= 0 else f"{count(n)} more {what} are not listed here; the JSON export has all of them."
