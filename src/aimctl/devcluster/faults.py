"""Fault injection: requests that fail, in the same way and order in every run.

    faults = Faults(rng)
    server = ApiServer(clock=clock, interceptor=faults)
    faults.add(Answer(503), Match(verb="list"), times=2)

Contract:
    * A :class:`Fault` has a :class:`Match`, which selects requests, an action, and the number of times it acts.
    * :class:`Faults` holds the active faults. They are tried in the order they were added, and every fault that matches
      a request acts.
    * A fault with ``times`` is removed after so many hits. ``hits`` counts them.

Actions: :class:`Delay`, :class:`Refuse`, :class:`Answer` (any Status), :class:`PlainAnswer` (no Status),
:class:`Gone410`, :class:`CutStream`, :class:`Silence`, :class:`StaleRead`. Compaction is not an action, see
``Storage.compact``.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, final

from aimctl.devcluster.apiserver.interception import ConnectionCut, ConnectionRefused
from aimctl.devcluster.apiserver.verbs.watching import error_line
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.devcluster.apiserver.wire.responses import ApiResponse, json_response, status_response

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping

    from aimctl.devcluster.apiserver.interception import Respond
    from aimctl.devcluster.apiserver.wire.requests import RequestInfo
    from aimctl.devcluster.apiserver.wire.statuses import StatusError

__all__ = [
    "Action",
    "Answer",
    "CutStream",
    "Delay",
    "Fault",
    "Faults",
    "Gone410",
    "Match",
    "PlainAnswer",
    "Refuse",
    "Silence",
    "StaleRead",
]


@final
@dataclass(frozen=True, slots=True)
class Match:
    """Selects requests. Patterns are shell globs; "*" matches everything.

    Attributes:
        verb: RBAC verb: get, list, watch, create, update, patch, delete, deletecollection. A watch that begins with all
            objects, as informers send it instead of a list since Kubernetes 1.34, is a list as well.
        resource: the plural name.
        subresource: such as ``status``; "" for the object itself.
        namespace: "" for cluster-scoped objects and for all namespaces.
        name: "" for collections.
        path: the whole path.
        predicate: a further condition.
    """

    verb: str = "*"
    resource: str = "*"
    subresource: str = "*"
    namespace: str = "*"
    name: str = "*"
    path: str = "*"
    predicate: Callable[[RequestInfo], bool] | None = None

    def matches(self, info: RequestInfo) -> bool:
        """Whether this request is selected."""
        verbs = (info.verb, "list") if info.initial_events else (info.verb,)
        if self.verb != "*" and not any(fnmatchcase(verb, self.verb) for verb in verbs):
            return False
        pairs = (
            (info.resource, self.resource),
            (info.subresource, self.subresource),
            (info.namespace, self.namespace),
            (info.name, self.name),
            (info.path, self.path),
        )
        if not all(pattern == "*" or fnmatchcase(value, pattern) for value, pattern in pairs):
            return False
        return self.predicate is None or self.predicate(info)


@final
@dataclass(frozen=True, slots=True)
class Delay:
    """Wait for ``seconds`` of the cluster's time before the request is handled."""

    seconds: float


@final
@dataclass(frozen=True, slots=True)
class Refuse:
    """The connection is refused: the request does not reach the server."""


