"""What all tests need of the process they run in."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# Both are limits of real time, which the load of the machine can use up; the first text that a fresh clone draws takes
# seconds by itself, while Hypothesis makes its table of Unicode. Budgets are held by benchmarks and by counting.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def pytest_configure() -> None:
    """Let the commands that tests start hear Ctrl-C.

    A shell without job control starts what it puts into the background, as in ``make test &``, with SIGINT ignored, and
    that is inherited by all processes started from there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
