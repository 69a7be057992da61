"""Additional checks of every answer for schemathesis; ``test_openapi`` loads them."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis.specs.openapi.checks import positive_data_acceptance


@schemathesis.check
def what_is_described_is_accepted(
    context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> bool | None:
    """Refuse only requests against two rules that no schema can express.

    A cursor must come from the server, and a contrast needs two different classes.
    """
    asked = dict(case.query or {})
    if isinstance(case.body, dict):
        asked |= case.body
    one_class = asked.get("target") is not None and str(asked["target"]) == str(asked.get("against"))
    if "cursor" in asked or one_class:
        return None
    return positive_data_acceptance(context, response, case)
