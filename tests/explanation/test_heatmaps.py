"""Heat-maps on request: computed once, batched, cached, and refused when the queue is full."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from xda.attribution.results import PairRelevance
from xda.errors import BusyError, XdaError
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.heatmaps import Heatmaps, MapRequest, cache_key, from_npz, to_npz


class SlowModel:
    """Spreads the relevance evenly over a 2 x 2 map, counts its calls, and waits for a signal."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.gate = threading.Event()
        self.gate.set()

    def maps(
        self, images: Sequence[bytes], relevance: NDArray[np.floating], shown: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        assert self.gate.wait(10)
        assert shown is not None
        on_test = int(np.count_nonzero(shown == 0))
        self.calls.append((on_test, len(images) - 1))
        if b"leaving" in images:
            raise SystemExit(0)
        if b"broken" in images:
            raise XdaError("an image is broken")
        return (np.repeat(relevance.sum(axis=1), 4).reshape(-1, 2, 2) / 4).astype(np.float32)


class MemoryCache(dict[str, bytes]):
    def put(self, key: str, value: bytes) -> None:
        self[key] = value


@pytest.fixture
def device_queue() -> Iterator[DeviceQueue]:
    queue = DeviceQueue(size=1)
    yield queue
    queue.close()


def request(index: int, image: bytes | None = b"image") -> MapRequest:
    return MapRequest(cache_key("run", index), index, image, np.array([index, 0.5]))


def test_request_computes_partners_of_a_test_image_in_one_batch(device_queue: DeviceQueue) -> None:
    model = SlowModel()
    pairs = Heatmaps(model, device_queue).request(b"test", [request(k) for k in range(5)]).result(10)
    assert model.calls == [(5, 5)]
    for k, pair in enumerate(pairs):
        assert (pair.train_index, pair.attribution) == (k, k + 0.5)
        assert pair.test.sum() == pytest.approx(pair.attribution)
        assert pair.train.sum() == pytest.approx(pair.attribution)


def test_request_own_map_needs_no_training_image(device_queue: DeviceQueue) -> None:
    model = SlowModel()
    (pair,) = Heatmaps(model, device_queue).request(b"test", [request(3, None)]).result(10)
    assert model.calls == [(1, 0)]
    assert pair.test.sum() == pytest.approx(3.5)
    assert not pair.train.any()


def test_request_pending_or_cached_is_not_computed_again(device_queue: DeviceQueue) -> None:
    model, cache = SlowModel(), MemoryCache()
    heatmaps = Heatmaps(model, device_queue, cache)
    model.gate.clear()
    first = heatmaps.request(b"test", [request(1), request(2)])
    second = heatmaps.request(b"test", [request(2)])
    assert not second.done()
    model.gate.set()
    assert [pair.train_index for pair in first.result(10)] == [1, 2]
    assert [pair.train_index for pair in second.result(10)] == [2]
    again = heatmaps.request(b"test", [request(2), request(1)]).result(10)
    assert [pair.train_index for pair in again] == [2, 1]
    assert model.calls == [(2, 2)]
    assert (heatmaps.hits, heatmaps.misses) == (3, 2)
    fresh = Heatmaps(model, device_queue, cache).request(b"test", [request(1)]).result(10)
    np.testing.assert_array_equal(fresh[0].test, first.result()[0].test)
    assert len(model.calls) == 1


def test_request_cancelled_leaves_others_their_result(device_queue: DeviceQueue) -> None:
    model = SlowModel()
    heatmaps = Heatmaps(model, device_queue)
    model.gate.clear()
    impatient = heatmaps.request(b"test", [request(1)])
    patient = heatmaps.request(b"test", [request(1)])
    assert impatient.cancel()
    model.gate.set()
    assert patient.result(10)[0].train_index == 1


def test_request_with_full_queue_fails_at_once_and_can_be_repeated(device_queue: DeviceQueue) -> None:
    model = SlowModel()
    heatmaps = Heatmaps(model, device_queue)
    model.gate.clear()
    running = heatmaps.request(b"test", [request(1)])
    while len(device_queue):
        pass
    waiting = heatmaps.request(b"test", [request(2)])
    with pytest.raises(BusyError, match="waiting"):
        heatmaps.request(b"test", [request(3)])
    model.gate.set()
    running.result(10), waiting.result(10)
    assert heatmaps.request(b"test", [request(3)]).result(10)[0].train_index == 3


def test_request_error_reaches_all_and_worker_continues(device_queue: DeviceQueue) -> None:
    heatmaps = Heatmaps(SlowModel(), device_queue)
    with pytest.raises(XdaError, match="broken"):
        heatmaps.request(b"test", [request(1, b"broken")]).result(10)
    assert heatmaps.request(b"test", [request(1)]).result(10)[0].train_index == 1


def test_request_network_that_exits_fails_alone(device_queue: DeviceQueue) -> None:
    heatmaps = Heatmaps(SlowModel(), device_queue)
    with pytest.raises(XdaError, match="could not be computed: SystemExit: 0"):
        heatmaps.request(b"leaving", [request(1)]).result(10)
    device_queue.submit(sys.exit)
    while len(device_queue):
        time.sleep(0.01)
    time.sleep(0.1)
    assert heatmaps.request(b"test", [request(2)]).result(10)


def test_queue_closed_refuses_jobs() -> None:
    queue = DeviceQueue(size=2)
    queue.close()
    with pytest.raises(BusyError, match="shutting down"):
        queue.submit(lambda: None)


def test_npz_round_trip_is_lossless() -> None:
    rng = np.random.default_rng(0)
    pair = PairRelevance(7, rng.normal(size=(3, 4)).astype(np.float32), np.zeros((3, 4), np.float32), 0.1 + 0.2, 0.1)
    back = from_npz(to_npz(pair), 7)
    np.testing.assert_array_equal(back.test, pair.test)
    np.testing.assert_array_equal(back.train, pair.train)
    assert (back.attribution, back.intercept) == (pair.attribution, pair.intercept)
    assert back.test.dtype == np.float32


def test_cache_keys_differ_with_every_part() -> None:
    keys = {cache_key("a", 1, None), cache_key("a", 1, 0), cache_key("a1", None), cache_key("a", 1)}
    assert len(keys) == 4


def test_queue_is_idle_when_no_job_runs_or_waits(device_queue: DeviceQueue) -> None:
    started, ending, ended = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        ending.wait(10)

    assert device_queue.idle
    device_queue.submit(job)
    started.wait(10)
    assert not device_queue.idle
    device_queue.submit(ended.set)
    ending.set()
    ended.wait(10)
    while not device_queue.idle:
        time.sleep(0.001)
