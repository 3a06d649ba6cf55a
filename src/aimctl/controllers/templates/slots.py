"""Discovery slots: how many Jobs may be unfinished, also when the cache lags and answers get lost.

What counts as unfinished: every Job in the cache that is neither Complete nor Failed, one that is being deleted too,
and every Job whose creation we asked for without a clear answer. That the cache lags behind does no harm, because:
    * Jobs are created by admission only, and an answered creation is in the cache before it goes on (read your writes);
    * a lagging cache shows ended Jobs as unfinished, never the other way round;
    * the first count after becoming leader lists Jobs from the server, past the cache;
    * a former leader cannot create any more: the fence refuses its writes once its renew deadline has passed, gives up
      those on their way before its lease ends, and keeps it from giving the lease back right after one of them.

While the server says that it does not know Jobs at all, there is nothing to count (:attr:`Slots.blind`), and no slot
may be given away.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.api.kinds import CLUSTER_TEMPLATES
from aimctl.controllers.indexes.templates import UNFINISHED
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.kube import KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aimctl.domain.templates.admission import Candidate
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube import Client, Object, ObjectKey

__all__ = ["CREATE_SECONDS", "Slots"]

CREATE_SECONDS = 4.0
"""Limit of one creation, for us and for the server."""

_VERIFY_SECONDS = 5.0
"""Time after :data:`CREATE_SECONDS` when the server is asked what became of a creation without a clear answer; longer
than it would take to act on it. Also the pause before it is asked again."""


@final
@dataclass(slots=True)
class _Unclear:
    """A Job whose creation was asked for; it keeps its slot until cache or server say what became of it."""

    candidate: str
    share: str
    check_at: float


@final
class Slots:
    """See the module. Changes between awaits only.

    Args:
        cache: has Jobs declared.
        api_reader: reads past the cache.
        clock: time.
        namespaces: where Jobs are looked for; empty for all.
    """

    def __init__(
        self, *, cache: Cache, api_reader: Client, clock: Clock, namespaces: Sequence[str] = ()
    ) -> None:
        self._cache = cache
        self._api_reader = api_reader
        self._clock = clock
        self._namespaces = tuple(namespaces) or ("",)
        self._unclear: dict[ObjectKey, _Unclear] = {}
        self._counted = False
        self._log = structlog.get_logger(__name__)

    # ---- what is known

    @property
    def blind(self) -> bool:
        """The server answers 404 for Jobs, which every cluster has: a proxy's word, or a server that is starting.
        The cache is empty then, and the Jobs may run on.
        """
        return not self._cache.informer(JOBS).served

    @property
    def unclear(self) -> frozenset[str]:
        """The templates for which a creation has no clear answer: nothing else may be created for them."""
        return frozenset(item.candidate for item in self._unclear.values())

    def shares(self) -> Mapping[str, int]:
        """Slots taken, by the namespace of the template, "" for cluster templates."""
        shares: Counter[str] = Counter()
        for job in self._cache.by_index(JOBS, "state", UNFINISHED):
            shares[_share(job)] += 1
        for key, unclear in self._unclear.items():
            if self.job(key) is None:
                shares[unclear.share] += 1
        return shares

    def job(self, key: ObjectKey) -> Object[Any] | None:
        """The Job of this name, if the cache has it."""
        return self._cache.informer(JOBS).store.get(key)

    def checks(self) -> list[float]:
        """The times, on the clock's monotonic scale, when :meth:`clear_up` has something to find out."""
        times = [item.check_at for item in self._unclear.values()]
        if self.blind:
            times.append(self._clock.monotonic() + _VERIFY_SECONDS)
        return times

    # ---- creations

    def take(self, key: ObjectKey, candidate: Candidate) -> None:
        """A Job is about to be created. Call it before the first await after the choice."""
        check_at = self._clock.monotonic() + CREATE_SECONDS + _VERIFY_SECONDS
        self._unclear[key] = _Unclear(candidate.key, candidate.namespace, check_at)

    def settle(self, key: ObjectKey) -> None:
        """What became of the creation is clear: the Job is in the cache, or it was not made."""
        del self._unclear[key]

    async def look_up(self, key: ObjectKey) -> bool:
        """Ask the server what became of a creation, and settle it; False when there is no answer to that either."""
        try:
            job = await self._api_reader.get(JOBS, key.name, key.namespace)
        except NotFound:
            pass
        except (KubeError, TimeoutError) as error:
            self._log.warning("a discovery Job could not be looked up", job=str(key), error=str(error))
            self._unclear[key].check_at = self._clock.monotonic() + _VERIFY_SECONDS
            return False
        else:
            self._cache.observe_write(job)
        self.settle(key)
        return True

    async def clear_up(self) -> None:
        """Settle what the cache has heard of by now, and look up what is due."""
        for key, unclear in list(self._unclear.items()):
            if self.job(key) is not None:
                self.settle(key)
            elif unclear.check_at <= self._clock.monotonic():
                await self.look_up(key)

    async def count_once(self) -> None:
        """What a former leader created may not be in our cache yet: ask the server itself, once.

        Raises:
            KubeError: it did not answer; nothing may be given away before it did.
        """
        if self._counted:
            return
        for namespace in self._namespaces:
            async for job in self._api_reader.list_all(JOBS, namespace, label_selector=DISCOVERY_SELECTOR):
                self._cache.observe_write(job)
        self._counted = True


def _share(job: Object[Any]) -> str:
    for owner in job.meta.owners:
        if owner.controller and owner.kind == CLUSTER_TEMPLATES.kind:
            return ""
    return job.meta.namespace
