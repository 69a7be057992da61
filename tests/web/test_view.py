"""The query of a page: read strictly, written without defaults, the same after a round trip."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from xda.errors import InvalidRequestError
from xda.explanation.gallery import GalleryFilter
from xda.explanation.run import Explainer
from xda.web.urls import Urls, with_query
from xda.web.view import Listing, View, choice, class_number, contrast_class, decimal, flag, integer

FULL = View(
    c=0.001,
    target=4,
    against=9,
    train_class=4,
    shown=12,
    colours="orange-purple",
    scale="page",
    opacity=40,
    listing=Listing(GalleryFilter(label=4, correct=False, max_margin=0.2), "margin"),
)


def test_view_defaults_add_no_query() -> None:
    assert Urls().explanation("digits", 7, View().query()) == "/r/digits/test/7"


def test_view_query_holds_every_field() -> None:
    address = Urls("/team").explanation("digits", 7, FULL.query())
    assert urlsplit(address).path == "/team/r/digits/test/7"
    assert dict(parse_qsl(urlsplit(address).query)) == {
        "c": "0.001",
        "target": "4",
        "against": "9",
        "train_class": "4",
        "show": "12",
        "map": "orange-purple",
        "scale": "page",
        "opacity": "40",
        "label": "4",
        "correct": "false",
        "max_margin": "0.2",
        "sort": "margin",
    }


def test_view_elsewhere_keeps_display_and_listing() -> None:
    kept = {key for key, value in FULL.elsewhere().query().items() if value is not None}
    assert kept == {"c", "map", "scale", "opacity", "label", "correct", "max_margin", "sort"}


def test_view_sharing_keeps_view_without_listing() -> None:
    assert set(FULL.sharing(0.001, 4, 9)) == {
        "c", "target", "against", "train_class", "show", "map", "scale", "opacity"
    }  # fmt: skip
    assert View().sharing(0.1, 3, None) == {"c": "0.1", "target": 3}


@pytest.mark.parametrize("value", ["-1", "1.5", "two", "٣", "1e3", "99999999999999", "0x1"])
def test_integer_not_a_number_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="`target` is"):
        integer("target", value)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "one", "1e999"])
def test_decimal_not_a_number_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequestError, match="`c` is"):
        decimal("c", value)


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_value_counts_as_absent(empty: str | None) -> None:
    assert integer("target", empty) is None
    assert decimal("c", empty) is None


def test_choice_and_flag_accept_known_words_only() -> None:
    assert choice("map", None, ("a", "b")) == "a"
    assert choice("map", "b", ("a", "b")) == "b"
    assert flag("correct", None) is None
    assert flag("correct", "false") is False
    with pytest.raises(InvalidRequestError, match="one of: a, b"):
        choice("map", "c", ("a", "b"))


def test_urls_are_quoted() -> None:
    assert Urls().gallery("a/b?c") == "/r/a/b%3Fc"
    assert with_query("/x", {"a": "1&2", "b": None, "c": True}) == "/x?a=1%262&c=true"


NAMES = ("tabby cat", "Crane", "crane", "4")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, None),
        (" ", None),
        ("2", 2),
        ("0 · tabby cat (network)", 0),
        ("Tabby Cat", 0),
        ("1", 1),
        # a number is a number, also where a class is called like one
        ("4", 4),
        ("3 · 4", 3),
    ],
)
def test_class_number_reads_number_proposal_or_name(value: str | None, number: int | None) -> None:
    assert class_number("target", value, NAMES) == number


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("crane", "the name of classes 1, 2; give a number"),
        ("dog", "must be a whole number from 0 to 3"),
        ("x · tabby cat", "must be a whole number from 0 to 3"),
        ("-1", "must be a whole number from 0 to 3"),
    ],
)
def test_class_number_unknown_is_refused(value: str, words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        class_number("target", value, NAMES)


def wrong_and_right(explainer: Explainer) -> tuple[int, int]:
    """Return a test image on which the network is wrong, and one on which it is right."""
    right = explainer.outcomes.predicted["test"] == explainer.labels("test")
    return int(np.flatnonzero(~right)[0]), int(np.flatnonzero(right)[0])


def test_view_decision_on_wrong_prediction_is_contrasted_with_the_label(explainer: Explainer) -> None:
    wrong, right = wrong_and_right(explainer)
    label, predicted = explainer.label("test", wrong), explainer.predicted("test", wrong)
    third = next(k for k in range(10) if k not in (label, predicted))
    cases = [
        (View(), predicted, label),
        (View(target=predicted), predicted, label),
        (View(target=third), third, None),
        (View(against=third), predicted, third),
        (View(against="none"), predicted, None),
    ]
    for view, target, against in cases:
        decision = view.decision(explainer, wrong)
        assert (decision.target, decision.against) == (target, against)
    assert View().decision(explainer, right).against is None


def test_contrast_is_a_class_or_none() -> None:
    names = ("cat", "dog")
    assert [contrast_class(text, names) for text in (None, "", "none", "none · nothing", "1", "dog")] == [
        None, None, "none", "none", 1, 1
    ]  # fmt: skip
