"""Tracebacks on the console show positions, but no values of variables."""

from __future__ import annotations

import io

import pytest
import structlog

from aimctl.runtime.manager import configure_logging


@pytest.mark.parametrize("format_", ["console", "json"])
def test_a_logged_exception_shows_no_local_variables(format_: str) -> None:
    stream = io.StringIO()
    configure_logging("info", format_, stream=stream)
    try:
        token = "hunter2-from-a-secret"
        raise RuntimeError(f"failed after {len(token)} characters")  # noqa: TRY301 - its locals are the point
    except RuntimeError:
        structlog.get_logger("test").exception("it failed")
    written = stream.getvalue()
    assert "failed after 21 characters" in written
    assert written.count("hunter2") <= 1, "only the source line itself may hold it"
