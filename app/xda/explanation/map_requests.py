"""The relevance from which heat-maps start (method section 4), with each map's cache key."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import attributions
from xda.attribution.ranking import Rank
from xda.decision import Decision
from xda.explanation.fitted_surrogate import ServedSurrogate
from xda.explanation.heatmaps import MapRequest, cache_key
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder


def pair_requests(
    run: RunFolder,
    composite: str,
    served: ServedSurrogate,
    query: NDArray[np.float64],
    decision: Decision,
    train: Sequence[int],
    rank: Rank = "sum",
) -> list[MapRequest]:
    r"""Return requests for pairs: :math:`R = (\alpha_i^c - \alpha_i^e)\, \phi(x) \odot \phi(x_i)` per training image.

    Parameters
    ----------
    run : RunFolder
    composite : str
        Rules of the propagation; part of the key.
    served : ServedSurrogate
    query : ndarray of shape (d,)
        phi(x).
    decision : Decision
    train : sequence of int
        Positions in the training set, checked.
    rank : {"sum", "image", "removal"}
        The map on the training image starts from :math:`\alpha_i^c z_{ik} (\varphi_k(x) - \bar\varphi_{ck})` for
        ``image`` and from :math:`\sum_m \alpha_i^m z_{ik} u_{mk}`, which sums to minus the effect of removal, for
        ``removal`` (method section 7). The map on the test image is that of ``sum``: only what phi(x) carries can be
        propagated there.

    Returns
    -------
    list of MapRequest
        In the order of `train`.
    """
    features = run.array(layout.features("train"))
    requests = []
    asked = (decision.target, decision.against, *(() if rank == "sum" else (rank,)))
    starts = _starts(served, query, decision, rank)
    for index in train:
        row = served.support.row(index)
        weight = decision.contrast(row)
        requests.append(
            MapRequest(
                key=cache_key(run.digest, composite, served.c, "pair", decision.test, index, *asked),
                train_index=index,
                train_image=run.image("train", index),
                relevance=weight * query * features[index],
                intercept=float(weight) * served.features.offset,
                train_relevance=None if starts is None else starts(row) * features[index],
            )
        )
    return requests


def _starts(
    served: ServedSurrogate, query: NDArray[np.float64], decision: Decision, rank: Rank
) -> Callable[[NDArray[np.float64]], NDArray[np.float64]] | None:
    """Return what the features of a training image are multiplied with, given its row of alpha; None for ``sum``."""
    if rank == "sum":
        return None
    if rank == "image":
        difference = query - served.training.mean(decision.target)
        return lambda row: np.asarray(decision.contrast(row) * difference)
    u = served.response(decision, query)[:, : len(query)]
    return lambda row: np.asarray(row @ u)


def own_request(
    run: RunFolder,
    composite: str,
    served: ServedSurrogate,
    query: NDArray[np.float64],
    decision: Decision,
) -> MapRequest:
    r"""Return the request for the map of the surrogate's logit, :math:`R = (w_c - w_e) \odot \phi(x)`."""
    weight: NDArray[np.float64] = decision.contrast(served.coef)
    intercept = float(weight[-1]) if served.features.offset else 0.0
    return MapRequest(
        key=cache_key(run.digest, composite, served.c, "own", decision.test, decision.target, decision.against),
        train_index=-1,
        train_image=None,
        relevance=weight[: len(query)] * query,
        intercept=intercept,
    )


def evidence_requests(
    run: RunFolder,
    composite: str,
    served: ServedSurrogate,
    query: NDArray[np.float64],
    decision: Decision,
) -> list[MapRequest]:
    r"""Return the requests for all supporting training images together, then for all opposing ones.

    Relevance propagation is linear in its start, so one pass from :math:`\sum_{\tau_i > 0} R_i` (or :math:`\tau_i < 0`)
    gives the sum of their maps on the test image (method section 8). The two add to the test image's own map.
    """
    features = run.array(layout.features("train"))
    rows, weights = served.support.weights(decision.target, decision.against)
    values = attributions(weights, served.features.products(rows, query))
    requests = []
    for name, chosen in (("for", values > 0), ("against", values < 0)):
        summed = weights[chosen] @ np.asarray(features[served.support.index[rows[chosen]]], dtype=np.float64)
        asked = (decision.test, decision.target, decision.against)
        requests.append(
            MapRequest(
                key=cache_key(run.digest, composite, served.c, name, *asked),
                train_index=-1,
                train_image=None,
                relevance=query * summed,
                intercept=float(weights[chosen].sum()) * served.features.offset,
            )
        )
    return requests
