"""The JSON API: the public contract word for word, and the same numbers as the object behind it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from starlette.testclient import TestClient

from tests.web.conftest import MakeClient
from tests.world import C_VALUES, N_TEST, N_TRAIN, RUN_ID
from xda.explanation.gallery import GalleryFilter
from xda.explanation.run import Explainer
from xda.web.api.models import ExplanationModel, RunModel, TestPageModel, TrainingSampleModel

RUN = f"/api/v1/runs/{RUN_ID}"


def test_runs_list_equals_explainer(client: TestClient, explainer: Explainer) -> None:
    answer = client.get("/api/v1/runs")
    (run,) = TypeAdapter(list[RunModel]).validate_json(answer.content, strict=True)
    assert (run.id, run.digest, run.n_train, run.n_test) == (RUN_ID, explainer.digest, N_TRAIN, N_TEST)
    assert tuple(surrogate.c for surrogate in run.surrogates) == C_VALUES
    assert all(surrogate.relative_gap <= 1e-6 for surrogate in run.surrogates)


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("limit=3", {"limit": 3}),
        ("c=0.0001", {"c": 1e-4}),
        ("c=1e-2&target=3", {"c": 1e-2, "target": 3}),
        ("target=3&against=8&limit=500", {"target": 3, "against": 8, "limit": 500}),
        ("train_class=4", {"train_class": 4}),
    ],
)
def test_explanation_equals_explainer(
    client: TestClient, explainer: Explainer, query: str, arguments: dict[str, Any]
) -> None:
    answer = client.get(f"{RUN}/test/17/explanation?{query}")
    assert answer.status_code == 200
    told = ExplanationModel.model_validate_json(answer.content, strict=True)
    expected = explainer.explain(17, **arguments)
    for name in ("c", "target", "against", "surrogate_logit", "sum_supporting", "sum_opposing"):
        assert getattr(told, name) == getattr(expected, name)
    for name in ("n_supporting", "n_opposing", "n_train"):
        assert getattr(told, name) == getattr(expected, name)
    for name in ("index", "label", "predicted"):
        assert getattr(told.test, name) == getattr(expected.test, name)
    assert tuple(told.test.network_logits) == expected.test.network_logits
    assert tuple(told.test.surrogate_logits) == expected.test.surrogate_logits
    for side in ("supporting", "opposing"):
        listed, wanted = getattr(told, side), getattr(expected, side)
        assert [(p.index, p.label, p.attribution, p.at_bound) for p in listed] == [
            (p.index, p.label, p.attribution, p.at_bound) for p in wanted
        ]
    assert told.sum_supporting + told.sum_opposing == pytest.approx(told.surrogate_logit, rel=1e-5, abs=1e-9)


def test_explanation_has_keys_of_the_contract(client: TestClient) -> None:
    told = client.get(f"{RUN}/test/0/explanation").json()
    assert set(told) >= {
        "test", "target", "against", "surrogate_logit", "sum_supporting", "sum_opposing", "n_supporting",
        "n_opposing", "n_train", "supporting", "opposing", "rank", "baseline_logit",
    }  # fmt: skip
    assert set(told["test"]) == {"index", "label", "predicted", "network_logits", "surrogate_logits", "source"}
    assert set(told["supporting"][0]) == {
        "index", "label", "attribution", "specific", "removal_effect", "at_bound", "intercept", "source",
    }  # fmt: skip
    assert told["test"]["source"] == "test[0]"
    assert told["supporting"][0]["source"] == f"train[{told['supporting'][0]['index']}]"
    strengths = [part["attribution"] for part in told["supporting"]]
    assert strengths == sorted(strengths, reverse=True)
    strengths = [part["attribution"] for part in told["opposing"]]
    assert strengths == sorted(strengths)


@pytest.mark.parametrize(("rank", "name", "sign"), [("image", "specific", 1), ("removal", "removal_effect", -1)])
def test_explanation_by_another_ranking_is_ranked_and_summed_by_it(
    client: TestClient, rank: str, name: str, sign: int
) -> None:
    told = client.get(f"{RUN}/test/5/explanation?rank={rank}&against=2&limit=4").json()
    ExplanationModel.model_validate(told)
    assert told["rank"] == rank
    assert (told["baseline_logit"] is None) == (rank == "removal")
    assert (told["removal_error"] is None) == (rank == "image")
    supporting, opposing = ([part[name] for part in told[side]] for side in ("supporting", "opposing"))
    assert all(value * sign > 0 for value in supporting)
    assert all(value * sign < 0 for value in opposing)
    for values in (supporting, opposing):
        assert values == sorted(values, key=abs, reverse=True)
    assert told["sum_supporting"] * sign >= sum(supporting) * sign > 0
    other = {"specific", "removal_effect"} - {name}
    assert {part[each] for part in told["supporting"] for each in other} == {None}


def test_explanation_by_an_unknown_ranking_is_refused(client: TestClient) -> None:
    answer = client.get(f"{RUN}/test/5/explanation?rank=size")
    assert answer.status_code == 422
    assert "rank" in answer.text


def test_explanation_twice_is_same_answer(client: TestClient) -> None:
    first, second = (client.get(f"{RUN}/test/5/explanation") for _ in range(2))
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]


def pages(client: TestClient, query: str) -> Iterator[dict[str, Any]]:
    """Follow the cursors of a list."""
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{RUN}/test?{query}&cursor={cursor}").json()
        yield page
        cursor = page["next_cursor"]


def test_paging_lists_every_image_once(client: TestClient) -> None:
    found = list(pages(client, "limit=50"))
    assert [len(page["items"]) for page in found] == [50, 50, 20]
    assert [item["index"] for page in found for item in page["items"]] == list(range(N_TEST))
    assert found[0]["previous_cursor"] is None
    assert found[1]["previous_cursor"] == ""
    assert all(page["total"] == N_TEST for page in found)
    TypeAdapter(list[TestPageModel]).validate_python(found, strict=True)


@pytest.mark.parametrize(
    ("query", "choice"),
    [
        ("label=3", GalleryFilter(label=3)),
        ("predicted=3&correct=false", GalleryFilter(predicted=3, correct=False)),
        ("correct=true", GalleryFilter(correct=True)),
        ("disagrees=true", GalleryFilter(disagrees=True)),
        ("max_margin=0.5", GalleryFilter(max_margin=0.5)),
    ],
)
def test_test_images_filters_equal_gallery(
    client: TestClient, explainer: Explainer, query: str, choice: GalleryFilter
) -> None:
    listed = [item["index"] for page in pages(client, query) for item in page["items"]]
    assert listed == [item.index for item in explainer.gallery(choice, limit=N_TEST).items]


def test_training_sample_equals_explainer(client: TestClient, explainer: Explainer) -> None:
    index = explainer.explain(0).supporting[0].index
    told = TrainingSampleModel.model_validate_json(client.get(f"{RUN}/train/{index}?limit=3").content, strict=True)
    expected = explainer.training_sample(index, limit=3)
    assert tuple(told.dual_coef) == expected.dual_coef
    assert told.slack == expected.slack
    assert [part.test for part in told.supports] == [part.test for part in expected.supports]
    assert sum(told.dual_coef) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("query", ["", "?target=3", "?target=3&against=5&c=0.0001"])
def test_relevance_sums_to_attribution(client: TestClient, explainer: Explainer, query: str) -> None:
    index = explainer.explain(7).supporting[0].index
    answer = client.get(f"{RUN}/pairs/7/{index}/relevance{query}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{RUN_ID}-test7-train{index}.npz"'
    with np.load(io.BytesIO(answer.content), allow_pickle=False) as arrays:
        assert set(arrays) == {"test", "train", "attribution", "intercept"}
        assert arrays["test"].shape == arrays["train"].shape == (28, 28)
        assert arrays["attribution"].shape == ()
        total = float(arrays["attribution"])
        for side in ("test", "train"):
            assert float(arrays[side].sum()) == pytest.approx(total, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/runs",
        f"{RUN}/test?limit=5",
        f"{RUN}/test/0/explanation?target=1",
        f"{RUN}/train/0",
        f"{RUN}/pairs/0/0/relevance",
    ],
)
def test_conditional_request_with_tag_is_304(client: TestClient, path: str) -> None:
    first = client.get(path)
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "no-cache"
    for given in (tag, f"W/{tag}", f'"other", {tag}'):
        again = client.get(path, headers={"If-None-Match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert client.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert client.get(path, headers={"If-None-Match": ""}).content == first.content


def test_etag_differs_between_addresses(client: TestClient) -> None:
    paths = [f"{RUN}/test/0/explanation", f"{RUN}/test/1/explanation", f"{RUN}/test/0/explanation?limit=3"]
    assert len({client.get(path).headers["etag"] for path in paths}) == len(paths)


def test_limit_above_setting_is_refused(make_client: MakeClient) -> None:
    client = make_client(max_page=20)
    assert client.get(f"{RUN}/test?limit=20").status_code == 200
    for path in (f"{RUN}/test", f"{RUN}/test/0/explanation", f"{RUN}/train/0"):
        answer = client.get(f"{path}?limit=21")
        assert answer.status_code == 422
        assert "at most 20" in answer.json()["detail"]


def test_openapi_describes_every_route(client: TestClient) -> None:
    described = client.get("/api/v1/openapi.json").json()
    operations = {
        operation["operationId"]: (method, path)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    }
    assert operations == {
        "listRuns": ("get", "/api/v1/runs"),
        "listTestImages": ("get", "/api/v1/runs/{run}/test"),
        "getExplanation": ("get", "/api/v1/runs/{run}/test/{test}/explanation"),
        "getComparison": ("get", "/api/v1/runs/{run}/test/{test}/comparison"),
        "getPairRelevance": ("get", "/api/v1/runs/{run}/pairs/{test}/{train}/relevance"),
        "getTrainingSample": ("get", "/api/v1/runs/{run}/train/{train}"),
        "createLink": ("post", "/api/v1/links"),
        "getHealth": ("get", "/healthz"),
        "getReadiness": ("get", "/readyz"),
        "getVersion": ("get", "/version"),
        "getMetrics": ("get", "/metrics"),
    }
    explanation = described["paths"]["/api/v1/runs/{run}/test/{test}/explanation"]["get"]
    assert [parameter["name"] for parameter in explanation["parameters"]] == [
        "run", "test", "c", "target", "against", "limit", "train_class", "rank",
    ]  # fmt: skip
    for path, methods in described["paths"].items():
        for operation in methods.values():
            if path.startswith("/api/"):
                assert any(status in operation["responses"] for status in ("404", "503")), path
            for status, response in operation["responses"].items():
                if status.startswith(("4", "5")):
                    assert set(response["content"]) == {"application/problem+json"}, (path, status)


def test_openapi_references_resolve(client: TestClient) -> None:
    described = client.get("/api/v1/openapi.json").json()

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(reference := node.get("$ref"), str):
                yield reference
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    for reference in walk(described):
        assert reference.rsplit("/", 1)[1] in described["components"]["schemas"]
