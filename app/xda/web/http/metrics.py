"""Prometheus metrics of one application in its own registry, so that two applications in one process do not mix.

Requests are counted by route *template*, never by path, so that the number of series stays small.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from xda.web.lifecycle import Lifecycle

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RunCollector(Collector):
    """Reads queue and cache figures from the runs at each scrape."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    def collect(self) -> Iterable[Metric]:
        """Yield readiness and, once the runs are open, queue lengths and cache figures."""
        yield GaugeMetricFamily(
            "xda_ready", "Whether requests can be answered.", value=float(self._lifecycle.readiness().ready)
        )
        catalog = self._lifecycle.open_catalog
        if catalog is None:
            return
        yield GaugeMetricFamily(
            "xda_device_queue_length", "Heat-map jobs that wait for the device.", value=len(catalog.device_queue)
        )
        cache = CounterMetricFamily("xda_heatmaps", "Heat-maps asked for, by cache result.", labels=["run", "cache"])
        for explainer in catalog.runs.values():
            cache.add_metric([explainer.id, "hit"], explainer.heatmaps.hits)
            cache.add_metric([explainer.id, "miss"], explainer.heatmaps.misses)
        yield cache


class Metrics:
    """Counts and times requests.

    Parameters
    ----------
    lifecycle : Lifecycle
        Gives access to the runs and their figures.
    """

    def __init__(self, lifecycle: Lifecycle) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "xda_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "xda_http_request_seconds",
            "Time from the request's head to the end of its answer.",
            ["method", "route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.registry.register(RunCollector(lifecycle))
        ProcessCollector(registry=self.registry)
        # Keep the children, since looking one up costs more than counting; there are few keys.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answered request.

        Parameters
        ----------
        method : str
            HTTP method; an unknown one counts as ``other``.
        route : str
            Template of the route, ``/r/{run}``, or ``unmatched``.
        status : int
            Status of the answer.
        seconds : float
            Time it took.
        """
        key = (method if method in METHODS else "other", route, status)
        children = self._children.get(key)
        if children is None:
            children = (self._requests.labels(key[0], route, str(status)), self._seconds.labels(key[0], route))
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
