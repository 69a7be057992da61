"""Classifiers of two classes with one logit: build, verification, pages, JSON, heat-maps, notebook."""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from starlette.testclient import TestClient
from torch import nn

import xda
from tests.build.foreign import make_config
from tests.reference import crammer_singer, dualda
from xda.build.check import check_build
from xda.build.pipeline import build_run
from xda.build.verify import verify_run
from xda.data.dataset import ArraySource, ImageDataset, ImageSplit
from xda.decision import SPLITS
from xda.errors import ConfigError, DataError
from xda.explanation.model import ModelExplainer
from xda.explanation.run import Explainer
from xda.networks.spec import NetworkSpec, build_network
from xda.progress import silent
from xda.settings import Settings
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder

pytestmark = pytest.mark.slow

CLASSES = ("red", "green")
C = 1e-2
SIZE = {"mode": "RGB", "size": [12, 12], "mean": [0.5] * 3, "std": [0.25] * 3}
FORMS = ("logit", "squeezed", "probability")
MODULE = """
import torch
from torch import nn

class logit(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.fc = nn.Linear(24, 1)
        with torch.no_grad():
            self.body[0].weight[:3, 0] += 0.2
            self.body[0].weight[3:, 1] += 0.2
            self.fc.weight[0, :12] -= 0.3
            self.fc.weight[0, 12:] += 0.3

    def forward(self, x):
        return self.fc(self.body(x))

class squeezed(logit):
    def forward(self, x):
        return super().forward(x).squeeze(1)

class probability(logit):
    def forward(self, x):
        return super().forward(x).sigmoid()
"""


def make_split(n: int, seed: int) -> ImageSplit:
    """Return images of noise with more of the colour that is their label."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(0, 200, (n, 12, 12, 3)).astype(np.uint8)
    images[np.arange(n), :, :, labels] += 40
    return ImageSplit(labels, sha256(labels.tobytes() + images.tobytes()).hexdigest(), ArraySource(images))


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    return ImageDataset("two", "Two colours", CLASSES, make_split(40, 0), make_split(16, 1))


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "binary_networks.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        importlib.import_module("binary_networks")
        yield "binary_networks"
    sys.modules.pop("binary_networks", None)


@pytest.fixture(scope="module", params=FORMS)
def run(
    request: pytest.FixtureRequest, module: str, dataset: ImageDataset, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    config = make_config({"factory": f"{module}:{request.param}"}, **SIZE)
    return build_run(config, dataset, tmp_path_factory.mktemp(request.param) / "run", device="cpu")


def in_memory(module: str, form: str, dataset: ImageDataset, labels: torch.Tensor) -> ModelExplainer:
    network: nn.Module = getattr(sys.modules[module], form)()
    return xda.explain(network, (pixels(dataset.train), labels), c=C, classes=CLASSES, progress=silent)


def pixels(split: ImageSplit) -> torch.Tensor:
    from xda.data.preprocessing import Preprocessing

    preprocessing = Preprocessing.from_dict(SIZE)
    return torch.from_numpy(preprocessing.array([split.encoded(i) for i in range(len(split))]))


def by_hand(module: str, split: ImageSplit) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return features (n, d) and the one logit (n,) of a split, image by image."""
    network = sys.modules[module].logit().eval()
    with torch.no_grad():
        z = torch.cat([network.body(image[None]) for image in pixels(split)]).double()
        weights, bias = network.fc.weight[0].tolist(), float(network.fc.bias[0])
    s = [bias + sum(w * v for w, v in zip(weights, row, strict=True)) for row in z.tolist()]
    return z.numpy(), np.array(s)


