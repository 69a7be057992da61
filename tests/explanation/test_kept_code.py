"""The source of a factory's module in a run: which files the run keeps, and when they are imported."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.build.foreign import FACTORY, make_config, make_dataset, write_tree
from tests.explanation.hostile import adopt, forge
from xda.build.pipeline import build_run
from xda.build.verify import verify_run
from xda.cli import main
from xda.errors import ConfigError, RunError
from xda.explanation.run import Explainer
from xda.networks.kept_code import MOST_BYTES, collect
from xda.storage.run.folder import RunFolder

OWN = {"mode": "RGB", "size": [24, 24], "mean": [0.5] * 3, "std": [0.25] * 3}
PACKAGE = {
    "__init__.py": "",
    "models.py": "from kept_networks.parts import layers\nfrom .deeper.still import late\n\n"
    "def network(n_classes):\n    from kept_networks import parts\n    return late(parts.layers(n_classes))\n",
    "parts.py": FACTORY.replace("def network(", "def layers("),
    "deeper/still.py": "def late(made):\n    return made\n",
}


@pytest.fixture(scope="module")
def package_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that keeps a package; nobody may change it."""
    folder = tmp_path_factory.mktemp("kept")
    for name, content in PACKAGE.items():
        path = folder / "kept_networks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (folder / "kept_networks" / "data.bin").write_bytes(b"data")
    (folder / "kept_networks" / "not-importable.py").write_text("x")
    (folder / "kept_networks" / "linked.py").symlink_to("/etc/hostname")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        config = make_config({"factory": "kept_networks.models:network", "keep_code": True}, **OWN)
        build_run(config, make_dataset(), folder / "run", device="cpu")
    for name in [name for name in sys.modules if name.startswith("kept_networks")]:
        del sys.modules[name]
    return folder / "run"


@pytest.fixture(autouse=True)
def _nothing_stays_imported() -> Iterator[None]:
    yield
    assert not [name for name in sys.modules if name.startswith("kept_networks")]


def test_build_with_keep_code_lists_each_file_with_its_hash(package_run: Path) -> None:
    run = RunFolder.open(package_run)
    kept = {name: entry for name, entry in run.manifest.files.items() if name.startswith("code/")}
    assert kept.keys() == {f"code/kept_networks/{name}" for name in PACKAGE}
    for name, content in PACKAGE.items():
        entry = kept[f"code/kept_networks/{name}"]
        assert entry.sha256 == hashlib.sha256(content.encode()).hexdigest()
    assert "keep_code" not in run.manifest.to_bytes().decode()


def test_open_kept_code_needs_its_module_allowed(package_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for allowed in ([], ["kept_network"], ["kept_networks.parts"]):
        with Explainer.open(package_run, device="cpu", allow_factory=allowed) as explainer:
            assert "code that came with the run" in explainer.no_heatmaps
            assert "--allow-factory kept_networks.models" in explainer.no_heatmaps
    with Explainer.open(package_run, device="cpu", allow_factory=["kept_networks"]) as explainer:
        assert explainer.no_heatmaps == ""
        assert explainer.own_relevance(4).result(60)[0].test.shape == (24, 24)
    assert all(each.passed for each in verify_run(package_run, device="cpu", allow_factory=["kept_networks"]))
    assert main(["info", str(package_run)]) == 0
    assert "the source of 'kept_networks.models:network' is in the run: 4 files" in capsys.readouterr().out


def test_open_prefers_installed_module_to_kept_code(
    package_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept_networks.py").write_text("raise OSError('mine')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with Explainer.open(package_run, device="cpu", allow_factory=["kept_networks"]) as explainer:
        assert "OSError: mine" in explainer.no_heatmaps


def test_open_two_runs_with_equal_module_names_keeps_each_own(package_run: Path, tmp_path: Path) -> None:
    other = forge(package_run, tmp_path / "other")
    path = other / "code" / "kept_networks" / "deeper" / "still.py"
    path.write_text("def late(made):\n    raise OSError('the other')\n")
    adopt(other, "code/kept_networks/deeper/still.py")
    for run, words in ((package_run, ""), (other, "OSError: the other"), (package_run, "")):
        with Explainer.open(run, device="cpu", allow_factory=["kept_networks"]) as explainer:
            assert words in explainer.no_heatmaps
            assert bool(words) == bool(explainer.no_heatmaps)


def test_open_changed_kept_code_is_refused(package_run: Path, tmp_path: Path) -> None:
    changed = forge(package_run, tmp_path / "changed")
    (changed / "code" / "kept_networks" / "__init__.py").write_text("import os")
    with pytest.raises(RunError, match=r"code/kept_networks/__init__\.py has 9 bytes, but the manifest says 0"):
        Explainer.open(changed, device="cpu", allow_factory=["kept_networks"])


def test_open_kept_code_of_another_name_is_not_found(package_run: Path, tmp_path: Path) -> None:
    def change(document: dict[str, dict[str, object]]) -> None:
        files = document["files"]
        files["code/json.py"] = files.pop("code/kept_networks/deeper/still.py")

    forged = forge(package_run, tmp_path / "forged", change)
    (forged / "code" / "kept_networks" / "deeper" / "still.py").rename(forged / "code" / "json.py")
    with Explainer.open(forged, device="cpu", allow_factory=["kept_networks", "json"]) as explainer:
        assert "No module named 'kept_networks.deeper'" in explainer.no_heatmaps


def test_build_with_keep_code_prints_command_without_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "project"
    write_tree(folder / "images")
    (folder / "travelling_networks.py").write_text(FACTORY)
    config = folder / "own.toml"
    config.write_text(
        '[run]\nid = "own"\n[data]\ntrain = "images/train"\ntest = "images/test"\n[surrogate]\nc = [1e-2]\n'
        '[network]\nfactory = "travelling_networks:network"\nkeep_code = true\n[network.preprocessing]\nmode = "RGB"\n'
        "size = [24, 24]\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"
    )
    out = tmp_path / "run"
    assert main(["build", str(config), "--out", str(out), "--home", str(tmp_path), "--device", "cpu"]) == 0
    assert f"`xda serve {out} --allow-factory travelling_networks`" in capsys.readouterr().out
    sys.path.pop()
    sys.modules.pop("travelling_networks")
    assert main(["verify", str(out), "--device", "cpu", "--allow-factory", "travelling_networks"]) == 0


def test_collect_foreign_or_large_module_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch  # noqa: F401

    with pytest.raises(ConfigError, match="'torch': it is not your own module or package"):
        collect("torch.nn:Linear")
    (tmp_path / "large_networks.py").write_text("#" * (MOST_BYTES + 1))
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("large_networks")
    with pytest.raises(ConfigError, match=r"'large_networks': .*all its files may have 4 MiB"):
        collect("large_networks:network")
    sys.modules.pop("large_networks")
