"""Foreign networks: configuration, build, verification, explanation, heat-maps."""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.build.foreign import FACTORY, make_config, make_dataset, write_checkpoint
from tests.networks.test_pretrained import put_torchvision
from xda.build.check import check_build
from xda.build.config import BuildConfig
from xda.build.pipeline import build_run
from xda.build.verify import verify_run
from xda.cli import main
from xda.errors import ConfigError, DataError, NoHeatmapsError, RunError, XdaError
from xda.explanation.run import Explainer
from xda.networks.spec import NetworkSpec
from xda.settings import Settings
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder

pytestmark = pytest.mark.slow

SMALL = {"size": [24, 24], "resize": 26}
OWN = SMALL | {"mode": "RGB", "mean": [0.5] * 3, "std": [0.25] * 3}


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "colour_networks.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(str(folder))
    yield "colour_networks:network"
    sys.modules.pop("colour_networks", None)


def torchvision_config(folder: Path) -> BuildConfig:
    checkpoint = write_checkpoint(NetworkSpec("resnet18", 3, "torchvision"), folder / "resnet18.pt")
    return make_config({"torchvision": "resnet18", "checkpoint": checkpoint}, **SMALL)


ALLOWED = ["colour_networks"]


def assert_explained(path: Path) -> None:
    """Every check holds, and both maps of a pair sum to its attribution."""
    findings = verify_run(path, device="cpu", allow_factory=ALLOWED)
    assert all(finding.passed for finding in findings), findings
    with Explainer.open(path, device="cpu", allow_factory=ALLOWED) as explainer:
        explanation = explainer.explain(4, limit=3)
        contributions = explanation.supporting + explanation.opposing
        assert contributions
        total = explanation.sum_supporting + explanation.sum_opposing
        assert total == pytest.approx(explanation.surrogate_logit, rel=1e-6)
        maps = explainer.relevance(4, [contribution.index for contribution in contributions]).result(60)
        for contribution, pair in zip(contributions, maps, strict=True):
            assert pair.test.shape == pair.train.shape == (24, 24)
            assert pair.test.sum() == pytest.approx(contribution.attribution, rel=1e-3)
            assert pair.train.sum() == pytest.approx(contribution.attribution, rel=1e-3)


def test_build_torchvision_model_is_explained(tmp_path: Path) -> None:
    run = build_run(torchvision_config(tmp_path), make_dataset(), tmp_path / "run", device="cpu")
    assert run.manifest.network.spec == {"torchvision": "resnet18", "n_classes": 3, "head": "fc"}
    assert run.manifest.network.preprocessing == {
        "mode": "RGB",
        "size": [24, 24],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "resize": 26,
    }
    assert run.manifest.counts.features == 512
    assert_explained(tmp_path / "run")


def test_build_pretrained_weights_are_in_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, file = put_torchvision(monkeypatch, tmp_path / "hub", "resnet18", "IMAGENET1K_V1", 3)
    config = make_config({"torchvision": "resnet18", "weights": "pretrained"}, **SMALL)
    outlook = check_build(config, make_dataset(), device="cpu")
    assert "torchvision resnet18 with its weights IMAGENET1K_V1, 11" in "\n".join(outlook.lines())
    run = build_run(config, make_dataset(), tmp_path / "run", device="cpu")
    spec = {"torchvision": "resnet18", "n_classes": 3, "head": "fc", "weights": "IMAGENET1K_V1"}
    assert run.manifest.network.spec == spec
    assert "names no checkpoint" not in caplog.text
    file.unlink()
    monkeypatch.setattr(torch.hub, "download_url_to_file", None)
    assert_explained(tmp_path / "run")


