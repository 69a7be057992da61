"""All URLs of the product in one place, each with the path prefix of a proxy.

URLs are plain formatted strings: a page has hundreds of links, and looking up each in the router's table of patterns
would cost more than rendering the page.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, urlencode

from xda.decision import Decision
from xda.settings import resource_dir

Query = Mapping[str, object]


@lru_cache(maxsize=256)
def static_version(name: str) -> str:
    """Return the first digits of a static file's SHA-256, so that its URL changes with its content."""
    path = resource_dir("static") / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "0"


def text(value: object) -> str:
    """Format a value for a URL: booleans become ``true`` and ``false``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def fields(query: Query) -> tuple[tuple[str, str], ...]:
    """Return a query as the hidden fields of a form, without values of None."""
    return tuple((key, text(value)) for key, value in query.items() if value is not None)


def with_query(path: str, query: Query | None = None) -> str:
    """Append a query to a URL, without values of None."""
    pairs = fields(query or {})
    return f"{path}?{urlencode(pairs)}" if pairs else path


@dataclass(frozen=True, slots=True)
class Urls:
    """The URLs under one prefix.

    Parameters
    ----------
    root : str
        Path prefix without a slash at its end (ASGI's ``root_path``); empty without a proxy.
    """

    root: str = ""

    def static(self, name: str) -> str:
        """Return the address of a static file."""
        return f"{self.root}/static/{name}?v={static_version(name)}"

    def runs(self) -> str:
        """Return the address of the list of runs."""
        return f"{self.root}/"

    def help(self, section: str = "") -> str:
        """Return the address of the help page."""
        return f"{self.root}/help{'#' + section if section else ''}"

    def gallery(self, run: str, query: Query | None = None) -> str:
        """Return the address of a run's gallery."""
        return with_query(f"{self.root}/r/{quote(run)}", query)

    def go_to(self, run: str) -> str:
        """Return the target of the form "go to #"."""
        return f"{self.root}/r/{quote(run)}/go"

    def explanation(self, run: str, test: int, query: Query | None = None) -> str:
        """Return the address of an explanation."""
        return with_query(f"{self.root}/r/{quote(run)}/test/{test}", query)

    def export(self, run: str, test: int, kind: str, query: Query | None = None) -> str:
        """Return the address of an explanation as a file: csv, json, png, svg or pdf."""
        return with_query(f"{self.root}/r/{quote(run)}/test/{test}/explanation.{kind}", query)

    def comparison(self, run: str, test: int, query: Query | None = None) -> str:
        """Return the address of a comparison of two surrogates on one test image."""
        return with_query(f"{self.root}/r/{quote(run)}/test/{test}/compare", query)

    def comparison_export(self, run: str, test: int, kind: str, query: Query | None = None) -> str:
        """Return the address of a comparison as a file: csv or json."""
        return with_query(f"{self.root}/r/{quote(run)}/test/{test}/comparison.{kind}", query)

    def pair(self, run: str, test: int, train: int, query: Query | None = None) -> str:
        """Return the address of a pair."""
        return with_query(f"{self.root}/r/{quote(run)}/test/{test}/train/{train}", query)

    def pair_export(self, run: str, test: int, train: int, kind: str, query: Query | None = None) -> str:
        """Return the address of a pair as a figure: png, svg or pdf."""
        return with_query(f"{self.root}/r/{quote(run)}/test/{test}/train/{train}/pair.{kind}", query)

    def training(self, run: str, train: int, query: Query | None = None) -> str:
        """Return the address of a training image's page."""
        return with_query(f"{self.root}/r/{quote(run)}/train/{train}", query)

    def image(self, digest: str, split: str, index: int, *, thumb: bool = False) -> str:
        """Return the address of a run's image in bounded size, or of its thumbnail."""
        return f"{self.root}/media/{digest[:16]}/{split}/{index}{'?size=thumb' if thumb else ''}"

    def relevance(
        self,
        digest: str,
        decision: Decision,
        partner: int | str,
        name: str,
        query: Query | None = None,
    ) -> str:
        """Return the address of a heat-map file (``test.png``, ``train.f32`` …) of a pair, or of a group of pairs."""
        contrast = "" if decision.against is None else f"-{decision.against}"
        subject = f"{decision.test}-{partner}-{decision.target}{contrast}"
        return with_query(f"{self.root}/media/{digest[:16]}/relevance/c{decision.c!r}/{subject}/{name}", query)

    def idle(self) -> str:
        """URL that says whether the device is idle."""
        return f"{self.root}/idle"

    def shared(self, link: str) -> str:
        """Return the address of a shared explanation."""
        return f"{self.root}/s/{quote(link)}"

    def shared_media(self, link: str, name: str) -> str:
        """Return the address of a picture kept with a shared explanation."""
        return f"{self.root}/s/{quote(link)}/media/{quote(name)}"

    def links(self) -> str:
        """Return the address that receives new links."""
        return f"{self.root}/api/v1/links"

    def api_pair(self, run: str, test: int, train: int, query: Query | None = None) -> str:
        """Return the address of a pair's raw heat-maps (.npz)."""
        return with_query(f"{self.root}/api/v1/runs/{quote(run)}/pairs/{test}/{train}/relevance", query)

    def openapi(self) -> str:
        """Return the address of the API's description."""
        return f"{self.root}/api/v1/openapi.json"
