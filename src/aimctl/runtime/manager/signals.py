"""SIGTERM and SIGINT: the first signal starts a graceful shutdown, the second ends the process."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["stop_on_signals"]

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_on_signals(
    *, exit_process: Callable[[int], object] = os._exit, signals: tuple[signal.Signals, ...] = _SIGNALS
) -> Iterator[asyncio.Event]:
    """An event that the first signal sets. A second signal exits at once with status 1, without cleanup.

    Use it inside a running event loop of the main thread: ``with stop_on_signals() as stop: await manager.run(stop)``.
    Leaving the context restores the previous signal handlers.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    log = structlog.get_logger(__name__)

    def received(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("second signal, exiting now", signal=number.name)
            exit_process(1)
            return
        log.info("shutting down; a second signal exits at once", signal=number.name)
        stop.set()

    former = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        loop.add_signal_handler(number, received, number)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, former[number])
