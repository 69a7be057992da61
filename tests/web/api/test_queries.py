"""Query strings are read as FastAPI would read them; unknown, repeated and impossible values are refused."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from xda.errors import InvalidRequestError, NotFoundError
from xda.web.api.queries import (
    MAX_DIGITS,
    ExplanationQuery,
    GalleryQuery,
    TrainingQuery,
    path_index,
    query_parameters,
    read_query,
)


def request(query: str) -> Request:
    return Request({"type": "http", "path": "/", "query_string": query.encode(), "headers": []})


def test_query_has_its_values_and_defaults() -> None:
    assert read_query(ExplanationQuery, request("")) == ExplanationQuery(limit=12)
    found = read_query(ExplanationQuery, request("c=1e-3&target=2&limit=7"))
    assert found == ExplanationQuery(c=1e-3, target=2, limit=7)
    assert read_query(GalleryQuery, request("correct=false&order=margin")).correct is False


@pytest.mark.parametrize(
    ("query", "indexed"),
    [("", True), ("c=1", True), ("limit=3", True), ("target=0", False), ("against=0", False), ("train_class=0", False)],
)
def test_index_answers_only_the_question_of_the_build(query: str, indexed: bool) -> None:
    assert read_query(ExplanationQuery, request(query)).indexed is indexed


@pytest.mark.parametrize(
    ("query", "place"),
    [("c=0", "c"), ("c=inf", "c"), ("limit=0", "limit"), ("target=1", "target"), ("limit=1.5", "limit"), ("C=1", "C")],
)
def test_wrong_value_or_unknown_name_is_told_by_its_place(query: str, place: str) -> None:
    with pytest.raises(RequestValidationError) as caught:
        read_query(TrainingQuery, request(query))
    assert [error["loc"] for error in caught.value.errors()] == [("query", place)]


def test_repeated_name_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="a parameter twice"):
        read_query(TrainingQuery, request("c=1&c=1"))


def test_path_index_reads_whole_numbers_only() -> None:
    assert path_index("test", "007") == 7
    for text in ("-1", "+1", "1.0", "", "x", "²", "9" * (MAX_DIGITS + 1)):
        with pytest.raises(NotFoundError, match="'test' must be a whole number from 0"):
            path_index("test", text)


def test_query_parameters_describe_every_field() -> None:
    described = query_parameters(TrainingQuery)
    assert [(each["name"], each["in"], each["required"]) for each in described] == [
        ("c", "query", False),
        ("limit", "query", False),
    ]
    assert described[1]["schema"]["default"] == 12
