"""Shared links: made from the state of a page, they show the same explanation as long as the database exists.

If the link's run is served unchanged, the page is rendered from the run; otherwise from the snapshot in the link.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

import orjson
from anyio import to_thread
from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from xda.attribution.ranking import Rank
from xda.errors import InvalidRequestError, NotFoundError
from xda.present.colour import OPACITY, Colours
from xda.present.snapshots import SharedState, capture, painted
from xda.settings import Settings
from xda.web.api.models import LinkModel
from xda.web.dependencies import CatalogDep, LinkStoreDep, SettingsDep
from xda.web.http.conditional import IMMUTABLE, content_tag, fresh
from xda.web.http.problems import documented

router = APIRouter(tags=["links"])

LinkId = Annotated[str, Path(max_length=64, description="Identifier of a shared link.")]
Index = Annotated[int, Field(ge=0, le=2**31)]
FORM = "application/x-www-form-urlencoded"


class LinkRequest(BaseModel):
    """The state of the shared page, with the names of the page's query."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"run": "mnist-cnn", "test": 115, "target": 9, "against": 4, "c": 0.001}]},
    )

    run: Annotated[str, Field(min_length=1, max_length=128)]
    test: Index
    train: Index | None = Field(default=None, description="Share the pair with this training image.")
    target: Index | None = Field(default=None, description="Class to explain; the predicted one if left out.")
    against: Index | None = None
    c: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    train_class: Index | None = None
    show: Annotated[int, Field(ge=1, le=10_000)] = Field(default=4, description="Training images of each sign.")
    map: Colours = "red-blue"
    scale: Literal["own", "page"] = "own"
    rank: Rank = "sum"
    opacity: Annotated[int, Field(ge=0, le=100)] = OPACITY


def form_schema() -> dict[str, Any]:
    """Describe a form with the same fields; a form has no null, so empty values count as absent."""
    schema = LinkRequest.model_json_schema()
    for field in schema["properties"].values():
        for kind in field.pop("anyOf", ()):
            if kind != {"type": "null"}:
                field.update(kind)
        if field.get("default", "") is None:
            del field["default"]
    return schema


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def check_origin(request: Request, settings: Settings) -> None:
    """Refuse a form from another site; JSON needs no check, since browsers ask before they send it across sites.

    Raises
    ------
    InvalidRequestError
        The form was sent by a page of another origin.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        # Over plain HTTP browsers omit Sec-Fetch-Site but send Origin with every form; other clients send neither.
        origin = request.headers.get("origin")
        hosts = {request.headers.get("host", ""), urlsplit(settings.public_url).netloc}
        allowed = origin is None or (urlsplit(origin).netloc in hosts and origin != "null")
    if not allowed:
        raise InvalidRequestError("This form was sent from another site. Share from a page of this explorer instead.")


def parse_link_request(media_type: str, body: bytes) -> LinkRequest:
    """Read the state to share from JSON or from a form; empty fields of a form count as absent.

    Raises
    ------
    InvalidRequestError
        The body is not well-formed.
    HTTPException
        415: the body is neither of the two.
    RequestValidationError
        A field is missing, unknown or cannot be used.
    """
    values: Any
    if media_type == FORM:
        try:
            pairs = parse_qsl(body.decode(), max_num_fields=40, errors="strict")
        except ValueError as error:
            raise InvalidRequestError(f"The form cannot be read: {str(error)[:100]}.") from None
        values = dict(pairs)
        if len(values) != len(pairs):
            raise InvalidRequestError("The form has a field twice; send each once.")
    elif media_type == "application/json" or media_type.endswith("+json"):
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequestError(f"The body is not well-formed JSON: {str(error)[:200]}.") from None
        if isinstance(values, dict):
            # JSON has one kind of number: 115.0 is a whole one too.
            values = {key: int(v) if isinstance(v, float) and v.is_integer() else v for key, v in values.items()}
    else:
        raise HTTPException(415, f"Send the state as application/json, or as a form ({FORM}).")
    try:
        return LinkRequest.model_validate(values, strict=media_type != FORM)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**each, "loc": ("body", *each["loc"])} for each in found]) from None


def base_url(request: Request, settings: Settings) -> str:
    """Return this server's absolute public address, without a slash at its end."""
    return (settings.public_url or str(request.base_url)).rstrip("/")


