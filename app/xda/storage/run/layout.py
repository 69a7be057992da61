"""Names of the arrays and tables in a run folder: what the build writes and the explorer reads."""

from __future__ import annotations

from xda.decision import Split
from xda.storage.run import layout_check as stored
from xda.storage.run.layout_check import WEIGHTS, surrogate_folder

NETWORK = WEIGHTS
CODE = "code/"
"""Folder of the source files of a factory's module. Only in runs built with ``keep_code``."""
LEFT_OUT = stored.LEFT_OUT
"""Images that could not be used: split, name, reason. Only in runs built with ``skip_bad`` that left some out."""
COEF = "coef"
SUPPORT = "support"
DUAL_DATA = "dual_data"
DUAL_INDICES = "dual_indices"
DUAL_INDPTR = "dual_indptr"
SLACK = "slack"
TEST_LOGITS = "test_logits"


def features(split: Split) -> str:
    """Return the name of the features, float32 (N, d)."""
    return f"{split}/features.npy"


def logits(split: Split) -> str:
    """Return the name of the network's logits, float32 (N, K)."""
    return f"{split}/logits.npy"


def table(split: Split) -> str:
    """Return the name of the table with one row for each image: label, predicted, and figures for people."""
    return f"{split}.parquet"


def surrogate_name(c: float) -> str:
    """Return the name of the surrogate with regularisation parameter C."""
    return f"c-{c:.9g}"


def surrogate(c: float, array: str) -> str:
    """Return the name of an array of the surrogate with regularisation parameter C."""
    return f"{surrogate_folder(surrogate_name(c))}/{array}.npy"


def index(c: float, array: str) -> str:
    """Return the name of an array of the attribution index of the surrogate with regularisation parameter C."""
    return f"{surrogate_folder(surrogate_name(c))}/index/{array}.npy"


def certificate(c: float) -> str:
    """Return the name of the solver's certificate of the surrogate with regularisation parameter C."""
    return f"{surrogate_folder(surrogate_name(c))}/certificate.json"


def intercept_offset(intercept: str) -> float:
    """Return what an augmented intercept adds to every inner product: the product of the two constants 1."""
    return 1.0 if intercept == "augment" else 0.0
