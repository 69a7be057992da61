"""The files that a run needs, and their shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.storage.run.tiny_run import SURROGATE
from xda.errors import RunError
from xda.storage.run.folder import RunFolder
from xda.storage.run.layout_check import check_layout
from xda.storage.run.manifest import Manifest


@pytest.fixture
def manifest(run_path: Path) -> Manifest:
    """Return the manifest of the tiny run."""
    return RunFolder.open(run_path).manifest


def changed(manifest: Manifest, name: str, **changes: Any) -> Manifest:
    """Return the manifest with one file's entry changed."""
    entry = manifest.files[name].model_copy(update=changes)
    return manifest.model_copy(update={"files": {**manifest.files, name: entry}})


REQUIRED = [
    "network.safetensors",
    *(
        f"{split}{rest}"
        for split in ("train", "test")
        for rest in (".parquet", "/images.bin", "/image_offsets.npy", "/features.npy", "/logits.npy")
    ),
    *(
        f"{SURROGATE}/{array}.npy"
        for array in ("coef", "support", "dual_data", "dual_indices", "dual_indptr", "slack", "test_logits")
    ),
    *(
        f"{SURROGATE}/index/{array}.npy"
        for array in (
            *("l0", "hoyer", "indptr_supporting", "indptr_opposing", "position_supporting", "position_opposing"),
            *("attribution_supporting", "attribution_opposing", "sum_supporting", "sum_opposing"),
            *("count_supporting", "count_opposing"),
        )
    ),
]


@pytest.mark.parametrize("name", REQUIRED)
def test_layout_requires_every_file(manifest: Manifest, name: str) -> None:
    check_layout(manifest, "run")
    files = {key: entry for key, entry in manifest.files.items() if key != name}
    with pytest.raises(RunError, match=f"does not list {name}"):
        check_layout(manifest.model_copy(update={"files": files}), "run")


@pytest.mark.parametrize("name", [name for name in REQUIRED if name.endswith(".npy")])
def test_layout_checks_type_and_shape_of_arrays(manifest: Manifest, name: str) -> None:
    with pytest.raises(RunError, match=f"{name} holds values of type <f2"):
        check_layout(changed(manifest, name, dtype="<f2"), "run")
    with pytest.raises(RunError, match=f"{name} holds values of type None"):
        check_layout(changed(manifest, name, dtype=None), "run")
    if not name.endswith(("dual_data.npy", "position_supporting.npy", "position_opposing.npy")):
        with pytest.raises(RunError, match=rf"{name} has shape \[99\], but the manifest says"):
            check_layout(changed(manifest, name, shape=(99,)), "run")


def test_layout_dual_variables_have_one_class_each(manifest: Manifest) -> None:
    with pytest.raises(RunError, match=r"dual_indices.npy has shape \[4\], but the manifest says 3 dual variables"):
        check_layout(changed(manifest, f"{SURROGATE}/dual_data.npy", shape=(3,)), "run")


def test_check_layout_index_with_fewer_positions_than_attributions_is_refused(manifest: Manifest) -> None:
    name = f"{SURROGATE}/index/position_opposing.npy"
    with pytest.raises(RunError, match=r"attribution_opposing.npy has shape \[2\], .* 3 opposing contributions"):
        check_layout(changed(manifest, name, shape=(3,)), "run")
    for dtype in ("|u1", "<u2", "<u4"):
        check_layout(changed(manifest, name, dtype=dtype), "run")


def test_layout_intercept_widens_weights(manifest: Manifest) -> None:
    augmented = manifest.model_copy(update={"intercept": "augment"})
    with pytest.raises(RunError, match=r"coef.npy has shape \[3, 5\], but the manifest says 3 classes x 6 features"):
        check_layout(augmented, "run")
    check_layout(changed(augmented, f"{SURROGATE}/coef.npy", shape=(3, 6)), "run")


def test_layout_other_weights_than_features_are_refused(manifest: Manifest) -> None:
    stored = manifest.files["network.safetensors"].sha256
    with pytest.raises(RunError, match=f"(?s){'b' * 64}.*{stored}"):
        check_layout(changed(manifest, "network.safetensors", sha256="b" * 64), "run")
