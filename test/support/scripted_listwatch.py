"""A reader whose lists and watches follow a script, in virtual time, and that records its requests.

Lists: each response is an ObjectList, or an exception to raise; ``Slow(seconds, response)`` delays it. The last
response is repeated. Checks of the newest version (lists of one object) are answered with ``newest``. Watches: each script is a sequence of steps; after the last one the stream stays open and sends a
bookmark a minute until its ``timeout_seconds``, as a healthy server does. So does every watch without a script.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.kubetypes import Object, ObjectMeta
from aimctl.runtime.kube.answers import ObjectList
from aimctl.runtime.kube.errors import DecodeError, error_from_status
from aimctl.runtime.kube.watch import WatchEvent, WatchStalled
from support.things import THINGS, make

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable

    from aimctl.kubetypes import Resource


@dataclass(frozen=True)
class Wait:
    """Send nothing for this time."""

    seconds: float


@dataclass(frozen=True)
class Refuse:
    """The watch is rejected."""

    error: Exception


class Mute:
    """The watch is neither opened nor rejected."""


@dataclass(frozen=True)
class Undecodable:
    """A line that is not an object of the kind."""


class Close:
    """The server ends the stream cleanly."""


class Deaf:
    """The server continues to send bookmarks after ``timeout_seconds``."""


@dataclass(frozen=True)
class Slow:
    """A delayed response."""

    seconds: float
    answer: Any


@dataclass(frozen=True)
class Call:
    """A list or watch request."""

    at: float
    namespace: str
    version: str | None
    options: dict[str, Any] = field(default_factory=dict)


def listing(*objects: Object[Any], rv: int, more: str = "") -> ObjectList[Any]:
    """One page."""
    return ObjectList(tuple(objects), str(rv), more)


def added(*args: Any, **kwargs: Any) -> WatchEvent[Any]:
    return WatchEvent("ADDED", make(*args, **kwargs))


def modified(*args: Any, **kwargs: Any) -> WatchEvent[Any]:
    return WatchEvent("MODIFIED", make(*args, **kwargs))


def deleted(*args: Any, **kwargs: Any) -> WatchEvent[Any]:
    return WatchEvent("DELETED", make(*args, **kwargs))


def bookmark(rv: int | str, resource: Resource[Any] = THINGS) -> WatchEvent[Any]:
    return WatchEvent("BOOKMARK", Object(resource, ObjectMeta(resource_version=str(rv)), b"{}"))


class ScriptedListWatch:
    """A reader with scripted lists and watches."""

    def __init__(self, *lists: Any, watches: Iterable[Iterable[Any]] = ()) -> None:
        self._answers = deque(lists)
        self._scripts = deque(list(script) for script in watches)
        self.lists: list[Call] = []
        self.checks: list[Call] = []
        self.newest: Any = listing(rv=10**9)
        self.watches: list[Call] = []
        self.open_watches = 0
        self.served = False
        self.discoveries = 0
        self.lists_in_flight = 0
        self.most_lists_in_flight = 0

    def then_list(self, *answers: Any) -> None:
        """Add responses; the previous last one is no longer repeated."""
        self._answers.extend(answers)

    def then_watch(self, *steps: Any) -> None:
        """Add a script."""
        self._scripts.append(list(steps))

    async def list(self, resource: Resource[Any], namespace: str = "", **options: Any) -> ObjectList[Any]:
        loop = asyncio.get_running_loop()
        if options["limit"] == 1:
            self.checks.append(Call(loop.time(), namespace, options["resource_version"], options))
            await asyncio.sleep(0)
            if isinstance(self.newest, Exception):
                raise self.newest
            return self.newest
        self.lists.append(Call(loop.time(), namespace, options["resource_version"], options))
        self.lists_in_flight += 1
        self.most_lists_in_flight = max(self.most_lists_in_flight, self.lists_in_flight)
        try:
            await asyncio.sleep(0)
            answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
            if callable(answer):
                answer = answer(namespace, options)
            if isinstance(answer, Slow):
                await asyncio.sleep(answer.seconds)
                answer = answer.answer
            if isinstance(answer, Exception):
                raise answer
            assert isinstance(answer, ObjectList)
            return answer
        finally:
            self.lists_in_flight -= 1

    async def read(self, path: str) -> bytes:
        """Discovery: the group of the kind is served while ``served`` is set. The version is not known."""
        if path == "/version":
            raise error_from_status(404)
        self.discoveries += 1
        groups = [{"versions": [{"groupVersion": THINGS.api_version}]}] if self.served else []
        if path == "/apis":
            return msgspec.json.encode({"kind": "APIGroupList", "groups": groups})
        assert path == f"/apis/{THINGS.api_version}"
        return msgspec.json.encode({"kind": "APIResourceList", "resources": [{"name": THINGS.plural}]})

    @asynccontextmanager
    async def watch(
        self,
        resource: Resource[Any],
        namespace: str = "",
        *,
        resource_version: str,
        timeout_seconds: int,
        idle_seconds: float,
        **options: Any,
    ) -> AsyncIterator[AsyncIterator[WatchEvent[Any]]]:
        started = asyncio.get_running_loop().time()
        options |= {"timeout_seconds": timeout_seconds, "idle_seconds": idle_seconds}
        self.watches.append(Call(started, namespace, resource_version, options))
        script = self._scripts.popleft() if self._scripts else []
        await asyncio.sleep(0)
        if script and isinstance(script[0], Refuse):
            raise script[0].error
        if script and script[0] is Mute:
            await asyncio.Event().wait()
        self.open_watches += 1
        try:
            stream = self._play(script, resource_version, started + timeout_seconds, idle_seconds)
            async with aclosing(stream):
                yield stream
        finally:
            self.open_watches -= 1

    async def _play(
        self,
        script: Iterable[Any],
        version: str,
        ends_at: float,
        idle_seconds: float,
    ) -> AsyncGenerator[WatchEvent[Any], None]:
        loop = asyncio.get_running_loop()
        for step in script:
            if isinstance(step, Wait):
                if step.seconds >= idle_seconds:
                    await asyncio.sleep(idle_seconds)
                    raise WatchStalled(idle_seconds)
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Undecodable):
                raise DecodeError("undecodable by the script")
            elif isinstance(step, Exception):
                raise step
            elif step is Close:
                return
            elif step is Deaf:
                ends_at = float("inf")
            else:
                assert isinstance(step, WatchEvent)
                version = step.resource_version or version
                yield step
        while (left := ends_at - loop.time()) > 0:
            await asyncio.sleep(min(60.0, left))
            if loop.time() < ends_at:
                yield bookmark(version)
