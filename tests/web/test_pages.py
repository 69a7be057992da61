"""Pages without a browser: whole or fragment, their numbers, and their exports."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from xda import numerals
from xda.attribution.results import difference
from xda.explanation.run import Explainer
from xda.present.colour import full_scale, levels
from xda.present.signed_maps import unpack
from xda.present.words import fidelity_in_words
from xda.settings import resource_dir
from xda.web import rendering

PAGES = [
    "/",
    "/help",
    "/r/digits",
    "/r/digits/test/14",
    "/r/digits/test/14/compare",
    "/r/digits/test/14/train/3",
    "/r/digits/train/3",
]
HTMX = {"HX-Request": "true", "HX-Target": "div#page"}


class Structure(HTMLParser):
    """Checks that tags nest and close, and collects ids and addresses."""

    VOID = frozenset({"meta", "link", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()
        self.inline_scripts = 0
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= given.keys()
        if given.get("id"):
            self.ids.append(str(given["id"]))
        for name in ("href", "src", "action"):
            if given.get(name):
                self.hrefs.append(str(given[name]))
        self.inline_scripts += tag in ("script", "style") and "src" not in given
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Structure:
    structure = Structure()
    structure.feed(text)
    assert structure.open == []
    return structure


@pytest.mark.parametrize("path", [*PAGES, "/r/nothing"])
def test_pages_are_well_formed_and_obey_the_policy(client: TestClient, path: str) -> None:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = parsed(answer.text)
    assert answer.text.startswith("<!doctype html>")
    assert len(page.ids) == len(set(page.ids))
    assert page.inline_scripts == 0
    assert not {name for name in page.attributes if name == "style" or name.startswith(("on", "hx-on"))}
    assert [href for href in page.hrefs if not href.startswith(("/", "#"))] == []


@pytest.mark.parametrize("path", PAGES)
def test_htmx_gets_page_content_without_frame(client: TestClient, path: str) -> None:
    whole, fragment = client.get(path), client.get(path, headers=HTMX)
    parsed(fragment.text)
    assert "<html" not in fragment.text
    assert "<body" not in fragment.text
    main = re.compile(r"<main.*</main>", re.DOTALL)
    assert main.findall(fragment.text) == main.findall(whole.text)
    assert {name.strip() for name in whole.headers["vary"].split(",")} >= {"HX-Request", "HX-Target"}


def test_htmx_other_target_gets_whole_page(client: TestClient) -> None:
    assert "<html" in client.get("/help", headers={**HTMX, "HX-Target": "body"}).text


def test_base_links_every_style_sheet_once_tokens_first(client: TestClient) -> None:
    linked = re.findall(r'<link rel="stylesheet" href="/static/css/(\w+\.css)\?v=\w{12}">', client.get("/").text)
    sheets = {path.name: path.read_text() for path in (resource_dir("static") / "css").iterdir()}
    assert linked[0] == "tokens.css"
    assert sorted(linked) == sorted(sheets)
    # The browser would request an imported sheet only after the first one, and without its hash.
    assert not [name for name, text in sheets.items() if "@import" in text]


def test_static_files_of_pages_exist_and_are_immutable(client: TestClient) -> None:
    addresses = re.findall(r'(?:href|src)="(/static/[^"]+)"', client.get("/").text)
    assert {Path(address.partition("?")[0]).suffix for address in addresses} >= {".css", ".js", ".svg"}
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["cache-control"], address


def test_explanation_page_sum_equals_explainer(client: TestClient, explainer: Explainer) -> None:
    told = explainer.explain(14, target=4, against=9, limit=4)
    text = client.get("/r/digits/test/14?target=4&against=9").text
    terms, total = numerals.addends((told.sum_supporting, told.sum_opposing), told.surrogate_logit)
    for printed in (*terms, total):
        assert printed in text
    for part in (*told.supporting, *told.opposing):
        assert f'<span class="tile-value">{numerals.signed(part.attribution)}</span>' in text
        assert f"/r/digits/test/14/train/{part.index}?" in text


def test_csv_sums_to_logit(client: TestClient, explainer: Explainer) -> None:
    answer = client.get("/r/digits/test/14/explanation.csv?target=2")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    told = explainer.explain(14, target=2)
    assert len(rows) == told.n_supporting + told.n_opposing
    assert sum(float(row["attribution"]) for row in rows) == pytest.approx(told.surrogate_logit, rel=1e-5, abs=1e-9)
    assert "digits-test-14-why-2" in answer.headers["content-disposition"]


def test_json_has_every_contribution(client: TestClient, explainer: Explainer) -> None:
    document = client.get("/r/digits/test/14/explanation.json?against=9").json()
    parts = explainer.decompose(14, against=9)
    assert document["contributions"]["attribution"] == parts.attribution.tolist()
    assert document["test"]["surrogate_logits"] == list(explainer.explain(14).test.surrogate_logits)
    assert document["against"] == 9


def test_png_is_drawn_once(client: TestClient) -> None:
    answer = client.get("/r/digits/test/14/explanation.png?target=4")
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.width > 1000
    again = client.get("/r/digits/test/14/explanation.png?target=4", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_previous_and_next_follow_the_gallery(client: TestClient) -> None:
    text = client.get("/r/digits/test/14?label=4").text
    assert 'href="/r/digits/test/4?label=4" rel="prev"' in text
    assert 'href="/r/digits/test/24?label=4" rel="next"' in text
    assert 'href="/r/digits/test/13" rel="prev"' in client.get("/r/digits/test/14").text


@pytest.mark.parametrize("query", ["", "?correct=false"])
def test_gallery_of_short_class_names_is_compact(client: TestClient, query: str) -> None:
    assert '<ul class="grid short-names' in client.get(f"/r/digits{query}").text


def test_go_to_number_redirects_to_test_image(client: TestClient) -> None:
    for typed in ("77", "#77", " 77 "):
        answer = client.get("/r/digits/go", params={"test": typed, "c": "0.0001"})
        assert answer.status_code == 303
        assert answer.headers["location"] == "/r/digits/test/77?c=0.0001"
    assert client.get("/r/digits/go", params={"test": "seven"}).status_code == 422
    assert client.get("/r/digits/go").status_code == 422


@pytest.mark.parametrize("listing", ["correct=false", "disagrees=true", "label=4&sort=-margin", "max_margin=0.5"])
def test_go_to_number_keeps_filtered_gallery(client: TestClient, listing: str) -> None:
    form = client.get(f"/r/digits/test/14?{listing}").text.split('action="/r/digits/go"')[1].split("</form>")[0]
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))
    answer = client.get("/r/digits/go", params={**hidden, "test": "77"})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/r/digits/test/77?{listing}"


def test_class_names_are_escaped(client: TestClient) -> None:
    answer = client.get("/r/<script>alert(1)</script>", headers={"Accept": "text/html"})
    assert "<script>alert" not in answer.text


def test_training_page_without_effect_says_so(client: TestClient, explainer: Explainer) -> None:
    idle = next(i for i in range(explainer.n_train) if not explainer.training_sample(i, limit=0).is_support)
    assert "weight zero" in client.get(f"/r/digits/train/{idle}").text
    pair = client.get(f"/r/digits/test/14/train/{idle}").text
    assert "has weight zero in the surrogate and adds nothing to 4" in pair
    used = next(i for i in range(explainer.n_train) if explainer.training_sample(i, limit=0).is_support)
    assert "Test images it supports most" in client.get(f"/r/digits/train/{used}").text


def test_training_page_names_copies_and_says_how_they_share(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has a copy" not in client.get("/r/digits/train/7").text
    monkeypatch.setattr("xda.explanation.training_sample.copies_of", lambda *_: (11,))
    page = client.get("/r/digits/train/7")
    assert "It has a copy:" in page.text
    assert any("/train/11" in href for href in parsed(page.text).hrefs)
    assert "/help#copies" in page.text
    assert client.get("/api/v1/runs/digits/train/7").json()["copies"] == [11]
    assert 'id="copies"' in client.get("/help").text


def test_pages_do_not_claim_proven_support(client: TestClient) -> None:
    for page in ("/help", "/r/digits/test/14", "/r/digits/train/7", "/r/digits/test/14/train/7", "/"):
        assert "provably" not in client.get(page).text
    assert "not proven image by image" in client.get("/help").text


def test_pair_page_of_zero_contribution_names_support_vector(client: TestClient, explainer: Explainer) -> None:
    support = explainer.surrogate().support
    rows = support.dual_coef.toarray()
    row, target = next((int(i), int(k)) for i, k in np.argwhere(rows == 0))
    index = int(support.index[row])
    pair = client.get(f"/r/digits/test/14/train/{index}", params={"target": target}).text
    assert f"adds nothing to {target}" in pair
    assert "weight zero" not in pair
    page = client.get("/r/digits/test/14").text
    n_contributing = len(explainer.decompose(14).index)
    assert f"{explainer.n_train - len(support)} of {explainer.n_train} training images have weight zero" in page
    assert f"{len(support) - n_contributing} support vectors have no weight here" in page


def media(client: TestClient, page: str, kind: str) -> list[str]:
    """Return the addresses of the pictures of one kind on a page."""
    return [href for href in parsed(client.get(page).text).hrefs if kind in href]


def test_pictures_are_immutable_and_name_their_content(client: TestClient, explainer: Explainer) -> None:
    for kind in ("/media/", "/relevance/"):
        href = media(client, "/r/digits/test/14", kind)[0]
        assert explainer.digest[:16] in href
        answer = client.get(href)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
        assert client.get(href, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304


def test_raw_values_sum_to_attribution(client: TestClient, explainer: Explainer) -> None:
    part = explainer.explain(14).supporting[0]
    values = media(client, f"/r/digits/test/14/train/{part.index}", "/relevance/")
    raw = [href.split("?")[0].replace(".png", ".f32") for href in values]
    for href in raw:
        relevance = np.frombuffer(client.get(href).content, dtype="<f4")
        assert relevance.size == 28 * 28
        assert relevance.sum() == pytest.approx(part.attribution, rel=1e-3)


def test_signed_map_is_the_map_to_rounding(client: TestClient, explainer: Explainer) -> None:
    part = explainer.explain(14).supporting[0]
    (pair,) = explainer.relevance(14, [part.index]).result(30)
    page = client.get(f"/r/digits/test/14/train/{part.index}").text
    hrefs = re.findall(r'data-map="([^"]+)"', page)
    assert len(hrefs) == 2
    for href, side in zip(hrefs, ("test", "train"), strict=True):
        relevance = getattr(pair, side)
        bodies = []
        for encoding in ("gzip", "identity"):
            answer = client.get(href, headers={"Accept-Encoding": encoding})
            assert answer.headers.get("content-encoding", "identity") == encoding
            assert answer.headers["vary"] == "Accept-Encoding"
            assert "immutable" in answer.headers["cache-control"]
            again = client.get(href, headers={"Accept-Encoding": encoding, "If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304
            bodies.append(answer.content)
        assert bodies[0] == bodies[1]
        found, scale = unpack(bodies[0], 28)
        assert scale == full_scale(relevance)
        assert np.abs(found - relevance).max() <= np.abs(relevance).max() / 65000


def test_page_shows_difference_on_the_scale_of_the_pair(client: TestClient, explainer: Explainer) -> None:
    told = explainer.explain(14, limit=4)
    page = client.get("/r/digits/test/14").text
    assert "Bottom: pixels of the test image on which this training image draws more, or less" in page
    shown = [html.unescape(href) for href in re.findall(r'data-map="([^"]+)"', page)]
    _, supporting, opposing = explainer.evidence_relevance(14).result(30)
    for side, parts in ((supporting, told.supporting), (opposing, told.opposing)):
        for pair in explainer.relevance(14, [part.index for part in parts]).result(30):
            (href,) = (each for each in shown if f"/14-{pair.train_index}-4/difference.i16" in each)
            found, scale = unpack(client.get(href).content, 28)
            # batches of another size round differently
            assert scale == pytest.approx(full_scale(pair.test), rel=1e-6)
            expected = difference(pair, side)
            assert np.abs(found - expected).max() <= np.abs(pair.test).max() / 65000
            painted = client.get(href.replace(".i16", ".png"))
            with Image.open(io.BytesIO(painted.content)) as image:
                assert np.abs(np.asarray(image, dtype=int) - levels(expected, scale)).max() <= 1


def test_page_shows_both_sums_of_maps_on_one_scale(client: TestClient, explainer: Explainer) -> None:
    _, *groups = explainer.evidence_relevance(14).result(30)
    page = client.get("/r/digits/test/14").text
    scales = []
    for name, group in zip(("for", "against"), groups, strict=True):
        (href,) = re.findall(rf'data-map="([^"]+/14-{name}-4/test.i16)"', page)
        found, scale = unpack(client.get(href).content, 28)
        scales.append(scale)
        assert np.abs(found - group.test).max() <= np.abs(group.test).max() / 65000
    assert scales == [full_scale(*(group.test for group in groups))] * 2


def test_one_scale_gives_equal_colour_for_equal_relevance(client: TestClient, explainer: Explainer) -> None:
    query = "scale=page&show=3"
    hrefs = media(client, f"/r/digits/test/14?{query}", "/relevance/")
    told = explainer.explain(14, limit=3)
    listed = [part.index for part in (*told.supporting, *told.opposing)]
    pairs = explainer.relevance(14, listed).result(30)
    scale = full_scale(*(side for pair in pairs for side in (pair.test, pair.train)))
    _, supporting, opposing = explainer.evidence_relevance(14).result(30)
    seen = 0
    for pair in pairs:
        group = supporting if pair.attribution > 0 else opposing
        for side, relevance in (("difference", difference(pair, group)), ("train", pair.train)):
            href = next(h for h in hrefs if f"/14-{pair.train_index}-4/{side}.png" in h)
            assert query in href
            with Image.open(io.BytesIO(client.get(href).content)) as image:
                entries = np.asarray(image)
            expected = levels(relevance, scale)
            np.testing.assert_array_equal(entries, expected)
            seen += 1
    assert seen == 2 * len(listed)
    # the own map, a sum over all training images, fills a scale of its own
    own = explainer.own_relevance(14).result(30)[0].test
    with Image.open(io.BytesIO(client.get(next(h for h in hrefs if "/14-own-4/" in h)).content)) as image:
        np.testing.assert_array_equal(np.asarray(image), levels(own, full_scale(own)))


@pytest.mark.parametrize(
    "address",
    [
        "x0.001/14-own-4/test.png",
        "c0.01/14-4/test.png",
        "c0.01/14-own-4/both.png",
        "c0.5/14-own-4/test.png",
        "c0.01/9999-own-4/test.png",
        "c0.01/14-9999-4/test.png",
        "c0.01/14-own-99/test.png",
        "c1e999/14-own-4/test.png",
        "c0.01/14-own-99/test.i16",
    ],
)
def test_heatmap_missing_is_404(client: TestClient, explainer: Explainer, address: str) -> None:
    answer = client.get(f"/media/{explainer.digest[:16]}/relevance/{address}")
    assert answer.status_code == 404
    assert "immutable" not in answer.headers.get("cache-control", "")


def test_media_address_of_another_run_is_refused(client: TestClient) -> None:
    assert client.get("/media/0123456789abcdef/test/1").status_code == 404


def test_pages_stay_under_the_prefix(make_client: MakeClient) -> None:
    client = make_client(root_path="/team/xda")
    for path in PAGES:
        for href in parsed(client.get(path).text).hrefs:
            assert href.startswith(("/team/xda/", "#")), href


@pytest.fixture
def long_lists(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have ten classes count as many."""
    monkeypatch.setattr(rendering, "MANY_OPTIONS", 5)
    rendering.environment.cache_clear()
    yield
    rendering.environment.cache_clear()


