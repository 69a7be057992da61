"""CIFAR-10 and the trained ResNet-18: the command builds a small part, and the browser opens it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import opened
from tests.browser.test_journeys import wait_for_maps
from tests.conftest import serve
from xda.build.verify import verify_run
from xda.cli import main
from xda.settings import Settings

SHARED = Path(__file__).parents[3] / "shared" / "data"
ARCHIVE, CHECKPOINT = SHARED / "cifar10.tar", SHARED / "cifar10-resnet18.safetensors"
PER_CLASS = {"train": 30, "test": 3}
CONFIG = f"""
[run]
id = "cifar10-part"
title = "Part of CIFAR-10 · ResNet-18"

[data]
train = "images/train"
test = "images/test"

[network]
preset = "cifar10-resnet18"
checkpoint = "{CHECKPOINT.as_posix()}"

[surrogate]
c = [1e-5, 1e-3, 1e-1]
"""

pytestmark = pytest.mark.skipif(
    not (ARCHIVE.is_file() and CHECKPOINT.is_file()),
    reason="needs cifar10.tar and cifar10-resnet18.safetensors in ../shared/data",
)


def unpack(folder: Path) -> None:
    """Unpack the first images of each class."""
    seen: dict[str, int] = {}
    with tarfile.open(ARCHIVE) as tar:
        for member in tar:
            split, name, *_ = [*member.name.removeprefix("./").split("/"), "", ""]
            if member.isfile() and seen.get(f"{split}/{name}", 0) < PER_CLASS.get(split, 0):
                seen[f"{split}/{name}"] = seen.get(f"{split}/{name}", 0) + 1
                tar.extract(member, folder, filter="data")
    assert len(seen) == 20


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the run folder with the command and return it."""
    folder = tmp_path_factory.mktemp("cifar10")
    unpack(folder / "images")
    (folder / "part.toml").write_text(CONFIG)
    out = folder / "run"
    command = ["build", str(folder / "part.toml"), "--out", str(out), "--device", "cpu", "--home", str(folder)]
    assert main(command) == 0
    return out


@pytest.fixture(scope="module")
def url(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the run."""
    yield from serve(Settings(home=tmp_path_factory.mktemp("home"), runs=str(run), device="cpu"))


def test_cifar10_run_is_sound(run: Path) -> None:
    findings = verify_run(run, device="cpu")
    assert len(findings) == 8
    assert all(finding.passed for finding in findings), findings


def test_cifar10_checkpoint_recognises_images(url: str) -> None:
    described = httpx.get(f"{url}/api/v1/runs").json()[0]
    assert described["classes"][:3] == ["airplane", "automobile", "bird"]
    assert (described["n_train"], described["n_test"]) == (300, 30)
    page = httpx.get(f"{url}/api/v1/runs/cifar10-part/test", params={"correct": True}).json()
    assert len(page["items"]) >= 22


def test_cifar10_heatmaps_of_pair_sum_to_attribution(url: str) -> None:
    api = f"{url}/api/v1/runs/cifar10-part"
    told = httpx.get(f"{api}/test/12/explanation", params={"limit": 3}).json()
    for part in (*told["supporting"], *told["opposing"]):
        answer = httpx.get(f"{api}/pairs/12/{part['index']}/relevance", timeout=60)
        answer.raise_for_status()
        with np.load(io.BytesIO(answer.content)) as maps:
            assert maps["test"].shape == maps["train"].shape == (32, 32)
            largest = max(abs(part["attribution"]), 1e-12)
            assert abs(maps["test"].sum() - part["attribution"]) <= 1e-3 * largest
            assert abs(maps["train"].sum() - part["attribution"]) <= 1e-3 * largest


def test_cifar10_gallery_explanation_and_pair_open(chromium: Browser, url: str) -> None:
    with opened(chromium, url) as page:
        page.goto("/")
        page.get_by_role("link", name="Part of CIFAR-10").first.click()
        expect(page.get_by_role("heading", name="30 of 30 test images")).to_be_visible()
        page.locator(".grid a").nth(12).click()
        expect(page.get_by_role("heading", name="Test image 12")).to_be_visible()
        wait_for_maps(page)
        assert page.locator(".support .tile-link").count() > 0
        page.locator(".support .tile-link").first.click()
        wait_for_maps(page)
        expect(page.locator(".pair-verdict")).to_contain_text("supports")
