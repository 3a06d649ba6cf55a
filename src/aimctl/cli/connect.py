"""The connection of a command that asks the cluster something with a person's own rights.

Contract: whatever keeps an answer from coming is a :class:`CommandError` of one line that says what would help. Nothing
waits for ever: each request has a limit, and so has the wait for credentials.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, final

from aimctl.cli import CommandError
from aimctl.cli.stdout import HungUp
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

__all__ = ["Connected", "Connection", "ask", "connected", "in_words"]

T = TypeVar("T")

_CREDENTIALS_SECONDS = 60.0
"""An exec plugin may open a browser, and a person has to answer it."""


@final
@dataclass(frozen=True, slots=True)
class Connection:
    """Which cluster, and how patient; the flags that all asking commands share.

    Attributes:
        kubeconfig: see ``load_connection``.
        context: a context of it; None for the current one.
        request_seconds: limit of one request.
        flags: what of this was given on the command line, as a person typed it.
    """

    kubeconfig: str | None = None
    context: str | None = None
    request_seconds: float = 15.0
    flags: tuple[str, ...] = ()


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
        CommandError: the kubeconfig cannot be used; or a KubeError that the block lets through, in words.
    """
    clock = LoopClock()
    server = ""
    try:
        async with asyncio.timeout(_CREDENTIALS_SECONDS):
            info = await load_connection(
                connection.kubeconfig, environ=os.environ, clock=clock, context=connection.context
            )
        server = info.server
        async with HttpTransport(
            info, clock=clock, user_agent=user_agent, timeout_seconds=connection.request_seconds
        ) as transport:
            yield Connected(Client(transport, clock=clock, field_manager=field_manager), info, clock)
    except KubeError as error:
        raise CommandError(in_words(error, server)) from error
    except TimeoutError as error:
        raise CommandError(
            f"no credentials within {_CREDENTIALS_SECONDS:g} s: run the kubeconfig's exec command by hand"
        ) from error


def ask(main: Callable[[], Coroutine[object, object, T]]) -> T:
    """Run to the end, on a loop of its own; one failure of several that came together is told.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    try:
        return asyncio.run(main())
    except asyncio.CancelledError:
        # Nobody else cancels it. Before Python 3.13 a task group that failed leaves its task marked as cancelled, and
        # asyncio then no longer knows the interrupt for what it is.
        raise KeyboardInterrupt from None
    except BaseExceptionGroup as group:
        first = _first(group)
        if isinstance(first, CommandError | HungUp):
            raise first from None
        raise


def in_words(error: KubeError, server: str) -> str:
    """What went wrong, and what would help."""
    if isinstance(error, ConfigurationError):
        return str(error)
    if isinstance(error, ConnectionFailed):
        return (
            f"cannot reach the API server at {server}: {error}. Is it the right cluster (--context, $KUBECONFIG),"
            " and is it up?"
        )
    if isinstance(error, Unauthorized):
        return (
            f"the API server at {server} does not accept these credentials (401 {error}): renew the token or"
            " certificate in the kubeconfig, or log in again"
        )
    return f"the API server at {server} answers: {error}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
