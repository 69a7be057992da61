"""Heat-maps on request: cached on disk, computed once for all callers, batched by test image.

Both maps of a pair start from the same relevance on the feature extractor's output,
``R_k = alpha_i^c phi_k(x) phi_k(x_i)`` (method section 4). The cache holds the lossless .npz of the API under a hash of
everything that determines it, so no entry is ever out of date.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from xda.attribution.results import PairRelevance
from xda.errors import BusyError, NoHeatmapsError, XdaError
from xda.explanation.device_queue import DeviceQueue
from xda.runs.foreign_errors import described

FORMAT = "3"
"""Part of every cache key; changes when the computation of heat-maps does."""


class MapModel(Protocol):
    """Computes heat-maps (``xda.relevance.relevance_model.RelevanceModel``)."""

    def maps(
        self, images: Sequence[bytes], relevance: NDArray[np.floating], shown: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return one map for each relevance, on the image at its position in ``shown``: (n, d), (n,) -> (n, H, W)."""


class MapCache(Protocol):
    """A persistent store of bytes (``xda.storage.blob_cache.BlobCache``)."""

    def get(self, key: str) -> bytes | None:
        """Return the bytes under a key, or None."""

    def put(self, key: str, value: bytes) -> None:
        """Store bytes under a key."""


@dataclass(frozen=True, slots=True)
class MapRequest:
    """One pair (or, without a training image, the test image's own map) to compute."""

    key: str
    train_index: int
    train_image: bytes | None
    relevance: NDArray[np.float64]
    """R on the output of the feature extractor, shape (d,); both maps sum to its sum."""
    intercept: float = 0.0
    """The intercept's part of the attribution, which is in no map."""
    train_relevance: NDArray[np.float64] | None = None
    """Start of the map on the training image, shape (d,); None: ``relevance``."""

    @property
    def attribution(self) -> float:
        """The contribution that the maps explain."""
        return float(self.relevance.sum()) + self.intercept


def cache_key(*parts: object) -> str:
    """Return the content address of a result: the SHA-256 of all its inputs."""
    return hashlib.sha256("\n".join(map(str, (FORMAT, *parts))).encode()).hexdigest()


def to_npz(pair: PairRelevance) -> bytes:
    """Return a pair as the bytes of an .npz: ``test``, ``train`` (H, W), ``attribution`` and ``intercept`` ()."""
    buffer = io.BytesIO()
    attribution, intercept = np.float64(pair.attribution), np.float64(pair.intercept)
    np.savez(buffer, test=pair.test, train=pair.train, attribution=attribution, intercept=intercept)
    return buffer.getvalue()


def from_npz(content: bytes, train_index: int) -> PairRelevance:
    """Return the pair stored by ``to_npz``."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        sums = float(arrays["attribution"]), float(arrays["intercept"])
        return PairRelevance(train_index, arrays["test"], arrays["train"], *sums)


class Heatmaps:
    """Heat-maps of one run.

    Parameters
    ----------
    model : MapModel, optional
        Called in the queue's worker only. None if the run has no heat-maps; every request is then refused.
    device_queue : DeviceQueue
        Shared by all runs on the device.
    cache : MapCache, optional
        Keeps heat-maps; without it every request computes them.
    """

    def __init__(self, model: MapModel | None, device_queue: DeviceQueue, cache: MapCache | None = None) -> None:
        self._model = model
        self._queue = device_queue
        self._cache = cache
        self._lock = threading.Lock()
        self._pending: dict[str, Future[PairRelevance]] = {}
        self.hits = 0
        self.misses = 0

    def request(self, test_image: bytes, requests: Sequence[MapRequest]) -> Future[list[PairRelevance]]:
        """Return the maps of one test image with several training images, in the order of the requests.

        Parameters
        ----------
        test_image : bytes
            The encoded test image.
        requests : sequence of MapRequest

        Returns
        -------
        Future of list of PairRelevance
            Independent of every other caller's: cancelling it cancels nothing else.

        Raises
        ------
        BusyError
            If something must be computed and the queue is full.
        """
        found: list[Future[PairRelevance]] = []
        missing: list[tuple[MapRequest, Future[PairRelevance]]] = []
        for request in requests:
            cached = self._cache.get(request.key) if self._cache is not None else None
            with self._lock:
                if cached is not None:
                    self.hits += 1
                    future: Future[PairRelevance] = Future()
                    future.set_result(from_npz(cached, request.train_index))
                elif request.key in self._pending:
                    self.hits += 1
                    future = self._pending[request.key]
                else:
                    self.misses += 1
                    future = self._pending[request.key] = Future()
                    missing.append((request, future))
            found.append(future)
        if missing:
            try:
                self._queue.submit(lambda: self._compute(test_image, missing))
            except BusyError as error:
                self._fail(missing, error)
                raise
        return _gather(found)

    def _compute(self, test_image: bytes, jobs: Sequence[tuple[MapRequest, Future[PairRelevance]]]) -> None:
        try:
            if self._model is None:
                raise NoHeatmapsError("This run has no heat-maps.")
            relevance = np.stack([request.relevance for request, _ in jobs]).astype(np.float32)
            of_train = [each if (each := job.train_relevance) is not None else job.relevance for job, _ in jobs]
            paired = [k for k, (request, _) in enumerate(jobs) if request.train_image is not None]
            images = [image for request, _ in jobs if (image := request.train_image) is not None]
            # One pass for both sides: first all seeds on the test image, then one on each training image.
            shown = np.concatenate([np.zeros(len(jobs), np.int64), np.arange(1, len(images) + 1)])
            starts = np.concatenate([relevance, np.stack(of_train).astype(np.float32)[paired]])
            maps = self._model.maps([test_image, *images], starts, shown)
            test_maps, train_maps = maps[: len(jobs)], np.zeros_like(maps[: len(jobs)])
            train_maps[paired] = maps[len(jobs) :]
            for k, (request, future) in enumerate(jobs):
                sums = request.attribution, request.intercept
                pair = PairRelevance(request.train_index, test_maps[k], train_maps[k], *sums)
                if self._cache is not None:
                    self._cache.put(request.key, to_npz(pair))
                with self._lock:
                    self._pending.pop(request.key, None)
                future.set_result(pair)
        except BaseException as error:  # the network may be other people's code, which may call sys.exit
            self._fail(jobs, error)

    def _fail(self, jobs: Sequence[tuple[MapRequest, Future[PairRelevance]]], error: BaseException) -> None:
        """Pass an error to all callers that wait for the jobs."""
        reason = (
            error
            if isinstance(error, XdaError)
            else XdaError(f"The heat-map could not be computed: {described(error)}.")
        )
        reason.__cause__ = None if reason is error else error
        for request, future in jobs:
            with self._lock:
                self._pending.pop(request.key, None)
            if not future.done():
                future.set_exception(reason)


def _gather(futures: Sequence[Future[PairRelevance]]) -> Future[list[PairRelevance]]:
    """Return a future of all results; the caller may cancel it without touching the shared ones."""
    combined: Future[list[PairRelevance]] = Future()
    remaining = len(futures)
    lock = threading.Lock()

    def settle(_: Future[PairRelevance]) -> None:
        nonlocal remaining
        with lock:
            remaining -= 1
            if remaining > 0 or not combined.set_running_or_notify_cancel():
                return
        errors = [error for future in futures if (error := future.exception()) is not None]
        if errors:
            combined.set_exception(errors[0])
        else:
            combined.set_result([future.result() for future in futures])

    if not futures:
        combined.set_result([])
    for future in futures:
        future.add_done_callback(settle)
    return combined
