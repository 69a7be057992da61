"""Figures as files: one canvas as PNG, SVG or PDF, and the file that the command line writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from xda.attribution.ranking import Rank
from xda.decision import Decision
from xda.errors import ConfigError
from xda.present import portable, raster, vector
from xda.present.canvas import Canvas
from xda.present.pair_facts import pair_facts
from xda.present.pair_figure import DrawnPair, pair_canvas
from xda.present.png_figure import Drawn, explanation_canvas
from xda.present.story import tell

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

Kind = Literal["png", "svg", "pdf"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file for figures."""

    media_type: str
    paint: Callable[[Canvas], bytes]
    note: str
    """Said in the menu of exports."""


FORMATS: Mapping[Kind, Format] = {
    "png": Format("image/png", raster.png, "the figure with its heat-maps"),
    "svg": Format("image/svg+xml", vector.svg, "the same, to edit"),
    "pdf": Format("application/pdf", portable.pdf, "the same, to print or for LaTeX"),
}


def refuse_unwritable(kind: Kind, path: Path) -> None:
    """Refuse a figure's file that cannot be written, before the computation."""
    if path.suffix.lower() != f".{kind}":
        raise ConfigError(f"--{kind} {path}: give a name that ends in .{kind}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"--{kind} {path}: the folder {path.absolute().parent} does not exist; make it first.")
    if path.is_dir():
        raise ConfigError(f"--{kind} {path} is a folder; name a file.")


def write_explanation(
    explainer: Explainer, kind: Kind, path: Path, decision: Decision, *, limit: int = 6, rank: Rank = "sum"
) -> None:
    """Explain a decision and write the figure to a file; parameters and errors as for ``Explainer.explain``."""
    story = tell(explainer, decision, limit=limit, rank=rank)
    evidence = explainer.evidence_relevance(decision, blank=True)
    pairs = explainer.relevance(decision, story.explanation.listed, blank=True, rank=rank)
    drawn = Drawn.of(explainer, decision, evidence.result(), pairs.result())
    path.write_bytes(FORMATS[kind].paint(explanation_canvas(story, drawn)))


def write_pair(
    explainer: Explainer, kind: Kind, path: Path, decision: Decision, train: int, *, rank: Rank = "sum"
) -> None:
    """Write the figure of one training image's share of a decision; errors as for ``pair_facts``."""
    parts = explainer.decompose(decision)
    facts, told = pair_facts(explainer, parts, train, rank), parts.explanation(0, by=rank)
    (pair,) = explainer.relevance(decision, [train], blank=True, rank=rank).result()
    path.write_bytes(FORMATS[kind].paint(pair_canvas(facts, told, DrawnPair.of(explainer, told, pair))))
