"""Routes for operators: liveness, readiness, version, metrics."""

from __future__ import annotations

import platform

import orjson
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from xda.version import __version__
from xda.web.api.models import HealthModel, ReadinessModel, VersionModel
from xda.web.dependencies import LifecycleDep
from xda.web.http.metrics import CONTENT_TYPE, Metrics
from xda.web.http.problems import Problem, documented, problem_response

router = APIRouter(tags=["operations"])

NO_STORE = {"Cache-Control": "no-store"}


def _json(body: dict[str, object]) -> Response:
    return Response(orjson.dumps(body), headers=NO_STORE, media_type="application/json")


@router.get("/healthz", operation_id="getHealth", summary="Liveness", response_model=HealthModel)
async def healthz() -> Response:
    """Answer at once, even while runs are loading."""
    return _json({"status": "ok"})


@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Readiness",
    response_model=ReadinessModel,
    responses=documented(503),
)
async def readyz(request: Request, lifecycle: LifecycleDep) -> Response:
    """Answer 200 if every run has answered once and the link database answers; otherwise 503 with the reason."""
    readiness = await lifecycle.ask()
    if not readiness.ready:
        problem = Problem(503, "Not ready", readiness.reason, headers={"Retry-After": "1"})
        return problem_response(request, problem)
    catalog = lifecycle.catalog
    return _json({"status": "ready", "runs": list(catalog.runs), "refused": dict(catalog.refused)})


@router.get("/version", operation_id="getVersion", summary="Version", response_model=VersionModel)
async def get_version() -> Response:
    """Return the versions of the program and of Python."""
    return _json({"name": "dualxda-explorer", "version": __version__, "python": platform.python_version()})


@router.get("/docs", include_in_schema=False)
async def get_docs(request: Request) -> Response:
    """Redirect from FastAPI's documentation page, which would need a CDN, to the OpenAPI document."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/api/v1/openapi.json")


@router.get(
    "/metrics",
    operation_id="getMetrics",
    summary="Prometheus metrics of this worker process",
    response_class=PlainTextResponse,
)
async def get_metrics(request: Request) -> Response:
    """Return the metrics in Prometheus' text format."""
    metrics: Metrics = request.app.state.metrics
    return Response(metrics.render(), headers={**NO_STORE, "Content-Type": CONTENT_TYPE})