@router.post(
    "/api/v1/links",
    operation_id="createLink",
    summary="Share an explanation",
    status_code=201,
    response_model=LinkModel,
    responses={
        303: {"description": "The form is kept; its shared page is at `Location`."},
        **documented(404, 413, 415, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": LinkRequest.model_json_schema()},
                FORM: {"schema": form_schema()},
            },
        }
    },
)
async def create_link(request: Request, catalog: CatalogDep, links: LinkStoreDep, settings: SettingsDep) -> Response:
    """Store the state and a snapshot of its page; answer a form with the shared page, JSON with its address."""
    media_type = _media_type(request)
    if media_type == FORM:
        check_origin(request, settings)
    wanted = parse_link_request(media_type, await request.body())
    explainer = catalog.get(wanted.run)
    if wanted.show > settings.max_page:
        raise InvalidRequestError(f"show={wanted.show} is more than a page lists: at most {settings.max_page}.")
    state = SharedState(
        explainer.decide(wanted.test, c=wanted.c, target=wanted.target, against=wanted.against),
        train=wanted.train,
        train_class=wanted.train_class,
        shown=wanted.show,
        colours=wanted.map,
        scale=wanted.scale,
        rank=wanted.rank,
    )

    def store() -> str:
        kept = capture(explainer, state, wait_seconds=settings.wait_seconds, card=settings.social_cards)
        told = kept.story.explanation
        # Pin the shown state, since another program version may have other defaults.
        pinned = {**wanted.model_dump(exclude_defaults=True), "c": told.c, "target": told.target}
        return links.create(explainer.id, explainer.digest, pinned, kept.snapshot, kept.media).id

    # A few threads of their own wait for the device, so that pages need not wait for them.
    identifier = await to_thread.run_sync(store, limiter=request.app.state.share_limiter)
    if media_type == FORM:
        return RedirectResponse(f"{request.scope.get('root_path', '')}/s/{identifier}", 303)
    url = f"{base_url(request, settings)}/s/{identifier}"
    return Response(
        orjson.dumps({"id": identifier, "url": url}),
        201,
        headers={"Location": url, "Cache-Control": "no-store"},
        media_type="application/json",
    )


def stored_file(request: Request, media: tuple[str, bytes]) -> Response:
    """Answer with an immutable file of a link."""
    media_type, content = media
    return Response(content, headers=fresh(request, content_tag(content), IMMUTABLE), media_type=media_type)


@router.get("/s/{link}/media/{name}", operation_id="getSharedMedia", include_in_schema=False)
async def get_shared_media(
    request: Request, links: LinkStoreDep, link: LinkId, name: Annotated[str, Path(max_length=64)]
) -> Response:
    """Return a picture stored with a link; a heat-map stored as numbers also as a layer, without ``.i16``."""

    def picture() -> tuple[str, bytes]:
        try:
            return links.media(link, name)
        except NotFoundError:
            if not name.startswith("map-"):
                raise
            _, numbers = links.media(link, f"{name}.i16")
        kept = links.get(link)
        state = LinkRequest.model_validate(kept.state)
        return painted(kept.snapshot, name, numbers, state.map, state.scale)

    return stored_file(request, await run_in_threadpool(picture))


@router.get("/s/{link}/card.png", operation_id="getSharedCard", include_in_schema=False)
async def get_shared_card(request: Request, links: LinkStoreDep, settings: SettingsDep, link: LinkId) -> Response:
    """Return a link's picture for chat programs.

    Raises
    ------
    NotFoundError
        There is none, or the setting ``social_cards`` is off.
    """
    if not settings.social_cards:
        raise NotFoundError("This server makes no pictures of shared links (setting social_cards).")
    return stored_file(request, await run_in_threadpool(links.media, link, "card"))
