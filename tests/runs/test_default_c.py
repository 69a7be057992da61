"""The default C and the words about each C; page, JSON, command line and notebook follow the same rule."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import xda
from tests.explanation.notebooks import make_model, make_tensors
from tests.world import C_VALUES, RUN_ID, World
from xda.cli import main
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.present.words import better_c_in_words, c_in_words, c_roles, surrogates_in_words
from xda.progress import silent
from xda.runs.default_c import best, clearly_better, middle
from xda.settings import Settings
from xda.storage.run.manifest import SurrogateEntry
from xda.web.factory import create_app

pytestmark = pytest.mark.slow

LOW, HIGH = C_VALUES
NBSP = "\N{NO-BREAK SPACE}"


def entries_of(explainer: Explainer, *told: tuple[float, float, int]) -> list[SurrogateEntry]:
    """Return entries of (C, agreement, support vectors)."""
    like = explainer.surrogates[0]
    return [like.model_copy(update={"c": c, "agreement": share, "n_support": n}) for c, share, n in told]


@pytest.fixture(scope="module")
def small_c_best(run_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the world's run with changed agreements: 92.5 % for the small C and 80 % for the large one."""
    path = tmp_path_factory.mktemp("default-c") / "run"
    shutil.copytree(run_path, path)
    manifest = json.loads((path / "manifest.json").read_text())
    for entry, share in zip(sorted(manifest["surrogates"], key=lambda each: each["c"]), (0.925, 0.8), strict=True):
        entry["agreement"] = share
    (path / "manifest.json").write_text(json.dumps(manifest))
    return path


@pytest.fixture(scope="module")
def opened(small_c_best: Path) -> Iterator[Explainer]:
    with Explainer.open(small_c_best, device="cpu") as explainer:
        yield explainer


@pytest.fixture(scope="module")
def client(opened: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    queue = DeviceQueue()
    settings = Settings(home=tmp_path_factory.mktemp("home"), device="cpu")
    app = create_app(settings, Catalog([opened], {}, queue))
    with TestClient(app, follow_redirects=False) as served:
        app.state.lifecycle.wait(30)
        yield served
    queue.close()


def words_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split()).replace(NBSP, " ")


def current_c(page: str) -> str:
    """Return the C that the page's switch marks as the present one."""
    found = re.search(r'<a id="c-\d+"[^>]*aria-current="true">([^ <]+)', page)
    assert found is not None
    return found[1]


def test_best_c_agrees_most_often_then_is_sparsest(explainer: Explainer) -> None:
    entries = entries_of(explainer, (1e-5, 0.97, 500), (1e-3, 0.96, 90), (1e-1, 0.95, 20))
    assert best(entries).c == 1e-5
    entries = entries_of(explainer, (1e-5, 0.96, 500), (1e-3, 0.97, 90), (1e-1, 0.97, 20))
    assert best(entries).c == 1e-1
    assert best(entries[::-1]).c == 1e-1
    entries = entries_of(explainer, (1e-5, 0.96, 500), (1e-3, 0.97, 20), (1e-1, 0.97, 20))
    assert best(entries).c == 1e-1


def test_words_name_roles_of_each_c(explainer: Explainer) -> None:
    entries = entries_of(explainer, (1e-5, 0.9612, 500), (1e-3, 0.968, 90), (1e-1, 0.95, 20))
    assert [c_in_words(each, entries).replace(NBSP, " ") for each in entries] == [
        "96.1 %",
        "agrees best 96.8 %",
        "sparsest, 95.0 %",
    ]
    assert [c_roles(each, entries) for each in entries] == ["", "agrees best", "sparsest"]
    entries = entries_of(explainer, (1e-5, 0.96, 500), (1e-1, 0.97, 20))
    assert c_in_words(entries[1], entries).replace(NBSP, " ") == "sparsest, agrees best 97.0 %"
    assert c_in_words(entries[0], entries[:1]) == c_roles(entries[0], entries[:1]) == ""


@pytest.mark.parametrize(
    ("shown", "other", "n_test", "clear"),
    [
        (0.95, 0.97, 10_000, True),
        (0.965, 0.97, 10_000, False),  # less than a percentage point
        (0.95, 0.97, 100, False),  # two of a hundred images may be chance
        (0.80, 0.95, 100, True),
        (0.97, 0.97, 10_000, False),
        (0.0, 1.0, 1, True),
    ],
)
def test_clearly_better_exceeds_one_point_and_chance(
    explainer: Explainer, shown: float, other: float, n_test: int, clear: bool
) -> None:
    entries = entries_of(explainer, (1e-3, shown, 90), (1e-1, other, 20))
    found = clearly_better(1e-3, entries, n_test)
    assert (found is not None) == clear
    assert bool(better_c_in_words(1e-3, entries, n_test)) == clear
    assert clearly_better(1e-1, entries, n_test) is None


