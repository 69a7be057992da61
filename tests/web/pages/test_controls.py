"""The controls of pages about one decision: what their forms send, which choice is marked."""

from __future__ import annotations

from dataclasses import replace

from xda.explanation.run import Explainer
from xda.web.pages.controls import ask, legend, share
from xda.web.urls import with_query
from xda.web.view import View


def test_ask_with_contrast_marks_target_and_contrast(explainer: Explainer) -> None:
    told = explainer.explain(5, target=3, against=4)
    form = ask(told, ("a", "b", "c", "d", "e"), "/here", {"c": 0.1, "show": None}, [" (x)"] * 5)
    assert [(each.value, each.label) for each in form.targets if each.selected] == [("3", "d (x)")]
    assert [(each.value, each.label) for each in form.contrasts if each.selected] == [("4", "e")]
    assert (form.action, form.keep) == ("/here", (("c", "0.1"),))


def test_ask_without_contrast_marks_nothing(explainer: Explainer) -> None:
    form = ask(explainer.explain(5), explainer.classes, None, {})
    assert [each.label for each in form.contrasts if each.selected] == ["nothing"]


def test_legend_choices_lead_to_the_changed_view() -> None:
    view = View(colours="orange-purple", scale="page", opacity=40)
    controls = legend(view, lambda **changes: with_query("/p", view.query(**changes)), "/p", {}, "one for both")
    assert [choice.current for choice in (*controls.colour_choices, *controls.scale_choices)] == [False, True] * 2
    assert controls.colour_choices[0].url == "/p?scale=page&opacity=40"
    assert [choice.label for choice in controls.scale_choices] == ["each its own", "one for both"]
    assert legend(view, lambda **_: None, None, {}).scale_choices == ()


def test_share_fields_name_the_pair_and_all_defaults(explainer: Explainer) -> None:
    told, view = explainer.explain(5), View(train_class=3)
    fields = dict(share(explainer.id, told, view))
    assert fields == {"run": explainer.id, "test": "5", "c": str(told.c), "target": str(told.target)} | {
        "train_class": "3"
    }
    assert dict(share(explainer.id, told, replace(view, train_class=None), 25))["train"] == "25"
