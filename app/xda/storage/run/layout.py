"""The one declaration of a run folder's content: arrays with types and dimensions, tables with columns, plain files.

The build, the readers and the checks at commit and open (:mod:`xda.storage.run.layout_check`) take names, types and
columns from here. ``docs/how-to/add-a-run-array.md`` shows the steps for a new array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xda.decision import Split
from xda.storage.run.parquet_tables import ColumnType


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One array of a split or of a surrogate."""

    name: str
    """File name in the folder of the split or surrogate, without ``.npy``."""
    dtypes: tuple[str, ...]
    """NumPy type strings; the array must have one of them."""
    dimensions: tuple[str, ...]
    """Names of the axes for messages. ``check_layout`` knows the sizes that the manifest gives; the first array of the
    folder sets the size of any other axis."""
    optional: bool = False
    """Whether a run may lack it, as runs of earlier versions do."""
    content: str | None = None
    """The plain file that these offsets divide; a run has both or neither."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The array's type; with several, the smallest."""
        return np.dtype(self.dtypes[0])


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One column of a table."""

    name: str
    type: ColumnType
    needed: bool = False
    """Whether a table without it is refused."""
    of_surrogate: bool = False
    """Whether each surrogate has one, named by :func:`surrogate_column`."""


IMAGE_OFFSETS = ArraySpec("image_offsets", ("<i8",), ("{split} images plus one",), content="images.bin")
SOURCE_OFFSETS = ArraySpec(
    "source_offsets", ("<i8",), ("{split} images plus one",), optional=True, content="sources.bin"
)
FEATURES = ArraySpec("features", ("<f4",), ("{split} images", "features"))
LOGITS = ArraySpec("logits", ("<f4",), ("{split} images", "classes"))
CLASS_MEANS = ArraySpec("class_means", ("<f8",), ("classes", "features"), optional=True)
"""Mean features of the images that the network calls each class; of training images only. Zeros where it calls none."""
SPLIT_ARRAYS: tuple[ArraySpec, ...] = (IMAGE_OFFSETS, SOURCE_OFFSETS, FEATURES, LOGITS, CLASS_MEANS)

COEF = ArraySpec("coef", ("<f8",), ("classes", "features and intercept"))
SUPPORT = ArraySpec("support", ("<i8",), ("support vectors",))
DUAL_DATA = ArraySpec("dual_data", ("<f8",), ("dual variables",))
DUAL_INDICES = ArraySpec("dual_indices", ("<i4",), ("dual variables",))
DUAL_INDPTR = ArraySpec("dual_indptr", ("<i8",), ("support vectors plus one",))
SLACK = ArraySpec("slack", ("<f4",), ("train images",))
TEST_LOGITS = ArraySpec("test_logits", ("<f8",), ("test images", "classes"))
INDEX = {
    name: ArraySpec(f"index/{name}", dtypes, (dimension,))
    for name, dtypes, dimension in (
        ("l0", ("<f8",), "test images"),
        ("hoyer", ("<f8",), "test images"),
        *(
            (f"{name}_{sign}", dtypes, dimension.format(sign=sign))
            for sign in ("supporting", "opposing")
            for name, dtypes, dimension in (
                ("indptr", ("<i8",), "test images plus one"),
                ("position", ("|u1", "<u2", "<u4"), "{sign} contributions"),
                ("attribution", ("<f8",), "{sign} contributions"),
                ("sum", ("<f8",), "test images"),
                ("count", ("<i8",), "test images"),
            )
        ),
    )
}
"""The arrays of the attribution index by the names that ``xda.attribution.index`` gives them."""
REMOVAL = {
    name: ArraySpec(f"removal/{name}", (dtype,), dimensions, optional=True)
    for name, dtype, dimensions in (
        ("active", "<i8", ("active images",)),
        ("rival", "<i8", ("active images",)),
        ("weight", "<f8", ("active images",)),
        ("inverse_blocks", "<f4", ("class pairs", "features and intercept", "features and intercept")),
        ("inverse_packed", "<f8", ("packed values",)),
        ("leading_basis", "<f4", ("features and intercept", "directions")),
        ("leading_packed", "<f4", ("packed values of directions",)),
        ("rest", "<f8", ("classes",)),
    )
}
"""The arrays from which effects of removals are estimated, by the names that ``xda.attribution.curvature`` gives them;
a surrogate has those of one way, or none in runs of earlier versions."""
SURROGATE_ARRAYS: tuple[ArraySpec, ...] = (
    *(COEF, SUPPORT, DUAL_DATA, DUAL_INDICES, DUAL_INDPTR, SLACK, TEST_LOGITS),
    *INDEX.values(),
    *REMOVAL.values(),
)

NETWORK = "network.safetensors"
CODE = "code/"
"""Folder of the source files of a factory's module. Only in runs built with ``keep_code``."""
LEFT_OUT = "left_out.parquet"
"""Images that could not be used: split, name, reason. Only in runs built with ``skip_bad`` that left some out."""

