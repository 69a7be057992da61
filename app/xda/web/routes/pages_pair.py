"""The page of one pair and the page of one training image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from xda.web.contexts import pair as pair_context
from xda.web.contexts import training as training_context
from xda.web.contexts.base import Chrome, run_header
from xda.web.contexts.pair import Pair, PairPictures
from xda.web.contexts.pictures import map_query
from xda.web.dependencies import CatalogDep, ExplainerDep
from xda.web.rendering import render, urls_of
from xda.web.view import View, ViewDep, decimal

if TYPE_CHECKING:
    from xda.services.catalog import Catalog
    from xda.services.explorer import Explainer

router = APIRouter(include_in_schema=False)

Index = Annotated[int, Path(ge=-(2**31), le=2**31)]
INFLUENCES = 12
"""Test images of each sign on the page of a training image."""


def find_pair(explainer: Explainer, test: int, train: int, view: View) -> Pair:
    """Return one training image's share of one decision.

    Raises
    ------
    NotFoundError, InvalidRequestError
        As for ``Explainer.explain``; also if there is no such training image.
    """
    asked = explainer.explain(test, c=view.c, target=view.target, against=view.against, limit=0)
    label = explainer.label("train", train)
    parts = explainer.decompose(test, c=asked.c, target=asked.target, against=asked.against)
    row = explainer.training_sample(train, c=asked.c, limit=0).dual_coef
    weight = row[asked.target] - (0.0 if asked.against is None else row[asked.against])
    places = np.flatnonzero(parts.index == train)
    place = int(places[0]) if len(places) else None
    attribution = 0.0 if place is None else float(parts.attribution[place])
    same = np.sign(parts.attribution) == np.sign(attribution)
    return Pair(
        test=asked.test,
        train=train,
        train_label=label,
        target=asked.target,
        against=asked.against,
        c=asked.c,
        attribution=attribution,
        weight=weight,
        product=attribution / weight if weight else None,
        at_bound=place is not None and bool(parts.at_bound[place]),
        rank=None if place is None else int(np.count_nonzero(same[: place + 1])),
        n_same_sign=int(np.count_nonzero(same)),
        surrogate_logit=asked.surrogate_logit,
        previous=int(parts.index[place - 1]) if place else None,
        following=int(parts.index[place + 1]) if place is not None and place + 1 < len(parts.index) else None,
    )


def pair_page(
    request: Request, explainer: Explainer, catalog: Catalog, pair: Pair, view: View, **shared: Any
) -> Response:
    """Draw a pair of a served run; ``shared`` is that of a shared page."""
    urls = urls_of(request)
    query = map_query(view, "pair")
    kind = "oppose" if pair.attribution < 0 else "support"

    def picture(name: str, colouring: dict[str, object] | None) -> str:
        return urls.relevance(
            explainer.digest, pair.c, pair.test.index, pair.train, pair.target, pair.against, name, colouring
        )

    def with_c(value: float) -> str:
        return urls.pair(explainer.id, pair.test.index, pair.train, view.query(c=value, target=pair.target))

    header = run_header(explainer, catalog.runs, urls, c=pair.c, with_c=with_c, keep=view.elsewhere().query())
    chrome = Chrome(
        f"Training image {pair.train:,} for test image {pair.test.index:,}",
        header,
        f"How one training image {kind}s the class {explainer.classes[pair.target]}.",
    )
    pictures = PairPictures(
        test=urls.image(explainer.digest, "test", pair.test.index),
        train=urls.image(explainer.digest, "train", pair.train),
        test_map=picture("test.png", query),
        train_map=picture("train.png", query),
        test_values=picture("test.f32", None),
        train_values=picture("train.f32", None),
    )
    page = pair_context.build(pair, explainer.classes, explainer.id, view, chrome, urls, pictures, **shared)
    return render(request, "pages/pair.html", page)


@router.get("/r/{run}/test/{test}/train/{train}")
async def get_pair(
    request: Request, catalog: CatalogDep, explainer: ExplainerDep, view: ViewDep, test: Index, train: Index
) -> Response:
    """Show a pair."""
    return pair_page(request, explainer, catalog, find_pair(explainer, test, train, view), view)


@router.get("/r/{run}/train/{train}")
async def get_training(
    request: Request,
    catalog: CatalogDep,
    explainer: ExplainerDep,
    train: Index,
    c: Annotated[str | None, Query(max_length=40)] = None,
) -> Response:
    """Show what surrogate and network make of a training image."""
    urls, asked = urls_of(request), decimal("c", c)
    sample = explainer.training_sample(train, c=asked, limit=INFLUENCES)
    query: dict[str, object] = {"c": None if asked is None else f"{asked:g}"}

    def with_c(value: float) -> str:
        return urls.training(explainer.id, train, {"c": f"{value:g}"})

    header = run_header(explainer, catalog.runs, urls, c=sample.c, with_c=with_c, keep=query)
    chrome = Chrome(f"Training image {train:,}, label {explainer.classes[sample.label]}", header)
    page = training_context.build(sample, explainer, chrome, urls, query)
    return render(request, "pages/training.html", page)