@pytest.mark.usefixtures("long_lists")
@pytest.mark.parametrize("path", ["/r/digits?label=4", "/r/digits/test/14", "/r/digits/test/14/compare"])
def test_long_list_of_classes_is_text_field_with_proposals(client: TestClient, path: str) -> None:
    page = client.get(path).text
    parsed(page)
    name = "label" if "label" in path else "target"
    assert f'name="{name}" list="{name}-list"' in page
    assert re.search(r'value="4 · 4[^"]*"', page)
    assert len(re.findall('<option value="[0-9] · ', page)) == 20
    assert f'<select id="{name}"' not in page


@pytest.mark.usefixtures("long_lists")
def test_field_of_open_choice_shows_hint(client: TestClient) -> None:
    assert re.search(r'name="against"[^>]* data-submit placeholder="nothing">', client.get("/r/digits/test/14").text)
    assert 'placeholder="any prediction (12)"' in client.get("/r/digits?label=4").text


def test_class_is_read_by_number_proposal_or_name(client: TestClient) -> None:
    number = client.get("/r/digits/test/14?target=3").text
    assert client.get("/r/digits/test/14", params={"target": "3 · 3 (label)"}).text == number
    assert client.get("/r/digits/test/14", params={"target": "three"}).status_code == 422


def test_explanation_page_tells_fidelity_in_the_words_of_the_figure(client: TestClient, explainer: Explainer) -> None:
    asked = [(c, told) for c in explainer.c_values for told in explainer.explain(range(explainer.n_test), c=c, limit=0)]
    for agrees in (True, False):
        c, told = next((c, told) for c, told in asked if told.test.agrees is agrees)
        said = fidelity_in_words(told, explainer.classes, explainer.entry(c).agreement)
        page = client.get(f"/r/digits/test/{told.test.index}?c={c}").text
        assert said in html.unescape(page)
        assert ('id="ask-surrogate"' in page) is not agrees
