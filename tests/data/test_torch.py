"""Tests of xda.data.torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.image_files import BAD, GOOD, HEIGHT, TOP, WIDTH, grey, halves
from xda.data.dataset import refuse_bad
from xda.data.decoding import BadImageError, decode
from xda.data.torch import encode, from_torch, load_factory_dataset
from xda.errors import ConfigError, DataError

pytestmark = pytest.mark.slow


class Listed(torch.utils.data.Dataset[tuple[Any, Any]]):
    """A data set over a list of items; an exception among them is raised."""

    def __init__(self, items: Sequence[Any], classes: Sequence[str] | None = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


def pixels(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    "image",
    [
        halves(),
        halves()[:, :, None],
        np.repeat(halves()[:, :, None], 3, axis=2),
        torch.from_numpy(halves()),
        torch.from_numpy(halves())[None],
        torch.from_numpy(halves())[None].repeat(3, 1, 1),
        torch.from_numpy(halves())[None] / 255,
        grey(),
        grey().convert("CMYK"),
        grey().convert("RGBA"),
        GOOD["sixteen-bit.png"](),
    ],
)
def test_encode_of_every_form_of_an_image_has_the_same_pixels(image: Any) -> None:
    decoded = np.asarray(decode(encode(image), "L"))
    np.testing.assert_array_equal(decoded, halves())


def test_from_torch_of_files_keeps_the_files_as_they_are(tmp_path: Path) -> None:
    data = GOOD["photo.jpg"]()
    (tmp_path / "a.jpg").write_bytes(data)
    assert encode(tmp_path / "a.jpg") == encode(str(tmp_path / "a.jpg")) == encode(data) == data
    with pytest.raises(BadImageError, match="cannot be read"):
        encode(tmp_path / "none.jpg")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (torch.randn(3, 8, 8), "instead of 0 to 1; if the data set normalises"),
        (torch.zeros(5, 8, 8, dtype=torch.uint8), "shape"),
        (torch.full((1, 8, 8), torch.nan), "nan"),
        (np.zeros((8, 8), dtype=np.int32), "int32"),
        (None, "NoneType"),
    ],
)
def test_from_torch_item_without_image_names_the_reason(image: Any, words: str) -> None:
    with pytest.raises(BadImageError) as caught:
        encode(image)
    assert words in caught.value.reason


def test_from_torch_accepts_labels_as_numbers_tensors_or_names() -> None:
    train = Listed([(halves(), 0), (halves(), torch.tensor(2)), [halves(), np.int64(1)], (halves(), "owl")])
    dataset = from_torch("x", "X", train, train, classes=["cat", "dog", "owl"])
    assert dataset.train.labels.tolist() == [0, 2, 1, 2]
    assert from_torch("x", "X", Listed([(halves(), 1), (halves(), 0)]), Listed([])).classes == ("0", "1")
    named = Listed([(halves(), "dog"), (halves(), "cat")])
    assert from_torch("x", "X", named, named).train.labels.tolist() == [1, 0]


def test_from_torch_with_classes_reordered_reorders_the_labels() -> None:
    train = Listed([(halves(), 0), (halves(), 1)])
    train.classes = ["cat", "dog"]
    plain, turned = (from_torch("x", "X", train, train, classes=names) for names in (None, ["dog", "cat"]))
    assert (turned.classes, turned.train.labels.tolist()) == (("dog", "cat"), [1, 0])
    assert turned.train.fingerprint != plain.train.fingerprint
    with pytest.raises(ConfigError, match="'cat' → 'dog', 'dog' → 'owl'"):
        from_torch("x", "X", train, train, classes=["dog", "owl"])


def test_from_torch_of_a_subset_keeps_the_class_names_of_the_data_set() -> None:
    whole = Listed([(halves(), 0), (halves(), 1)], classes=["cat", "dog"])
    subset = torch.utils.data.Subset(whole, [1])
    assert from_torch("x", "X", subset, subset).classes == ("cat", "dog")


@pytest.mark.parametrize("label", [-1, 2, "bird"])
def test_from_torch_with_an_unknown_label_names_it(label: Any) -> None:
    train = Listed([(halves(), 0), (halves(), 1)], classes=["cat", "dog"])
    with pytest.raises(DataError, match="test image 0 of the data set has the label"):
        from_torch("x", "X", train, Listed([(halves(), label)]))


@pytest.mark.parametrize("item", [{"image": 1}, 7, (1,)])
def test_from_torch_of_items_that_are_no_pairs_is_refused(item: Any) -> None:
    with pytest.raises(DataError, match=r"must be \(image, label\)"):
        from_torch("x", "X", Listed([item]), Listed([]))


def test_from_torch_with_a_label_of_another_kind_is_refused() -> None:
    with pytest.raises(DataError, match="The label of the train image 0 is a list"):
        from_torch("x", "X", Listed([(halves(), [1, 2])]), Listed([]))


def test_from_torch_with_bad_items_leaves_them_out_and_names_them(tmp_path: Path) -> None:
    path = tmp_path / "truncated.jpg"
    path.write_bytes(BAD["truncated.jpg"][0]())
    lazy = Image.open(io.BytesIO(BAD["truncated.jpg"][0]()))
    items = [(halves(), 0), OSError("disk on fire"), (path, 1), (b"", 1), (lazy, 0), (grey(), 1)]
    split = from_torch("x", "X", Listed(items), Listed([])).train
    assert split.labels.tolist() == [0, 1]
    assert [pixels(split.encoded(i)).max() for i in (0, 1)] == [TOP, TOP]
    assert [each.name for each in split.left_out] == ["train image 1", str(path), "train image 3", "train image 4"]
    assert "disk on fire" in split.left_out[0].reason


def test_from_torch_of_normalised_images_is_refused_in_one_sentence() -> None:
    rng = np.random.default_rng(0)
    images = [torch.from_numpy(rng.normal(size=(3, 8, 8)).astype(np.float32)) for _ in range(80)]
    items = Listed([(image, k % 2) for k, image in enumerate(images)], classes=["a", "b"])
    dataset = from_torch("x", "X", items, items)
    with pytest.raises(DataError) as caught:
        refuse_bad(dataset.left_out, len(dataset.train) + len(dataset.test))
    first, *listed = str(caught.value).splitlines()
    assert first == "No image of the data set can be used:"
    (line,) = listed
    assert "160 images: its values go from" in line
    assert "if the data set normalises, let it give images from before that" in line
    assert "(train image 0, train image 1, train image 2 and 157 more)" in line


def test_fingerprint_changes_with_contents_and_with_labels() -> None:
    def fingerprint(*items: Any) -> str:
        return from_torch("x", "X", Listed(items), Listed([]), classes=["a", "b"]).train.fingerprint

    first = fingerprint((halves(), 0), (halves(), 1))
    assert first == fingerprint((halves(), 0), (halves(), 1))
    assert len({first, fingerprint((halves(), 1), (halves(), 1)), fingerprint((255 - halves(), 0), (halves(), 1))}) == 3


MODULE = """
import numpy as np
import torch

