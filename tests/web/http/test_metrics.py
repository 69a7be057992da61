"""Counts of requests by method, route and status, and what a scrape reads from the runs."""

from __future__ import annotations

from xda.explanation.catalog import Catalog
from xda.settings import Settings
from xda.web.http.metrics import Metrics
from xda.web.lifecycle import Lifecycle


def test_observe_counts_and_times_by_route() -> None:
    metrics = Metrics(Lifecycle(Settings()))
    metrics.observe("GET", "/r/{run}", 200, 0.3)
    metrics.observe("GET", "/r/{run}", 200, 20.0)
    metrics.observe("BREW", "/r/{run}", 405, 0.1)
    text = metrics.render().decode()
    assert 'xda_http_requests_total{method="GET",route="/r/{run}",status="200"} 2.0' in text
    assert 'xda_http_requests_total{method="other",route="/r/{run}",status="405"} 1.0' in text
    assert 'xda_http_request_seconds_bucket{le="0.25",method="GET",route="/r/{run}"} 0.0' in text
    assert 'xda_http_request_seconds_bucket{le="0.5",method="GET",route="/r/{run}"} 1.0' in text
    assert 'xda_http_request_seconds_sum{method="GET",route="/r/{run}"} 20.3' in text
    assert "BREW" not in text


def test_two_applications_count_apart() -> None:
    one, other = Metrics(Lifecycle(Settings())), Metrics(Lifecycle(Settings()))
    one.observe("GET", "/", 200, 0.1)
    assert b'route="/"' in one.render()
    assert b'route="/"' not in other.render()


def test_scrape_reads_queue_and_caches_once_runs_are_open(catalog: Catalog) -> None:
    starting = Metrics(Lifecycle(Settings())).render().decode()
    assert "xda_ready 0.0" in starting
    assert "xda_device_queue_length" not in starting
    opened = Metrics(Lifecycle(Settings(), catalog)).render().decode()
    (explainer,) = catalog.runs.values()
    assert "xda_device_queue_length 0.0" in opened
    assert f'xda_heatmaps_total{{cache="hit",run="digits"}} {float(explainer.heatmaps.hits)}' in opened
    assert f'xda_heatmaps_total{{cache="miss",run="digits"}} {float(explainer.heatmaps.misses)}' in opened
