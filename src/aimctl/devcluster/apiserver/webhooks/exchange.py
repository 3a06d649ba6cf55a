"""Requests that need the answers of webhooks.

A request is handled in one step between two awaits, and webhooks are called over the network. So a request that needs
an answer ends with :class:`Pending` before anything is stored; the webhooks are called, and the request is handled
again from its beginning, now with their answers. If an object was changed meanwhile, the answers do not fit, and the
webhooks are called again, as the real server does when it repeats a write after a conflict.

Invariant: an exchange belongs to one request, and is only current while that request is handled.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, final

from aimctl.devcluster.apiserver.webhooks.calls import Caller
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.responses import status_response

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aimctl.devcluster.apiserver.access import User
    from aimctl.devcluster.apiserver.verbs.writes import Writer
    from aimctl.devcluster.apiserver.wire.requests import Query
    from aimctl.devcluster.apiserver.wire.responses import ApiResponse

__all__ = ["Exchange", "Exchanges", "Pending", "WebhookCall"]

_ROUNDS = 100
"""Limit of the repetitions of one request, so that an object that changes all the time cannot keep it for ever."""


class WebhookCall(Protocol):
    """One call of a webhook. Calls with the same key have the same answer."""

    @property
    def key(self) -> bytes:
        """What the answer depends on."""
        ...

    async def send(self, caller: Caller, uid: str) -> Any:
        """Call the webhook with a review of this uid, and return the answer. Does not raise."""
        ...


class Pending(Exception):  # noqa: N818 - no error: the request is handled again
    """A request needs the answers of webhooks; nothing was stored."""

    def __init__(self, calls: Sequence[WebhookCall]) -> None:
        super().__init__()
        self.calls = calls


@final
@dataclass(slots=True)
class Exchange:
    """The answers for one request. ``seed`` gives each repetition the same uid and generated name."""

    user: User
    query: Query
    seed: int
    dry_run: bool
    named: bool = True
    answers: dict[bytes, Any] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)


@final
class Exchanges:
    """The exchange of the request that is being handled.

    Args:
        writer: its random numbers are those of the request.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.caller = Caller()
        self.current: Exchange | None = None

    async def answered(self, respond: Callable[[], ApiResponse], user: User, query: Query) -> ApiResponse:
        """The response to a request. ``respond`` handles it, and is called until all answers are known."""
        exchange = Exchange(user, query, self._writer.rng.getrandbits(64), bool(query.all("dryRun")))
        for _ in range(_ROUNDS):
            rng = self._writer.rng
            self.current, self._writer.rng = exchange, random.Random(exchange.seed)  # noqa: S311 - no secrets
            exchange.warnings.clear()
            try:
                response = respond()
            except Pending as pending:
                calls = pending.calls
            else:
                return _with_warnings(response, exchange.warnings)
            finally:
                self.current, self._writer.rng = None, rng
            await self._send(calls, exchange.answers)
        return _too_many()

    async def called(self, calls: Sequence[WebhookCall]) -> dict[bytes, Any]:
        """The answers to calls that belong to no request."""
        answers: dict[bytes, Any] = {}
        await self._send(calls, answers)
        return answers

    async def _send(self, calls: Sequence[WebhookCall], answers: dict[bytes, Any]) -> None:
        uids = [str(uuid.UUID(int=self._writer.rng.getrandbits(128), version=4)) for _ in calls]
        sent = (call.send(self.caller, uid) for call, uid in zip(calls, uids, strict=True))
        for call, answer in zip(calls, await asyncio.gather(*sent), strict=True):
            answers[call.key] = answer


def _with_warnings(response: ApiResponse, warnings: Mapping[str, None]) -> ApiResponse:
    if not warnings:
        return response
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in warnings]
    present = [response.headers["Warning"]] if "Warning" in response.headers else []
    header = ", ".join([*present, *(f'299 - "{text}"' for text in quoted)])
    return replace(response, headers={**response.headers, "Warning": header})


def _too_many() -> ApiResponse:
    text = "the object was changed each time while webhooks were called; please apply your changes again"
    return status_response(statuses.status(409, "Conflict", text))
