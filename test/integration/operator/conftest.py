"""Errors that the operator logs are kept, not printed; a mistake in its code fails the test that met it."""

from __future__ import annotations

import logging

import pytest
import structlog

from aimctl.runtime.kube.errors import KubeError

_EXPECTED = (KubeError, TimeoutError)
"""What the cluster may do to the operator; anything else is the operator's own mistake."""


def _leaves(error):
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    else:
        yield error


@pytest.fixture(autouse=True)
def logged_errors():
    """The events logged as errors, each as a dict."""
    errors = []

    def keep(logger, method, event):
        errors.append(event)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        cache_logger_on_first_use=False,
    )
    yield errors
    structlog.configure(**before)
    causes = [event.get("exc_info") for event in errors]
    mistakes = [
        leaf
        for cause in causes
        if isinstance(cause, BaseException)
        for leaf in _leaves(cause)
        if not isinstance(leaf, _EXPECTED)
    ]
    if mistakes:
        raise BaseExceptionGroup("the operator logged mistakes of its own", mistakes)
    hidden = [event for event in errors if event.get("exc_info") is True]
    assert hidden == [], "the operator logged failures of handlers or predicates"
