"""The command line: its output, and one line with exit status 2 for every error."""

from __future__ import annotations

import json
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest

import xda
from tests.build.foreign import FACTORY, write_tree
from xda.attribution.ranking import RANKS, VALUE_NAMES, Rank
from xda.cli import main
from xda.explanation.gallery import GalleryFilter
from xda.explanation.run import Explainer
from xda.networks.checkpoints import save_weights
from xda.networks.spec import NetworkSpec, build_network


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"xda {xda.__version__}\n", "")


def test_info_prints_text_or_json(capsys: pytest.CaptureFixture[str], run_path: Path) -> None:
    status, out, _ = run(capsys, "info", run_path)
    assert status == 0
    assert "600 training and 120 test images" in out
    assert "C = 0.0001" in out
    assert "classes: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9\n" in out
    assert f"`xda verify {run_path}` checks their content" in out
    status, out, _ = run(capsys, "info", run_path, "--json")
    assert json.loads(out)["id"] == "digits"


def test_explain_prints_numbers_of_the_explorer(
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
    assert "Why 5 and not 2?" in out
    assert "network 3 (" in out
    assert "Source: test[3]" in out
    assert (
        out
        == run(capsys, "explain", run_path, "--test", "test[3]", *("--target", 5, "--against", 2), "--device", "cpu")[1]
    )
    assert "The surrogate agrees with the network here; over all test images they agree on" in out


@pytest.mark.parametrize("rank", RANKS)
def test_explain_ranks_as_the_explorer(
    capsys: pytest.CaptureFixture[str], run_path: Path, explainer: Explainer, rank: Rank
) -> None:
    asked = ("explain", run_path, "--test", 3, "--rank", rank, "--limit", 2, "--device", "cpu")
    told = json.loads(run(capsys, *asked, "--json")[1])
    expected = explainer.explain(3, limit=2, rank=rank)
    assert told["rank"] == rank
    assert [part["index"] for part in told["supporting"]] == [part.index for part in expected.supporting]
    assert told["sum_opposing"] == pytest.approx(expected.sum_opposing, rel=1e-6)
    _, out, _ = run(capsys, *asked)
    assert f"{getattr(expected.opposing[0], VALUE_NAMES[rank]):+12.5g}  training image" in out
    assert ("an estimate" in out) == (rank == "removal")
    assert ("of the average image" in out) == (rank == "image")


def test_explain_draws_another_ranking(capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path) -> None:
    asked = ("explain", run_path, "--test", 3, "--rank", "image", "--device", "cpu")
    strongest = json.loads(run(capsys, *asked, "--json")[1])["supporting"][0]["index"]
    svg = tmp_path / "x.svg"
    for more in ((), ("--train", strongest)):
        assert run(capsys, *asked, *more, "--svg", svg) == (0, f"{svg} is written.\n", "")
        assert "sets this image apart" in " ".join(re.findall(r">([^<]*)</text>", svg.read_text()))


def test_explain_says_when_surrogate_disagrees_with_network(
    capsys: pytest.CaptureFixture[str], run_path: Path, explainer: Explainer
) -> None:
    page = explainer.gallery(GalleryFilter(disagrees=True), c=1e-4)
    test = page.items[0].index
    told = explainer.explain(test, c=1e-4).test
    _, out, _ = run(capsys, "explain", run_path, "--test", test, "--c", "1e-4", "--device", "cpu")
    assert "The surrogate does NOT agree with the network here" in out
    assert f"or ask why {told.surrogate_predicted};" in out
    other = ("--target", told.surrogate_predicted, "--device", "cpu")
    _, out, _ = run(capsys, "explain", run_path, "--test", test, "--c", "1e-4", *other)
    assert "Try another C; over all" in out


def test_explain_accepts_class_names(capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path) -> None:
    named = tmp_path / "named"
    shutil.copytree(run_path, named)
    manifest = json.loads((named / "manifest.json").read_text())
    manifest["classes"] = ["nought", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    (named / "manifest.json").write_text(json.dumps(manifest))
    asked = ("explain", named, "--test", 3, "--device", "cpu")
    _, out, _ = run(capsys, *asked, "--target", "five", "--against", "2")
    assert "Why five and not two?" in out
    status, _, err = run(capsys, *asked, "--target", "fife")
    assert (status, err) == (2, "xda: No class is called 'fife'; did you mean 'five'?\n")
    assert "classes: 0 nought, 1 one, " in run(capsys, "info", named)[1]


def test_explain_writes_a_picture(capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path) -> None:
    from PIL import Image

    status, _, err = run(capsys, "explain", run_path, "--test", 3, "--png", tmp_path / "x.png", "--device", "cpu")
    assert (status, err) == (0, "")
    with Image.open(tmp_path / "x.png") as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_explain_writes_figures_of_explanation_and_pair(
    capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path
) -> None:
    for kind, start in (("svg", b"<svg"), ("pdf", b"%PDF-")):
        for more in ((), ("--train", 5)):
            path = tmp_path / f"{len(more)}.{kind}"
            asked = ("explain", run_path, "--test", 3, *more, f"--{kind}", path, "--device", "cpu")
            assert run(capsys, *asked) == (0, f"{path} is written.\n", "")
            assert path.read_bytes().startswith(start)
    assert "Test image 3 and training image 5" in (tmp_path / "2.svg").read_text()
    assert "Test image 3:" in (tmp_path / "0.svg").read_text()


def test_verify_exits_zero_only_if_all_checks_pass(
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
        (
            ["explain", "{run}", "--test", "x", "--device", "cpu"],
            "comes from 'x'; an example is test[0]",
        ),
        (["explain", "{run}", "--test", "1", "--c", "7", "--device", "cpu"], "it has C ="),
        (["explain", "{tmp}/none", "--test", "1", "--png", "{tmp}/no/such/x.png"], "no/such does not exist"),
        (["explain", "{tmp}/none", "--test", "1", "--png", "{tmp}/x.jpg"], "ends in .png"),
        (["explain", "{tmp}/none", "--test", "1", "--png", "{tmp}"], "ends in .png"),
        (["explain", "{tmp}/none", "--test", "1", "--pdf", "{tmp}/x.png"], "ends in .pdf"),
        (["explain", "{tmp}/none", "--test", "1", "--train", "2"], "with --png, --svg or --pdf"),
        (["explain", "{run}", "--test", "1", "--train", "600", "--svg", "{tmp}/x.svg", "--device", "cpu"], "0 to 599"),
        (["build", "{tmp}/none.toml", "--out", "{tmp}/x"], "none.toml"),
        (["train", "no-such-preset", "--home", "{tmp}"], "no-such-preset"),
        (["data", "no-such-data", "--home", "{tmp}"], "no-such-data"),
        (["serve", "{tmp}/none", "--port", "0"], "none"),
        (["serve", "{run}", "--port", "99999"], "--port"),
        (["serve", "{run}", "--port", "0", "--workers", "0"], "--workers"),
        (["nonsense"], "invalid choice"),
        ([], "COMMAND"),
    ],
)
def test_cli_error_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], run_path: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    status, out, err = run(capsys, *(part.format(run=run_path, tmp=tmp_path) for part in arguments))
    assert status == 2
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1, err