@final
@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with this Status instead of handling the request.

    Attributes:
        code: HTTP status, such as 429, 500, 503, 401.
        reason: of the Status; "" takes the usual one of the code.
        message: of the Status; "" takes the usual one of the code.
        retry_after: seconds for the Retry-After header; None sends none.
        details: of the Status; those of a real 404 have the ``name`` and ``kind`` (plural) of the missing object.
        after_effect: handle the request first, so that the client cannot know that it took effect.
    """

    code: int
    reason: str = ""
    message: str = ""
    retry_after: int | None = None
    details: Mapping[str, Any] | None = None
    after_effect: bool = False

    def error(self) -> StatusError:
        """The Status as an error."""
        reason, message = _USUAL.get(self.code, ("", f"injected status {self.code}"))
        details = dict(self.details or {})
        if self.retry_after is not None:
            details["retryAfterSeconds"] = self.retry_after
        error = statuses.status(self.code, self.reason or reason, self.message or message, details)
        if self.retry_after is not None:
            error.headers["Retry-After"] = str(self.retry_after)
        return error


_USUAL = {
    401: ("Unauthorized", "Unauthorized"),
    410: ("Expired", "The provided resource version is too old."),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: injected"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}


@final
@dataclass(frozen=True, slots=True)
class PlainAnswer:
    """Answer with a text instead of handling the request, as a proxy or a server that is starting does.

    Attributes:
        code: HTTP status.
        text: the body.
    """

    code: int
    text: str = "404 page not found\n"


@final
@dataclass(frozen=True, slots=True)
class Gone410:
    """The resourceVersion of a watch is too old, in one of the forms that servers use.

    Attributes:
        form: ``event`` is an ERROR event in a 200 stream, the usual form; ``status`` is an HTTP 410; ``body`` is a
            200 whose body is a Status.
    """

    form: Literal["event", "status", "body"] = "event"


@final
@dataclass(frozen=True, slots=True)
class CutStream:
    """The stream breaks.

    Attributes:
        after_lines: complete lines that are delivered first.
        mid_line: deliver half of the next line before the break.
        clean: end the body properly instead of resetting the connection, as a proxy that gives up does.
    """

    after_lines: int = 0
    mid_line: bool = True
    clean: bool = False


@final
@dataclass(frozen=True, slots=True)
class Silence:
    """A half-open connection: after ``after_lines`` lines nothing more arrives, and the connection stays open.

    A response that is not a stream never arrives.
    """

    after_lines: int = 0


@final
@dataclass(frozen=True, slots=True)
class StaleRead:
    """Reads return the state at the resourceVersion ``version``, as from a replica that lags.

    The server must still have the history since then.
    """

    version: int


Action = Delay | Refuse | Answer | PlainAnswer | Gone410 | CutStream | Silence | StaleRead
"""What happens to the requests that a fault matches."""


@final
@dataclass(eq=False, slots=True)
class Fault:
    """One active fault.

    Attributes:
        action: what happens to a request.
        match: the requests it affects.
        times: how many requests it affects; None for all.
        skip: number of matching requests that it leaves alone first.
        chance: probability for each matching request.
        hits: number of requests affected so far.
    """

    action: Action
    match: Match = field(default_factory=Match)
    times: int | None = None
    skip: int = 0
    chance: float = 1.0
    hits: int = 0


@final
class Faults:
    """The active faults; an interceptor of :class:`~aimctl.devcluster.apiserver.server.ApiServer`.

    Args:
        rng: decides about faults with a ``chance``; without it every chance must be 1.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng
        self._faults: list[Fault] = []

    def add(
        self,
        action: Action,
        match: Match | None = None,
        *,
        times: int | None = None,
        skip: int = 0,
        chance: float = 1.0,
    ) -> Fault:
        """Activate a fault. If several match a request, all of them apply.

        Args:
            action: what happens to a request.
            match: the requests that it affects; None for all.
            times: how many requests it affects; None for all.
            skip: number of matching requests that it leaves alone first.
            chance: probability for each matching request.

        Raises:
            ValueError: ``chance`` is below 1 and there is no random number generator.
        """
        if chance < 1.0 and self._rng is None:
            raise ValueError(f"chance is {chance}: give Faults an rng, or use 1.0")
        fault = Fault(action, match or Match(), times, skip, chance)
        self._faults.append(fault)
        return fault

    def remove(self, fault: Fault) -> None:
        """Deactivate a fault. Does nothing if it is not active."""
        if fault in self._faults:
            self._faults.remove(fault)

    def clear(self) -> None:
        """Deactivate all faults. Streams that are silent already stay silent."""
        self._faults.clear()

    @contextmanager
    def active(self, action: Action, match: Match | None = None) -> Iterator[Fault]:
        """Activate a fault for all requests that match while the context is active."""
        fault = self.add(action, match)
        try:
            yield fault
        finally:
            self.remove(fault)

    async def __call__(self, info: RequestInfo, respond: Respond) -> ApiResponse:
        """Respond to a request, with the matching faults applied.

        Raises:
            ConnectionRefused, ConnectionCut: for the action with this effect.
        """
        actions = self._actions(info)
        version = None
        for action in actions:
            if isinstance(action, Delay):
                await asyncio.sleep(action.seconds)
            elif isinstance(action, Refuse):
                raise ConnectionRefused("injected: connection refused")
            elif isinstance(action, StaleRead) and version is None:
                version = action.version
        return await _damaged_response(await _response(actions, version, respond), actions)

    def _actions(self, info: RequestInfo) -> list[Action]:
        """The actions for this request; counts the hits."""
        actions: list[Action] = []
        for fault in tuple(self._faults):
            if not fault.match.matches(info):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.chance < 1.0 and self._rng is not None and self._rng.random() >= fault.chance:
                continue
            fault.hits += 1
            if fault.times is not None and fault.hits >= fault.times:
                self._faults.remove(fault)
            actions.append(fault.action)
        return actions

    def __len__(self) -> int:
        return len(self._faults)


