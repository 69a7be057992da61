"""Tests of xda.data.image_folders."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bars import CPU, extract, make_split
from tests.data.image_files import BAD, GOOD
from xda.data.dataset import LeftOut, by_reason, refuse_bad
from xda.data.image_folders import FileSource, class_names, load_files, load_split
from xda.data.regular_files import MOST_BYTES
from xda.errors import DataError
from xda.networks.presets import get_preset
from xda.networks.spec import NetworkSpec, build_network
from xda.progress import silent


def write_tree(folder: Path, classes: dict[str, int]) -> None:
    for number, (name, n) in enumerate(classes.items()):
        (folder / name / "deeper").mkdir(parents=True)
        split = make_split(n, number, size=(32, 32, 3))
        for i in range(n):
            place = folder / name if i else folder / name / "deeper"
            (place / f"{i}.{'png' if i % 2 else 'PNG'}").write_bytes(split.encoded(i))
    (folder / "README.txt").write_text("not an image")
    (folder / next(iter(classes)) / "notes.txt").write_text("not an image")


def test_load_split_labels_are_positions_of_class_folders(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 3, "cat": 2})
    assert class_names(tmp_path) == ("cat", "dog")
    split = load_split(tmp_path, ("cat", "dog"))
    assert split.labels.tolist() == [0, 0, 1, 1, 1]
    assert split.encoded(1) == (tmp_path / "cat" / "deeper" / "0.PNG").read_bytes()
    assert load_split(tmp_path, ("bird", "cat", "dog")).labels.tolist() == [1, 1, 2, 2, 2]


def test_load_split_fingerprint_depends_on_content_alone(tmp_path: Path) -> None:
    prints = set()
    write_tree(tmp_path / "a", {"dog": 3, "cat": 2})
    write_tree(tmp_path / "b", {"dog": 3, "cat": 2})
    for folder in ("a", "b"):
        prints.add(load_split(tmp_path / folder, ("cat", "dog")).fingerprint)
    assert len(prints) == 1
    path = tmp_path / "b" / "cat" / "1.png"
    path.write_bytes(path.read_bytes()[:-1])
    prints.add(load_split(tmp_path / "b", ("cat", "dog")).fingerprint)
    assert len(prints) == 2


def test_extract_of_image_files_gives_finite_features(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 3, "cat": 2})
    network = build_network(NetworkSpec("cifar10-resnet18", 2))
    preprocessing = get_preset("cifar10-resnet18").preprocessing
    split = load_split(tmp_path, ("cat", "dog"))
    features, logits = extract(network, preprocessing, split, device=CPU, progress=silent)
    assert features.shape == (5, 512)
    assert np.isfinite(logits).all()


def test_load_split_of_another_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent does not exist; name a folder"):
        class_names(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is a file"):
        class_names(tmp_path / "file")
    (tmp_path / ".one" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"one holds only the folder 'cat'; .* at least two classes"):
        class_names(tmp_path / ".one")
    with pytest.raises(DataError, match="cat holds no folder;"):
        class_names(tmp_path / ".one" / "cat")
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="no image files"):
        load_split(tmp_path, ("cat", "dog"))
    with pytest.raises(DataError, match="'dog' for which the training images have no class"):
        load_split(tmp_path, ("bird", "cat"))


def test_encoded_image_of_a_vanished_file_names_it(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 3, "cat": 2})
    split = load_split(tmp_path, ("cat", "dog"))
    (tmp_path / "dog" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png cannot be read"):
        list(split.all_encoded())


def test_load_split_with_bad_images_leaves_them_out_and_names_the_reason(tmp_path: Path) -> None:
    for name, make in GOOD.items():
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / name).write_bytes(make())
    for name, (spoilt, _) in BAD.items():
        (tmp_path / "dog").mkdir(exist_ok=True)
        (tmp_path / "dog" / name).write_bytes(spoilt())
    (tmp_path / "dog" / "good.png").write_bytes(GOOD["grey.png"]())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        split = load_split(tmp_path, ("cat", "dog"))
    assert split.labels.tolist() == [0] * len(GOOD) + [1]
    assert len(list(split.all_encoded())) == len(GOOD) + 1
    assert {Path(each.name).name for each in split.left_out} == set(BAD)
    for each in split.left_out:
        assert BAD[Path(each.name).name][1] in each.reason
    with pytest.raises(DataError, match=rf"^{len(BAD)} images cannot be used") as caught:
        refuse_bad(split.left_out, 1)
    assert all(str(tmp_path / "dog" / name) in str(caught.value) for name in BAD)


def test_report_of_very_many_bad_images_is_bounded_and_counts_them() -> None:
    reasons = [f"it is damaged in the way {chr(97 + k % 26)}{chr(97 + k // 26)}" for k in range(300)]
    with pytest.raises(DataError) as caught:
        refuse_bad([LeftOut(f"{k}.png", reasons[k % 300]) for k in range(900)], 1)
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[0].startswith("900 images cannot be used")
    assert lines[-1].strip() == "and 880 more"


def test_report_of_images_with_one_reason_is_one_line_with_a_count() -> None:
    bad = [LeftOut(f"{k}.png", f"its values go from -{k}.5 to {k} instead of 0 to 1") for k in range(12_345)]
    bad[1] = LeftOut("1.png", "it is damaged")
    with pytest.raises(DataError) as caught:
        refuse_bad(bad, 7)
    _, *listed = (line.strip() for line in str(caught.value).splitlines())
    assert listed == [
        "12,344 images: its values go from -0.5 to 0 instead of 0 to 1 (0.png, 2.png, 3.png and 12,341 more)",
        "1.png: it is damaged",
    ]
    assert by_reason([("a", "x"), ("b", "x"), ("c", "x")]) == ["a: x", "b: x", "c: x"]
    refuse_bad([], 7)


def test_report_does_not_advise_to_leave_out_all_images() -> None:
    with pytest.raises(DataError, match=r"^No image of the data set can be used:") as caught:
        refuse_bad([LeftOut(f"{k}.png", "it is damaged") for k in range(160)], 0)
    assert "--skip-bad" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2


def test_load_split_order_is_that_of_torchvisions_image_folder(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    for place in ("b/9.png", "b/10.png", "b/z/1.png", "b/a b/1.PNG", "a/b/c/d.jpg", "a/b-c/d.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(GOOD["grey.png"]())
    split = load_split(tmp_path, ("a", "b"))
    assert isinstance(split.source, FileSource)
    assert list(zip(split.source.paths, split.labels.tolist(), strict=True)) == ImageFolder(tmp_path).samples


def test_load_split_follows_links_once_and_passes_over_hidden_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    write_tree(tree, {"dog": 2, "cat": 2})
    elsewhere.mkdir()
    (elsewhere / "linked.png").write_bytes(GOOD["grey.png"]())
    (tree / "cat" / "link").symlink_to(elsewhere)
    (tree / "cat" / "loop").symlink_to(tree / "cat")
    (tree / "cat" / "._0.png").write_bytes(b"AppleDouble")
    (tree / ".ipynb_checkpoints").mkdir()
    split = load_split(tree, class_names(tree), follow_links=True)
    assert isinstance(split.source, FileSource)
    assert sum("linked" in path for path in split.source.paths) == 1
    assert len(split) == 5
    assert split.left_out == ()
    assert "passed over 1 file(s) without the suffix of an image" in caplog.text


def test_load_split_twice_reads_each_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tree(tmp_path / "tree", {"dog": 2, "cat": 2})
    for path in (tmp_path / "tree").rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    kept = tmp_path / "kept.parquet"
    first = load_split(tmp_path / "tree", ("cat", "dog"), kept=kept)
    monkeypatch.setattr("xda.data.image_folders.read_regular", lambda path: pytest.fail(f"{path} is read again"))
    again = load_split(tmp_path / "tree", ("cat", "dog"), kept=kept)
    assert again.fingerprint == first.fingerprint
    assert again.labels.tolist() == first.labels.tolist()


def test_class_names_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    with pytest.raises(DataError, match="not UTF-8"):
        class_names(tmp_path)


def test_load_files_with_a_bad_image_leaves_it_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(GOOD["grey.png"]())
    (tmp_path / "b.png").write_bytes(b"")
    split = load_files([str(tmp_path / "b.png"), str(tmp_path / "a.png")], [1, 0])
    assert split.labels.tolist() == [0]
    assert [Path(each.name).name for each in split.left_out] == ["b.png"]


@pytest.mark.slow
def test_load_split_with_pipes_and_devices_leaves_them_out(tmp_path: Path) -> None:
    """A pipe would block, a device never end; 1 GiB of memory must be enough."""
    write_tree(tmp_path, {"dog": 2, "cat": 2})
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "zero.png").symlink_to("/dev/zero")
    with (tmp_path / "dog" / "sparse.png").open("wb") as sparse:
        sparse.truncate(MOST_BYTES + 1)
    code = (
        "import pathlib, resource, sys\n"
        "from xda.data.image_folders import load_split\n"
        "now = resource.getpagesize() * int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 2**30,) * 2)\n"
        "split = load_split(pathlib.Path(sys.argv[1]), ('cat', 'dog'), follow_links=True)\n"
        "print(len(split)); [print(each.name, each.reason) for each in split.left_out]"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == [
        "4",
        f"{tmp_path}/cat/pipe.png it cannot be read: it is not a plain file",
        f"{tmp_path}/cat/zero.png it cannot be read: it is not a plain file",
        f"{tmp_path}/dog/sparse.png it cannot be read: it has more than {MOST_BYTES:,} bytes",
    ]


def test_load_split_follows_links_inside_and_leaves_out_those_that_lead_out(tmp_path: Path) -> None:
    tree, elsewhere = tmp_path / "tree", tmp_path / "tree-elsewhere"
    write_tree(tree, {"dog": 2, "cat": 2})
    elsewhere.mkdir()
    (elsewhere / "private.png").write_bytes(GOOD["grey.png"]())
    (tree / "cat" / "out.png").symlink_to(elsewhere / "private.png")
    (tree / "cat" / "dangling.png").symlink_to(elsewhere / "absent.png")
    (tree / "cat" / "in.png").symlink_to(tree / "dog" / "1.png")
    split = load_split(tree, ("cat", "dog"))
    assert split.labels.tolist() == [0, 0, 0, 1, 1]
    assert [Path(each.name).name for each in split.left_out] == ["dangling.png", "out.png"]
    assert all("leads out of the folder; set follow_links = true" in each.reason for each in split.left_out)
    assert len(load_split(tree, ("cat", "dog"), follow_links=True)) == 6
    (tree / "dog" / "folder").symlink_to(elsewhere)
    with pytest.raises(DataError, match=r"dog/folder is a link that leads out of .*follow_links = true"):
        load_split(tree, ("cat", "dog"))


def test_load_split_counts_images_that_torchvision_reads_otherwise(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 2, "cat": 2})
    (tmp_path / "cat" / "turned.jpg").write_bytes(GOOD["rotated.jpg"]())
    for path in tmp_path.rglob("*"):
        os.utime(path, (1_500_000_000, 1_500_000_000))
    for _ in range(2):
        found = load_split(tmp_path, ("cat", "dog"), kept=tmp_path / "kept.parquet").otherwise
        assert (found.count, found.names) == (1, (str(tmp_path / "cat" / "turned.jpg"),))


def test_load_split_origins_are_paths_relative_to_the_data_set(tmp_path: Path) -> None:
    write_tree(tmp_path / "set" / "a" / "train", {"dog": 2, "cat": 1})
    (tmp_path / "set" / "a" / "train" / "cat" / "bad.png").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "set" / "a" / "train")
    expected = ["cat/deeper/0.PNG", "dog/1.png", "dog/deeper/0.PNG"]
    folder = tmp_path / "set" / "a" / "train"
    for place in (folder, tmp_path / "link"):
        assert list(load_split(place, ("cat", "dog")).origins("train")) == [f"train/{each}" for each in expected]
    split = load_split(folder, ("cat", "dog"), base=tmp_path / "set")
    assert list(split.origins("train")) == [f"a/train/{each}" for each in expected]
    given = load_files([str(folder / "cat" / "deeper" / "0.PNG")], [0], base=tmp_path / "set")
    assert list(given.origins("train")) == ["a/train/cat/deeper/0.PNG"]
