"""The relevance that heat-maps start from (method section 4), with the key under which each is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xda.explanation.heatmaps import MapRequest, cache_key
from xda.explanation.served_surrogate import ServedSurrogate
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


def pair_requests(
    run: RunFolder,
    composite: str,
    served: ServedSurrogate,
    query: NDArray[np.float64],
    test: int,
    train: Sequence[int],
    target: int,
    against: int | None,
) -> list[MapRequest]:
    r"""Ask for pairs: :math:`R = (\alpha_i^c - \alpha_i^e)\, \phi(x) \odot \phi(x_i)` for each training image.

    Parameters
    ----------
    run : RunFolder
    composite : str
        Rules of the propagation; part of the key.
    served : ServedSurrogate
    query : ndarray of shape (d,)
        phi(x).
    test : int
    train : sequence of int
        Positions in the training set, checked.
    target : int
    against : int, optional

    Returns
    -------
    list of MapRequest
        In the order of `train`.
    """
    features = run.array(layout.features("train"))
    requests = []
    for index in train:
        row = served.support.row(index)
        weight = row[target] - (row[against] if against is not None else 0.0)
        requests.append(
            MapRequest(
                key=cache_key(run.digest, composite, served.c, "pair", test, index, target, against),
                train_index=index,
                train_image=run.image("train", index),
                relevance=weight * query * features[index],
                intercept=float(weight) * served.features.offset,
            )
        )
    return requests


def own_request(
    run: RunFolder,
    composite: str,
    served: ServedSurrogate,
    query: NDArray[np.float64],
    test: int,
    target: int,
    against: int | None,
) -> MapRequest:
    r"""Ask for the map of the surrogate's logit, :math:`R = (w_c - w_e) \odot \phi(x)`; parameters as above."""
    weight = served.coef[target] - (served.coef[against] if against is not None else 0.0)
    return MapRequest(
        key=cache_key(run.digest, composite, served.c, "own", test, target, against),
        train_index=-1,
        train_image=None,
        relevance=weight[: len(query)] * query,
        intercept=served.intercept(target, against),
    )