class Stripes(torch.utils.data.Dataset):
    classes = ["flat", "striped"]
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def __getitem__(self, i):
        image = np.full((20, 30), 100, dtype=np.uint8)
        if i % 2: image[::2] = 200
        return torch.from_numpy(image)[None], i % 2

def dataset(split): return Stripes({"train": 6, "test": 4}[split])
def number(split): return 7
def broken(split): return {}["no " + split]
"""


def test_load_factory_dataset_calls_the_function_for_both_splits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_stripes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    steps: list[tuple[str, int, int]] = []
    dataset = load_factory_dataset("my_stripes:dataset", progress=lambda *step: steps.append(step))
    assert dataset.classes == ("flat", "striped")
    assert (len(dataset.train), len(dataset.test)) == (6, 4)
    assert pixels(dataset.test.encoded(1)).shape == (HEIGHT, WIDTH)
    assert steps[-1] == ("Checking images: test", 4, 4)
    with pytest.raises(DataError, match="returned a int; it must return a torch Dataset"):
        load_factory_dataset("my_stripes:number")
    with pytest.raises(DataError, match=r"my_stripes:broken\('train'\) failed: KeyError"):
        load_factory_dataset("my_stripes:broken")
    with pytest.raises(ConfigError, match="no function 'none'"):
        load_factory_dataset("my_stripes:none")


def test_origins_count_positions_before_anything_was_left_out(tmp_path: Path) -> None:
    train = Listed([(halves(), 0), (b"damaged", 0), (halves(), 1)])
    assert list(from_torch("x", "X", train, train).train.origins("train")) == ["train[0]", "train[2]"]
    paths = []
    for name in ("cat/a.png", "dog/b.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(GOOD["grey.png"]())
        paths.append(path)
    items = Listed([(paths[0], 0), (b"damaged", 1), (halves(), 1), (str(paths[1]), 1)])
    found = list(from_torch("x", "X", items, items).test.origins("test"))
    assert found == ["images/cat/a.png", "test[2]", "images/dog/b.png"]
