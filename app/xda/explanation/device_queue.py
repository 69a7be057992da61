"""A bounded queue in front of the device: one worker thread; a full queue refuses jobs at once."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from xda.errors import BusyError

logger = logging.getLogger(__name__)


class DeviceQueue:
    """Runs jobs one after the other in one thread, since networks are not thread-safe.

    Parameters
    ----------
    size : int
        Most jobs that may wait; ``BusyError`` refuses one more.
    """

    def __init__(self, size: int = 64) -> None:
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=size)
        self._closed = False
        self._working = False
        self._worker = threading.Thread(target=self._work, name="xda-device", daemon=True)
        self._worker.start()

    def __len__(self) -> int:
        """Return the number of jobs that wait."""
        return self._jobs.qsize()

    @property
    def idle(self) -> bool:
        """Whether no job runs or waits."""
        return not self._working and not len(self)

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; the job delivers its own result and exceptions.

        Raises
        ------
        BusyError
            If the queue is full or closed.
        """
        if self._closed:
            raise BusyError("The server is shutting down; reload the page in a moment.")
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise BusyError(f"{len(self)} heat-map jobs are waiting already; try again in a moment.") from None

    def close(self) -> None:
        """Finish the job at hand, drop those that wait, and end the worker."""
        self._closed = True
        while True:
            try:
                self._jobs.get_nowait()
            except queue.Empty:
                break
        self._jobs.put(None)
        self._worker.join(timeout=30)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._working = True
            try:
                job()
            except BaseException:  # a network may call sys.exit; all runs share this thread
                logger.exception("a device job failed without delivering its error")
            finally:
                self._working = False
