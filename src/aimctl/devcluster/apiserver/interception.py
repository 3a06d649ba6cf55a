"""Where something outside the API server may act on requests, such as the injection of faults.

An interceptor handles each request before authentication. It may delay it, respond itself, or raise
:class:`ConnectionRefused` or :class:`ConnectionCut`, which transports turn into what a client sees on a network.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aimctl.devcluster.apiserver.wire.requests import RequestInfo
from aimctl.devcluster.apiserver.wire.responses import ApiResponse

__all__ = ["ConnectionCut", "ConnectionRefused", "Interceptor", "Respond"]


class ConnectionRefused(Exception):  # noqa: N818 - named for what the client sees
    """The server does not accept the connection."""


class ConnectionCut(Exception):  # noqa: N818 - named for what the client sees
    """The connection breaks before the response is complete."""


Respond = Callable[[int | None], Awaitable[ApiResponse]]
"""Handles the request; reads return the state at the given resourceVersion, or the current one for None."""

Interceptor = Callable[[RequestInfo, Respond], Awaitable[ApiResponse]]
"""Returns the response to a request, usually that of ``respond``, which it calls at most once."""
