"""Pages and JSON of a run with an augmented intercept: one number for a pair, the intercept's part beside it."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import C_VALUES
from xda.explanation.catalog import Catalog
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.numerals import signed
from xda.present.words import intercept_in_words
from xda.web.pages.pair.context import split

TEST, C = 14, C_VALUES[1]


@pytest.fixture(scope="module")
def served(augmented: Explainer, make_client: MakeClient) -> Iterator[TestClient]:
    queue = DeviceQueue()
    yield make_client(Catalog([augmented], {}, queue))
    queue.close()


def words_of(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", page)).split())


def test_explanation_page_names_intercept_part(served: TestClient, augmented: Explainer) -> None:
    told = augmented.explain(TEST, c=C, limit=4)
    page = words_of(served.get(f"/r/augmented/test/{TEST}?c={C:g}").text)
    assert intercept_in_words(told.intercept) in page
    assert "without the intercept’s part" in page
    for part in (*told.supporting, *told.opposing):
        assert f"intercept {signed(part.intercept)}" in page


def test_pair_page_parts_sum_to_attribution(served: TestClient, augmented: Explainer) -> None:
    part = augmented.explain(TEST, c=C, limit=1).supporting[0]
    page = words_of(served.get(f"/r/augmented/test/{TEST}/train/{part.index}?c={C:g}").text)
    parts = split(part.attribution, part.intercept)
    assert f"+ 1) = {parts.total}, including {parts.intercept} from the intercept, which belongs to no pixel" in page
    assert f"the same relevance, {parts.spread} (without the intercept’s {parts.intercept})" in page


def test_pages_without_intercept_do_not_mention_it(client: TestClient, explainer: Explainer) -> None:
    part = explainer.explain(TEST, limit=1).supporting[0]
    for address in (f"/r/digits/test/{TEST}", f"/r/digits/test/{TEST}/train/{part.index}"):
        assert "intercept" not in words_of(client.get(address).text)


def test_json_csv_and_npz_share_attribution_and_intercept(served: TestClient, augmented: Explainer) -> None:
    told = served.get(f"/api/v1/runs/augmented/test/{TEST}/explanation", params={"c": C, "limit": 3}).json()
    export = served.get(f"/r/augmented/test/{TEST}/explanation.json?c={C:g}").json()
    assert told["intercept"] == export["intercept"] == augmented.explain(TEST, c=C).intercept != 0
    table = dict(zip(export["contributions"]["index"], export["contributions"]["intercept"], strict=True))
    rows = csv.DictReader(served.get(f"/r/augmented/test/{TEST}/explanation.csv?c={C:g}").text.splitlines())
    by_index = {int(row["train_index"]): float(row["intercept"]) for row in rows}
    for part in (*told["supporting"], *told["opposing"]):
        address = f"/api/v1/runs/augmented/pairs/{TEST}/{part['index']}/relevance?c={C:g}"
        with np.load(io.BytesIO(served.get(address).content)) as arrays:
            assert float(arrays["attribution"]) == pytest.approx(part["attribution"], rel=1e-9)
            assert float(arrays["intercept"]) == pytest.approx(part["intercept"], rel=1e-12)
            spread = part["attribution"] - part["intercept"]
            assert arrays["test"].sum() == pytest.approx(spread, rel=3e-3)
        assert table[part["index"]] == by_index[part["index"]] == part["intercept"]


def test_shared_pair_keeps_intercept_part(served: TestClient, augmented: Explainer) -> None:
    part = augmented.explain(TEST, c=C, limit=1).supporting[0]
    body = {"run": "augmented", "test": TEST, "train": part.index, "c": C}
    link = served.post("/api/v1/links", json=body).json()["id"]
    assert "from the intercept" in words_of(served.get(f"/s/{link}").text)


@pytest.mark.parametrize(
    ("total", "intercept", "printed"),
    [
        (1.788, 0.004, ("+1.788", "+1.784", "+0.004")),
        (-1.788, -0.004, ("−1.788", "−1.784", "−0.004")),
        (1.788, 0.0, ("+1.79", "+1.79", "")),
        (2.0, 1.5, ("+2.00", "+0.50", "+1.50")),
        (1.0, 1e-30, ("+1.00", "+1.00", "+1.00e−30")),
    ],
)
def test_split_shows_parts_that_add_up_as_printed(total: float, intercept: float, printed: tuple[str, ...]) -> None:
    parts = split(total, intercept)
    assert (parts.total, parts.spread, parts.intercept) == printed
