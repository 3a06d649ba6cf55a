"""Discovery slots: which discovery Jobs count as unfinished, with a cache that lags and responses that are lost.

A slot is taken by every discovery Job in the cache that a template controls, by UID
(:mod:`aimctl.controllers.templates.job_owners`), and that is neither Complete nor Failed, also while it is being
deleted; and by every slot that admission has assigned, until it is released. The count is never too low, because:
    * A Job is created only in a slot that is assigned to it. It is in the cache when the response to its creation has
      arrived (read your writes).
    * A slot whose creation was sent without a clear response is not released before the result is known.
    * A cache that lags shows finished Jobs as unfinished, never the reverse.
    * The first count after this process became leader lists the Jobs from the API server, past the cache.
    * A former leader creates no more Jobs. The fence refuses its writes once its renew deadline has passed, ends
      requests in flight before the lease expires, and does not release the lease shortly after one of them.

While the API server responds that it does not serve Jobs, they cannot be counted (:attr:`Slots.blind`), and no slot may
be assigned.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import structlog

from aimctl.api.kinds import CLUSTER_TEMPLATES
from aimctl.controllers.indexes.templates import UNFINISHED
from aimctl.controllers.observer import DISCOVERY_SELECTOR
from aimctl.controllers.templates.job_owners import JobOwners
from aimctl.kubetypes.builtin import JOBS
from aimctl.runtime.kube import KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from aimctl.domain.templates.admission import Candidate
    from aimctl.kubetypes import Job
    from aimctl.runtime.cache import Cache
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.controller import Request
    from aimctl.runtime.kube import Client, Object, ObjectKey

__all__ = ["Slots"]

_VERIFY_SECONDS = 5.0
"""Time from the limit of a creation until the API server is asked for a Job whose creation had no clear response. It
is longer than the server may take to carry out the creation. Also the time until it is asked again."""


@final
@dataclass(slots=True)
class _Slot:
    """A slot that is assigned to a Job. ``check_at`` is the time to ask the API server for the Job if the result of
    its creation is not known; otherwise infinite.
    """

    candidate: str
    share: str
    template_uid: str
    check_at: float = math.inf


@final
class Slots:
    """The slots in use. Their number changes only while a method runs, or when the cache changes.

    Args:
        cache: Jobs are declared in it.
        find: the template of a request in the cache.
        api_reader: reads past the cache.
        clock: for the times of checks.
        operator_namespace: where the Jobs of cluster templates run.
        namespaces: where Jobs are counted; empty for all.
    """

    def __init__(
        self,
        *,
        cache: Cache,
        find: Callable[[Request], Object[Any] | None],
        api_reader: Client,
        clock: Clock,
        operator_namespace: str,
        namespaces: Sequence[str] = (),
    ) -> None:
        self._cache = cache
        self._api_reader = api_reader
        self._clock = clock
        self._namespaces = tuple(namespaces) or ("",)
        self._owners = JobOwners(
            find=find, api_reader=api_reader, clock=clock, operator_namespace=operator_namespace
        )
        self._assigned: dict[ObjectKey, _Slot] = {}
        self._counted = False
        self._log = structlog.get_logger(__name__)

    # ---- the count

    @property
    def blind(self) -> bool:
        """Whether the API server responds 404 to requests for Jobs, which every cluster serves.

        A proxy may respond so, or a server that is starting. The cache is then empty although Jobs may be running.
        """
        return not self._cache.informer(JOBS).served

    @property
    def assigned(self) -> frozenset[str]:
        """The keys of the candidates that have a slot. No other slot may be assigned to them."""
        return frozenset(slot.candidate for slot in self._assigned.values())

    def shares(self) -> Mapping[str, int]:
        """The number of slots taken by the namespace of the template, "" for cluster templates."""
        shares: Counter[str] = Counter()
        for job in self._unfinished():
            if self._owners.controls(job):
                shares[_share(job)] += 1
        for key, slot in self._assigned.items():
            if not self._arrived(key):
                shares[slot.share] += 1
        return shares

    def checks(self) -> list[float]:
        """The times, on the monotonic clock, at which :meth:`clear_up` or a new count is due."""
        times = [slot.check_at for slot in self._assigned.values() if slot.check_at < math.inf]
        times += self._owners.checks(self._unfinished())
        if self.blind:
            times.append(self._clock.monotonic() + _VERIFY_SECONDS)
        return times

    # ---- slots

    def assign(self, key: ObjectKey, candidate: Candidate, *, template_uid: str) -> None:
        """Assign a slot to a Job. Call it before the first await after the choice."""
        self._owners.add(template_uid)
        self._assigned[key] = _Slot(candidate.key, candidate.namespace, template_uid)

    def holds(self, key: ObjectKey) -> bool:
        """Whether the creation of a Job may be sent: it has a slot, and no earlier creation with an unknown result."""
        slot = self._assigned.get(key)
        return slot is not None and slot.check_at == math.inf

    def send(self, key: ObjectKey, seconds: float) -> bool:
        """Whether the creation of a Job may be sent, with this time limit. Its result is not known from now on."""
        if not self.holds(key):
            return False
        self._assigned[key].check_at = self._clock.monotonic() + seconds + _VERIFY_SECONDS
        return True

    def settle(self, key: ObjectKey) -> None:
        """The result of a creation is known: the Job is in the cache, or it was not created."""
        if key in self._assigned:
            self._assigned[key].check_at = math.inf

    def release(self, key: ObjectKey) -> Object[Job] | None:
        """No more creations are sent in a slot: free it, unless the result of the last one is not known.

        Returns:
            The Job if it is in the cache. It occupies the slot while it is unfinished.
        """
        slot = self._assigned.get(key)
        if slot is None or slot.check_at < math.inf:
            return None
        arrived = self._arrived(key)
        del self._assigned[key]
        return arrived

    async def clear_up(self) -> None:
        """Free the slots of unclear creations whose Jobs are in the cache by now, look up the Jobs that are due, and
        find out which Jobs no template controls.
        """
        for key, slot in list(self._assigned.items()):
            if slot.check_at < math.inf and self._arrived(key):
                del self._assigned[key]
            elif slot.check_at <= self._clock.monotonic():
                await self._look_up(key, slot)
        if not self.blind:
            needed = [slot.template_uid for slot in self._assigned.values()]
            await self._owners.verify(self._unfinished(), needed=needed)

    def _arrived(self, key: ObjectKey) -> Object[Job] | None:
        """The Job of an assigned slot, if it is in the cache."""
        job = self._cache.informer(JOBS).store.get(key)
        owner = None if job is None else job.meta.controller
        return job if owner is not None and owner.uid == self._assigned[key].template_uid else None

    async def _look_up(self, key: ObjectKey, slot: _Slot) -> None:
        """Ask the API server for a Job, and free its slot; without a response, ask again later."""
        try:
            job = await self._api_reader.get(JOBS, key.name, key.namespace)
        except NotFound:
            pass
        except (KubeError, TimeoutError) as error:
            self._log.warning("a discovery Job could not be looked up", job=str(key), error=str(error))
            slot.check_at = self._clock.monotonic() + _VERIFY_SECONDS
            return
        else:
            self._cache.observe_write(job)
        self._assigned.pop(key, None)

    async def count_once(self) -> None:
        """List the Jobs once from the API server, because those of a former leader may not be in the cache yet.

        Raises:
            KubeError: the list failed. No slot may be assigned before it has succeeded.
        """
        if self._counted:
            return
        for namespace in self._namespaces:
            async for job in self._api_reader.list_all(JOBS, namespace, label_selector=DISCOVERY_SELECTOR):
                self._cache.observe_write(job)
                self._owners.inherit(job)
        self._counted = True

    def _unfinished(self) -> Iterable[Object[Job]]:
        return self._cache.by_index(JOBS, "state", UNFINISHED)


def _share(job: Object[Job]) -> str:
    owner = job.meta.controller
    return "" if owner is not None and owner.kind == CLUSTER_TEMPLATES.kind else job.meta.namespace
