"""The sum by label: few names, terms that add up as they are printed."""

from __future__ import annotations

import pytest

from xda.attribution.results import ClassContribution
from xda.explanation.run import Explainer
from xda.present.named_sum import MOST_NAMED, NamedSum, named_sum

NAMES = ("cat", "dog", "fox", "hen", "cow", "pig", "owl", "bee")


def summed(*nets: float) -> NamedSum:
    parts = [
        ClassContribution(k, max(net, 0.0), min(net, 0.0), int(net > 0), int(net < 0)) for k, net in enumerate(nets)
    ]
    return named_sum(parts, NAMES, sum(nets))


def value(text: str) -> float:
    return float(text.replace("−", "-").replace(",", ""))


def test_named_sum_names_the_strong_labels_and_counts_the_rest() -> None:
    found = summed(-71.5, 106.0, 0.1, 0.0, -0.3, -0.1)
    assert [(part.name, part.label) for part in found.parts] == [("dog", 1), ("cat", 0), ("3 other labels", None)]
    assert [part.text for part in found.parts] == ["+106.0", "−71.5", "−0.3"]
    assert found.total == "34.2"


def test_named_sum_never_hides_a_single_label() -> None:
    assert [part.name for part in summed(5.0, -2.0, 0.01).parts] == ["cat", "dog", "fox"]


def test_named_sum_of_many_strong_labels_names_the_strongest() -> None:
    found = summed(*(10.0 - k for k in range(8)))
    assert [part.name for part in found.parts] == [*NAMES[:MOST_NAMED], "3 other labels"]
    assert found.parts[-1].value == pytest.approx(5.0 + 4.0 + 3.0)


def test_named_sum_without_contributions_is_zero() -> None:
    assert named_sum((), NAMES, 0.0) == NamedSum((), "0")


@pytest.mark.parametrize("test", [0, 14, 21])
def test_named_sum_of_a_decision_adds_up_to_the_logit(explainer: Explainer, test: int) -> None:
    parts = explainer.decompose(test)
    found = named_sum(parts.by_class, explainer.classes, parts.total)
    assert sum(part.value for part in found.parts) == pytest.approx(parts.total)
    assert sum(value(part.text) for part in found.parts) == pytest.approx(value(found.total), abs=1e-9)
