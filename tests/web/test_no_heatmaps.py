"""Tests of a run whose network has no heat-maps: all else is served, and each page says why."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from torch import nn

from tests.web.conftest import MakeClient
from tests.world import RUN_ID, World
from xda.build.config import BuildConfig
from xda.build.pipeline import build_run
from xda.cli import main
from xda.errors import NoHeatmapsError
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.numerals import signed

pytestmark = pytest.mark.slow

REASON = "it normalises by each image&#39;s own mean and spread"


def normalising(n_classes: int) -> nn.Module:
    """Return a network with a layer for which there is no rule."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5, stride=3),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, n_classes),
        nn.Softmax(1),
    )


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    document = world.config.model_dump(exclude_none=True) | {
        "run": {"id": "normalising", "title": "No heat-maps"},
        "network": {
            "factory": f"{__name__}:normalising",
            "preprocessing": {"mode": "L", "size": [28, 28], "mean": [0.5], "std": [0.5]},
        },
        "surrogate": {"c": [1e-3]},
    }
    path = tmp_path_factory.mktemp("no-heatmaps") / "run"
    build_run(BuildConfig.model_validate(document), world.dataset, path, device="cpu")
    return path


@pytest.fixture(scope="module")
def unmapped(run: Path) -> Iterator[Explainer]:
    with Explainer.open(run, device="cpu", allow_factory=[__name__]) as opened:
        yield opened


@pytest.fixture(scope="module")
def served(unmapped: Explainer, make_client: MakeClient) -> Iterator[TestClient]:
    queue = DeviceQueue()
    yield make_client(Catalog([unmapped], {}, queue))
    queue.close()


def test_run_without_heatmaps_records_reason(
    unmapped: Explainer, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = unmapped.run.manifest
    assert manifest.composite == ""
    assert manifest.no_heatmaps is not None
    assert "own mean and spread" in manifest.no_heatmaps
    assert main(["info", str(run)]) == 0
    assert manifest.no_heatmaps in capsys.readouterr().out
    assert main(["verify", str(run), "--allow-factory", __name__]) == 0


def test_list_of_runs_names_reason_without_heatmaps(unmapped: Explainer, served: TestClient) -> None:
    page = html.unescape(served.get("/").text)
    assert f'<p class="small">{unmapped.no_heatmaps}</p>' in page
    assert re.search(r'<p class="small">\d+ of 120 test images are classified as labelled, and guessing would', page)
    assert "<p class=\"small\">The network ends in a softmax; the logits here are those of the linear layer '4'" in page


def test_explainer_without_heatmaps_refuses_maps_only(unmapped: Explainer) -> None:
    explanation = unmapped.explain(3, limit=4)
    assert len(explanation.supporting) == 4
    partners = [part.index for part in explanation.supporting]
    with pytest.raises(NoHeatmapsError, match="own mean and spread"):
        unmapped.relevance(3, partners)
    with pytest.raises(NoHeatmapsError, match="own mean and spread"):
        unmapped.own_relevance(3)
    blank = unmapped.relevance(3, partners, blank=True).result()
    assert [pair.train_index for pair in blank] == partners
    assert not any(np.any(pair.test) or np.any(pair.train) for pair in blank)


def test_pages_without_heatmaps_give_reason(unmapped: Explainer, served: TestClient) -> None:
    train = unmapped.explain(3, limit=1).supporting[0].index
    for address in ("/r/normalising/test/3", f"/r/normalising/test/3/train/{train}"):
        page = served.get(address)
        assert page.status_code == 200
        assert REASON in page.text
        assert "data-map=" not in page.text
        assert "/relevance/" not in page.text
    assert "heat-maps none" in served.get("/").text


def test_api_without_heatmaps_refuses_with_reason(unmapped: Explainer, served: TestClient) -> None:
    assert served.get("/api/v1/runs/normalising/test/3/explanation").status_code == 200
    refused = served.get("/api/v1/runs/normalising/pairs/3/5/relevance")
    assert refused.status_code == 404
    assert "own mean and spread" in refused.json()["detail"]


def test_pictures_without_heatmaps_are_drawn(unmapped: Explainer, served: TestClient) -> None:
    assert served.get("/r/normalising/test/3/explanation.png").headers["content-type"] == "image/png"
    shared = served.post("/api/v1/links", json={"run": "normalising", "test": 3})
    assert shared.status_code == 201
    assert REASON in served.get(f"/s/{shared.json()['id']}").text


@pytest.mark.parametrize(("first", "second"), [("normalising", RUN_ID), (RUN_ID, "normalising")])
def test_comparison_of_run_without_heatmaps_shows_other_maps(
    unmapped: Explainer, explainer: Explainer, make_client: MakeClient, first: str, second: str
) -> None:
    queue = DeviceQueue()
    client = make_client(Catalog([unmapped, explainer], {}, queue))
    page = client.get(f"/r/{first}/test/3/compare?with={second}&against=none")
    assert page.status_code == 200
    assert REASON in page.text
    drawn = set(re.findall(r"/media/(\w+)/relevance/", page.text))
    assert drawn == {explainer.digest[:16]}
    sides = {side.id: side for side in (unmapped, explainer)}
    target = sides[first].explain(3).target
    for side in sides.values():
        strongest = side.explain(3, target=target, limit=1).supporting[0]
        assert signed(strongest.attribution) in page.text
    queue.close()
