"""Two surrogates side by side: page, redirects, exports and JSON over the world's run and its network trained anew."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.explanation import variants
from tests.web.conftest import MakeClient
from tests.world import C_VALUES, RETRAINED_ID, RUN_ID, World
from xda import numerals
from xda.explanation.catalog import Catalog
from xda.explanation.comparison import compare
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.run import Explainer
from xda.web.api.comparison_route import ComparisonModel

pytestmark = pytest.mark.slow

PAGE = f"/r/{RUN_ID}/test/14/compare"
JSON = f"/api/v1/runs/{RUN_ID}/test/14/comparison"
LOW, HIGH = C_VALUES
TAGS = re.compile(r"<[^>]+>|\s+")


@pytest.fixture(scope="module")
def both(make_client: MakeClient, explainer: Explainer, retrained: Explainer) -> Iterator[TestClient]:
    """A client of both runs."""
    queue = DeviceQueue()
    yield make_client(Catalog([explainer, retrained], {}, queue))
    queue.close()


def words(page: str) -> str:
    """Return the text of a page, without tags."""
    return " ".join(TAGS.sub(" ", unescape(page)).split())


def test_comparison_page_shows_figures_of_comparison(
    both: TestClient, explainer: Explainer, retrained: Explainer
) -> None:
    said = words(both.get(f"{PAGE}?c=1e-2&with={RETRAINED_ID}&with_c=1e-4").text)
    compared = compare(explainer, retrained, explainer.decide(14, c=HIGH), LOW)
    agreement = compared.matched.agreement
    for expected in (
        f"weight in common {numerals.percent(agreement.shared_weight)}",
        f"{agreement.n_top_common} of {agreement.n_top}",
        f"{agreement.n_both} in common of {agreement.n_first} that contribute in A and {agreement.n_second} in B",
        f"Jaccard index {numerals.number(agreement.jaccard)}",
        f"all {explainer.n_train} training images are matched",
        f"{min(24, len(compared.images()))} of {len(compared.images())} training images",
    ):
        assert words(expected) in said
    for image in compared.images(limit=24):
        for value in filter(None, image.attribution):
            assert numerals.signed(value) in said
    assert "weight zero" in said
    assert "A digits · C 1e-2" in said
    assert "B digits-again · C 1e-4" in said


def test_comparison_default_is_most_telling_side(client: TestClient, both: TestClient) -> None:
    assert f"B {RETRAINED_ID} · C 1e-2" in words(both.get(PAGE).text)
    assert f"B {RUN_ID} · C 1e-4" in words(client.get(PAGE).text)
    assert f"B {RUN_ID} · C 1e-2" in words(both.get(f"{PAGE}?c=1e-4&with={RUN_ID}").text)


def test_explanation_links_to_comparison_and_back(both: TestClient) -> None:
    page = both.get(f"/r/{RUN_ID}/test/14?c=1e-4&target=3&label=4&show=12").text
    found = re.search(r'id="compare" href="([^"]+)"', page)
    assert found is not None
    address = unescape(found[1])
    assert address == f"{PAGE}?c=0.0001&target=3&label=4"
    assert f'href="/r/{RUN_ID}/test/14?c=0.0001&amp;target=3&amp;label=4"' in both.get(address).text


def test_run_switch_keeps_test_image_over_same_data(both: TestClient) -> None:
    page = unescape(both.get(f"/r/{RUN_ID}/test/14?c=1e-4&target=3&label=4").text)
    assert f'href="/r/{RETRAINED_ID}/test/14?c=0.0001&target=3"' in page
    # a gallery has no test image to keep
    assert f'href="/r/{RETRAINED_ID}"' in both.get(f"/r/{RUN_ID}").text


def test_comparison_form_choice_is_in_address(both: TestClient) -> None:
    answer = both.get(f"{PAGE}?target=3&against=&other={RETRAINED_ID}:0.0001")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{PAGE}?target=3&with={RETRAINED_ID}&with_c=0.0001"
    assert both.get(answer.headers["location"]).status_code == 200
    for nonsense in ("digits", ":", "digits:x", ":1"):
        assert both.get(PAGE, params={"other": nonsense}).status_code == 422


def test_comparison_swapped_sides_agree(both: TestClient) -> None:
    page = both.get(f"{PAGE}?c=1e-4&target=3&only=first&with={RETRAINED_ID}&with_c=1e-2").text
    found = re.search(r'id="swap" href="([^"]+)"', page)
    assert found is not None
    address = unescape(found[1])
    assert address.startswith(f"/r/{RETRAINED_ID}/test/14/compare?")
    assert set(address.split("?")[1].split("&")) == {
        "c=0.01", "target=3", f"with={RUN_ID}", "with_c=0.0001", "only=second",
    }  # fmt: skip
    listed = re.search(r"(\d+) of (\d+) training images", words(page))
    again = re.search(r"(\d+) of (\d+) training images", words(both.get(address).text))
    assert listed is not None
    assert again is not None
    assert listed[0] == again[0]


def test_comparison_c_switch_never_equals_second_side(client: TestClient) -> None:
    page = client.get(f"{PAGE}?c=1e-4&with={RUN_ID}&with_c=1e-2&target=3").text
    assert f'href="{PAGE}?c=0.01&amp;target=3&amp;with={RUN_ID}&amp;with_c=0.0001"' in page


def test_comparison_copied_link_notices_rebuilt_run(both: TestClient, retrained: Explainer) -> None:
    found = re.search(r'href="([^"]+)"[^>]* data-copy', both.get(PAGE).text)
    assert found is not None
    address = unescape(found[1])
    for part in ("c=0.01", "target=4", f"with={RETRAINED_ID}", "with_c=0.01", f"with_at={retrained.digest[:16]}"):
        assert part in address
    assert "was rebuilt" not in both.get(address).text
    rebuilt = words(both.get(address.replace(retrained.digest[:16], "0" * 16)).text)
    assert f"Run {RETRAINED_ID} was rebuilt after this link was copied" in rebuilt


@pytest.mark.parametrize("query", ["", "&only=both&by=change&target=3&against=8"])
def test_comparison_exports_hold_every_image_exactly(
    both: TestClient, explainer: Explainer, retrained: Explainer, query: str
) -> None:
    asked = f"c=1e-4&with={RETRAINED_ID}&with_c=1e-2{query}"
    decision = {"target": 3, "against": 8} if query else {}
    compared = compare(explainer, retrained, explainer.decide(14, c=LOW, **decision), HIGH)
    images = compared.images("both", "change") if query else compared.images()
    table = both.get(f"/r/{RUN_ID}/test/14/comparison.csv?{asked}")
    assert "attachment" in table.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(float(row["attribution_a"]), float(row["attribution_b"])) for row in rows] == [
        image.attribution for image in images
    ]
    assert [row["train_index_b"] for row in rows] == [str(image.index[1]) for image in images]
    assert [row["presence_a"] for row in rows] == [image.presence[0] for image in images]
    document = both.get(f"/r/{RUN_ID}/test/14/comparison.json?{asked}")
    told = ComparisonModel.model_validate_json(document.content, strict=True)
    assert told.classes == list(explainer.classes)
    assert [image.share for image in told.images] == [image.share for image in images]


def test_comparison_json_equals_comparison(both: TestClient, explainer: Explainer, retrained: Explainer) -> None:
    answer = both.get(f"{JSON}?c=1e-4&with={RETRAINED_ID}&with_c=1e-2&limit=5&by=change")
    told = ComparisonModel.model_validate_json(answer.content, strict=True)
    compared = compare(explainer, retrained, explainer.decide(14, c=LOW), HIGH)
    assert told.total == len(compared.images())
    assert [(image.index, image.attribution, image.presence) for image in told.images] == [
        (image.index, image.attribution, image.presence) for image in compared.images(order="change", limit=5)
    ]
    assert (told.agreement.shared_weight, told.agreement.spearman) == (
        compared.matched.agreement.shared_weight,
        compared.matched.agreement.spearman,
    )
    assert told.change.total == compared.matched.change.total
    assert [side.digest for side in told.sides] == [explainer.digest, retrained.digest]
    assert [side.surrogate_logit for side in told.sides] == [
        side.explanation.surrogate_logit for side in compared.sides
    ]


def test_json_and_download_with_the_same_limit_are_the_same_bytes(both: TestClient) -> None:
    asked = f"c=1e-4&with={RETRAINED_ID}&with_c=1e-2&only=both&by=change&limit=5"
    download = both.get(f"/r/{RUN_ID}/test/14/comparison.json?{asked}")
    assert download.content == both.get(f"{JSON}?{asked}").content
    assert len(download.json()["images"]) == 5


def test_comparison_json_with_tag_is_304(both: TestClient) -> None:
    first = both.get(JSON)
    again = both.get(JSON, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("with=nothing", 404, "There is no run 'nothing' here"),
        (f"with={RETRAINED_ID}&with_c=7", 404, "has no surrogate with C = 7"),
        ("target=3&against=3", 422, "choose two different classes"),
        ("limit=501", 422, "at most 500"),
        ("only=none", 422, "only"),
    ],
)
def test_comparison_impossible_gives_reason(both: TestClient, query: str, status: int, detail: str) -> None:
    answer = both.get(f"{JSON}?{query}")
    assert answer.status_code == status
    assert detail in answer.json()["detail"]


def test_comparison_over_other_data_shows_common_images(
    make_client: MakeClient, world: World, explainer: Explainer, tmp_path: Path
) -> None:
    _, kept = variants.shuffled(world)
    labels = variants.relabelled(world).train.labels
    mended = variants.with_training_set(world.dataset, labels, kept)
    with Explainer.open(variants.build(world, mended, tmp_path, "digits-mended"), device="cpu") as other:
        queue = DeviceQueue()
        asking = make_client(Catalog([explainer, other], {}, queue))
        said = words(asking.get(f"{PAGE}?c=1e-4&with=digits-mended&with_c=1e-4&rows=500").text)
        queue.close()
    assert f"{len(kept)} training images are in both, matched by their content; A has 600 in all, B {len(kept)}" in said
    assert "not in this training set" in said
    # An image of both runs shows its number on each side and its corrected label.
    assert re.search(r"#\d+ / \d+ label \d ", said)
    assert re.search(r"label \d → \d ", said)


def test_comparison_own_maps_start_no_pairs(
    both: TestClient, explainer: Explainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = [unescape(url) for url in re.findall(r'src="(/media/[^"]*relevance[^"]*)"', both.get(PAGE).text)]
    assert len(maps) == 2

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("no pair is shown")

    monkeypatch.setattr(Explainer, "relevance", refuse)
    for url in maps:
        assert both.get(url).headers["content-type"] == "image/png"


def test_page_compares_shares_that_add_up(both: TestClient, explainer: Explainer, retrained: Explainer) -> None:
    text = both.get(f"{PAGE}?c=1e-4&with={RETRAINED_ID}&with_c=1e-2").text
    line = re.search(r'<p class="equation">(.*?)</p>', text, re.DOTALL)
    assert line is not None
    said = words(line[1]).replace("\N{MINUS SIGN}", "-")
    *parts, change, net_b, net_a = map(float, re.findall(r"[+-]?\d+(?:\.\d+)?", said))
    assert sum(parts) == pytest.approx(change, abs=1e-6)
    assert change == pytest.approx(net_b - net_a, abs=0.06)
    for run, c, shown in ((explainer, LOW, net_a), (retrained, HIGH, net_b)):
        told = run.explain(14, c=c, target=explainer.predicted("test", 14))
        assert shown == pytest.approx(100 * told.surrogate_logit / (told.sum_supporting - told.sum_opposing), rel=6e-3)
