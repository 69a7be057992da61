"""The list of runs: served runs with the certificates of their surrogates, and refused runs with the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xda.build.warnings import accuracy_warnings
from xda.numerals import count, number, parameter, percent
from xda.present.words import c_roles, left_out_in_words, left_out_lines
from xda.web.pages.chrome import Chrome
from xda.web.urls import Urls

if TYPE_CHECKING:
    from xda.explanation.run import Explainer

SAMPLES = 12
"""Each run shows so many test images."""


@dataclass(frozen=True, slots=True)
class SurrogateRow:
    """One surrogate in the table."""

    c: str
    url: str
    roles: str
    """Distinction among the others: sparsest, or agrees best; may be empty."""
    default: bool
    n_support: str
    share_support: str
    n_bounded: str
    agreement: str
    gap: str
    kkt: str
    converged: bool


@dataclass(frozen=True, slots=True)
class RunCard:
    """One run."""

    id: str
    title: str
    url: str
    digest: str
    created: str
    dataset: str
    n_train: str
    n_test: str
    classes: str
    accuracy: str
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
        chrome=Chrome("Runs"),
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
        id=explainer.id,
        title=explainer.title,
        url=urls.gallery(explainer.id),
        digest=explainer.digest[:16],
        created=manifest.created.strftime("%Y-%m-%d %H:%M UTC"),
        dataset=manifest.dataset.title,
        n_train=count(explainer.n_train),
        n_test=count(explainer.n_test),
        classes=_listed(explainer.classes),
        accuracy=percent(manifest.network.accuracy, 1),
        composite=explainer.composite or "none",
        remarks=_remarks(explainer),
        left_out=left_out_in_words(explainer.run),
        left_out_named=tuple(left_out_lines(explainer.run)),
        intercept="none" if manifest.intercept == "none" else "as a constant feature",
        surrogates=tuple(
            SurrogateRow(
                c=parameter(entry.c),
                url=urls.gallery(explainer.id, {"c": f"{entry.c:g}"}),
                roles=c_roles(entry, explainer.surrogates),
                default=entry.c == explainer.default_c,
                n_support=count(entry.n_support),
                share_support=percent(entry.n_support / max(1, explainer.n_train), 1),
                n_bounded=count(entry.certificate.n_bounded),
                agreement=percent(entry.agreement, 1),
                gap=number(max(0.0, entry.certificate.relative_gap)),
                kkt=number(entry.certificate.kkt_violation),
                converged=entry.certificate.converged,
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