def test_build_timm_model_is_explained(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(NetworkSpec("resnet18", 3, "timm"), tmp_path / "resnet18.pt")
    config = make_config({"timm": "resnet18", "checkpoint": checkpoint}, **SMALL)
    run = build_run(config, make_dataset(), tmp_path / "run", device="cpu")
    assert run.manifest.network.spec == {"timm": "resnet18", "n_classes": 3, "head": "fc"}
    assert run.manifest.network.preprocessing["interpolation"] == "bicubic"
    assert "timm" in run.manifest.libraries
    assert_explained(tmp_path / "run")


def test_build_factory_network_is_explained(tmp_path: Path, factory: str) -> None:
    config = make_config({"factory": factory, "arguments": {"width": 5}}, **OWN)
    run = build_run(config, make_dataset(), tmp_path / "run", device="cpu")
    assert run.manifest.network.spec == {"factory": factory, "n_classes": 3, "arguments": {"width": 5}, "head": "4"}
    assert_explained(tmp_path / "run")


@pytest.mark.parametrize("function", ["softened", "two_heads"])
def test_build_records_steps_after_the_head(
    tmp_path: Path, factory: str, function: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = {"softened": "ends in a softmax; the logits here are those of the linear layer 'fc'", "two_heads": "'a' is"}
    config = make_config({"factory": factory.replace(":network", f":{function}")}, **OWN)
    run = build_run(config, make_dataset(), tmp_path / "run", device="cpu")
    assert words[function] in (run.manifest.network.remark or "")
    assert words[function] in caplog.text
    assert words[function] in "\n".join(check_build(config, make_dataset(), device="cpu").lines())
    assert main(["info", str(tmp_path / "run")]) == 0
    assert words[function] in capsys.readouterr().out
    logits = np.asarray(run.array(layout.logits("test")))
    softened = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert run.table(layout.table("test"))["confidence"].to_numpy() == pytest.approx(softened.max(axis=1), rel=1e-5)
    assert abs(logits.sum(axis=1) - 1).min() > 1e-3, "not the probabilities"


def test_build_of_untrained_network_warns_at_its_end(
    tmp_path: Path, factory: str, caplog: pytest.LogCaptureFixture
) -> None:
    config = make_config({"factory": factory.replace(":network", ":constant")}, **OWN)
    build_run(config, make_dataset(), tmp_path / "run", device="cpu")
    assert "names no checkpoint" in caplog.messages[0]
    assert (
        "Warning: 4 of 12 test images are classified as labelled, and guessing would give about 4"
        in caplog.messages[-1]
    )
    (_, doubt) = check_build(config, make_dataset(), device="cpu").warnings
    assert doubt in caplog.messages[-1]


@pytest.mark.parametrize("given", ["none", "right"])
def test_build_without_expected_normalisation_warns(
    tmp_path: Path, factory: str, caplog: pytest.LogCaptureFixture, given: str
) -> None:
    config = make_config({"factory": factory.replace(":network", ":centred")}, **OWN)
    if given == "none":
        config = make_config(
            {"factory": factory.replace(":network", ":centred")}, **OWN | {"mean": [0] * 3, "std": [1] * 3}
        )
    warnings = check_build(config, make_dataset(), device="cpu").warnings
    build_run(config, make_dataset(), tmp_path / "run", device="cpu")
    found = [doubt for doubt in warnings if doubt.startswith("no mean and std are given (0 and 1)")]
    assert len(found) == (given == "none")
    for doubt in found:
        assert "of 12 test images are classified as labelled; with" in doubt
        assert "it would be 12: give mean and std" in doubt
        assert doubt in caplog.text
    assert ("no mean and std" in caplog.text) is (given == "none")


def test_build_class_without_training_images_is_refused_early(tmp_path: Path, factory: str) -> None:
    dataset = make_dataset()
    train = replace(dataset.train, labels=np.minimum(dataset.train.labels, 1))
    with pytest.raises(DataError, match="Class 'blue' has no training image"):
        build_run(make_config({"factory": factory}, **OWN), replace(dataset, train=train), tmp_path / "run")
    assert not list(tmp_path.glob("*run*"))


BROKEN = {
    "missing": ("", "needs the Python module 'colour_networks', which cannot be imported here; install it"),
    "not allowed": (FACTORY, "add `--allow-factory colour_networks` if you trust it"),
    "raises": ("raise OSError('no disk')", "cannot be imported: OSError: no disk"),
    "exits": ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "other weights": (FACTORY.replace("width=6", "width=7"), "do not belong to this network: 0 tensor(s) missing"),
    "no such function": (FACTORY.replace("def network", "def net_work"), "has no function 'network'"),
    "cannot see": (
        FACTORY.replace("nn.ReLU(), nn.Ad", "nn.MaxPool2d(99), nn.Ad"),
        "It fails on the images of the run (RuntimeError",
    ),
}


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of a factory; nobody may change it."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "colour_networks.py").write_text(FACTORY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        config = make_config({"factory": "colour_networks:network"}, **OWN)
        build_run(config, make_dataset(), folder / "run", device="cpu")
    sys.modules.pop("colour_networks")
    return folder / "run"


@pytest.fixture
def changed_run(
    own_run: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Path, str]]:
    """Yield a run whose factory is not usable, and words of the sentence that says why."""
    content, words = BROKEN[request.param]
    if content:
        (tmp_path / "colour_networks.py").write_text(content)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield own_run, words
    sys.modules.pop("colour_networks", None)


@pytest.mark.parametrize("changed_run", BROKEN, indirect=True)
def test_open_without_a_usable_factory_serves_all_but_heatmaps(
    changed_run: tuple[Path, str], request: pytest.FixtureRequest
) -> None:
    path, words = changed_run
    allowed = () if "not allowed" in request.node.name else ALLOWED
    with Explainer.open(path, device="cpu", allow_factory=allowed) as explainer:
        assert words in explainer.no_heatmaps
        assert str(path) not in explainer.no_heatmaps
        assert explainer.composite == ""
        explanation = explainer.explain(4, limit=3)
        total = explanation.sum_supporting + explanation.sum_opposing
        assert total == pytest.approx(explanation.surrogate_logit, rel=1e-6)
        with pytest.raises(NoHeatmapsError, match="network cannot be made"):
            explainer.own_relevance(4)
        (blank,) = explainer.own_relevance(4, blank=True).result()
        assert blank.test.shape == (24, 24)


@pytest.mark.parametrize("changed_run", BROKEN, indirect=True)
def test_verify_without_usable_factory_gives_advice(
    changed_run: tuple[Path, str], request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    path, words = changed_run
    allowed = [] if "not allowed" in request.node.name else ["--allow-factory", ALLOWED[0]]
    assert main(["verify", str(path), "--device", "cpu", *allowed]) == 2
    out, err = capsys.readouterr()
    assert out.count("FAIL") == 1
    assert "FAIL  features" in out
    assert words in err
    assert "build the run again" not in err
    assert "xda: " in err.strip().splitlines()[-1]


@pytest.mark.parametrize("allowed", [["colour_network"], ["colour_networks.more"], ["colour"], ["os", "torch"], [""]])
def test_open_with_another_module_allowed_does_not_import_the_factory(own_run: Path, allowed: list[str]) -> None:
    with Explainer.open(own_run, device="cpu", allow_factory=allowed) as explainer:
        assert "--allow-factory colour_networks" in explainer.no_heatmaps
    assert "colour_networks" not in sys.modules


def test_open_with_changed_factory_is_refused(tmp_path: Path, factory: str, capsys: pytest.CaptureFixture[str]) -> None:
    build_run(make_config({"factory": factory}, **OWN), make_dataset(), tmp_path / "run", device="cpu")
    sys.modules.pop("colour_networks")
    (tmp_path / "modules" / "colour_networks.py").write_text(FACTORY.replace("nn.ReLU()", "nn.Tanh()") + "# longer\n")
    with pytest.raises(RunError, match="not of the same build"):
        Explainer.open(tmp_path / "run", device="cpu", allow_factory=ALLOWED)
    assert main(["verify", str(tmp_path / "run"), "--device", "cpu", "--allow-factory", ALLOWED[0]]) == 2
    assert "open it with the module of 'colour_networks:network' as it was" in capsys.readouterr().err


def test_build_other_checkpoint_or_preprocessing_recomputes_features(tmp_path: Path) -> None:
    dataset = make_dataset()
    first = build_run(torchvision_config(tmp_path), dataset, tmp_path / "run", device="cpu").manifest
    config = torchvision_config(tmp_path)
    spec = NetworkSpec("resnet18", 3, "torchvision")
    table = config.network.preprocessing.model_copy(update={"resize": 30})
    network = config.network.model_copy(update={"preprocessing": table})
    changed = build_run(
        config.model_copy(update={"network": network}), dataset, tmp_path / "run", device="cpu"
    ).manifest
    assert changed.network.weights_sha256 == first.network.weights_sha256
    assert changed.files["test/features.npy"] != first.files["test/features.npy"]
    state = torch.load(write_checkpoint(spec, tmp_path / "other.pt"), weights_only=True)["state_dict"]
    state["conv1.weight"] += 0.1
    torch.save(state, tmp_path / "resnet18.pt")
    other = build_run(config, dataset, tmp_path / "run", device="cpu").manifest
    assert other.network.weights_sha256 != first.network.weights_sha256


def test_build_mismatch_is_refused_before_writing(tmp_path: Path, factory: str) -> None:
    dataset = make_dataset()
    mistakes: list[tuple[BuildConfig, dict[str, Any], type[XdaError], str]] = [
        (torchvision_config(tmp_path), {"torchvision": "resnet34"}, DataError, "do not belong"),
        (torchvision_config(tmp_path), {"checkpoint": tmp_path / "none.pt"}, DataError, "does not exist"),
        (torchvision_config(tmp_path), {"head": "layer4"}, ConfigError, "'layer4' is Sequential"),
        (make_config({"factory": factory}, **OWN), {"factory": "none:at_all"}, ConfigError, "module 'none'"),
    ]
    for config, changes, kind, words in mistakes:
        changed = config.model_copy(update={"network": config.network.model_copy(update=changes)})
        with pytest.raises(kind, match=words):
            build_run(changed, dataset, tmp_path / "run", device="cpu")
    with pytest.raises(RunError):
        RunFolder.open(tmp_path / "run")


def test_run_of_foreign_network_is_served_with_heatmaps(tmp_path: Path) -> None:
    from starlette.testclient import TestClient

    from xda.web.factory import create_app

    build_run(torchvision_config(tmp_path), make_dataset(), tmp_path / "run", device="cpu")
    app = create_app(Settings(home=tmp_path, runs=str(tmp_path / "run"), device="cpu"))
    with TestClient(app) as client:
        app.state.lifecycle.wait(60)
        assert client.get("/readyz").status_code == 200
        explanation = client.get("/api/v1/runs/colours/test/4/explanation?limit=1").json()
        (strongest,) = explanation["supporting"]
        page = client.get("/r/colours/test/4")
        assert page.status_code == 200
        assert f"/train/{strongest['index']}" in page.text
        found = client.get(f"/api/v1/runs/colours/pairs/4/{strongest['index']}/relevance")
        maps = np.load(io.BytesIO(found.content))
        assert maps["test"].sum() == pytest.approx(strongest["attribution"], rel=1e-3)
        assert maps["train"].sum() == pytest.approx(strongest["attribution"], rel=1e-3)


def test_run_of_preset_is_served_without_other_libraries(run_path: Path) -> None:
    program = """
        import sys
        from xda.explanation.run import Explainer

        with Explainer.open(sys.argv[1], device="cpu") as explainer:
            explainer.relevance(3, [explainer.explain(3, limit=1).supporting[0].index]).result(60)
        found = {"torchvision", "timm"} & sys.modules.keys()
        assert not found, found
        """
    command = [sys.executable, "-c", textwrap.dedent(program), str(run_path)]
    subprocess.run(command, check=True, timeout=120, cwd=Path(__file__).parents[2])
