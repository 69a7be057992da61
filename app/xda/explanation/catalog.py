"""The served runs by id and by digest; a refused run does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from xda.errors import NotFoundError, RunError, XdaError
from xda.explanation.device_queue import DeviceQueue
from xda.explanation.heatmaps import MapCache
from xda.explanation.run import Explainer
from xda.settings import DeviceChoice, Settings
from xda.storage.blob_cache import BlobCache

logger = logging.getLogger(__name__)


class Catalog:
    """Open runs by id and by digest.

    Attributes
    ----------
    runs : mapping of str to Explainer
        Served runs by id, in the order given.
    refused : mapping of str to str
        Reason for each run that could not be opened, by the name of its folder.
    """

    def __init__(self, runs: Iterable[Explainer], refused: dict[str, str], device_queue: DeviceQueue) -> None:
        self.runs = MappingProxyType({explainer.id: explainer for explainer in runs})
        self.refused = MappingProxyType(dict(refused))
        self.device_queue = device_queue

    @classmethod
    def open(cls, settings: Settings) -> Catalog:
        """Open the runs of the settings."""
        cache = BlobCache(settings.cache_dir, settings.cache_bytes) if settings.cache_bytes else None
        return cls.open_paths(
            settings.run_paths, settings.device, cache, settings.queue_size, settings.allowed_factories
        )

    @classmethod
    def open_paths(
        cls,
        paths: Iterable[Path],
        device: DeviceChoice = "auto",
        cache: MapCache | None = None,
        queue_size: int = 64,
        allow_factory: Sequence[str] = (),
    ) -> Catalog:
        """Open run folders; leave a refused one out and keep its reason."""
        device_queue = DeviceQueue(queue_size)
        runs: dict[str, Explainer] = {}
        refused: dict[str, str] = {}
        for path in paths:
            try:
                explainer = Explainer.open(
                    path, device=device, cache=cache, device_queue=device_queue, allow_factory=allow_factory
                )
                if explainer.id in runs:
                    raise RunError(
                        f"{path}: another run with the id '{explainer.id}' is served already; "
                        "build one of them with another [run] id."
                    )
                runs[explainer.id] = explainer
            except XdaError as error:
                logger.error("run refused: %s", error)
                refused[path.name] = str(error)
        return cls(runs.values(), refused, device_queue)

    def without(self, refused: Mapping[str, str]) -> Catalog:
        """Return the same catalog without some runs; it shares the device's queue and the open runs with this one.

        Parameters
        ----------
        refused : mapping of str to str
            Reason by id.
        """
        kept = [explainer for explainer in self.runs.values() if explainer.id not in refused]
        return Catalog(kept, {**self.refused, **refused}, self.device_queue)

    def get(self, run_id: str) -> Explainer:
        """Return a run by its id.

        Raises
        ------
        RunError
            If the run was refused when it was opened.
        NotFoundError
            If there is no such run.
        """
        if run_id in self.runs:
            return self.runs[run_id]
        if run_id in self.refused:
            raise RunError(self.refused[run_id])
        known = ", ".join(self.runs) or "none"
        raise NotFoundError(f"There is no run '{run_id[:80]}' here; served runs: {known}.")

    def by_digest(self, prefix: str) -> Explainer:
        """Return the run whose digest begins with at least 16 given hexadecimal digits.

        Raises
        ------
        NotFoundError
            If no served run has this digest.
        """
        for explainer in self.runs.values():
            if len(prefix) >= 16 and explainer.digest.startswith(prefix):
                return explainer
        raise NotFoundError(
            "The server has no run of this digest: it was rebuilt or is no longer served. Open the list of runs."
        )

    @property
    def ready(self) -> tuple[bool, str]:
        """Whether at least one run answers, with the reason if none does; a run opens only if its network answers."""
        if self.runs:
            return True, ""
        return False, "; ".join(self.refused.values()) or "no run folder is served; start with `xda serve RUN`"

    def close(self) -> None:
        """Close all runs."""
        self.device_queue.close()
        for explainer in self.runs.values():
            explainer.close()
