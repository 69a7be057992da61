"""A run and an explanation as plain text, for the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scipy.special import softmax

from xda.numerals import MINUS, parameter, percent, signed, terms
from xda.present.intercept import in_words
from xda.runs import default_c
from xda.runs.left_out import left_out_in_words, left_out_lines
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
"""Classes that are named; of more the number is given."""


def run_text(run: RunFolder) -> str:
    """Return what a person wants to know of a run."""
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
        lines.append(f"  each image says where it came from, the first one for training: {source}")
    if words := left_out_in_words(run):
        lines.append(f"  {words}:")
        lines += [f"    {line}" for line in left_out_lines(run)]
    for entry in manifest.surrogates:
        certificate = entry.certificate
        lines.append(
            f"  C = {entry.c:<8g} {entry.n_support:>7,} support vectors ({certificate.n_bounded:,} at bound), "
            f"agrees with the network on {entry.agreement:.2%}, relative gap {certificate.relative_gap:.1e}, "
            f"{certificate.seconds:.1f} s{_told_apart(entry, manifest)}"
        )
    shown = [
        name if name == str(number) else f"{number} {name}"
        for number, name in enumerate(manifest.classes[:MOST_CLASSES])
    ]
    more = len(manifest.classes) - len(shown)
    lines.append(f"  classes: {', '.join(shown)}{f', … {more:,} more' if more else ''}")
    lines.append(f"  Presence and sizes of all files were checked; `xda verify {run.path}` checks what is in them.")
    return "\n".join(lines)


def _told_apart(entry: SurrogateEntry, manifest: Manifest) -> str:
    roles = default_c.roles(entry, manifest.surrogates)
    default = ", default" if roles and entry.c == default_c.best(manifest.surrogates).c else ""
    return f"; {roles}{default}" if roles else ""


def surrogates_in_words(manifest: Manifest) -> str:
    """Return how often each C of a run agrees with the network, and which one is the default; empty with only one."""
    entries = sorted(manifest.surrogates, key=lambda entry: entry.c)
    if len(entries) < 2:
        return ""
    each = "; ".join(f"C = {parameter(entry.c)}: {default_c.words(entry, entries)}" for entry in entries)
    default = parameter(default_c.best(entries).c)
    return f"Agreement of surrogate and network on the test images: {each}. C = {default} is shown by default."


def _code_text(run: RunFolder) -> str:
    files = sum(name.startswith(CODE) for name in run.manifest.files)
    factory = run.manifest.network.spec.get("factory")
    return f"  the source of '{factory}' is in the run: {files} file{'s'[: files != 1]} in {run.path / CODE}"


def explanation_text(explainer: Explainer, explanation: Explanation) -> str:
    """Return what an explanation says: the decision, whether the surrogate speaks for it, the sum, its strongest parts.

    Parameters
    ----------
    explainer : Explainer
        The run that gave it.
    explanation : Explanation
    """
    names = explainer.classes
    test = explanation.test
    contrast = "" if explanation.against is None else f" and not '{names[explanation.against]}'"
    apart = f", {_typed(in_words(explanation.intercept))}" if explanation.intercept else ""
    both = (explanation.sum_supporting, explanation.sum_opposing)
    sums, total = terms(both, explanation.surrogate_logit, DIGITS)
    probability = percent(float(softmax(test.network_logits)[test.predicted]), 1)

    def line(contribution: Contribution) -> str:
        bound = "  at bound" if contribution.at_bound else ""
        bound += f"  intercept {_typed(signed(contribution.intercept))}" if contribution.intercept else ""
        return (
            f"  {contribution.attribution:+12.5g}  training image {contribution.index:>8}  "
            f"'{names[contribution.label]}'{bound}" + (f"  {contribution.source}" if contribution.source else "")
        )

    return "\n".join(
        [
            f"Test image {test.index}: label '{names[test.label]}', network '{names[test.predicted]}' ({probability}), "
            f"surrogate '{names[test.surrogate_predicted]}' (C = {explanation.c:g})",
            *([f"It comes from {test.source}"] if test.source else []),
            _fidelity(explainer, explanation),
            f"Why '{names[explanation.target]}'{contrast}: {_typed(sums[0])} supporting {_typed(sums[1])} opposing = "
            f"{_typed(total)}, the surrogate's {'logit' if explanation.against is None else 'logit difference'}{apart}",
            f"Supporting: the {len(explanation.supporting)} strongest of {explanation.n_supporting:,}",
            *map(line, explanation.supporting),
            f"Opposing: the {len(explanation.opposing)} strongest of {explanation.n_opposing:,}",
            *map(line, explanation.opposing),
        ]
    )


def _typed(text: str) -> str:
    """Return numbers with the minus sign of a keyboard, as programs read it."""
    return text.replace(MINUS, "-")


def _fidelity(explainer: Explainer, explanation: Explanation) -> str:
    entry = explainer.entry(explanation.c)
    overall = f"over all test images they agree on {percent(entry.agreement, 1)}"
    advice = default_c.advice(explanation.c, explainer.surrogates, explainer.n_test)
    more = f" {advice}" if advice else ""
    if explanation.test.agrees:
        return f"The surrogate agrees with the network here; {overall}.{more}"
    other = explanation.test.surrogate_predicted
    ask = "" if other == explanation.target else f", or --target '{explainer.classes[other]}'"
    return (
        "The surrogate does NOT agree with the network here: the sum explains the surrogate's logit, and the network's "
        f"decision only as far as the two agree. Try another C{ask}; {overall}.{more}"
    )
