"""Logging and signals, which concern the whole process."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import sys
import threading
import warnings
from types import SimpleNamespace

import pytest
import structlog

from aimctl.runtime.manager import configure_logging, stop_on_signals
from aimctl.runtime.manager.logs import log_uncaught


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_have_bound_values_also_from_the_standard_library():
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    with structlog.contextvars.bound_contextvars(controller="things"):
        structlog.get_logger("mine").info("reconciled", seconds=1.5, odd=object)
        logging.getLogger("other").warning("disk %s is full", "a")
    structlog.get_logger("mine").debug("not shown")
    logging.getLogger("other").debug("not shown")
    own, other = lines(stream)
    assert own["time"].endswith("Z")
    assert (own["event"], own["level"], own["logger"], own["controller"]) == (
        "reconciled",
        "info",
        "mine",
        "things",
    )
    assert own["seconds"] == 1.5
    assert (other["event"], other["level"], other["logger"]) == ("disk a is full", "warning", "other")
    assert other["controller"] == "things"


def test_a_traceback_is_part_of_its_line():
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    error = KeyError("spec")
    structlog.get_logger("mine").error("reconcile failed", exc_info=error)
    (line,) = lines(stream)
    assert "KeyError: 'spec'" in line["exception"]


def test_the_console_format_is_readable_text():
    stream = io.StringIO()
    configure_logging("debug", "console", stream=stream)
    structlog.get_logger("mine").debug("reconciled", name="a")
    assert "reconciled" in stream.getvalue()
    assert "name=a" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_configuring_again_does_not_duplicate_lines():
    stream = io.StringIO()
    configure_logging("info", "json", stream=io.StringIO())
    configure_logging("info", "json", stream=stream)
    structlog.get_logger("mine").info("once")
    assert len(lines(stream)) == 1


def test_the_http_library_does_not_log_bodies_at_debug():
    configure_logging("debug", "json", stream=io.StringIO())
    assert logging.getLogger("aiohttp.client").getEffectiveLevel() == logging.INFO


@pytest.mark.parametrize(("level", "form"), [("loud", "json"), ("info", "xml")])
def test_unknown_settings_are_errors(level, form):
    with pytest.raises(ValueError, match="use"):
        configure_logging(level, form)


async def test_the_first_signal_stops_and_the_second_exits():
    exited = asyncio.Event()
    statuses: list[int] = []

    def leave(status: int) -> None:
        statuses.append(status)
        exited.set()

    before = signal.getsignal(signal.SIGUSR1)
    with stop_on_signals(exit_process=leave, signals=(signal.SIGUSR1, signal.SIGUSR2)) as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), signal.SIGUSR1)
        async with asyncio.timeout(5):
            await stop.wait()
        assert statuses == []
        os.kill(os.getpid(), signal.SIGUSR2)
        async with asyncio.timeout(5):
            await exited.wait()
        assert statuses == [1]
    assert signal.getsignal(signal.SIGUSR1) is before


@pytest.fixture
def hooks():
    before = sys.excepthook, threading.excepthook, sys.unraisablehook
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook = before
    logging.captureWarnings(False)


@pytest.mark.usefixtures("hooks")
def test_uncaught_errors_and_warnings_are_lines_of_the_log():
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    log_uncaught()
    error = KeyError("spec")
    sys.excepthook(KeyError, error, None)
    threading.excepthook(threading.ExceptHookArgs((KeyError, error, None, threading.current_thread())))
    sys.unraisablehook(SimpleNamespace(exc_value=error, err_msg=None, object=object))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old style", DeprecationWarning, stacklevel=1)
    of_process, of_thread, unraisable, warning = lines(stream)
    assert [item["level"] for item in (of_process, of_thread, unraisable, warning)] == ["error"] * 3 + [
        "warning"
    ]
    assert all("KeyError: 'spec'" in item["exception"] for item in (of_process, of_thread, unraisable))
    assert of_thread["thread"] == "MainThread"
    assert "old style" in warning["event"]


@pytest.mark.usefixtures("hooks")
def test_an_interrupt_is_not_an_uncaught_error(capsys):
    stream = io.StringIO()
    configure_logging("info", "json", stream=stream)
    log_uncaught()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert lines(stream) == []
    assert "KeyboardInterrupt" in capsys.readouterr().err
