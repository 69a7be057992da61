"""Filters announce a number of images and show as many."""

from __future__ import annotations

import re
from html import unescape

import pytest
from starlette.testclient import TestClient

from xda.explanation.run import Explainer


@pytest.mark.parametrize("filtered", ["", "label=4", "predicted=4", "label=4&predicted=4", "correct=false"])
def test_confusion_header_links_to_its_count(client: TestClient, filtered: str) -> None:
    page = client.get(f"/r/digits?{filtered}").text
    headers = re.findall(r'<a id="(?:row|col)-\d+" href="([^"]+)"[^>]*title="[^"]*: ([\d,]+)"', page)
    assert len(headers) == 20
    for href, n in headers:
        target = client.get(href.replace("&amp;", "&")).text
        if 'aria-current="true" title' not in target:
            continue  # the header of the present filter takes it away
        assert f"{n} of 120 test images" in target


def test_more_counts_filtered_training_images(client: TestClient, explainer: Explainer) -> None:
    told = explainer.decompose(14)
    seen = 0
    for part in told.by_class:
        page = client.get(f"/r/digits/test/14?show=1&train_class={part.label}").text
        assert page.index('class="notice"') < page.index('class="board"')
        for side, n in (("support", part.n_supporting), ("oppose", part.n_opposing)):
            more = re.search(rf'id="more-{side}"[^>]*>Show (\d+) of (\d+) with label', page)
            assert (more is not None) == (n > 1)
            if more:
                assert int(more[2]) == n
                assert int(more[1]) == min(4, n)
                seen += 1
    assert seen > 0


def test_fewer_is_offered_only_above_four(client: TestClient, explainer: Explainer) -> None:
    for part in explainer.decompose(14, c=0.0001).by_class:
        page = client.get(f"/r/digits/test/14?c=0.0001&show=12&train_class={part.label}").text
        for side, n in (("support", part.n_supporting), ("oppose", part.n_opposing)):
            assert (f'id="fewer-{side}"' in page) == (n > 4)


def test_back_link_leads_to_page_of_gallery(client: TestClient) -> None:
    for query, link in (("", r'<a href="([^"]+)" class="plain"'), ("&correct=true", r'class="from" href="([^"]+)"')):
        first = client.get(f"/r/digits?sort=margin{query}").text
        second = unescape(re.search(r'<a href="([^"]+)" rel="next">', first)[1])  # type: ignore[index]
        listed = client.get(second).text
        assert "cursor=" in second
        image = unescape(re.findall(r'<li><a href="([^"]+)"', listed)[-1])
        page = client.get(image).text
        assert unescape(re.search(link, page)[1]) == second  # type: ignore[index]
        # another filter or order starts from its first page
        others = re.findall(r'<a id="(?:sort|correct|col|row|c)-\d+" href="([^"]+)"', listed)
        assert others
        assert not [href for href in others if "cursor=" in href]


def test_listing_under_another_c_starts_at_first_page(client: TestClient) -> None:
    page = client.get("/r/digits/test/14?disagrees=false&cursor=4").text
    assert "cursor=4" in page
    switch = re.findall(r'<a id="c-\d+" href="([^"]+)"', page)
    assert switch
    assert not [href for href in switch if "cursor=" in href]


def test_tiles_and_pairs_mark_wrong_predictions(client: TestClient, explainer: Explainer) -> None:
    seen = 0
    for test in range(explainer.n_test):
        told = explainer.explain(test, c=0.0001, limit=12)
        listed = (*told.supporting, *told.opposing)
        differ = [part for part in listed if explainer.predicted("train", part.index) != part.label]
        if not differ:
            continue
        page = client.get(f"/r/digits/test/{test}?c=0.0001&show=12").text
        assert page.count('class="tile-network"') == len(differ)
        pair = client.get(f"/r/digits/test/{test}/train/{differ[0].index}?c=0.0001").text
        says = explainer.classes[explainer.predicted("train", differ[0].index)]
        assert f"network says {says}: is its label right?" in pair
        seen += 1
        if seen == 3:
            return
    assert seen > 0
