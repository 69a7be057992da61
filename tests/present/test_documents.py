"""One encoder: interface, command line and download answer the same question with the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.world import RUN_ID
from xda.cli import main
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.settings import Settings
from xda.web.api.models import ExplanationModel
from xda.web.factory import create_app


@pytest.fixture(scope="module")
def client(explainer: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    queue = DeviceQueue()
    app = create_app(Settings(home=tmp_path_factory.mktemp("home"), device="cpu"), Catalog([explainer], {}, queue))
    with TestClient(app) as served:
        app.state.lifecycle.wait(30)
        yield served
    queue.close()


def command(capfdbinary: pytest.CaptureFixture[bytes], run: Path, *asked: str) -> bytes:
    """Return what ``xda explain --json`` prints on test image 14."""
    assert main(["explain", str(run), "--test", "14", "--json", "--device", "cpu", *asked]) == 0
    return capfdbinary.readouterr().out


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ("limit=12", ()),
        ("limit=3&c=0.0001", ("--limit", "3", "--c", "1e-4")),
        ("limit=500&target=3&against=8", ("--limit", "500", "--target", "3", "--against", "8")),
    ],
    ids=["default", "another C", "contrast, every contribution"],
)
def test_explanation_asked_in_three_ways_is_the_same_bytes(
    capfdbinary: pytest.CaptureFixture[bytes], client: TestClient, run_path: Path, query: str, options: tuple[str, ...]
) -> None:
    interface = client.get(f"/api/v1/runs/{RUN_ID}/test/14/explanation?{query}")
    download = client.get(f"/r/{RUN_ID}/test/14/explanation.json?{query}")
    assert interface.status_code == download.status_code == 200
    assert interface.content == download.content == command(capfdbinary, run_path, *options)
    assert interface.content.endswith(b"\n")
    document = json.loads(interface.content)
    assert (document["sparsity"], document["by_class"], document["contributions"]) == (None, None, None)


def test_explanation_filtered_by_label_is_the_same_bytes(client: TestClient) -> None:
    query = "limit=5&train_class=4"
    interface = client.get(f"/api/v1/runs/{RUN_ID}/test/14/explanation?{query}")
    assert interface.content == client.get(f"/r/{RUN_ID}/test/14/explanation.json?{query}").content
    assert {part["label"] for part in interface.json()["supporting"]} == {4}


def test_explanation_without_limit_lists_everything(
    capfdbinary: pytest.CaptureFixture[bytes], client: TestClient, run_path: Path, explainer: Explainer
) -> None:
    download = client.get(f"/r/{RUN_ID}/test/14/explanation.json?against=9")
    assert download.content == command(capfdbinary, run_path, "--against", "9", "--limit", "all")
    told = ExplanationModel.model_validate_json(download.content, strict=True)
    parts = explainer.decompose(14, against=9)
    assert told.contributions is not None
    assert told.contributions.index == parts.index.tolist()
    assert told.contributions.intercept == parts.intercept.tolist()
    assert told.contributions.source == parts.sources()
    assert told.sparsity is not None
    assert (told.sparsity.l0, told.sparsity.hoyer) == (parts.sparsity.l0, parts.sparsity.hoyer)
    assert told.by_class is not None
    assert [row.supporting for row in told.by_class] == [row.supporting for row in parts.by_class]
    assert (len(told.supporting), len(told.opposing)) == (told.n_supporting, told.n_opposing)
    assert told.run.model_dump() == {"id": explainer.id, "title": explainer.title, "digest": explainer.digest}
    assert told.classes == list(explainer.classes)
    assert told.agreement == next(entry.agreement for entry in explainer.surrogates if entry.c == told.c)


@pytest.mark.parametrize("limit", ["0", "501", "x", "-1"])
def test_download_with_a_limit_that_is_no_page_is_refused(client: TestClient, limit: str) -> None:
    for kind in ("explanation", "comparison"):
        answer = client.get(f"/r/{RUN_ID}/test/14/{kind}.json?limit={limit}")
        assert answer.status_code == 422
        assert "limit" in answer.text
