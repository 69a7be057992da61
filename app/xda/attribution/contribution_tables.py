"""Contributions as an Arrow table or a pandas DataFrame, one row for each training sample.

Columns: ``index`` (position in the training set), ``label``, ``class`` (its name, where names are given),
``attribution`` (the exact signed share of the logit), ``share`` (of the sum of all absolute attributions, in [0, 1],
unlisted training samples included), ``sign`` ("supports" or "opposes"), ``at_bound`` (whether the sample's dual
variable is at its bound C), ``intercept`` (the part of ``attribution`` that is due to an augmented intercept; 0 without
one), ``source`` (the path or position of the image; only if known). In the ranking ``image`` the column ``specific``
is added, in the ranking ``removal`` the column ``removal_effect`` (``xda.attribution.ranking``); ``share`` and ``sign``
are then of it. Rows are ordered by the absolute value of what is ranked, strongest first.

pyarrow and pandas are imported on use, since an attribution needs neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xda.attribution.ranking import VALUE_NAMES, Rank
from xda.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SIGN_WORDS = ("opposes", "supports")


def contribution_table(
    index: NDArray[np.int64],
    label: NDArray[np.int64],
    attribution: NDArray[np.float64],
    at_bound: NDArray[np.bool_],
    absolute_total: float,
    classes: Sequence[str] | None = None,
    intercept: NDArray[np.float64] | None = None,
    sources: Sequence[str | None] = (),
    *,
    rank: Rank = "sum",
    values: NDArray[np.float64] | None = None,
) -> pa.Table:
    """Return contributions as an Arrow table.

    Parameters
    ----------
    index, label, attribution, at_bound : ndarray, shape (n,)
        The listed training samples.
    absolute_total : float
        Sum of all absolute values that are ranked, listed or not.
    classes : sequence of str, optional
        Names of the classes; adds the column ``class``.
    intercept : ndarray, shape (n,), optional
        The intercept's part of each attribution; default zeros.
    sources : sequence of str or None, length n, optional
        Sources of the training samples; adds the column ``source`` if any is known.
    rank : {"sum", "image", "removal"}
    values : ndarray of float64, shape (n,), optional
        What is ranked, none of them zero; default the attributions.

    Returns
    -------
    pyarrow.Table
        n rows, strongest first; equal ones keep their order.
    """
    import pyarrow as pa

    chosen = attribution if values is None else values
    order = np.argsort(-np.abs(chosen), kind="stable")
    ranked = chosen[order]
    supports = ranked < 0 if rank == "removal" else ranked > 0
    words = pa.DictionaryArray.from_arrays(pa.array(supports.astype(np.int8)), pa.array(SIGN_WORDS))
    columns: dict[str, Any] = {"index": index[order].astype(np.int64), "label": label[order].astype(np.int64)}
    if classes is not None:
        columns["class"] = pa.DictionaryArray.from_arrays(
            pa.array(columns["label"].astype(np.int32)), pa.array(list(classes), pa.string())
        )
    known = {"source": pa.array([sources[k] for k in order], pa.string())} if any(sources) else {}
    return pa.table(
        columns
        | {
            "attribution": attribution[order],
            "share": np.abs(ranked) / absolute_total if absolute_total > 0 else np.zeros(len(ranked)),
            "sign": words,
            "at_bound": at_bound[order],
            "intercept": np.zeros(len(ranked)) if intercept is None else intercept[order],
        }
        | ({} if rank == "sum" else {VALUE_NAMES[rank]: ranked})
        | known
    )


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return an Arrow table as a pandas DataFrame; words become categories.

    Raises
    ------
    ConfigError
        If pandas is not installed.
    """
    try:
        import pandas  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError:
        raise ConfigError("A DataFrame needs pandas: pip install 'dualxda-explorer[notebook]'.") from None
    return table.to_pandas()
