"""What all tests need of the process they run in."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let the commands that tests start hear Ctrl-C.

    A shell without job control starts what it puts into the background, as in ``make test &``, with SIGINT ignored, and
    that is inherited by all processes started from there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
