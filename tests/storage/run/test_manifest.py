"""Strict reading of manifest.json."""

from __future__ import annotations

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.storage.run.tiny_run import description
from xda.errors import RunError
from xda.storage.run.manifest import SCHEMA_VERSION, FileEntry, RunDescription, describe, digest, parse_manifest

ENTRY = FileEntry(sha256="a" * 64, bytes=3)


def document(**changes: Any) -> dict[str, Any]:
    """Return the JSON of a valid manifest with top-level changes."""
    whole: dict[str, Any] = json.loads(describe(description(), {"train.parquet": ENTRY}).to_bytes())
    return {**whole, **changes}


def nested(path: str, value: object) -> dict[str, Any]:
    """Return the JSON of a manifest with one value inside replaced."""
    whole = copy.deepcopy(document())
    *parents, last = path.split("/")
    place: Any = whole
    for part in parents:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return whole


def test_manifest_comes_back() -> None:
    manifest = describe(description(), {"train.parquet": ENTRY, "network.safetensors": ENTRY})
    content = manifest.to_bytes()
    assert parse_manifest(content, "run") == manifest
    assert digest(content) == hashlib.sha256(content).hexdigest()
    assert manifest.schema_version == SCHEMA_VERSION == 1
    assert manifest.created.tzinfo is not None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"schema_version": NaN}', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"null", "not the manifest of a run"),
        (b"[1]", "not the manifest of a run"),
        (b"{}", "not the manifest of a run"),
        (b'{"schema_version": "1"}', "not the manifest of a run"),
        (b'{"schema_version": true}', "not the manifest of a run"),
        (b'{"schema_version": 1.0}', "not the manifest of a run"),
        (b'{"schema_version": 1}', "damaged at"),
        (
            b'{"schema_version": 2, "anything": "else"}',
            r"schema version 2, this program reads version 1: .* newer .*Update",
        ),
        (b'{"schema_version": 0}', r"schema version 0, this program reads version 1: .* older .*Rebuild"),
        (b'{"schema_version": 99999999999999999999999999}', "newer"),
    ],
)
def test_parse_not_a_manifest_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(RunError, match=message):
        parse_manifest(content, "run")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", "../etc"),
        ("id", "UPPER"),
        ("id", 5),
        ("title", ""),
        ("classes", ["only one"]),
        ("classes", "012"),
        ("classes", [0, 1]),
        ("counts/train", -1),
        ("counts/train", 6.0),
        ("counts/train", "6"),
        ("counts/train", True),
        ("counts/train", 2**70),
        ("network/accuracy", 1.5),
        ("network/weights_sha256", "abc"),
        ("intercept", "yes"),
        ("surrogates", []),
        ("surrogates", {}),
        ("surrogates/0/c", 0),
        ("surrogates/0/c", None),
        ("surrogates/0/name", "../../x"),
        ("surrogates/0/certificate/converged", 1),
        ("surrogates/0/certificate/relative_gap", "0"),
        ("created", "yesterday"),
        ("created", "2026-01-01T00:00:00"),
        ("unknown", 1),
        ("files", []),
        ("files/train.parquet", "sha"),
        ("files", {"train.parquet": {"sha256": "a" * 63, "bytes": 3}}),
        ("files", {"train.parquet": {"sha256": "A" * 64, "bytes": 3}}),
        ("files", {"train.parquet": {"sha256": "a" * 64 + "\n", "bytes": 3}}),
    ],
)
def test_parse_wrong_value_is_refused_and_named(path: str, value: object) -> None:
    with pytest.raises(RunError, match="damaged at"):
        parse_manifest(json.dumps(nested(path, value)).encode(), "run")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_parse_nan_and_infinity_are_refused(number: str) -> None:
    content = json.dumps(nested("surrogates/0/certificate/primal", "HERE")).replace('"HERE"', number)
    with pytest.raises(RunError):
        parse_manifest(content.encode(), "run")


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../outside",
        "train/../../outside",
        "train//images.bin",
        "./train.parquet",
        "train/",
        "",
        ".hidden",
        "train/.hidden",
        "C:\\windows",
        "a\\..\\b",
        "a\x00b",
        "a\nb",
        "ä",
        "a" * 101,
        "/".join("a" * 9),
    ],
)
def test_parse_name_outside_of_folder_is_refused(name: str) -> None:
    with pytest.raises(RunError, match="damaged at"):
        parse_manifest(json.dumps(document(files={name: {"sha256": "a" * 64, "bytes": 3}})).encode(), "run")


@pytest.mark.parametrize("field", ["name", "c"])
def test_parse_equal_surrogates_are_refused(field: str) -> None:
    one = description().surrogates[0]
    other = one.model_copy(update={"name": "c-1", "c": 1.0, field: getattr(one, field)})
    values = {**dict(description()), "surrogates": (one, other)}
    with pytest.raises(ValidationError, match=f"same {field}"):
        RunDescription(**values)


def test_parse_deeply_nested_value_is_refused(tmp_path: Path) -> None:
    deep = json.dumps(document(libraries={"x": "HERE"})).replace('"HERE"', "[" * 5000 + "]" * 5000)
    with pytest.raises(RunError):
        parse_manifest(deep.encode(), str(tmp_path))
