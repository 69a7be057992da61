"""The list of runs: served runs with the certificates of their surrogates, and refused runs with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xda.build.warnings import accuracy_warnings
from xda.numerals import count
from xda.present.words import c_roles, left_out_in_words, left_out_lines
from xda.storage.run.manifest import Manifest, SurrogateEntry
from xda.web.pages.chrome import Chrome
from xda.web.urls import Urls

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

SAMPLES = 12
"""Each run shows so many test images."""


@dataclass(frozen=True, slots=True)
class SurrogateRow:
    """One surrogate in the table."""

    entry: SurrogateEntry
    url: str
    roles: str
    """Distinction among the others: sparsest, or agrees best; may be empty."""
    default: bool
    share_support: float
    gap: float


@dataclass(frozen=True, slots=True)
class RunCard:
    """One run."""

    manifest: Manifest
    url: str
    digest: str
    created: str
    classes: str
    composite: str
    remarks: tuple[str, ...]
    """Remarks: steps after the network's head, the reason for missing heat-maps, accuracy no better than chance."""
    left_out: str
    """Number of unusable images in words; empty if there are none."""
    left_out_named: tuple[str, ...]
    """These images with the reasons."""
    intercept: str
    surrogates: tuple[SurrogateRow, ...]
    samples: tuple[tuple[str, str, str], ...]
    """Picture, address and text of a few test images."""


@dataclass(frozen=True, slots=True)
class RunsPage:
    """All runs."""

    chrome: Chrome
    runs: tuple[RunCard, ...]
    refused: tuple[tuple[str, str], ...]


def build(runs: Mapping[str, Explainer], refused: Mapping[str, str], urls: Urls) -> RunsPage:
    """Describe all runs."""
    return RunsPage(
        chrome=Chrome("Runs", None, "The image classifiers served here, each explained by its training images."),
        runs=tuple(_card(explainer, urls) for explainer in runs.values()),
        refused=tuple(sorted(refused.items())),
    )


def _remarks(explainer: Explainer) -> tuple[str, ...]:
    outcomes = explainer.outcomes
    warnings = accuracy_warnings(outcomes.labels["test"], outcomes.predicted["test"], len(explainer.classes))
    remarks = [explainer.run.manifest.network.remark, explainer.no_heatmaps, *(f"{warning}." for warning in warnings)]
    return tuple(filter(None, remarks))


def _card(explainer: Explainer, urls: Urls) -> RunCard:
    manifest = explainer.run.manifest
    step = max(1, explainer.n_test // SAMPLES)
    return RunCard(
        manifest=manifest,
        url=urls.gallery(explainer.id),
        digest=explainer.digest[:16],
        created=manifest.created.strftime("%Y-%m-%d %H:%M UTC"),
        classes=_listed(explainer.classes),
        composite=explainer.composite or "none",
        remarks=_remarks(explainer),
        left_out=left_out_in_words(explainer.run),
        left_out_named=tuple(left_out_lines(explainer.run)),
        intercept="none" if manifest.intercept == "none" else "as a constant feature",
        surrogates=tuple(
            SurrogateRow(
                entry=entry,
                url=urls.gallery(explainer.id, {"c": f"{entry.c:g}"}),
                roles=c_roles(entry, explainer.surrogates),
                default=entry.c == explainer.default_c,
                share_support=entry.n_support / max(1, explainer.n_train),
                gap=max(0.0, entry.certificate.relative_gap),
            )
            for entry in explainer.surrogates
        ),
        samples=tuple(
            (
                urls.image(explainer.digest, "test", i, thumb=True),
                urls.explanation(explainer.id, i),
                f"Explain test image {count(i)}, label {explainer.classes[explainer.label('test', i)]}",
            )
            for i in range(0, min(explainer.n_test, step * SAMPLES), step)
        ),
    )


def _listed(classes: tuple[str, ...], most: int = 12) -> str:
    if len(classes) <= most:
        return ", ".join(classes)
    return f"{', '.join(classes[:most])} and {count(len(classes) - most)} more"
