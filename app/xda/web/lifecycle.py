"""The lifecycle of a served application: opens the catalog of runs and the link store in the background.

Loading PyTorch and mapping the runs takes seconds. Threads open both, so that the server answers ``/healthz``
meanwhile; a request for one that is not yet open gets a ``BusyError`` (503 with ``Retry-After``).
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyio import to_thread

from xda.errors import BusyError, RunError, XdaError
from xda.settings import Settings

if TYPE_CHECKING:
    from xda.explanation.catalog import Catalog
    from xda.explanation.run import Explainer
    from xda.storage.database.links import LinkStore

logger = logging.getLogger(__name__)

PING_SECONDS = 2.0
"""Longest wait for the link database's answer to a ping."""
NOTHING_SERVED = "XDA_NOTHING_SERVED"
"""Environment variable with the file for ``end_process``; ``xda serve`` sets it for its workers."""
RETRY_SECONDS = 2.0
"""Pause between two attempts to reach the link database (which may start after this process)."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the server can answer requests, and the reason if not."""

    ready: bool
    reason: str


def open_catalog(settings: Settings) -> Catalog:
    """Open the runs named by the settings.

    The import is here since it loads PyTorch, for which a starting process must not wait.
    """
    from xda.explanation.catalog import Catalog

    return Catalog.open(settings)


def open_links(settings: Settings) -> LinkStore:
    """Open the link database and bring its schema up to date."""
    from xda.storage.database.links import LinkStore

    store = LinkStore(settings.link_database_url)
    try:
        store.migrate()
    except BaseException:
        store.close()
        raise
    return store


def answer_once(explainer: Explainer, timeout: float) -> None:
    """Compute one explanation and one heat-map of a run, so that the first visitor finds warm caches.

    Raises
    ------
    XdaError
        The run cannot answer.
    """
    explainer.explain(0)
    future = explainer.own_relevance(0, blank=True)
    try:
        future.result(timeout)
    except TimeoutError:
        logger.warning("run %s: its first heat-map takes longer than %g s", explainer.id, timeout)


def those_without_answer(catalog: Catalog, timeout: float) -> dict[str, str]:
    """Let each run answer once; return by id the reasons of those that cannot."""
    from xda.runs.foreign_errors import contained

    failed: dict[str, str] = {}
    for explainer in catalog.runs.values():
        try:
            with contained(lambda _: RunError("It does not answer; the reason is in the server's log.")):
                answer_once(explainer, timeout)
        except XdaError as error:
            logger.error("run %s refused: %s", explainer.id, error)
            failed[explainer.id] = str(error)
    return failed


def end_process(reason: str) -> None:
    """End a process that cannot serve anything; safe from any thread.

    A process of its own prints the reason and ends with status 2. A worker leaves it in the file that
    ``NOTHING_SERVED`` names and ends with the status at which uvicorn does not start another in its place.
    """
    from uvicorn.config import STARTUP_FAILURE

    sentence = " ".join(reason.split())
    if multiprocessing.parent_process() is None:
        print(f"xda: {sentence}", file=sys.stderr, flush=True)
        os._exit(2)
    if report := os.environ.get(NOTHING_SERVED):
        Path(report).write_text(sentence, encoding="utf-8")
    os._exit(STARTUP_FAILURE)


