"""Errors that a person can mend.

Each error carries one sentence that says what happened and what to do. The command line prints that sentence and exits
with status 2; the web layer turns it into a problem+json body or an error page with the class's ``status``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class XdaError(Exception):
    """Base of all errors with a message for people."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"


class ConfigError(XdaError):
    """A configuration, a preset or an option does not make sense."""

    title = "The configuration cannot be used"


class DataError(XdaError):
    """A data set is missing, damaged or has another checksum."""

    title = "The data cannot be used"


class BadImagesError(DataError):
    """Images of a data set cannot be used; the message lists them.

    Parameters
    ----------
    sentence : str
        What happened and what to do, ending with a colon.
    listed : sequence of str
        A line for each image, at most as many as a person reads.
    """

    def __init__(self, sentence: str, listed: Sequence[str]) -> None:
        super().__init__("\n  ".join((sentence, *listed)))
        self.sentence = sentence
        self.listed = tuple(listed)


class RunError(XdaError):
    """A run folder is incomplete, damaged, of another version, or its parts do not match."""

    status = 503
    title = "This run cannot be served"


class NoNetworkError(RunError):
    """The network of a run cannot be made here; the server can still show everything but heat-maps.

    Parameters
    ----------
    where : str
        The run.
    reason : str
        Sentences that say why, and what to do.
    """

    title = "The network of this run cannot be made here"

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: the network of this run cannot be made here. {reason}")
        self.reason = reason


class NotFoundError(XdaError):
    """The request names a run, an index, a class, a C or a link that does not exist."""

    status = 404
    title = "Not found"


class NoHeatmapsError(NotFoundError):
    """Relevance cannot pass the run's network; the server still shows everything but heat-maps."""

    title = "This run has no heat-maps"


class InvalidRequestError(XdaError):
    """The request is understood but one of its values cannot be used."""

    status = 422
    title = "The request cannot be answered as asked"


class ConflictError(XdaError):
    """The request contradicts the present state, such as an existing run of another id."""

    status = 409
    title = "The request contradicts what is there"


class BusyError(XdaError):
    """The device queue is full or the answer was not ready in time; the client should try again later."""

    status = 503
    title = "Busy"

    def __init__(self, message: str, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after
