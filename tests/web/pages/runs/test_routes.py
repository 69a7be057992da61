"""Route of the list of runs: every run with its title, and the runs that are refused with the reason."""

from __future__ import annotations

from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.web.pages.runs.routes import router


def test_list_of_runs_links_every_gallery(client: TestClient, explainer: Explainer) -> None:
    assert [getattr(route, "path", "") for route in router.routes] == ["/"]
    page = client.get("/").text
    assert explainer.title in page
    assert 'href="/r/digits"' in page


def test_list_of_runs_says_why_a_run_is_refused(make_client: MakeClient) -> None:
    queue = DeviceQueue()
    page = make_client(Catalog([], {"broken": "its features are of another build"}, queue)).get("/").text
    queue.close()
    assert "broken" in page
    assert "its features are of another build" in page
    assert 'href="/r/broken"' not in page
