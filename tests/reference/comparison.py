"""Two explanations compared the slow way: dictionaries from training sample to contribution, loops by definition."""

from __future__ import annotations

import math

from scipy import stats


def shares(side: dict[str, float]) -> dict[str, float]:
    """Return each contribution over the sum of all absolute contributions."""
    weight = sum(abs(value) for value in side.values())
    return {name: value / weight for name, value in side.items()}


def shared_weight(first: dict[str, float], second: dict[str, float]) -> float:
    """Return the weight that lies on the same samples with the same sign: the smaller share counts."""
    p, q = shares(first), shares(second)
    return math.fsum(min(abs(p[name]), abs(q[name])) for name in p if name in q and (p[name] > 0) == (q[name] > 0))


def jaccard(first: dict[str, float], second: dict[str, float]) -> float:
    """Return the size of the intersection over that of the union."""
    return len(first.keys() & second.keys()) / len(first.keys() | second.keys())


def correlations(first: dict[str, float], second: dict[str, float]) -> tuple[float, float]:
    """Return Pearson's and Spearman's correlation over all samples of either side."""
    names = sorted(first.keys() | second.keys())
    columns = [first.get(name, 0.0) for name in names], [second.get(name, 0.0) for name in names]
    return float(stats.pearsonr(*columns).statistic), float(stats.spearmanr(*columns).statistic)


def top_common(first: dict[str, float], second: dict[str, float], k: int) -> int:
    """Return how many of the k strongest of each side are the same."""
    return len(_strongest(first, k) & _strongest(second, k))


def _strongest(side: dict[str, float], k: int) -> set[str]:
    return set(sorted(side, key=lambda name: -abs(side[name]))[:k])
