"""Sentences about a result: one wording for page, figures, card, command line and notebook.

Functions take an explanation and the names of the classes; ``xda.numerals`` formats the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from scipy.special import softmax

from xda.attribution.ranking import Rank
from xda.attribution.results import UNLABELLED, Explanation
from xda.data.dataset import by_reason
from xda.numerals import MINUS, addends, count, number, parameter, percent, signed
from xda.runs.default_c import best, clearly_better, sparsest
from xda.runs.left_out import read_left_out
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.storage.run.manifest import SurrogateEntry

if TYPE_CHECKING:
    from xda.explanation.refit import MeasuredRemoval
    from xda.present.pair_facts import PairFacts

Names = Sequence[str]


def question(told: Explanation, names: Names) -> str:
    """Return the explanation's question: ``Why 9 and not 4?``."""
    return f"Why {told.decision.classes(names)}?"


def title(told: Explanation, names: Names) -> str:
    """Return the question with its image: ``Test image 115: why 9 and not 4``."""
    return f"Test image {count(told.test.index)}: why {told.decision.classes(names)}"


def aim(told: Explanation, names: Names) -> str:
    """Return the target, or the target and the contrast: ``9``, or ``9 rather than 4``."""
    return names[told.target] + ("" if told.against is None else f" rather than {names[told.against]}")


def evidence(told: Explanation, names: Names, *, supports: bool) -> str:
    """Return the heading of one sign: ``Evidence for 9``, ``Evidence against 9``, or ``Evidence for 9 over 4``."""
    target = names[told.target]
    if told.against is None:
        return f"Evidence {'for' if supports else 'against'} {target}"
    over = (target, names[told.against]) if supports else (names[told.against], target)
    return f"Evidence for {' over '.join(over)}"


def logit_in_words(told: Explanation, names: Names) -> str:
    """Return the name of the sum of all contributions: ``the surrogate’s logit for 9 minus that for 4``."""
    contrast = "" if told.against is None else f" minus that for {names[told.against]}"
    return f"the surrogate’s logit for {names[told.target]}{contrast}"


def sum_in_words(told: Explanation, names: Names, digits: int = 3) -> str:
    """Return the sum of what is ranked: ``+5.21 − 2.95 = 2.26, the surrogate’s logit for 9``."""
    (supporting, opposing), total = addends((told.sum_supporting, told.sum_opposing), told.total, digits)
    parts = [supporting, opposing] if told.rank != "removal" or told.n_supporting else [opposing, supporting]
    spaced = f"{parts[0]} {parts[1].replace(MINUS, f'{MINUS} ').replace('+', '+ ')}"
    return f"{spaced} = {total}, {total_in_words(told, names, digits)}"


def total_in_words(told: Explanation, names: Names, digits: int = 3) -> str:
    """Return the name of the sum of what is ranked: the logit, or what the ranking compares it with."""
    if told.baseline_logit is not None:
        average = f"{told.baseline_logit:.{digits}g}".replace("-", MINUS)
        return (
            f"{logit_in_words(told, names)} less that of the average image that the network calls "
            f"{names[told.target]} ({average})"
        )
    if told.rank == "removal":
        return f"the sum of the estimated changes of {logit_in_words(told, names)}"
    return logit_in_words(told, names)


RANK_NAMES: Mapping[Rank, str] = {
    "sum": "adds up to the logit",
    "image": "sets this image apart",
    "removal": "would change it",
}
"""The three rankings as a person chooses them."""
SHARE_IS_NO_EFFECT = "A share of the sum is not what would change if the image were missing."


def ranking_in_words(told: Explanation) -> str:
    """Return what the listed numbers say, in a sentence; empty for the ranking ``sum``."""
    if told.rank == "image":
        return (
            "Each number is a share of the difference between this image and the average image that the network calls "
            "so."
        )
    if told.rank == "removal":
        error = f" They are solved to {told.removal_error:.0e} of their size." if told.removal_error else ""
        return (
            "Each number is an estimate: the change if that image alone were removed and the surrogate fitted again; "
            f"negative: it supports the decision.{error}"
        )
    return ""


def estimate_in_words(told: Explanation, names: Names, n: int, estimate: float) -> str:
    """Return the estimated effect of a selection: ``Without the 2 chosen images: estimated change −0.15 of …``."""
    chosen = "the chosen image" if n == 1 else f"the {count(n)} chosen images"
    return f"Without {chosen}: estimated change {signed(estimate)} of {logit_in_words(told, names)}."


def measured_in_words(measured: MeasuredRemoval, names: Names) -> str:
    """Return what a refit found: ``Measured by refit: −0.149, from 2.26 to 2.11; …``."""
    before, after = (
        max(range(len(each)), key=each.__getitem__) for each in (measured.logits_before, measured.logits_after)
    )
    says = f"still says {names[after]}" if before == after else f"says {names[after]}, no longer {names[before]}"
    unsolved = "" if measured.converged else ", NOT solved to its tolerance"
    before_after = f"from {number(measured.before, 5)} to {number(measured.after, 5)}"
    return (
        f"Measured by refit: {signed(measured.change)}, {before_after}; "
        f"the surrogate {says}. Relative gap {number(max(0.0, measured.relative_gap), 2)}{unsolved}, "
        f"{number(measured.seconds, 2)} s. The features stay fixed: the network is not trained again."
    )


def intercept_in_words(intercept: float) -> str:
    """Return the intercept's part of a number: ``including +0.004 from the intercept …``; empty without one."""
    return f"including {signed(intercept)} from the intercept, which belongs to no pixel" if intercept else ""


