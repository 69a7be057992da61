"""Settings with rules beyond a plain value."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from xda.settings import Settings

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDA_ALLOWED_HOSTS")


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, ()),
        ({"public_url": "https://XDA.example:8443/tools"}, ("xda.example",)),
        ({"public_url": "http://[2001:db8::1]:80/"}, ("[2001:db8::1]",)),
        ({"public_url": "http://localhost:8000"}, ()),
        (
            {"allowed_hosts": " a.example, B.example,,*.c.example,fe80::1 "},
            ("a.example", "b.example", "*.c.example", "[fe80::1]"),
        ),
        ({"allowed_hosts": "*"}, ("*",)),
    ],
)
def test_hosts_are_loopback_public_url_and_allowed(given: dict[str, str], hosts: tuple[str, ...]) -> None:
    assert Settings.model_validate(given).hosts == LOOPBACK + hosts


@pytest.mark.parametrize(
    "given", ["http://a.example", "a.example:80", "a.*.example", "**", "a b", "a.example/x", "[x]"]
)
def test_hosts_not_names_are_refused(given: str) -> None:
    with pytest.raises(ValidationError, match="without scheme and port"):
        Settings(allowed_hosts=given)
