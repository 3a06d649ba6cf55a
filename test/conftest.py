"""What all tests need of the process they run in."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# Both are limits of real time, which the load of the machine can use up; the first text that a fresh clone draws takes
# seconds by itself, while Hypothesis makes its table of Unicode. Budgets are held by benchmarks and by counting.
# Every run has other examples, so half of the usual number finds the same over a few runs.
settings.register_profile(
    "suite", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

_LOGGERS = (None, "asyncio", "aiohttp")
"""The loggers whose level ``configure_logging`` sets; None is the root logger."""


def _drop_debug(
    _logger: object, method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Skip rendering of debug events, which are most of the log. ``capture_logs`` still captures them."""
    if method == "debug":
        raise structlog.DropEvent
    return event


# The default of structlog renders debug events, and tracebacks with local variables: up to 50 ms for each logged error.
structlog.configure(
    processors=[
        _drop_debug,
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(autouse=True)
def process_settings() -> Iterator[None]:
    """Undo what a program sets for its whole process: logging, and the threshold of the garbage collector.

    The tests of a worker share one process in random order, so the log level of one test would filter the records that
    another captures.
    """
    root, config, threshold = logging.getLogger(), structlog.get_config(), gc.get_threshold()
    disabled = root.manager.disable
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in _LOGGERS}
    yield
    if structlog.get_config() != config:
        structlog.configure(**config)
    logging.disable(disabled)
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    gc.set_threshold(*threshold)


def pytest_configure() -> None:
    """Let the commands that tests start hear Ctrl-C.

    A shell without job control starts what it puts into the background, as in ``make test &``, with SIGINT ignored, and
    that is inherited by all processes started from there.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