@pytest.mark.parametrize("more", [[], ["--check"]])
def test_build_over_run_of_another_id_is_refused(
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


def test_factory_beside_configuration_is_found_by_build_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "my folder"
    write_tree(folder / "images")
    (folder / "networks_beside.py").write_text(FACTORY)
    config = folder / "own.toml"
    config.write_text(
        '[run]\nid = "own"\n[data]\ntrain = "images/train"\ntest = "images/test"\n[surrogate]\nc = [1e-2]\n'
        '[network]\nfactory = "networks_beside:network"\n[network.preprocessing]\nmode = "RGB"\nsize = [24, 24]\n'
        "mean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"
    )
    home = ("--home", tmp_path / "home", "--device", "cpu")
    assert run(capsys, "build", config, "--check", *home)[0] == 0
    sys.path.pop()
    sys.modules.pop("networks_beside")
    status, out, _ = run(capsys, "build", config, "--out", tmp_path / "run", *home)
    assert status == 0
    assert f"`PYTHONPATH='{folder}' xda serve {tmp_path / 'run'} --allow-factory networks_beside`" in out
    assert str(folder) not in (tmp_path / "run" / "manifest.json").read_text()
    sys.path.pop()
    sys.modules.pop("networks_beside")
    allow = ("--device", "cpu", "--allow-factory", "networks_beside")
    status, _, err = run(capsys, "verify", tmp_path / "run", *allow)
    assert status == 2
    assert "needs the Python module 'networks_beside'" in err
    assert "PYTHONPATH" in err
    assert run(capsys, "explain", tmp_path / "run", "--test", 0, *allow)[0] == 0
    status, _, err = run(capsys, "explain", tmp_path / "run", "--test", 0, "--allow-factory", "net-works")
    assert (status, "XDA_ALLOW_FACTORY" in err) == (2, True)


def test_demo_serves_its_run_in_a_fresh_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    from xda.build import demo

    started: list[list[str]] = []
    monkeypatch.setattr(demo, "demo_run", lambda settings, progress, name: (settings.runs_dir / "mnist-cnn", True))

    def replace_process(program: str, command: list[str]) -> None:
        started.append(command[1:])
        raise SystemExit(0)

    monkeypatch.setattr(os, "execv", replace_process)
    arguments = ["demo", "--home", str(tmp_path), "--port", "0"]
    with pytest.raises(SystemExit):
        main(arguments)
    assert started == [["-P", "-m", "xda", *arguments]]


def test_demo_port_in_use_is_refused_before_the_build(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, _, err = run(capsys, "demo", "--home", tmp_path, "--port", port)
    assert status == 2
    assert str(port) in err
    assert list(tmp_path.iterdir()) == []


def test_cli_bad_setting_in_environment_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDA_QUEUE_SIZE", "many")
    status, _, err = run(capsys, "data", "mnist")
    assert status == 2
    assert "XDA_QUEUE_SIZE" in err


def test_build_too_large_image_is_reported_without_pillow_warning(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from PIL import Image

    write_tree(tmp_path / "images")
    Image.new("1", (10_000, 9_000)).save(tmp_path / "images" / "train" / "red" / "big.png")
    save_weights(build_network(NetworkSpec("mnist-cnn", 3)), tmp_path / "cnn.safetensors")
    (tmp_path / "build.toml").write_text(
        '[run]\nid = "colours"\n[data]\ntrain = "images/train"\ntest = "images/test"\n'
        '[network]\npreset = "mnist-cnn"\ncheckpoint = "cnn.safetensors"\n'
    )
    status, _, err = run(capsys, "build", tmp_path / "build.toml", "--check", "--home", tmp_path / "home")
    assert status == 2
    assert "big.png: it has 10000 x 9000 pixels, more than 89 million" in err


def test_build_without_out_needs_check(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_tree(tmp_path / "images")
    config = tmp_path / "build.toml"
    config.write_text(
        '[run]\nid = "colours"\ntitle = "Colours"\n[data]\ntrain = "images/train"\ntest = "images/test"\n'
        f'[network]\npreset = "mnist-cnn"\ncheckpoint = "{tmp_path / "cnn.safetensors"}"\n'
    )
    status, out, err = run(capsys, "build", config, "--home", tmp_path / "home")
    assert (status, out) == (2, "")
    assert "with --out RUN" in err
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


@pytest.mark.parametrize(
    ("service", "arguments", "goes_on"),
    [("verify.verify_run", ["verify", "x"], False), ("demo.train_preset", ["train", "mnist-cnn"], True)],
)
def test_cli_interrupt_promises_continuation_only_where_kept(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    service: str,
    arguments: list[str],
    goes_on: bool,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"xda.build.{service}", stop)
    status, _, err = run(capsys, *arguments)
    assert status == 130
    assert err.endswith(
        "xda: stopped; the same command continues where it stopped.\n" if goes_on else "xda: stopped.\n"
    )