def test_default_c_is_the_same_in_notebook_json_page_and_cli(
    opened: Explainer, client: TestClient, small_c_best: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert opened.default_c == opened.bounds.resolve_c(None) == LOW
    assert opened.explain(0).c == opened.surrogate().c == opened.training_sample(0).c == LOW
    (run,) = client.get("/api/v1/runs").json()
    assert run["default_c"] == LOW
    assert client.get(f"/api/v1/runs/{RUN_ID}/test/0/explanation").json()["c"] == LOW
    for address in (f"/r/{RUN_ID}", f"/r/{RUN_ID}/test/0", f"/r/{RUN_ID}/test/0/train/0", f"/r/{RUN_ID}/train/0"):
        assert current_c(client.get(address).text) == "1e-4"
    assert main(["explain", str(small_c_best), "--test", "0", "--limit", "0"]) == 0
    assert f", C = {LOW:g}: label" in capsys.readouterr().out
    assert main(["info", str(small_c_best)]) == 0
    assert "agrees best, default" in capsys.readouterr().out


def test_list_of_runs_and_c_switch_show_roles(client: TestClient, opened: Explainer) -> None:
    assert "1e-4 agrees best, default" in words_of(client.get("/").text)
    assert "1e-2 sparsest" in words_of(client.get("/").text)
    page = words_of(client.get(f"/r/{RUN_ID}/test/0").text)
    assert "1e-4 agrees best 92.5 % 1e-2 sparsest, 80.0 %" in page
    assert "C = 1e-4 is shown by default" in surrogates_in_words(opened.surrogates)


def test_page_links_to_clearly_better_c(
    client: TestClient, small_c_best: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = client.get(f"/r/{RUN_ID}/test/3?c={HIGH:g}&target=5").text
    assert "C = 1e-4 agrees with the network clearly more often: on 92.5 % of the test images" in words_of(page)
    link = re.search(r'<a id="better-c" href="([^"]+)"', page)
    assert link is not None
    better = client.get(html.unescape(link[1])).text
    assert current_c(better) == "1e-4"
    assert "Why 5?" in words_of(better)
    assert "clearly more often" not in words_of(better)
    assert main(["explain", str(small_c_best), "--test", "3", "--c", f"{HIGH:g}", "--limit", "0"]) == 0
    assert "C = 1e-4 agrees with the network clearly more often" in capsys.readouterr().out


def test_shared_link_keeps_its_c(client: TestClient, opened: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    links = [
        client.post("/api/v1/links", json={"run": RUN_ID, "test": 2, **asked}).json()["id"]
        for asked in ({}, {"c": HIGH})
    ]
    # a later version, or a run with another default, must not change a shared link
    monkeypatch.setattr(opened, "default_c", HIGH)
    monkeypatch.setattr(opened, "bounds", type(opened.bounds)(RUN_ID, 600, 120, 10, C_VALUES, HIGH))
    assert current_c(client.get(f"/r/{RUN_ID}/test/2").text) == "1e-2"
    assert [current_c(client.get(f"/s/{link}").text) for link in links] == ["1e-4", "1e-2"]


def test_build_prints_agreement_of_each_c(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("xda.build.configured_dataset.load_dataset", lambda *_, **__: world.dataset)
    config = tmp_path / "build.toml"
    checkpoint = json.dumps(str(world.config.network.checkpoint))
    config.write_text(
        '[run]\nid = "said"\n[data]\nname = "mnist"\n[network]\npreset = "mnist-cnn"\n'
        f"checkpoint = {checkpoint}\n[surrogate]\nc = [1e-4, 1e-2]\n"
    )
    assert main(["build", str(config), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 0
    said = capsys.readouterr().out.replace(NBSP, " ")
    assert re.search(r"C = 1e-4: \d\d\.\d %; C = 1e-2: sparsest, agrees best \d\d\.\d %\. C = 1e-2 is shown", said)


def test_model_in_memory_shows_middle_c(world: World) -> None:
    assert middle((1e-5, 1e-3, 1e-1)) == 1e-3
    assert middle((1e-4, 1e-2)) == 1e-2
    fitted = xda.explain(make_model(world), make_tensors(world.dataset.train), c=[1e-1, 1e-4, 1e-2], progress=silent)
    assert fitted.default_c == 1e-2
    assert fitted.explain(make_tensors(world.dataset.test)[0][0]).c == 1e-2
