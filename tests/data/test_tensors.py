"""Tests of xda.data.tensors: each form gives the same set, and unusable images are refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from xda.data.tensors import AsGiven, PreparedSet, as_batch
from xda.errors import DataError

N = 11
IMAGES = torch.rand(N, 2, 5, 4, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(N) % 3


class Pairs(Dataset[tuple[Any, Any]]):
    """Items made by a function of their position."""

    def __init__(self, item: Any, n: int = N) -> None:
        self._item, self._n = item, n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> Any:
        return self._item(index)


class Stream(IterableDataset[tuple[torch.Tensor, int]]):
    def __iter__(self) -> Iterator[tuple[torch.Tensor, int]]:
        return iter([(IMAGES[0], 0)])


@pytest.mark.parametrize(
    "data",
    [
        TensorDataset(IMAGES, LABELS),
        DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4, shuffle=True),
        (IMAGES, LABELS),
        (IMAGES.numpy(), LABELS.numpy().astype(np.uint8)),
        (IMAGES, LABELS.float()[:, None]),
        Pairs(lambda i: (IMAGES[i].double().numpy(), int(LABELS[i]), "a path")),
    ],
    ids=["dataset", "shuffled loader", "tensors", "arrays", "a column of floats", "items of three"],
)
def test_prepared_set_of_every_form_gives_the_same_images_in_order(data: Any) -> None:
    images = PreparedSet(data)
    assert len(images) == N
    assert images.shape == (2, 5, 4)
    batches = list(images.batches())
    np.testing.assert_allclose(torch.cat([x.float() for x, _ in batches]), IMAGES)
    assert np.concatenate([y for _, y in batches]).tolist() == LABELS.tolist()
    np.testing.assert_allclose(images.image(7), IMAGES[7])


def test_prepared_set_of_a_loader_keeps_its_batch_size_and_collate_fn() -> None:
    def collate(items: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.stack([x for x, _ in items]), torch.stack([y for _, y in items]) + 1

    loader = DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4, collate_fn=collate)
    batches = list(PreparedSet(loader).batches())
    assert [len(y) for _, y in batches] == [4, 4, 3]
    assert batches[0][1].tolist() == [1, 2, 3, 1]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (Stream(), "cannot be asked for an image by its position"),
        (Pairs(lambda i: (IMAGES[i], 0), n=0), "empty"),
        (Pairs(lambda i: IMAGES[i]), "Tensor items"),
        (Pairs(lambda i: (Image.new("L", (4, 5)), 0)), "give the data set its transform"),
        (Pairs(lambda i: (IMAGES[i] + torch.rand(1), 0)), "random augmentation"),
        (Pairs(lambda i: (IMAGES[i, 0], 0)), r"\(channels, height, width\) is needed"),
        ((IMAGES.mul(255).byte(), LABELS), "scaled and normalised"),
        ((IMAGES, LABELS[:3]), "do not belong together"),
        ((IMAGES, LABELS, LABELS), "tuple of 3"),
        ((object(), LABELS), "cannot be read as numbers"),
    ],
    ids=["stream", "empty", "no pairs", "pictures", "augmented", "no channels", "bytes", "lengths", "three", "object"],
)
def test_prepared_set_of_unfit_arguments_is_refused_when_made(data: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        PreparedSet(data)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (lambda i: (IMAGES[i] if i != 3 else IMAGES[i, :, :2], 0), "images from 0 on cannot be read as a batch"),
        (lambda i: (IMAGES[i], 0.5), "one whole number"),
        (lambda i: (IMAGES[i], "cat"), "cannot be read as a batch"),
    ],
    ids=["shapes", "fractions", "words"],
)
def test_prepared_set_with_an_unfit_item_is_refused_when_read(item: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        list(PreparedSet(Pairs(item)).batches())


def test_as_batch_accepts_one_or_several_images_of_the_common_shape() -> None:
    assert as_batch(IMAGES[0], (2, 5, 4)).shape == (1, 2, 5, 4)
    assert as_batch(IMAGES.numpy(), (2, 5, 4)).shape == (N, 2, 5, 4)
    with pytest.raises(DataError, match=r"\(B, 2, 5, 4\)"):
        as_batch(IMAGES[:, :1], (2, 5, 4))


def test_prepared_images_are_stacked_and_must_have_one_shape() -> None:
    given = AsGiven((2, 5, 4))
    assert (given.channels, given.size) == (2, (5, 4))
    np.testing.assert_array_equal(given.array([IMAGES[1].numpy(), IMAGES[0].numpy()]), IMAGES[[1, 0]].numpy())
    with pytest.raises(DataError, match="make them equal"):
        given.array([IMAGES[0].numpy(), IMAGES[0, :1].numpy()])


def test_origin_of_files_and_subsets_of_files_is_their_path(tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import ToTensor

    for name in ("cat/a.png", "dog/b.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("L", (4, 4)).save(tmp_path / name)
    files = ImageFolder(str(tmp_path), ToTensor())
    assert PreparedSet(files).origin(1) == str(tmp_path / "dog" / "b.png")
    part = Subset(Subset(files, [1, 0]), [1])
    assert PreparedSet(DataLoader(part)).origin(0) == str(tmp_path / "cat" / "a.png")
    assert PreparedSet((IMAGES, LABELS)).origin(0) is None