_OUTCOME = (
    ColumnSpec("label", "integer", needed=True),
    ColumnSpec("predicted", "integer", needed=True),
    ColumnSpec("confidence", "number"),
    ColumnSpec("margin", "number"),
)
TABLES: Mapping[str, tuple[ColumnSpec, ...]] = {
    "train.parquet": (
        *_OUTCOME,
        ColumnSpec("slack", "number", of_surrogate=True),
        ColumnSpec("self_influence", "number", of_surrogate=True),
    ),
    "test.parquet": (*_OUTCOME, ColumnSpec("surrogate_predicted", "integer", of_surrogate=True)),
    LEFT_OUT: tuple(ColumnSpec(name, "text", needed=True) for name in ("split", "name", "reason")),
}
"""Columns that readers know; they skip all others."""


def split_array(split: str, array: ArraySpec) -> str:
    """Return the name of an array of a split."""
    return f"{split}/{array.name}.npy"


def features(split: Split) -> str:
    """Return the name of the features of a split."""
    return split_array(split, FEATURES)


def logits(split: Split) -> str:
    """Return the name of the network's logits of a split."""
    return split_array(split, LOGITS)


def image_files(split: str) -> tuple[str, str]:
    """Return the names of two files of a split: all encoded images, and their offsets."""
    return f"{split}/{IMAGE_OFFSETS.content}", split_array(split, IMAGE_OFFSETS)


def source_files(split: str) -> tuple[str, str]:
    """Return the names of two files of a split: its images' sources, and their offsets. Older runs have neither."""
    return f"{split}/{SOURCE_OFFSETS.content}", split_array(split, SOURCE_OFFSETS)


def table(split: Split) -> str:
    """Return the name of the table with one row for each image of a split."""
    return f"{split}.parquet"


def surrogate_name(c: float) -> str:
    """Return the name of the surrogate with regularisation parameter C."""
    return f"c-{c:.9g}"


def surrogate_folder(name: str) -> str:
    """Return the folder of a surrogate, relative to the run."""
    return f"surrogates/{name}"


def surrogate_column(column: str, name: str) -> str:
    """Return the name of a surrogate's own column."""
    return f"{column} {name}"


def surrogate(c: float, array: ArraySpec) -> str:
    """Return the name of an array of the surrogate with regularisation parameter C."""
    return f"{surrogate_folder(surrogate_name(c))}/{array.name}.npy"


def index(c: float, array: str) -> str:
    """Return the name of an array of the attribution index of the surrogate with regularisation parameter C."""
    return surrogate(c, INDEX[array])


def removal(c: float, array: str) -> str:
    """Return the name of an array for effects of removals of the surrogate with regularisation parameter C."""
    return surrogate(c, REMOVAL[array])


def certificate(c: float) -> str:
    """Return the name of the solver's certificate of the surrogate with regularisation parameter C."""
    return f"{surrogate_folder(surrogate_name(c))}/certificate.json"


def intercept_offset(intercept: str) -> float:
    """Return the constant that an augmented intercept adds to every inner product: the product of both constants 1."""
    return 1.0 if intercept == "augment" else 0.0
