"""Discovery slots: which discovery Jobs count as unfinished, with a cache that lags and responses that are lost.

A slot is taken by every discovery Job in the cache that a template controls, by UID
(:mod:`aimctl.controllers.templates.job_owners`), and that is neither Complete nor Failed, also while it is being
deleted; and by every Job whose creation was requested without a clear response. The count is never too low, because:
    * Only admission creates discovery Jobs, and a Job is in the cache when the response to its creation has arrived
      (read your writes).
    * A cache that lags shows finished Jobs as unfinished, never the reverse.
    * The first count after this process became leader lists the Jobs from the API server, past the cache.
    * A former leader creates no more Jobs. The fence refuses its writes once its renew deadline has passed, ends
      requests in flight before the lease expires, and does not release the lease shortly after one of them.

While the API server responds that it does not serve Jobs, they cannot be counted (:attr:`Slots.blind`), and no slot may
be assigned.
"""

from __future__ import annotations

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

__all__ = ["CREATE_SECONDS", "Slots"]

CREATE_SECONDS = 4.0
"""Time limit of a creation, for the client and for the API server."""

_VERIFY_SECONDS = 5.0
"""Time after :data:`CREATE_SECONDS` until the API server is asked for a Job whose creation had no clear response. It is
longer than the server may take to carry out the creation. Also the time until it is asked again."""


@final
@dataclass(slots=True)
class _Unclear:
    """A Job whose creation was requested. It occupies its slot until the cache or the API server shows the result."""

    candidate: str
    share: str
    template_uid: str
    check_at: float


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
        self._unclear: dict[ObjectKey, _Unclear] = {}
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
    def unclear(self) -> frozenset[str]:
        """The keys of the candidates with a creation without a clear response. No other Job may be created for them."""
        return frozenset(item.candidate for item in self._unclear.values())

    def shares(self) -> Mapping[str, int]:
        """The number of slots taken by the namespace of the template, "" for cluster templates."""
        shares: Counter[str] = Counter()
        for job in self._unfinished():
            if self._owners.controls(job):
                shares[_share(job)] += 1
        for key, unclear in self._unclear.items():
            if self.job(key) is None:
                shares[unclear.share] += 1
        return shares

    def job(self, key: ObjectKey) -> Object[Job] | None:
        """The Job of this name in the cache."""
        return self._cache.informer(JOBS).store.get(key)

    def checks(self) -> list[float]:
        """The times, on the monotonic clock, at which :meth:`clear_up` or a new count is due."""
        times = [item.check_at for item in self._unclear.values()]
        times += self._owners.checks(self._unfinished())
        if self.blind:
            times.append(self._clock.monotonic() + _VERIFY_SECONDS)
        return times

    # ---- creations

    def take(self, key: ObjectKey, candidate: Candidate, *, template_uid: str) -> None:
        """Take a slot for a Job that is about to be created. Call it before the first await after the choice."""
        check_at = self._clock.monotonic() + CREATE_SECONDS + _VERIFY_SECONDS
        self._owners.add(template_uid)
        self._unclear[key] = _Unclear(candidate.key, candidate.namespace, template_uid, check_at)

    def settle(self, key: ObjectKey) -> None:
        """The result of the creation is known: the Job is in the cache, or it was not created."""
        del self._unclear[key]

    async def look_up(self, key: ObjectKey) -> bool:
        """Ask the API server for a Job, and settle its creation; False if there was no response to that either."""
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
        """Settle the creations whose Jobs are in the cache by now, look up those that are due, and find out which Jobs
        no template controls.
        """
        for key, unclear in list(self._unclear.items()):
            if self.job(key) is not None:
                self.settle(key)
            elif unclear.check_at <= self._clock.monotonic():
                await self.look_up(key)
        if not self.blind:
            needed = [unclear.template_uid for unclear in self._unclear.values()]
            await self._owners.verify(self._unfinished(), needed=needed)

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
