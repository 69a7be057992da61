"""The first error of a configuration as a sentence with key, value and what is allowed."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xda.build.config_errors import first_error


class Inner(BaseModel):
    """A table with one key of each kind."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(examples=["my-run"])
    size: Annotated[int, Field(gt=0, le=64)] = 1
    share: float = 0.5
    kind: Literal["a", "b"] = "a"
    parts: Annotated[tuple[int, ...], Field(min_length=1, max_length=2)] = (1,)
    word: Annotated[str, Field(min_length=2, max_length=3)] = "ab"
    flag: bool = True


class Outer(BaseModel):
    """A configuration with an optional table."""

    model_config = ConfigDict(extra="forbid")
    run: Inner
    more: Inner | None = None


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({}, "key 'run.name' is missing; give it, such as name = \"my-run\"."),
        ({"name": 3}, "key 'run.name' is 3, but must be text in quotes, such as name = \"my-run\"."),
        ({"name": "x", "size": 0}, "key 'run.size' is 0, but must be greater than 0."),
        ({"name": "x", "size": 65}, "key 'run.size' is 65, but must be at most 64."),
        ({"name": "x", "size": 1.5}, "key 'run.size' is 1.5, but must be a whole number."),
        ({"name": "x", "share": "much"}, "key 'run.share' is \"much\", but must be a number."),
        ({"name": "x", "kind": "c"}, 'key \'run.kind\' is "c", but must be "a" or "b".'),
        ({"name": "x", "parts": []}, "key 'run.parts' is [], but must be a list of at least 1."),
        ({"name": "x", "parts": [1, 2, 3]}, "key 'run.parts' is [1, 2, 3], but must be a list of at most 2."),
        ({"name": "x", "parts": [1, {}]}, "key 'run.parts.1' is a table, but must be a whole number."),
        ({"name": "x", "word": "a"}, "key 'run.word' is \"a\", but must be text of at least 2 letters."),
        ({"name": "x", "word": "abcd"}, "key 'run.word' is \"abcd\", but must be text of at most 3 letters."),
        ({"name": "x", "flag": "perhaps"}, "key 'run.flag' is \"perhaps\", but must be true or false."),
        ({"name": "x", "sise": 3}, "key 'run.sise' is unknown; did you mean 'size'?"),
        ({"sise": 3}, "key 'run.sise' is unknown; did you mean 'size'?"),
        (
            {"name": "x", "zzz": 3},
            "key 'run.zzz' is unknown; known are: name, size, share, kind, parts, word, flag.",
        ),
        ({"name": datetime.date(2026, 1, 2)}, "key 'run.name' is 2026-01-02, but must be text in quotes"),
    ],
)
def test_first_error_names_key_value_and_what_is_allowed(table: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"run": table})
    assert first_error(caught.value, Outer).startswith(sentence)


def test_first_error_of_whole_configuration_names_the_table() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({})
    assert first_error(caught.value, Outer).startswith("the table [run] is missing")
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"run": {"name": "x"}, "more": {"nam": "x"}})
    assert first_error(caught.value, Outer) == "key 'more.nam' is unknown; did you mean 'name'?"


def test_first_error_cuts_a_long_value() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"run": {"name": "x", "share": "y" * 100}})
    assert f'"{"y" * 59}…, but' in first_error(caught.value, Outer)
