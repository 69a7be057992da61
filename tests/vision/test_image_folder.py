"""Tests of xda.vision.image_folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.vision.conftest import CPU, make_split
from xda.errors import DataError
from xda.progress import silent
from xda.vision.features import extract
from xda.vision.image_folder import class_names, load_split
from xda.vision.networks import NetworkSpec, build_network, get_preset


def write_tree(folder: Path, classes: dict[str, int]) -> None:
    for number, (name, n) in enumerate(classes.items()):
        (folder / name / "deeper").mkdir(parents=True)
        split = make_split(n, number, size=(32, 32, 3))
        for i in range(n):
            place = folder / name if i else folder / name / "deeper"
            (place / f"{i}.{'png' if i % 2 else 'PNG'}").write_bytes(split.encoded(i))
    (folder / "README.txt").write_text("not an image")
    (folder / next(iter(classes)) / "notes.txt").write_text("not an image")


def test_labels_are_the_places_of_the_class_folders(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 3, "cat": 2})
    assert class_names(tmp_path) == ("cat", "dog")
    split = load_split(tmp_path, ("cat", "dog"))
    assert split.labels.tolist() == [0, 0, 1, 1, 1]
    assert split.encoded(1) == (tmp_path / "cat" / "deeper" / "0.PNG").read_bytes()
    assert load_split(tmp_path, ("bird", "cat", "dog")).labels.tolist() == [1, 1, 2, 2, 2]


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
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


def test_features_of_files_are_extracted(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 3, "cat": 2})
    network = build_network(NetworkSpec("cifar10-resnet18", 2))
    preprocessing = get_preset("cifar10-resnet18").preprocessing
    split = load_split(tmp_path, ("cat", "dog"))
    features, logits = extract(network, preprocessing, split, device=CPU, progress=silent)
    assert features.shape == (5, 512)
    assert np.isfinite(logits).all()


def test_what_is_no_such_tree_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least two classes"):
        class_names(tmp_path / "absent")
    (tmp_path / "cat").mkdir()
    (tmp_path / "dog").mkdir()
    with pytest.raises(DataError, match="no image files"):
        load_split(tmp_path, ("cat", "dog"))
    with pytest.raises(DataError, match="'dog' for which the training images have no class"):
        load_split(tmp_path, ("bird", "cat"))


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    write_tree(tmp_path, {"dog": 3, "cat": 2})
    split = load_split(tmp_path, ("cat", "dog"))
    (tmp_path / "dog" / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png cannot be read"):
        list(split.all_encoded())
