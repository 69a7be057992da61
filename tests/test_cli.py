"""The command line as a person uses it: what it prints, and one line with exit status 2 for every mistake."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.services.foreign import write_tree
from xda.cli import main
from xda.services.explorer import Explainer
from xda.vision.checkpoints import save_weights
from xda.vision.networks import NetworkSpec, build_network


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_info_for_people_and_for_machines(capsys: pytest.CaptureFixture[str], run_path: Path) -> None:
    status, out, _ = run(capsys, "info", run_path)
    assert status == 0
    assert "600 training and 120 test images" in out
    assert "C = 0.0001" in out
    status, out, _ = run(capsys, "info", run_path, "--json")
    assert json.loads(out)["id"] == "digits"


def test_explain_prints_what_the_explorer_says(
    capsys: pytest.CaptureFixture[str], run_path: Path, explainer: Explainer
) -> None:
    status, out, _ = run(capsys, "explain", run_path, "--test", 3, "--json", "--limit", 2, "--device", "cpu")
    document = json.loads(out)
    expected = explainer.explain(3, limit=2)
    assert status == 0
    assert document["surrogate_logit"] == expected.surrogate_logit
    assert document["supporting"][0]["index"] == expected.supporting[0].index
    assert len(document["opposing"]) == 2
    assert document["test"]["label"] == 3
    status, out, _ = run(capsys, "explain", run_path, "--test", 3, "--target", 5, "--against", 2, "--device", "cpu")
    assert status == 0
    assert "Why '5' and not '2'" in out


def test_explain_writes_a_picture(capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path) -> None:
    from PIL import Image

    status, _, err = run(capsys, "explain", run_path, "--test", 3, "--png", tmp_path / "x.png", "--device", "cpu")
    assert (status, err) == (0, "")
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_verify_ends_with_zero_only_if_all_holds(
    capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path
) -> None:
    import shutil

    status, out, _ = run(capsys, "verify", run_path, "--device", "cpu")
    assert status == 0
    assert len(re.findall(r"^ok  ", out, re.M)) == 6
    broken = Path(shutil.copytree(run_path, tmp_path / "broken"))
    (broken / "train" / "images.bin").write_bytes(b"")
    status, out, err = run(capsys, "verify", broken, "--device", "cpu")
    assert status == 2
    assert "train/images.bin" in out + err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["info", "{tmp}/none"], "none"),
        (["verify", "{tmp}"], "manifest.json"),
        (["explain", "{run}", "--test", "120", "--device", "cpu"], "0 to 119"),
        (["explain", "{run}", "--test", "-1", "--device", "cpu"], "test image -1"),
        (["explain", "{run}", "--test", "x"], "invalid int value"),
        (["explain", "{run}", "--test", "1", "--c", "7", "--device", "cpu"], "it has C ="),
        (["explain", "{run}", "--test", "1", "--png", "{tmp}/no/such/x.png", "--device", "cpu"], "x.png"),
        (["build", "{tmp}/none.toml", "--out", "{tmp}/x"], "none.toml"),
        (["train", "no-such-preset", "--home", "{tmp}"], "no-such-preset"),
        (["data", "no-such-data", "--home", "{tmp}"], "no-such-data"),
        (["serve", "{tmp}/none"], "none"),
        (["serve", "{run}", "--port", "99999"], "--port"),
        (["serve", "{run}", "--workers", "0"], "--workers"),
        (["nonsense"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_every_mistake_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    status, out, err = run(capsys, *(part.format(run=run_path, tmp=tmp_path) for part in arguments))
    assert status == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2, err


@pytest.mark.parametrize("more", [[], ["--check"]])
def test_a_run_of_another_id_is_never_built_over(
    capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path, more: list[str]
) -> None:
    config = tmp_path / "other.toml"
    config.write_text(
        '[run]\nid = "other"\ntitle = "Other"\n[data]\ntrain = "no-such"\ntest = "no-such"\n'
        '[network]\ntorchvision = "resnet18"\ncheckpoint = "no-such.pt"\n'
    )
    status, _, err = run(capsys, "build", config, "--out", run_path, "--home", tmp_path, *more)
    assert status == 2
    assert "holds another run, 'digits', and this one is 'other'" in err, "said before the images are looked for"


def test_the_demo_serves_in_a_fresh_process_what_it_has_just_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os

    from xda.services import demo

    started: list[list[str]] = []
    monkeypatch.setattr(demo, "demo_run", lambda settings, progress: (settings.runs_dir / "mnist-cnn", True))

    def replace_process(program: str, command: list[str]) -> None:
        started.append(command[1:])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", replace_process)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        arguments = ["demo", "--home", str(tmp_path), "--port", str(probe.getsockname()[1])]
    with pytest.raises(SystemExit):
        main(arguments)
    assert started == [["-P", "-m", "xda", *arguments]]


def test_a_port_in_use_is_said_before_anything_is_built(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = run(capsys, "demo", "--home", tmp_path, "--port", port)
    assert status == 2
    assert str(port) in err
    assert list(tmp_path.iterdir()) == []


def test_a_bad_setting_in_the_environment_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDA_QUEUE_SIZE", "many")
    status, _, err = run(capsys, "data", "mnist")
    assert status == 2
    assert "XDA_QUEUE_SIZE" in err


def test_a_build_needs_a_folder_unless_it_is_only_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_tree(tmp_path / "images")
    config = tmp_path / "build.toml"
    config.write_text(
        '[run]\nid = "colours"\ntitle = "Colours"\n[data]\ntrain = "images/train"\ntest = "images/test"\n'
        f'[network]\npreset = "mnist-cnn"\ncheckpoint = "{tmp_path / "cnn.safetensors"}"\n'
    )
    status, out, err = run(capsys, "build", config, "--home", tmp_path / "home")
    assert (status, out) == (2, "")
    assert "--out RUN is needed" in err
    status, out, err = run(capsys, "build", config, "--check", "--home", tmp_path / "home", "--device", "cpu")
    assert (status, out) == (2, "")
    assert "cnn.safetensors does not exist" in err
    save_weights(build_network(NetworkSpec("mnist-cnn", 3)), tmp_path / "cnn.safetensors")
    status, out, _ = run(capsys, "build", config, "--check", "--home", tmp_path / "home", "--device", "cpu")
    assert status == 0
    assert "Colours: 45 training and 12 test images" in out
    assert "preset mnist-cnn" in out
    for file in (tmp_path / "images" / "train" / "red").iterdir():
        file.unlink()
    status, out, err = run(capsys, "build", config, "--check", "--home", tmp_path / "home", "--device", "cpu")
    assert status == 2
    assert "class 'red' has no training image" in err
