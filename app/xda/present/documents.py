"""Explanations and comparisons as JSON: one encoder for HTTP API, command line and downloads.

The same question gives the same bytes everywhere: compact UTF-8 with a newline at its end. ``limit`` says how many
contributions of each sign are listed; None lists all, and adds what needs all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

from xda.attribution.ranking import Rank
from xda.attribution.results import Contribution, TestSample

if TYPE_CHECKING:
    from xda.attribution.decomposition import Decomposition
    from xda.decision import Decision
    from xda.explanation.comparison import Comparison, Only, Order, Side
    from xda.explanation.run import Explainer


def encode(document: dict[str, Any]) -> bytes:
    """Return the bytes of a document, the same for API, command line and download."""
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE)


def explanation_json(
    explainer: Explainer,
    decision: Decision,
    *,
    limit: int | None = 12,
    train_class: int | None = None,
    rank: Rank = "sum",
) -> bytes:
    """Explain a decision as JSON; errors are those of ``Explainer.explain``.

    Parameters
    ----------
    explainer : Explainer
    decision : Decision
    limit : int, optional
        Contributions listed of each sign; None for all, with ``sparsity``, ``by_class`` and ``contributions``.
    train_class : int, optional
        List only training images with this label; the totals stay over all.
    rank : {"sum", "image", "removal"}
        What the contributions are ranked and summed by (:mod:`xda.attribution.ranking`).
    """
    listed = explainer.bounds.check_listed(limit, train_class, explainer.classes)
    parts = explainer.decompose(decision)
    told = parts.explanation(limit, listed, rank)
    return encode(
        {
            "run": {"id": explainer.id, "title": explainer.title, "digest": explainer.digest},
            "classes": explainer.classes,
            "c": told.c,
            "agreement": explainer.entry(told.c).agreement,
            "test": _test(told.test),
            "target": told.target,
            "against": told.against,
            "surrogate_logit": told.surrogate_logit,
            "intercept": told.intercept,
            "rank": told.rank,
            "baseline_logit": told.baseline_logit,
            "removal_error": told.removal_error,
            "sum_supporting": told.sum_supporting,
            "sum_opposing": told.sum_opposing,
            "n_supporting": told.n_supporting,
            "n_opposing": told.n_opposing,
            "n_train": told.n_train,
            "supporting": _listed(told.supporting),
            "opposing": _listed(told.opposing),
            "sparsity": parts.sparsity if limit is None else None,
            "by_class": parts.by_class_in(rank) if limit is None else None,
            "contributions": _columns(parts, rank) if limit is None else None,
        }
    )


def _test(test: TestSample) -> dict[str, object]:
    return {
        "index": test.index,
        "label": test.label,
        "predicted": test.predicted,
        "network_logits": test.network_logits,
        "surrogate_logits": test.surrogate_logits,
        "source": test.source,
    }


def _listed(parts: Sequence[Contribution]) -> list[dict[str, object]]:
    # Written out, since orjson takes ten times as long for a dataclass with slots as for a dict.
    return [
        {
            "index": part.index,
            "label": part.label,
            "attribution": part.attribution,
            "specific": part.specific,
            "removal_effect": part.removal_effect,
            "at_bound": part.at_bound,
            "source": part.source,
            "intercept": part.intercept,
        }
        for part in parts
    ]


def _columns(parts: Decomposition, rank: Rank) -> dict[str, object]:
    ranked = parts.ranked(rank)
    return {
        "index": ranked.index,
        "label": parts.support.label[ranked.position],
        "attribution": ranked.attribution,
        "specific": ranked.value if rank == "image" else None,
        "removal_effect": ranked.value if rank == "removal" else None,
        "at_bound": parts.support.at_bound[ranked.position],
        "intercept": ranked.intercept,
        "source": parts.sources(ranked.index),
    }


def comparison_json(compared: Comparison, only: Only, order: Order, limit: int | None) -> bytes:
    """Return a comparison as JSON.

    Parameters
    ----------
    compared : Comparison
    only, order
        Filter and order of the listed training images.
    limit : int, optional
        Most images listed; None for all.
    """
    change = compared.matched.change
    return encode(
        {
            "classes": compared.classes,
            "target": compared.target,
            "against": compared.against,
            "sides": [_side(side) for side in compared.sides],
            "matched_by": compared.matched_by,
            "n_common": compared.n_common,
            "n_relabelled": compared.n_relabelled,
            "agreement": compared.matched.agreement,
            "change": {
                "total": change.total,
                "both": change.both,
                "only_second": change.only_second,
                "only_first": change.only_first,
            },
            "total": compared.counts()[only],
            "images": compared.images(only, order, limit),
        }
    )


def _side(side: Side) -> dict[str, object]:
    told = side.explanation
    return {
        "run": side.run_id,
        "title": side.run_title,
        "digest": side.run_digest,
        "c": told.c,
        "test": _test(told.test),
        "surrogate_logit": told.surrogate_logit,
        "sum_supporting": told.sum_supporting,
        "sum_opposing": told.sum_opposing,
        "n_supporting": told.n_supporting,
        "n_opposing": told.n_opposing,
        "n_train": told.n_train,
        "n_support": side.n_support,
        "agreement": side.agreement,
        "by_label": side.by_class,
    }
