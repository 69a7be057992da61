"""Refuses to build a wheel or a source distribution whose pages would lack what comes from npm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class VendoredFilesHook(BuildHookInterface[Any]):
    """Looks for htmx before anything is built; an editable install may go before npm."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Stop the build with a sentence where ``static/vendor`` is missing."""
        if version != "editable" and not (Path(self.root) / "static" / "vendor" / "htmx.min.js").is_file():
            raise SystemExit(
                "static/vendor/htmx.min.js is missing, and the pages need it: "
                "run `npm ci --prefix frontend` (Node 20 or newer), then build again."
            )
