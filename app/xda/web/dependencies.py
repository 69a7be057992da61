"""Dependencies of routes as ``Annotated`` aliases; each resolves on the event loop without a thread.

``ExplainerDep`` reads the path parameter ``{run}``: an unknown run raises ``NotFoundError``, a refused one
``RunError``, and any run ``BusyError`` while the process is loading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Path, Request

from xda.errors import NotFoundError
from xda.settings import Settings
from xda.web.lifecycle import Lifecycle
from xda.web.rendering import urls_of
from xda.web.urls import Urls

if TYPE_CHECKING:
    from xda.explanation.catalog import Catalog
    from xda.explanation.run import Explainer
    from xda.storage.database.links import LinkStore
else:
    # FastAPI evaluates these names when the application is built, before PyTorch has been imported in the background;
    # it does not use the type of a dependency, so any will do.
    Catalog = Explainer = LinkStore = Any

RunId = Annotated[str, Path(description="Identifier of a run.", max_length=128, examples=["mnist-cnn"])]


async def get_lifecycle(request: Request) -> Lifecycle:
    """Return the application's lifecycle."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle


async def get_settings(request: Request) -> Settings:
    """Return the settings of the process."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle.settings


async def get_catalog(request: Request) -> Catalog:
    """Return the open runs."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle.catalog


async def get_explainer(request: Request, run: RunId) -> Explainer:
    """Return the run named in the path."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle.catalog.get(run)


async def get_link_store(request: Request) -> LinkStore:
    """Return the store of shared links."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    return lifecycle.links


def _index(text: str, what: str, n: int) -> int:
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 12):
        raise NotFoundError(f"There is no {what} image '{text[:40]}'; {what} images are 0 to {n - 1:,}.")
    return int(text)


async def get_test_index(request: Request, run: RunId, test: str) -> int:
    """Return the number of the test image in a page's path; the run checks that it exists.

    Raises
    ------
    NotFoundError
        The path has no number there.
    """
    return _index(test, "test", (await get_explainer(request, run)).n_test)


async def get_train_index(request: Request, run: RunId, train: str) -> int:
    """Return the number of the training image in a page's path, as for a test image."""
    return _index(train, "training", (await get_explainer(request, run)).n_train)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page of one run."""

    request: Request
    catalog: Catalog
    explainer: Explainer

    @property
    def urls(self) -> Urls:
        """The URLs under the request's path prefix."""
        return urls_of(self.request)


async def get_visit(request: Request, run: RunId) -> Visit:
    """Return the request with the run named in its path."""
    catalog = await get_catalog(request)
    return Visit(request, catalog, catalog.get(run))


TestIndexDep = Annotated[int, Depends(get_test_index)]
TrainIndexDep = Annotated[int, Depends(get_train_index)]
LifecycleDep = Annotated[Lifecycle, Depends(get_lifecycle)]
SettingsDep = Annotated[Settings, Depends(get_settings)]
CatalogDep = Annotated[Catalog, Depends(get_catalog)]
ExplainerDep = Annotated[Explainer, Depends(get_explainer)]
VisitDep = Annotated[Visit, Depends(get_visit)]
LinkStoreDep = Annotated[LinkStore, Depends(get_link_store)]
