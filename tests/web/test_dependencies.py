"""Dependencies of routes: the run of the path and the numbers of its images."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from xda.errors import NotFoundError
from xda.web import dependencies

T = TypeVar("T")


@pytest.fixture
def request_(client: TestClient) -> Request:
    return Request({"type": "http", "app": client.app})


def done(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def test_dependencies_are_those_of_the_application(request_: Request) -> None:
    lifecycle = done(dependencies.get_lifecycle(request_))
    assert done(dependencies.get_settings(request_)) is lifecycle.settings
    assert done(dependencies.get_catalog(request_)) is lifecycle.catalog
    assert done(dependencies.get_link_store(request_)) is lifecycle.links
    assert done(dependencies.get_explainer(request_, "digits")) is lifecycle.catalog.runs["digits"]
    with pytest.raises(NotFoundError):
        done(dependencies.get_explainer(request_, "other"))


def test_image_number_is_read_and_left_to_the_run(request_: Request) -> None:
    assert done(dependencies.get_test_index(request_, "digits", "14")) == 14
    assert done(dependencies.get_train_index(request_, "digits", "-3")) == -3
    assert done(dependencies.get_train_index(request_, "digits", "599")) == 599


@pytest.mark.parametrize("text", ["", "x", "1.0", "--1", "²", "9" * 12])
def test_text_that_is_no_number_is_not_found(request_: Request, text: str) -> None:
    with pytest.raises(NotFoundError, match=r"test images are 0 to 119\."):
        done(dependencies.get_test_index(request_, "digits", text))
    with pytest.raises(NotFoundError, match=r"training images are 0 to 599\."):
        done(dependencies.get_train_index(request_, "digits", text))
