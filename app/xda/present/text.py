"""A run and an explanation as plain text, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xda.attribution.ranking import VALUE_NAMES
from xda.numerals import MINUS, signed
from xda.present.words import (
    better_c_in_words,
    c_roles,
    decision_in_words,
    fidelity_in_words,
    intercept_in_words,
    left_out_in_words,
    left_out_lines,
    question,
    ranking_in_words,
    sum_in_words,
)
from xda.runs import default_c
from xda.runs.sources import Sources
from xda.storage.run.layout import CODE

if TYPE_CHECKING:
    from xda.attribution.results import Contribution, Explanation
    from xda.explanation.run import Explainer
    from xda.storage.run.folder import RunFolder
    from xda.storage.run.manifest import Manifest, SurrogateEntry

DIGITS = 5
"""Significant digits of a sum."""
MOST_CLASSES = 20
"""Most classes listed by name; the rest is counted."""


def run_text(run: RunFolder) -> str:
    """Return a description of a run: sizes, network, surrogates, classes."""
    manifest = run.manifest
    lines = [
        f"{manifest.title}  ({manifest.id}, digest {run.digest[:16]})",
        f"  {manifest.counts.train:,} training and {manifest.counts.test:,} test images of {manifest.dataset.title}, "
        f"{len(manifest.classes)} classes, {manifest.counts.features} features",
        f"  network: {manifest.network.accuracy:.2%} of the test images classified as labelled; "
        f"heat-maps: {manifest.composite or 'none'}",
        *([f"  {manifest.no_heatmaps}"] if manifest.no_heatmaps else []),
        *([f"  {manifest.network.remark}"] if manifest.network.remark else []),
        *([_code_text(run)] if any(name.startswith(CODE) for name in manifest.files) else []),
    ]
    if source := Sources(run, "train").one(0) if manifest.counts.train else None:
        lines.append(f"  images have sources; the first training image: {source}")
    if words := left_out_in_words(run):
        lines.append(f"  {words}:")
        lines += [f"    {line}" for line in left_out_lines(run)]
    for entry in manifest.surrogates:
        certificate = entry.certificate
        lines.append(
            f"  C = {entry.c:<8g} {entry.n_support:>7,} support vectors ({certificate.n_bounded:,} at maximum weight), "
            f"agrees with the network on {entry.agreement:.2%}, relative gap {certificate.relative_gap:.1e}, "
            f"{certificate.seconds:.1f} s{_told_apart(entry, manifest)}"
        )
    shown = [
        name if name == str(number) else f"{number} {name}"
        for number, name in enumerate(manifest.classes[:MOST_CLASSES])
    ]
    more = len(manifest.classes) - len(shown)
    lines.append(f"  classes: {', '.join(shown)}{f', … {more:,} more' if more else ''}")
    lines.append(f"  All files exist in the right size; `xda verify {run.path}` checks their content.")
    return "\n".join(lines)


def _told_apart(entry: SurrogateEntry, manifest: Manifest) -> str:
    roles = c_roles(entry, manifest.surrogates)
    default = ", default" if roles and entry.c == default_c.best(manifest.surrogates).c else ""
    return f"; {roles}{default}" if roles else ""


def _code_text(run: RunFolder) -> str:
    files = sum(name.startswith(CODE) for name in run.manifest.files)
    factory = run.manifest.network.spec.get("factory")
    return f"  the source of '{factory}' is in the run: {files} file{'s'[: files != 1]} in {run.path / CODE}"


def explanation_text(explainer: Explainer, explanation: Explanation) -> str:
    """Return an explanation as text: decision, fidelity, sum and strongest contributions.

    Parameters
    ----------
    explainer : Explainer
        The run of the explanation.
    explanation : Explanation
    """
    names = explainer.classes
    test = explanation.test
    apart = f", {intercept_in_words(explanation.intercept)}" if explanation.intercept else ""
    apart = apart if explanation.rank == "sum" else ""
    better = better_c_in_words(explanation.c, explainer.surrogates, explainer.n_test)

    def line(contribution: Contribution) -> str:
        bound = "  weight at its maximum" if contribution.at_bound else ""
        bound += f"  intercept {_typed(signed(contribution.intercept))}" if contribution.intercept else ""
        value = getattr(contribution, VALUE_NAMES[explanation.rank])
        return f"  {value:+12.5g}  training image {contribution.index:>8}  '{names[contribution.label]}'{bound}" + (
            f"  {contribution.source}" if contribution.source else ""
        )

    return "\n".join(
        [
            f"Test image {test.index}, C = {explanation.c:g}: {decision_in_words(explanation, names)}",
            *([f"Source: {test.source}"] if test.source else []),
            _typed(
                " ".join(
                    filter(
                        None, (fidelity_in_words(explanation, names, explainer.entry(explanation.c).agreement), better)
                    )
                )
            ),
            question(explanation, names),
            _typed(f"{sum_in_words(explanation, names, DIGITS)}{apart}"),
            *([_typed(told)] if (told := ranking_in_words(explanation)) else []),
            f"Supporting: the {len(explanation.supporting)} strongest of {explanation.n_supporting:,}",
            *map(line, explanation.supporting),
            f"Opposing: the {len(explanation.opposing)} strongest of {explanation.n_opposing:,}",
            *map(line, explanation.opposing),
        ]
    )


def _typed(text: str) -> str:
    """Return text with the ASCII minus sign and apostrophe, for programs."""
    return text.replace(MINUS, "-").replace("’", "'")
