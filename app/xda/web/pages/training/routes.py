"""Route of the page of one training image."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from xda.web.dependencies import TrainIndexDep, VisitDep
from xda.web.pages.chrome import Chrome, run_header
from xda.web.pages.training import context as training_context
from xda.web.rendering import render
from xda.web.view import decimal

router = APIRouter(include_in_schema=False)

INFLUENCES = 12
"""A training image's page lists so many test images of each sign."""


@router.get("/r/{run}/train/{train}")
async def get_training(
    visit: VisitDep, train: TrainIndexDep, c: Annotated[str | None, Query(max_length=40)] = None
) -> Response:
    """Show a training image: its dual variables, slack and strongest influences."""
    explainer, urls, asked = visit.explainer, visit.urls, decimal("c", c)
    sample = explainer.training_sample(train, c=asked, limit=INFLUENCES)
    query: dict[str, object] = {"c": None if asked is None else f"{asked:g}"}

    def with_c(value: float) -> str:
        return urls.training(explainer.id, train, {"c": f"{value:g}"})

    header = run_header(visit, c=sample.c, with_c=with_c, keep=query)
    chrome = Chrome(
        f"Training image {train:,}, label {explainer.classes[sample.label]}",
        header,
        f"Training image {train:,} of {explainer.title} and the test images that it supports or opposes.",
    )
    page = training_context.build(sample, explainer, chrome, urls, query)
    return render(visit.request, "pages/training.html", page)