def test_build_of_one_logit_stores_zero_and_the_logit(run: RunFolder, module: str, dataset: ImageDataset) -> None:
    for split, images in zip(SPLITS, (dataset.train, dataset.test), strict=True):
        features, s = by_hand(module, images)
        logits = np.asarray(run.array(layout.logits(split)))
        np.testing.assert_array_equal(logits[:, 0], 0)
        np.testing.assert_allclose(logits[:, 1], s, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(run.array(layout.features(split)), features, rtol=1e-4, atol=1e-5)
        predicted = run.table(layout.table(split))["predicted"].to_numpy()
        assert predicted.tolist() == (s > 0).astype(int).tolist()
        confidence = run.table(layout.table(split))["confidence"].to_numpy()
        np.testing.assert_allclose(confidence, 1 / (1 + np.exp(-np.abs(s))), rtol=1e-4)
    assert 0.8 < run.manifest.network.accuracy <= 1


def test_record_of_one_logit_explains_its_logits(run: RunFolder) -> None:
    remark = run.manifest.network.remark or ""
    sigmoid = run.manifest.network.spec["factory"] == "binary_networks:probability"
    assert "0 for the first class and, for the second, that of the linear layer 'fc'" in remark
    assert ("the sigmoid of one logit" in remark and "before the sigmoid" in remark) is sigmoid


def test_surrogate_of_one_logit_equals_crammer_singer_of_two_classes(
    run: RunFolder, module: str, dataset: ImageDataset
) -> None:
    features, _ = by_hand(module, dataset.train)
    queries, logits = by_hand(module, dataset.test)
    dual = crammer_singer.ascent(features, dataset.train.labels, C, 2, 400)
    with Explainer.open(run.path, device="cpu", allow_factory=["binary_networks"]) as explainer:
        coef = explainer.surrogate(C).coef
        np.testing.assert_allclose(coef, dual.T @ features, rtol=1e-3, atol=1e-3 * np.abs(coef).max())
        np.testing.assert_allclose(coef[0], -coef[1], atol=1e-9)
        signs = [(query @ coef[1] > 0) == (logit > 0) for query, logit in zip(queries, logits, strict=True)]
        assert run.manifest.surrogates[0].agreement == pytest.approx(np.mean(signs))
        for target, against in ((0, None), (1, None), (1, 0)):
            explanation = explainer.explain(5, c=C, target=target, against=against, limit=100)
            tau = dualda.attributions(dual, features, queries[5], target, against)
            found = np.zeros(len(tau))
            for part in explanation.supporting + explanation.opposing:
                found[part.index] = part.attribution
            np.testing.assert_allclose(found, tau, rtol=1e-2, atol=1e-2 * np.abs(tau).max())
    assert all(finding.passed for finding in verify_run(run.path, device="cpu", allow_factory=["binary_networks"]))


def test_pages_json_and_heatmaps_of_one_logit_agree(run: RunFolder, module: str, dataset: ImageDataset) -> None:
    from xda.web.factory import create_app

    _, s = by_hand(module, dataset.test)
    app = create_app(Settings(home=run.path.parent, runs=str(run.path), device="cpu", allow_factory="binary_networks"))
    with TestClient(app) as client:
        app.state.lifecycle.wait(60)
        told = client.get("/api/v1/runs/colours/test/4/explanation?limit=50").json()
        assert told["test"]["network_logits"] == pytest.approx([0, s[4]], rel=1e-4, abs=1e-6)
        assert told["test"]["predicted"] == told["target"] == int(s[4] > 0)
        assert len(told["test"]["surrogate_logits"]) == 2
        total = sum(part["attribution"] for part in told["supporting"] + told["opposing"])
        assert total == pytest.approx(told["surrogate_logit"], rel=1e-6)
        for part in told["supporting"][:2] + told["opposing"][:2]:
            found = client.get(f"/api/v1/runs/colours/pairs/4/{part['index']}/relevance")
            maps = np.load(io.BytesIO(found.content))
            assert maps["test"].sum() == pytest.approx(part["attribution"], rel=1e-3)
            assert maps["train"].sum() == pytest.approx(part["attribution"], rel=1e-3)
        strongest = told["supporting"][0]["index"]
        other = 1 - told["target"]
        name, rival, of_train = CLASSES[told["target"]], CLASSES[other], CLASSES[dataset.train.labels[strongest]]
        for page, words in {
            "/": "Colours",
            "/r/colours": "label red, network says red",
            "/r/colours/test/4": f"Test image 4: why {name} ·",
            f"/r/colours/test/4?against={other}": f"Test image 4: why {name} and not {rival} ·",
            f"/r/colours/test/4?target={other}": f"Test image 4: why {rival} ·",
            f"/r/colours/test/4/train/{strongest}": f"Training image {strongest} for test image 4 ·",
            f"/r/colours/train/{strongest}": f"Training image {strongest}, label {of_train} ·",
        }.items():
            answer = client.get(page)
            assert answer.status_code == 200, page
            assert words in answer.text, page
        assert "for the second, that of the linear layer" in client.get("/").text


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", ["whole", "float", "column"])
def test_notebook_of_one_logit_equals_the_run(
    form: str, shape: str, module: str, dataset: ImageDataset, tmp_path: Path
) -> None:
    config = make_config({"factory": f"{module}:{form}"}, **SIZE)
    stored = build_run(config, dataset, tmp_path / "run", device="cpu")
    whole = torch.from_numpy(dataset.train.labels)
    labels = {"whole": whole, "float": whole.float(), "column": whole.float()[:, None]}[shape]
    explainer = in_memory(module, form, dataset, labels)
    test_images = pixels(dataset.test)
    assert explainer.classes == CLASSES
    assert explainer.fidelity(test_images) == pytest.approx(stored.manifest.surrogates[0].agreement)
    logits = np.array([told.test.network_logits for told in explainer.explain(test_images)])
    np.testing.assert_allclose(logits, stored.array(layout.logits("test")), rtol=1e-4, atol=1e-5)
    told = explainer.explain(test_images[4], target="green", against="red")
    pairs = explainer.relevance(test_images[4], [part.index for part in told.supporting[:3]], target=1, against=0)
    for pair, part in zip(pairs, told.supporting, strict=False):
        assert pair.test.sum() == pytest.approx(part.attribution, rel=1e-3)
        assert pair.train.sum() == pytest.approx(part.attribution, rel=1e-3)
    assert "0 for the first class" in explainer.remark


def test_labels_above_one_for_one_logit_are_refused(module: str, dataset: ImageDataset) -> None:
    labels = torch.from_numpy(dataset.train.labels).clone()
    labels[3] = 2
    with pytest.raises(DataError, match="Image 3 has the label 2; the network's classes are 0 to 1"):
        xda.explain(sys.modules[module].logit(), (pixels(dataset.train), labels), c=C, progress=silent)


def test_labels_not_whole_numbers_are_refused(module: str, dataset: ImageDataset) -> None:
    labels = torch.from_numpy(dataset.train.labels).float() * 0.9
    with pytest.raises(DataError, match="one whole number from 0"):
        xda.explain(sys.modules[module].logit(), (pixels(dataset.train), labels), c=C, progress=silent)


@pytest.mark.parametrize("kind", ["torchvision", "timm"])
def test_checkpoint_of_one_logit_fills_a_model_by_name(kind: str, dataset: ImageDataset, tmp_path: Path) -> None:
    spec = NetworkSpec("resnet18", 2, kind, {"num_classes": 1})  # type: ignore[arg-type]
    torch.manual_seed(0)
    torch.save(build_network(spec).state_dict(), tmp_path / "one.pt")
    table = {kind: "resnet18", "checkpoint": tmp_path / "one.pt"}
    with pytest.raises(DataError, match=r"\(one logit: .* arguments = \{ num_classes = 1 \}"):
        check_build(make_config(table, size=[32, 32]), dataset, device="cpu")
    config = make_config(table | {"arguments": {"num_classes": 1}}, size=[32, 32])
    run = build_run(config, dataset, tmp_path / "run", device="cpu")
    assert run.manifest.network.spec["arguments"] == {"num_classes": 1}
    assert not np.asarray(run.array(layout.logits("test")))[:, 0].any()
    with Explainer.open(tmp_path / "run", device="cpu") as explainer:
        assert explainer.explain(0).test.network_logits[0] == 0
    with pytest.raises(ConfigError, match="'num_classes' cannot be given"):
        build_network(NetworkSpec("resnet18", 3, kind, {"num_classes": 1}))  # type: ignore[arg-type]