async def _response(actions: list[Action], version: int | None, respond: Respond) -> ApiResponse:
    answer = next((action for action in actions if isinstance(action, Answer)), None)
    if answer is not None and not answer.after_effect:
        return status_response(answer.error())
    plain = next((action for action in actions if isinstance(action, PlainAnswer)), None)
    if plain is not None:
        return ApiResponse(plain.code, {"Content-Type": "text/plain; charset=utf-8"}, plain.text.encode())
    gone = next((action for action in actions if isinstance(action, Gone410)), None)
    if gone is not None:
        return _gone(gone)
    response = await respond(version)
    return response if answer is None else status_response(answer.error())


def _gone(action: Gone410) -> ApiResponse:
    error = Answer(410).error()
    if action.form == "status":
        return status_response(error)
    if action.form == "body":
        return json_response(200, error.body)
    return ApiResponse(200, {"Content-Type": "application/json"}, _once(error_line(error)))


async def _once(chunk: bytes) -> AsyncIterator[bytes]:
    yield chunk


async def _damaged_response(response: ApiResponse, actions: list[Action]) -> ApiResponse:
    for action in actions:
        if not isinstance(action, CutStream | Silence):
            continue
        body = response.body
        if isinstance(body, bytes):
            if isinstance(action, Silence):
                await asyncio.Event().wait()
            body = _once(body)
        response = ApiResponse(response.status, response.headers, _damaged(body, action))
    return response


async def _damaged(body: AsyncIterator[bytes], action: CutStream | Silence) -> AsyncGenerator[bytes]:
    """The stream, cut or silenced. Closes ``body`` at the end."""
    left = action.after_lines
    try:
        if left == 0 and not await _continues(action):
            return
        async for chunk in body:
            lines = chunk.splitlines(keepends=True)
            if left > 0:
                whole = b"".join(lines[:left])
                left -= min(left, len(lines))
                lines = lines[whole.count(b"\n") :]
                yield whole
                if left == 0 and not await _continues(action):
                    return
            if left == 0 and lines and isinstance(action, CutStream):
                yield lines[0][: max(1, len(lines[0]) // 2)]
                if action.clean:
                    return
                raise ConnectionCut("injected: the stream was cut in the middle of a line")
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


async def _continues(action: CutStream | Silence) -> bool:
    """Apply the action between two lines. True if the break has to come within the next line."""
    if isinstance(action, Silence):
        await asyncio.Event().wait()
    elif not action.mid_line:
        if action.clean:
            return False
        raise ConnectionCut("injected: the stream was cut")
    return True