def decision_in_words(told: Explanation, names: Names) -> str:
    """Return label and predictions of the test image: ``label 4 · network 9 (71.2 %) · surrogate 4 (disagrees)``."""
    test = told.test
    label = [] if test.label == UNLABELLED else [f"label {names[test.label]}"]
    probability = percent(float(softmax(test.network_logits)[test.predicted]), 1)
    agreement = "agrees" if test.agrees else "disagrees"
    network = f"network {names[test.predicted]} ({probability})"
    return " · ".join([*label, network, f"surrogate {names[test.surrogate_predicted]} ({agreement})"])


def filter_in_words(train_class: int | None, names: Names) -> str:
    """Return the filter of the listed training images: ``only label 4 is listed``; empty without a filter."""
    return "" if train_class is None else f"only label {names[train_class]} is listed"


def pair_in_words(pair: PairFacts, told: Explanation, names: Names) -> str:
    """Return what a training image does to the decision: ``supports 9 rather than 4``."""
    return f"{_verb(pair)} {aim(told, names)}"


def rank_in_words(pair: PairFacts, rank: Rank = "sum") -> str:
    """Return ``the strongest of 1,204 that support``; empty for an image without a value in the ranking."""
    if pair.rank is None:
        return ""
    place = "strongest" if pair.rank == 1 else f"number {count(pair.rank)}"
    if rank != "sum":
        return f"by what {RANK_NAMES[rank]}, the {place} of {count(pair.n_same_sign)} of its sign"
    return f"the {place} of {count(pair.n_same_sign)} that {_verb(pair).removesuffix('s')}"


def _verb(pair: PairFacts) -> str:
    if pair.attribution:
        return "supports" if pair.attribution > 0 else "opposes"
    return "adds nothing to" if pair.is_support else "has weight zero in the surrogate and adds nothing to"


def label_in_words(names: Names, label: int, predicted: int | None) -> str:
    """Return ``label cat, network says dog``; the network's class only if it is known."""
    return f"label {names[label]}" + ("" if predicted is None else f", network says {names[predicted]}")


def source_in_words(run_id: str, digest: str, c: float) -> str:
    """Return the line that says where a figure comes from: ``DualXDA · run mnist (0123456789abcdef) · C = 0.001``."""
    return f"DualXDA · run {run_id} ({digest[:16]}) · C = {c:g}"


def fidelity_in_words(told: Explanation, names: Names, agreement: float) -> str:
    """Return whether the surrogate agrees with the network on this image, and how often on all test images."""
    overall = f"over all test images they agree on {percent(agreement, 1)}."
    if told.test.agrees:
        return f"The surrogate agrees with the network here; {overall}"
    other = told.test.surrogate_predicted
    ask = "" if other == told.target else f", or ask why {names[other]}"
    return (
        "The surrogate does NOT agree with the network here: the sum explains the surrogate’s decision, not the "
        f"network’s. Try another C{ask}; {overall}"
    )


def c_roles(entry: SurrogateEntry, entries: Sequence[SurrogateEntry]) -> str:
    """Return the distinctions of one surrogate among the others: ``sparsest``, ``agrees best``, both, or none."""
    if len(entries) < 2:
        return ""
    roles = (("sparsest", sparsest(entries)), ("agrees best", best(entries)))
    return ", ".join(words for words, other in roles if entry.c == other.c)


def c_in_words(entry: SurrogateEntry, entries: Sequence[SurrogateEntry]) -> str:
    """Return roles and agreement: ``agrees best 96.8 %``, ``sparsest, 95.1 %``; empty if there is only one C."""
    if len(entries) < 2:
        return ""
    roles, share = c_roles(entry, entries), percent(entry.agreement, 1)
    return f"{roles}{'' if entry.c == best(entries).c else ','} {share}" if roles else share


def better_c_in_words(shown: float, entries: Sequence[SurrogateEntry], n_test: int) -> str:
    """Return a sentence if another C agrees clearly more often than the shown one; else an empty text."""
    other = clearly_better(shown, entries, n_test)
    if other is None:
        return ""
    here = next(entry for entry in entries if entry.c == shown)
    return (
        f"C = {parameter(other.c)} agrees with the network clearly more often: on {percent(other.agreement, 1)} of the "
        f"test images, C = {parameter(shown)} on {percent(here.agreement, 1)}."
    )


def surrogates_in_words(surrogates: Sequence[SurrogateEntry]) -> str:
    """Return how often each C of a run agrees with the network, and the default C; empty with only one."""
    entries = sorted(surrogates, key=lambda entry: entry.c)
    if len(entries) < 2:
        return ""
    each = "; ".join(f"C = {parameter(entry.c)}: {c_in_words(entry, entries)}" for entry in entries)
    default = parameter(best(entries).c)
    return f"Agreement of surrogate and network on the test images: {each}. C = {default} is shown by default."


def left_out_in_words(run: RunFolder) -> str:
    """Return ``3 images left out as unusable (2 for training, 1 for testing)``; empty if there are none."""
    entry = run.manifest.dataset.left_out
    if entry is None:
        return ""
    total = entry.train + entry.test
    noun = "image" if total == 1 else "images"
    splits = f"{count(entry.train)} for training, {count(entry.test)} for testing"
    return f"{count(total)} {noun} left out as unusable ({splits})"


def left_out_lines(run: RunFolder) -> list[str]:
    """Return lines that name the left-out images of a run, grouped by reason (``by_reason``)."""
    left_out = read_left_out(run)
    lines = by_reason([(each.name, each.reason) for each in left_out])
    return [*lines, f"{layout.LEFT_OUT} in the run names them all"] if len(lines) < len(left_out) else lines
