"""The page of a shared link, rendered from the unchanged run, else from the link's snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from xda.errors import XdaError
from xda.present.pair_facts import PairFacts
from xda.present.story import Story, from_snapshot
from xda.present.words import decision_in_words, question, sum_in_words, title
from xda.settings import Settings
from xda.web.api.links import LinkId, LinkRequest, base_url
from xda.web.dependencies import CatalogDep, LinkStoreDep, SettingsDep, Visit
from xda.web.pages.chrome import Chrome
from xda.web.pages.explanation import context as explanation_context
from xda.web.pages.explanation.context import OpenGraph, Shared
from xda.web.pages.explanation.routes import explanation_page, told
from xda.web.pages.pair import context as pair_context
from xda.web.pages.pair.context import PairPictures
from xda.web.pages.pair.routes import asked_pair, pair_page
from xda.web.pages.pictures import StoredPictures
from xda.web.rendering import render, urls_of
from xda.web.view import NO_CONTRAST, View

if TYPE_CHECKING:
    from xda.explanation.catalog import Catalog
    from xda.explanation.run import Explainer
    from xda.storage.database.links import Link

router = APIRouter(include_in_schema=False)

SHARED = "A shared explanation of one decision by the training images behind it, as it was when it was shared."
"""Description of a page from a stored snapshot."""


def view_of(state: LinkRequest) -> View:
    """Return the shared view."""
    return View(
        c=state.c,
        target=state.target,
        against=NO_CONTRAST if state.against is None else state.against,
        train_class=state.train_class,
        shown=state.show,
        colours=state.map,
        scale=state.scale,
        opacity=state.opacity,
        rank=state.rank,
    )


def served(catalog: Catalog, link: Link) -> tuple[Explainer | None, str]:
    """Return the run of a link if it is served unchanged; else None and the reason."""
    try:
        explainer = catalog.get(link.run_id)
    except XdaError:
        return None, "The run is no longer served; this is a copy of the shared page."
    if explainer.digest != link.run_digest:
        return explainer, "The run was rebuilt after sharing; this is a copy of the shared page."
    return explainer, ""


@router.get("/s/{link}")
async def get_shared(
    request: Request, catalog: CatalogDep, links: LinkStoreDep, settings: SettingsDep, link: LinkId
) -> Response:
    """Show the shared explanation or pair."""
    found = await run_in_threadpool(links.get, link)
    state = LinkRequest.model_validate(found.state)
    view, urls = view_of(state), urls_of(request)
    explainer, rebuilt = served(catalog, found)
    live = None
    if explainer is not None:
        query = view.query()
        live = (
            urls.explanation(explainer.id, state.test, query)
            if state.train is None
            else urls.pair(explainer.id, state.test, state.train, query)
        )
    if explainer is None or rebuilt:
        story = from_snapshot(found.snapshot["story"])
    else:
        story = await run_in_threadpool(told, explainer, state.test, view)
    shared = Shared(
        when=found.created.strftime("%-d %B %Y, %H:%M UTC"),
        iso=found.created.isoformat(),
        url=f"{base_url(request, settings)}/s/{link}",
        rebuilt=rebuilt,
        live=live,
        open_graph=open_graph(request, settings, story, link),
    )
    if explainer is None or rebuilt:
        return stored_page(request, found, story, view, shared)
    visit = Visit(request, catalog, explainer)
    if state.train is not None:
        pair = await run_in_threadpool(asked_pair, explainer, state.test, state.train, view)
        return pair_page(visit, *pair, view, shared=shared)
    return explanation_page(visit, story, view, shared=shared)


def stored_page(request: Request, link: Link, story: Story, view: View, shared: Shared) -> Response:
    """Render a page from a link's snapshot alone."""
    asked, urls = story.explanation, urls_of(request)
    pictures = StoredPictures(urls, link.id, link.snapshot)
    stored: dict[str, Any] | None = link.snapshot.get("pair")
    if stored is None:
        chrome = Chrome(title(asked, story.classes), None, SHARED)
        explanation = explanation_context.build(story, view, chrome, urls, pictures, frozen=True, shared=shared)
        return render(request, "pages/explanation.html", explanation)
    pair = PairFacts(**stored)
    train = pair.train
    chrome = Chrome(f"Training image {train:,} for test image {asked.test.index:,}", None, SHARED)
    four = PairPictures(
        pictures.test(), pictures.train(train), pictures.pair_map(train, "test"), pictures.pair_map(train, "train")
    )
    page = pair_context.build(
        pair, asked, story.classes, story.run_id, view, chrome, urls, four, frozen=True, shared=shared
    )
    return render(request, "pages/pair.html", page)


def open_graph(request: Request, settings: Settings, story: Story, link: str) -> OpenGraph | None:
    """Return the OpenGraph tags of a link for chat programs; None if they are switched off."""
    if not settings.social_cards:
        return None
    url, told, names = f"{base_url(request, settings)}/s/{link}", story.explanation, story.classes
    return OpenGraph(
        title=f"{question(told, names)} Test image {told.test.index:,}",
        description=f"{decision_in_words(told, names)}: {sum_in_words(told, names)}.",
        url=url,
        image=f"{url}/card.png",
    )
