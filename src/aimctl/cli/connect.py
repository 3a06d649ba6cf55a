"""The connection of a command that reads or changes a cluster with the user's own permissions.

Contract: every failure to get an answer is a :class:`CommandError` of one line with a remedy. Nothing waits forever: a
request has a time limit, and so have the credentials.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, final

from aimctl.cli.errors import CommandError
from aimctl.cli.streams import ReaderGone
from aimctl.kubetypes.errors import with_remedy
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import (
    Client,
    ConfigurationError,
    ConnectionFailed,
    HttpTransport,
    KubeError,
    Unauthorized,
    load_connection,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import ConnectionInfo

__all__ = ["Connected", "Connection", "connected", "describe_error", "run"]

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class Connection:
    """Which cluster to use.

    Attributes:
        kubeconfig: see ``load_connection``.
        context: a context of the kubeconfig; None for the current one.
        request_seconds: time limit of one request.
    """

    kubeconfig: str | None = None
    context: str | None = None
    request_seconds: float = 15.0


@final
@dataclass(frozen=True, slots=True)
class Connected:
    """An open connection."""

    client: Client
    info: ConnectionInfo
    clock: Clock


@asynccontextmanager
async def connected(
    connection: Connection, *, field_manager: str = "aimctl", user_agent: str = "aimctl"
) -> AsyncIterator[Connected]:
    """Load the kubeconfig and open a transport.

    Raises:
        CommandError: the kubeconfig cannot be used, or the block raised a KubeError.
    """
    clock = LoopClock()
    server = ""
    try:
        info = await load_connection(
            connection.kubeconfig, environ=os.environ, clock=clock, context=connection.context
        )
        server = info.server
        async with HttpTransport(
            info, clock=clock, user_agent=user_agent, timeout_seconds=connection.request_seconds
        ) as transport:
            yield Connected(Client(transport, clock=clock, field_manager=field_manager), info, clock)
    except KubeError as error:
        raise CommandError(describe_error(error, server)) from error


def run(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run a coroutine on its own event loop.

    Of several exceptions raised together, the first CommandError or ReaderGone is raised alone.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        # Only an interrupt cancels the main task. Before Python 3.13 a failed task group leaves the task marked as
        # cancelled, and asyncio then does not turn the cancellation into KeyboardInterrupt.
        raise KeyboardInterrupt from None
    except BaseExceptionGroup as group:
        first = _first(group)
        if isinstance(first, CommandError | ReaderGone):
            raise first from None
        raise


def describe_error(error: KubeError, server: str) -> str:
    """The failure and its remedy, in one line."""
    if isinstance(error, ConfigurationError):
        return str(error)
    if isinstance(error, ConnectionFailed):
        return (
            f"cannot reach the API server at {server}: {error}. Check that it is the right cluster (--context,"
            " $KUBECONFIG) and that it is running"
        )
    if isinstance(error, Unauthorized):
        return (
            f"the API server at {server} does not accept these credentials (401 {error}): renew the token or"
            " certificate in the kubeconfig, or log in again"
        )
    return f"the API server at {server} answered: {with_remedy(error)}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
