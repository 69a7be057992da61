"""The manners of other libraries' downloads, mended."""

from __future__ import annotations

import contextlib
import io
import socket
from collections.abc import Iterator

_SECONDS_WITHOUT_ANSWER = 20.0


@contextlib.contextmanager
def well_behaved() -> Iterator[None]:
    """Within the block, downloads give up on a silent server after seconds, and draw no progress bars of their own.

    torchvision sets no time limit: behind a firewall that drops packets it would wait for minutes. Its bars would be
    drawn over ours.
    """
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SECONDS_WITHOUT_ANSWER)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        socket.setdefaulttimeout(timeout)
