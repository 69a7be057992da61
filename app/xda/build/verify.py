"""``xda verify``: recomputes from a run's files everything that the run promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xda.attribution.decomposition import attributions
from xda.attribution.index import AttributionIndex
from xda.attribution.ranking import SIGNS
from xda.attribution.support import SupportSet
from xda.data.dataset import evenly
from xda.decision import SPLITS
from xda.errors import NoNetworkError, RunError, XdaError
from xda.networks.device import resolve_device
from xda.networks.products import DeviceFeatures
from xda.progress import Progress, silent
from xda.runs.foreign_errors import contained
from xda.runs.network import TOLERANCE, features_deviation, open_model
from xda.runs.support_reader import read_support
from xda.settings import DeviceChoice
from xda.storage.run import layout
from xda.storage.run.folder import RunFolder
from xda.storage.run.manifest import SurrogateEntry
from xda.surrogate import certify
from xda.surrogate.certificate import coef_of_support

SUM_RTOL = 1e-5
"""Allowed relative deviation of the sum of all attributions from the surrogate's logit."""
CANCELLED = 1e-6
"""A logit is compared relative to itself, or to this share of all that is added and taken away, if that is more."""
GAP_FLOOR = 1e-9
"""Recomputed duality gaps below this are rounding."""
N_RECOMPUTED = 64
"""Features of so many images of each split are recomputed."""
BLOCK = 512


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check."""

    name: str
    passed: bool
    detail: str
    advice: str = "build the run again"
    """Advice if the check failed."""


Check = Callable[[], tuple[bool, str] | tuple[bool, str, str]]
"""A check returns whether the property holds, the numbers found, and advice if it is not "build the run again"."""


def verify_run(
    path: Path, *, device: DeviceChoice = "auto", progress: Progress = silent, allow_factory: Sequence[str] = ()
) -> tuple[Finding, ...]:
    """Check a run folder: hashes, features, decomposition, index and KKT certificate.

    Parameters
    ----------
    path : Path
    device : {"auto", "cpu", "cuda"}
    progress : Progress
    allow_factory : sequence of str
        As for ``Explainer.open``.

    Returns
    -------
    tuple of Finding
        One for each check; the run is sound if all passed.

    Raises
    ------
    RunError
        The folder is not a run folder.
    """
    run = RunFolder.open(path, verify=False)
    findings = [_attempt("hashes", lambda: _check_files(run))]
    if not findings[0].passed:
        return tuple(findings)  # Numbers from damaged files would mean nothing.
    checks: list[tuple[str, Check]] = [("features", lambda: _check_features(run, device, allow_factory))]
    for entry in run.manifest.surrogates:
        checks += _surrogate_checks(run, entry, device)
    for done, (name, check) in enumerate(checks):
        progress("Verifying", done, len(checks))
        findings.append(_attempt(name, check))
    progress("Verifying", len(checks), len(checks))
    return tuple(findings)


def _attempt(name: str, check: Check) -> Finding:
    try:
        with contained(lambda said: RunError(f"it cannot be checked: {said}")):
            return Finding(name, *check())
    except NoNetworkError as error:
        return Finding(name, False, error.reason, f"its network cannot be made here: {error.reason.rstrip('.')}")
    except XdaError as error:
        return Finding(name, False, str(error))


def _check_files(run: RunFolder) -> tuple[bool, str]:
    run.verify_files()
    return True, f"all {len(run.manifest.files)} files match the manifest"


def _check_features(run: RunFolder, device: DeviceChoice, allow_factory: Sequence[str]) -> tuple[bool, str, str]:
    """Recompute some features with the network."""
    with open_model(run, resolve_device(device), allow_factory) as model:
        chosen = {split: evenly(len(run.array(layout.features(split))), N_RECOMPUTED).tolist() for split in SPLITS}
        # NumPy's maximum, since Python's may pass over NaN
        worst = float(np.max([features_deviation(run, model, split, chosen[split]) for split in SPLITS]))
    factory = run.manifest.network.spec.get("factory")
    module = f"open it with the module of '{factory}' as it was when the run was built, or " if factory else ""
    detail = f"recomputed features deviate by at most {worst:.2g} (relative)"
    return worst <= TOLERANCE, detail, f"{module}build the run again"


def _surrogate_checks(run: RunFolder, entry: SurrogateEntry, device: DeviceChoice) -> Iterator[tuple[str, Check]]:
    yield f"C = {entry.c:g}: decomposition", lambda: _check_decomposition(run, entry, device)
    yield f"C = {entry.c:g}: certificate", lambda: _check_certificate(run, entry)


def _labels_and_support(run: RunFolder, c: float) -> tuple[NDArray[np.int64], SupportSet]:
    labels = run.table(layout.table("train"), ("label",))["label"].to_numpy().astype(np.int64)
    return labels, read_support(run.array, c, labels, len(run.manifest.classes))


def _check_decomposition(run: RunFolder, entry: SurrogateEntry, device: DeviceChoice) -> tuple[bool, str]:
    """Compare the sum of the attributions of every test image with its logit and its index entry."""
    c = entry.c
    _, support = _labels_and_support(run, c)
    offset = layout.intercept_offset(run.manifest.intercept)
    features = DeviceFeatures(run.array(layout.features("train")), resolve_device(device), offset, support.index)
    queries = run.array(layout.features("test"))
    targets = run.array(layout.logits("test")).argmax(axis=1)
    logits = run.array(layout.surrogate(c, layout.TEST_LOGITS))
    index = AttributionIndex({name: run.array(layout.index(c, name)) for name in layout.INDEX}, run.manifest.per_sign)
    worst = worst_index = 0.0
    for start in range(0, len(queries), BLOCK):
        members = np.arange(start, min(start + BLOCK, len(queries)))
        for target in np.unique(targets[members]).tolist():
            chosen = members[targets[members] == target]
            rows, weights = support.weights(target)
            values = attributions(weights, features.products(rows, queries[chosen]))
            expected = logits[chosen, target]
            # Contributions that cancel to nearly nothing leave their rounding, so the scale has a floor.
            scale = np.maximum(np.abs(expected), CANCELLED * np.abs(values).sum(axis=0) + 1e-12)
            deviation = np.abs(values.sum(axis=0) - expected) / scale
            worst = max(worst, float(deviation.max()))
            for column, test in enumerate(chosen.tolist()):
                worst_index = max(worst_index, _index_deviation(index, test, rows, values[:, column]))
    passed = worst <= SUM_RTOL and worst_index <= SUM_RTOL
    return passed, f"sums equal the logits to {worst:.2g}, the index the attributions to {worst_index:.2g} (relative)"


def _index_deviation(index: AttributionIndex, test: int, rows: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """Return the largest relative deviation of an index entry from its attributions."""
    largest = max(1e-12, float(np.abs(values).max(initial=0.0)))
    worst = 0.0
    for sign, factor in SIGNS.items():
        entry = index.entry(test, sign)
        of_sign = values[values > 0] if factor > 0 else values[values < 0]
        if entry.count != len(of_sign) or len(entry.position) != min(len(of_sign), index.per_sign):
            return np.inf
        place = np.searchsorted(rows, entry.position)
        worst = max(
            worst,
            abs(entry.total - float(of_sign.sum())) / largest,
            float(np.abs(values[place] - entry.attribution).max(initial=0.0)) / largest,
        )
    return worst


def _check_certificate(run: RunFolder, entry: SurrogateEntry) -> tuple[bool, str]:
    """Recompute the duality gap and the KKT violation over all training samples."""
    features = run.array(layout.features("train"))
    labels, support = _labels_and_support(run, entry.c)
    dual, augment = support.dual_coef.toarray(), run.manifest.intercept == "augment"
    stored = entry.certificate
    certificate = certify(
        features,
        labels,
        dual,
        entry.c,
        support=support.index,
        augment=augment,
        tol=max(GAP_FLOOR, stored.relative_gap * (1.0 + SUM_RTOL)),
    )
    recomputed = coef_of_support(features, support.index, dual, augment=augment)
    coef = run.array(layout.surrogate(entry.c, layout.COEF))
    deviation = float(np.abs(coef - recomputed).max() / max(1e-300, np.abs(recomputed).max()))
    passed = stored.converged and certificate.converged and deviation <= SUM_RTOL
    return passed, (
        f"relative duality gap {certificate.relative_gap:.2g}, KKT violation {certificate.kkt_violation:.2g} over "
        f"{certificate.n_samples:,} samples, weights equal the dual's to {deviation:.2g}"
    )
