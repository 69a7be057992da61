"""Routes of a run's gallery: the page, and the redirect from a typed number to its image."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from xda.errors import InvalidRequestError
from xda.web.dependencies import ExplainerDep, VisitDep
from xda.web.pages.chrome import Chrome, run_header
from xda.web.pages.gallery import context as gallery_context
from xda.web.rendering import render, urls_of
from xda.web.view import ListingDep, ViewDep, decimal, integer

router = APIRouter(include_in_schema=False)


@router.get("/r/{run}")
async def get_gallery(
    visit: VisitDep, listing: ListingDep, c: Annotated[str | None, Query(max_length=40)] = None
) -> Response:
    """List test images."""
    explainer, urls, asked = visit.explainer, visit.urls, decimal("c", c)
    found = explainer.gallery(
        listing.choice, c=asked, order=listing.order, limit=gallery_context.PAGE, cursor=listing.cursor or None
    )

    def with_c(value: float) -> str:
        return urls.gallery(explainer.id, {"c": f"{value:g}", **listing.from_the_start().query()})

    header = run_header(
        visit,
        c=explainer.bounds.resolve_c(asked),
        with_c=with_c,
        keep={"c": None if asked is None else f"{asked:g}"},
    )
    chrome = Chrome(
        f"Test images of {explainer.title}",
        header,
        f"The test images of {explainer.title} by label, prediction and margin; each leads to its explanation.",
    )
    page = gallery_context.build(explainer, found, listing, asked, chrome, urls)
    return render(visit.request, "pages/gallery.html", page)


@router.get("/r/{run}/go")
async def go_to(
    request: Request, explainer: ExplainerDep, view: ViewDep, test: Annotated[str | None, Query(max_length=40)] = None
) -> Response:
    """Redirect to the test image with the typed number.

    Raises
    ------
    InvalidRequestError
        The text is not a number.
    """
    number = integer("test", test.replace(",", "").lstrip("#") if test else test, known=explainer.n_test - 1)
    if number is None:
        raise InvalidRequestError(f"Type the number of a test image, from 0 to {explainer.n_test - 1:,}.")
    return RedirectResponse(urls_of(request).explanation(explainer.id, number, view.elsewhere().query()), 303)
