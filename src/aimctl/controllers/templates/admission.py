"""Discovery admission: the only code that creates discovery Jobs, and so the keeper of their limit.

Contract:
    * At most ``limit`` discovery Jobs are unfinished in the cluster, through restarts, leader changes, stale caches and
      Jobs deleted by hand. Who gets a slot is decided in :mod:`aimctl.domain.templates.admission`.
    * A slot is taken as soon as it is free: the end of a Job asks for the next round at once.
    * A Job is created only if its template still wants exactly it at that moment.

What is counted, and why that is safe with a cache that lags, is told in :mod:`aimctl.controllers.templates.slots`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.controllers.templates.slots import CREATE_SECONDS, Slots
from aimctl.domain.templates.admission import Candidate, admit, queue_order
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.controller import Deleted, Request, Result, Updated
from aimctl.runtime.kube import (
    AlreadyExists,
    ApiError,
    ConnectionFailed,
    DecodeError,
    KubeError,
    ObjectKey,
    ServerError,
    TooManyRequests,
    WriteRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aimctl.domain.templates.discovery_decision import DiscoveryWish
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Event
    from aimctl.runtime.kube import Client

__all__ = ["CREATE_SECONDS", "ROUND", "DiscoveryAdmission", "slot_freed"]

ROUND = Request("", "next-round")
"""The one key of the admission queue: however many Jobs end at once, one round follows."""

_GATHER_SECONDS = 10.0
"""How long a new leader waits at most to hear everyone before it gives the first slots away; a large cluster takes
seconds."""

_GATHER_STEP_SECONDS = 0.05

_BUSY_SECONDS = (1.0, 30.0)
"""First and longest pause before a creation that the server had no time for is tried again."""

_REFUSED_SECONDS = (5.0, 300.0)
"""First and longest pause before a creation the server refused (a quota, a policy) is tried again."""


@final
@dataclass(slots=True)
class _Waiting:
    """Somebody who waits."""

    candidate: Candidate
    plan: Callable[[], DiscoveryWish | None]
    refused: Callable[[str], None]
    since: float
    not_before: float = 0.0
    failures: int = 0
    refusal: str = ""

    def pause(self, now: float, bounds: tuple[float, float], at_least: float = 0.0) -> float:
        """Try again later; the pause doubles each time. Returns it in seconds."""
        first, longest = bounds
        seconds = max(min(first * 2.0 ** min(self.failures, 30), longest), at_least)
        self.failures += 1
        self.not_before = now + seconds
        return seconds


@final
class DiscoveryAdmission:
    """See the module. Run it as the reconciler of a controller with one worker.

    Args:
        cache: has Jobs declared.
        client: fenced, and feeding the cache.
        api_reader: reads past the cache.
        clock: time.
        limit: unfinished discovery Jobs at once.
        requeue: enqueues :data:`ROUND`.
        namespaces: where Jobs are looked for; empty for all.
        granted: called with the seconds that a template waited for its slot.
        busy: whether, after becoming leader, there are templates that have not been reconciled yet.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        client: Client,
        api_reader: Client,
        clock: Clock,
        limit: int,
        requeue: Callable[[Request], None],
        namespaces: Sequence[str] = (),
        granted: Callable[[float], object] = lambda _: None,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._client = client
        self._clock = clock
        self._limit = limit
        self._slots = Slots(cache=cache, api_reader=api_reader, clock=clock, namespaces=namespaces)
        self._granted = granted
        self._waiting: dict[str, _Waiting] = {}
        self._requeue = requeue
        self._busy = busy
        self._gathered = False
        self._gather_until: float | None = None
        self._log = structlog.get_logger(__name__)

    # ---- what the discovery reconcilers say

    def want(
        self,
        candidate: Candidate,
        plan: Callable[[], DiscoveryWish | None],
        refused: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Wait for a slot, or go on waiting with what is now known.

        Args:
            candidate: its place in the order; the key tells it from all others.
            plan: asked when its turn has come: the Job to create, or None when none is wanted any more.
            refused: told the server's words when it refuses the Job.
        """
        known = self._waiting.get(candidate.key)
        if known is None:
            self._waiting[candidate.key] = _Waiting(candidate, plan, refused, self._clock.monotonic())
        elif known.candidate == candidate:
            return
        else:
            known.candidate = candidate
        self._requeue(ROUND)

    def withdraw(self, key: str) -> None:
        """Wait no more; fine when it did not."""
        self._waiting.pop(key, None)

    # ---- what can be asked

    def refusal(self, key: str) -> str:
        """Why the Job of this template was refused when it was last tried; "" when it was not."""
        item = self._waiting.get(key)
        return "" if item is None else item.refusal

    def waits(self, key: str) -> bool:
        """Whether somebody of this key waits for a slot."""
        return key in self._waiting

    @property
    def pending(self) -> int:
        """Templates that wait for a slot."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Discovery Jobs that may be unfinished."""
        return sum(self._slots.shares().values())

    def queue(self) -> list[dict[str, Any]]:
        """Who waits, in the order in which slots would be given: for the debug page."""
        now = self._clock.monotonic()
        order = queue_order((item.candidate for item in self._waiting.values()), self._slots.shares())
        return [
            {
                "position": position,
                "template": candidate.key,
                "awaited_by_service": candidate.awaited,
                "waiting_seconds": round(now - self._waiting[candidate.key].since, 1),
            }
            for position, candidate in enumerate(order, 1)
        ]

    # ---- the round

    async def reconcile(self, _: Request) -> Result | None:
        """Give every free slot away.

        Raises:
            WriteRefused: we may not be the leader any more.
            KubeError: Jobs could not be listed after becoming leader.
        """
        await self._slots.count_once()
        if self._still_gathering():
            return Result(requeue_after=_GATHER_STEP_SECONDS)
        await self._slots.clear_up()
        while chosen := self._choose():
            async with asyncio.TaskGroup() as creations:
                for item in chosen:
                    wish = self._wish_of(item)
                    if wish is None:
                        self.withdraw(item.candidate.key)
                        continue
                    # The slot is taken before the first await: no other round can give it away.
                    key = ObjectKey(wish.namespace, wish.job_name)
                    self._slots.take(key, item.candidate)
                    creations.create_task(self._create(item, wish, key))
        return self._next_look()

    def _still_gathering(self) -> bool:
        """Whether, after becoming leader, those who wait have not all been heard: the first to come would be served
        first, whatever the order says.
        """
        if self._gathered:
            return False
        now = self._clock.monotonic()
        if self._gather_until is None:
            self._gather_until = now + _GATHER_SECONDS
        self._gathered = now >= self._gather_until or not self._busy()
        return not self._gathered

    def _choose(self) -> list[_Waiting]:
        if self._slots.blind:
            return []
        now = self._clock.monotonic()
        unclear = self._slots.unclear
        able = (
            item.candidate
            for key, item in self._waiting.items()
            if item.not_before <= now and key not in unclear
        )
        return [self._waiting[candidate.key] for candidate in admit(able, self._slots.shares(), self._limit)]

    def _wish_of(self, item: _Waiting) -> DiscoveryWish | None:
        try:
            return item.plan()
        except Exception:  # noqa: BLE001 - whatever it fails with, the others must get their Jobs
            # One template that cannot be decided about must not stop the others. Its own reconciler meets the same
            # failure, tells of it, and comes back here when it is over.
            self._log.exception("a template that waited cannot be decided about", template=item.candidate.key)
            return None

    async def _create(self, item: _Waiting, wish: DiscoveryWish, key: ObjectKey) -> None:
        try:
            await self._client.create(JOBS, wish.manifest, wish.namespace, timeout_seconds=CREATE_SECONDS)
        except AlreadyExists:
            # Somebody made it before us, perhaps we, without hearing the answer.
            if not await self._found(item, wish, key):
                return
        except (WriteRefused, TooManyRequests) as error:
            self._release(key, item, error)
            if isinstance(error, WriteRefused):
                raise
            return
        except ConnectionFailed as error:
            if error.refused:
                self._release(key, item, error)
            else:
                self._keep(key, error)
            return
        except (ServerError, DecodeError) as error:
            self._keep(key, error)
            return
        except ApiError as error:
            self._slots.settle(key)
            self._refuse(item, wish, f"the API server refused the discovery Job: {error}", error.retry_after)
            return
        else:
            self._slots.settle(key)
        self.withdraw(item.candidate.key)
        self._granted(self._clock.monotonic() - item.since)
        self._log.info("discovery Job created", job=str(key), template=item.candidate.key)

    def _release(self, key: ObjectKey, item: _Waiting, error: KubeError) -> None:
        """The server has not seen the creation, or did nothing about it: its slot is free again."""
        self._slots.settle(key)
        at_least = error.retry_after or 0.0 if isinstance(error, ApiError) else 0.0
        pause = item.pause(self._clock.monotonic(), _BUSY_SECONDS, at_least)
        self._log.warning(
            "a discovery Job could not be created now", job=str(key), error=str(error), again_in_seconds=pause
        )

    def _keep(self, key: ObjectKey, error: Exception) -> None:
        """Nobody knows whether the Job is there: the slot stays taken until the server is asked."""
        self._log.warning(
            "creating a discovery Job had no clear answer; its slot is kept",
            job=str(key),
            error=str(error) or type(error).__name__,
        )

    async def _found(self, item: _Waiting, wish: DiscoveryWish, key: ObjectKey) -> bool:
        """A Job of the name is there: whether it is the one that was wished for, and known to the cache."""
        if not await self._slots.look_up(key):
            return False
        job = self._slots.job(key)
        wanted = wish.manifest["metadata"]["ownerReferences"][0]["uid"]
        if job is not None and any(owner.uid == wanted for owner in job.meta.owners):
            return True
        self._refuse(
            item, wish, f"Job {key} is there already and does not belong to this template: delete it"
        )
        return False

    def _refuse(
        self, item: _Waiting, wish: DiscoveryWish, message: str, retry_after: float | None = None
    ) -> None:
        item.refusal = message
        pause = item.pause(self._clock.monotonic(), _REFUSED_SECONDS, retry_after or 0.0)
        self._log.warning(
            "a discovery Job was refused",
            job=f"{wish.namespace}/{wish.job_name}",
            template=item.candidate.key,
            reason=message,
            again_in_seconds=pause,
        )
        item.refused(message)

    def _next_look(self) -> Result | None:
        """When time alone may change something."""
        now = self._clock.monotonic()
        times = [item.not_before for item in self._waiting.values() if item.not_before > now]
        times += self._slots.checks()
        return Result(requeue_after=max(0.05, min(times) - now)) if times else None


def slot_freed(event: Event[Any]) -> bool:
    """A predicate for Jobs: the event may have freed a slot."""
    match event:
        case Deleted():
            return True
        case Updated(old, new):
            return new.view.finished and not old.view.finished
        case _:
            return False