class Lifecycle:
    """Opens the catalog and the link store in the background, hands them out, and closes them again.

    Parameters
    ----------
    settings : Settings
        Settings of the process.
    catalog : Catalog, optional
        An open catalog to serve; it stays the caller's to close. ``None`` opens the runs of the settings.

    Attributes
    ----------
    when_nothing_is_served : callable
        Called with the reason if no run can be served; by default only ``/readyz`` tells it.
    """

    def __init__(self, settings: Settings, catalog: Catalog | None = None) -> None:
        self.settings = settings
        self._given = catalog is not None
        self._catalog = catalog
        self._links: LinkStore | None = None
        self._answered = False
        self.when_nothing_is_served: Callable[[str], None] = lambda reason: None
        self._runs_reason = "The runs are being loaded."
        self._links_reason = "The link database is being opened."
        self._links_trouble = ""
        self._ping: asyncio.Task[None] | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._threads: tuple[threading.Thread, ...] = ()

    def start(self) -> None:
        """Begin loading; returns at once."""
        self._threads = tuple(
            # Daemons, so that Ctrl-C during the import of PyTorch ends the process at once.
            threading.Thread(target=work, name=f"xda-{work.__name__.strip('_')}", daemon=True)
            for work in (self._load_runs, self._load_links)
        )
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop loading and close what this object opened."""
        self._stopped.set()
        with self._lock:
            catalog, self._catalog = self._catalog, None
            links, self._links = self._links, None
        if catalog is not None and not self._given:
            catalog.close()
        if links is not None:
            links.close()

    def wait(self, timeout: float) -> Readiness:
        """Wait until loading has ended and return the readiness (for tests and the command line)."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return self.readiness()

    def wait_for_runs(self) -> None:
        """Wait until opening the runs has ended, with or without success; do not wait for the link database."""
        self._threads[0].join()

    def readiness(self) -> Readiness:
        """Whether every part is loaded, each run has answered once, and the database answered the last ping."""
        if not self._answered:
            return Readiness(False, self._runs_reason)
        if self._links is None:
            return Readiness(False, self._links_reason)
        if self._links_trouble:
            return Readiness(False, self._links_trouble)
        return Readiness(True, self._runs_reason)

    async def ask(self) -> Readiness:
        """Ping the link database, if open, and return the readiness."""
        links, trouble = self._links, ""
        if links is not None:
            if self._ping is None or self._ping.done():
                # One ping at a time, so that a silent database blocks only one thread.
                self._ping = asyncio.create_task(to_thread.run_sync(links.ping, abandon_on_cancel=True))
            answered, _ = await asyncio.wait({self._ping}, timeout=PING_SECONDS)
            if not answered:
                trouble = f"The link database has not answered within {PING_SECONDS:g} s."
            elif error := self._ping.exception():
                trouble = str(error) if isinstance(error, XdaError) else "The link database cannot be asked."
        if trouble and trouble != self._links_trouble:
            logger.error(trouble)
        self._links_trouble = trouble
        return self.readiness()

    @property
    def catalog(self) -> Catalog:
        """The open catalog.

        Raises
        ------
        BusyError
            The catalog is still loading, or its loading failed.
        """
        if self._catalog is None:
            raise BusyError(f"{self._runs_reason} Try again in a moment.")
        return self._catalog

    @property
    def links(self) -> LinkStore:
        """The open link store.

        Raises
        ------
        BusyError
            The store is still opening, or its database cannot be reached.
        """
        if self._links is None:
            raise BusyError(f"{self._links_reason} Try again in a moment.")
        return self._links

    @property
    def open_catalog(self) -> Catalog | None:
        """The catalog if it is open; never raises, since metrics are read while loading."""
        return self._catalog

    def _keep(self, store: Callable[[], None], release: Callable[[], None]) -> bool:
        """Publish an object that a thread opened, or close it if the application was closed meanwhile."""
        with self._lock:
            if not self._stopped.is_set():
                store()
                return True
        release()
        return False

    def _load_runs(self) -> None:
        self._open_runs()
        if not self._answered and not self._stopped.is_set():
            self.when_nothing_is_served(self._runs_reason)

    def _open_runs(self) -> None:
        started = time.perf_counter()
        try:
            catalog = self._catalog if self._catalog is not None else open_catalog(self.settings)

            def store() -> None:
                self._catalog = catalog

            if not self._keep(store, lambda: None if self._given else catalog.close()):
                return
            if failed := those_without_answer(catalog, self.settings.wait_seconds):
                every, catalog = catalog, catalog.without(failed)
                if not self._keep(store, lambda: None):
                    return
                for run in () if self._given else failed:
                    every.runs[run].close()
            if not self._given:
                # Loaded modules stay, so the garbage collector need not scan them again and again.
                gc.collect()
                gc.freeze()
            refused = "; ".join(f"{run}: {reason}" for run, reason in catalog.refused.items())
            if not catalog.runs:
                self._runs_reason = f"No run can be served. {refused}".strip()
                logger.error(self._runs_reason)
                return
            self._runs_reason = f"Refused runs: {refused}" if refused else "All runs are served."
            self._answered = True
            logger.info("%d run(s) ready after %.1f s", len(catalog.runs), time.perf_counter() - started)
        except XdaError as error:
            self._runs_reason = f"The runs cannot be served: {error}"
            logger.error(self._runs_reason)
        except BaseException:  # This thread must never end without a reason.
            self._runs_reason = "The runs cannot be served; the reason is in the server's log."
            logger.exception("loading the runs failed")

    def _load_links(self) -> None:
        while not self._stopped.is_set():
            try:
                links = open_links(self.settings)
            except Exception as error:
                self._links_reason = "The link database cannot be reached; the reason is in the server's log."
                logger.warning("opening the link database failed, trying again: %s", error)
                self._stopped.wait(RETRY_SECONDS)
                continue

            def store(opened: LinkStore = links) -> None:
                self._links = opened

            self._keep(store, links.close)
            return
