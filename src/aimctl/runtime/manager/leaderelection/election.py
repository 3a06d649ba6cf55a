"""Leader election: acquires and renews the lease, using :func:`aimctl.runtime.manager.leaderelection.lease.decide`.

Contract:
    * ``run()`` acquires the lease, sets ``leading``, and renews the lease. It raises :class:`LeaderLost` when another
      process holds the lease, or when it could not be renewed in time. It never returns. Cancelling it keeps the lease.
    * ``release()`` releases the lease. Call it after ``run()`` and the leader's work have ended.
    * ``check_write()`` raises WriteRefused unless this process is the leader and the last successful renewal was *sent*
      less than ``renew_deadline`` ago. It fences every write: if the process was suspended or its event loop blocked,
      writes are refused when it resumes, before any timer runs. A permitted write also gets a time limit: it is given
      up halfway between the renew deadline and the end of the lease.

Limit of the fence: a write that has reached the server cannot be stopped. The second half of that time is left for the
server to carry it out, or to notice that the client has gone. For the same reason the lease is not released but expires
if a write recently ended without a response (:meth:`Elector.note_unclear`). Writes that need a stronger guarantee must
have a resourceVersion.

Invariant: ``_renewed_at`` is *before* the time at which the server processed the renewal, so this process considers the
lease expired before any other does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, final

import msgspec
import structlog

from aimctl.kubetypes import Resource
from aimctl.kubetypes.permissions import Permission
from aimctl.runtime.clock import format_micro_time
from aimctl.runtime.kube.errors import AlreadyExists, Conflict, KubeError, NotFound, WriteRefused
from aimctl.runtime.manager.leaderelection.lease import (
    JITTER,
    Action,
    LeaseRecord,
    Observation,
    decide,
    lease_body,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from aimctl.kubetypes import Object
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client
    from aimctl.runtime.manager.leaderelection.lease import LeaderElectionOptions

__all__ = ["ElectionMetrics", "Elector", "LeaderLost", "lease_permissions"]


_LEASES = Resource.untyped("coordination.k8s.io", "v1", "Lease", "leases")

PERMISSIONS = (
    Permission(_LEASES, ("get", "create", "update"), "acquire, renew and release the Lease of the leader"),
)
"""What leader election needs, only in the namespace of the Lease, if the name of the Lease is not known."""


def lease_permissions(name: str) -> tuple[Permission, ...]:
    """What leader election with the Lease of this name needs, only in the namespace of the Lease.

    Other Leases stay out of reach. RBAC cannot restrict the creation to a name.
    """
    return (
        Permission(_LEASES, ("create",), "create the Lease of the leader"),
        Permission(
            _LEASES, ("get", "update"), "acquire, renew and release the Lease of the leader", names=(name,)
        ),
    )


_RELEASE_PAUSE_SECONDS = 0.2
"""Pause between two attempts to release the lease, after a conflict or another error."""


class LeaderLost(Exception):  # noqa: N818 - reads better than LeaderLostError
    """This process was the leader and no longer is. It must exit with a non-zero status."""


class ElectionMetrics(Protocol):
    """Hooks, called synchronously. A hook must neither block nor raise."""

    def leading(self, name: str, *, leads: bool) -> None:
        """``leader_election_master_status`` of the Lease ``name``."""
        ...

    def slow_path(self, name: str) -> None:
        """``leader_election_slowpath_total``: a renewal failed without, and is repeated with, reading the Lease
        first.
        """
        ...


@final
class Elector:
    """Leader election with a Lease.

    Args:
        client: without write guard.
        options: name of the Lease, and durations.
        identity: of this process; unique among the replicas.
        clock: time.
        rng: for jitter.
        metrics: hooks.
        logger: default: the logger of structlog.

    Attributes:
        leading: set when this process has become the leader; never cleared.
    """

    def __init__(
        self,
        client: Client,
        options: LeaderElectionOptions,
        *,
        identity: str,
        clock: Clock,
        rng: random.Random,
        metrics: ElectionMetrics,
        logger: FilteringBoundLogger | None = None,
    ) -> None:
        self.leading: asyncio.Event = asyncio.Event()
        self.identity = identity
        self._client = client
        self._options = options
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._log: FilteringBoundLogger = (logger or structlog.get_logger(__name__)).bind(
            lease=f"{options.namespace}/{options.name}", identity=identity
        )
        self._observed: Observation | None = None
        self._renewed_at: float | None = None
        self._lease: Mapping[str, Any] | None = None
        """The Lease after the last successful write; None if it may have changed since."""
        self._wrote = False
        self._unclear_at: float | None = None
        self._logged_holder = ""
        metrics.leading(options.name, leads=False)

    # ---- life cycle

    async def run(self) -> NoReturn:
        """Acquire the lease and renew it until it is lost.

        Raises:
            LeaderLost: the lease was lost.
        """
        try:
            await self._acquire()
            self._log.info("became leader")
            self.leading.set()
            self._metrics.leading(self._options.name, leads=True)
            await self._keep()
        finally:
            self._metrics.leading(self._options.name, leads=False)

    async def release(self) -> None:
        """Release the lease if this process holds it, or may hold it. Raises no error but CancelledError.

        It takes at most the time of one attempt. If it fails, or if a write may still take effect, the lease is not
        released, and other replicas wait until it expires.
        """
        self._renewed_at = None
        if not self._wrote:
            return
        if (
            self._unclear_at is not None
            and self._clock.monotonic() < self._unclear_at + self._options.lease_duration
        ):
            self._log.info("lease not released because a write may still take effect; it will expire")
            return
        try:
            async with asyncio.timeout(self._options.attempt_seconds):
                while not await self._release_once():
                    await self._clock.sleep(_RELEASE_PAUSE_SECONDS)
        except TimeoutError:
            self._log.info("lease not released; it will expire")

    # ---- state

    @property
    def holder(self) -> str:
        """The holder of the lease when it was last read; "" for none."""
        return "" if self._observed is None else self._observed.record.holder

    @property
    def seen_seconds_ago(self) -> float | None:
        """The time since this process first saw the last renewal of the lease; None if it has not read one."""
        return None if self._observed is None else self._clock.monotonic() - self._observed.since

    @property
    def expired(self) -> bool:
        """Whether the lease of another process has expired, so that this process may take it."""
        age, observed = self.seen_seconds_ago, self._observed
        if age is None or observed is None or observed.record.holder in {"", self.identity}:
            return False
        return age >= (observed.record.duration_seconds or self._options.lease_duration)

    @property
    def renewed_seconds_ago(self) -> float | None:
        """Age of the last successful renewal; None if this process is not the leader."""
        return None if self._renewed_at is None else self._clock.monotonic() - self._renewed_at

    @property
    def leads(self) -> bool:
        """Whether this process is the leader and may write now."""
        age = self.renewed_seconds_ago
        return age is not None and age < self._options.renew_deadline

    def check_write(self) -> float:
        """The write guard of the fenced client: the seconds that a write starting now may take.

        Raises:
            WriteRefused: this process may not write now; the message has the reason.
        """
        age = self.renewed_seconds_ago
        if age is None:
            held = f", it is held by {self.holder!r}" if self.holder not in {"", self.identity} else ""
            raise WriteRefused(f"not sent: this process does not hold lease {self._name}{held}")
        if age >= self._options.renew_deadline:
            raise WriteRefused(
                f"not sent: lease {self._name} was last renewed {age:.1f} s ago, "
                f"the limit is renew_deadline={self._options.renew_deadline:g} s"
            )
        return self._options.writes_end - age

    def note_unclear(self) -> None:
        """Record that a permitted write has ended without a response, and may still take effect."""
        self._unclear_at = self._clock.monotonic()

    def check_renewal(self, tolerance_seconds: float = 20.0) -> str | None:
        """A liveness check: a message if this process should have noticed that it lost the lease, else None.

        ``tolerance_seconds`` is the time after the end of the lease for which a late process counts as alive.
        """
        age = self.renewed_seconds_ago
        if age is not None and age > self._options.lease_duration + tolerance_seconds:
            return f"holds lease {self._name} but last renewed it {age:.1f} s ago"
        return None

    @property
    def _name(self) -> str:
        return f"{self._options.namespace}/{self._options.name}"

    # ---- loops

    async def _acquire(self) -> None:
        while not await self._attempt(self._options.attempt_seconds):
            pause = self._options.retry_period * self._rng.uniform(1.0, JITTER)
            await self._clock.sleep(min(pause, self._until_expiry()))

    async def _keep(self) -> NoReturn:
        renewed = True
        while True:
            pause = self._options.retry_period if renewed else self._options.retry_seconds
            await self._clock.sleep(min(pause, self._left()))
            left = self._left()
            if left <= 0:
                self._lose(f"not renewed for {self._options.renew_deadline:g} s")
            renewed = await self._attempt(min(self._options.attempt_seconds, left))
            if self.holder != self.identity:
                self._lose(f"it is held by {self.holder!r}")

    def _left(self) -> float:
        assert self._renewed_at is not None  # noqa: S101 - set when acquired, unset only by losing
        return self._renewed_at + self._options.renew_deadline - self._clock.monotonic()

    def _until_expiry(self) -> float:
        """Seconds until the lease of another process expires. An attempt at that time shortens a fail-over by up to one
        retry period.
        """
        if self._observed is None or not self._observed.record.holder:
            return self._options.retry_period
        ends = self._observed.since + (self._observed.record.duration_seconds or self._options.lease_duration)
        left = ends - self._clock.monotonic()
        return left if left > 0 else self._options.retry_period

    def _lose(self, why: str) -> NoReturn:
        self._renewed_at = None
        self._log.error("lost the lease", reason=why)
        raise LeaderLost(f"leader election lost: lease {self._name}: {why}")

    # ---- one attempt

    async def _attempt(self, seconds: float) -> bool:
        """Try once to acquire or renew the lease; True on success. Errors of the server are logged."""
        try:
            async with asyncio.timeout(seconds):
                return await self._acquire_or_renew()
        except TimeoutError:
            self._log.warning("timeout reading or writing the lease", seconds=seconds)
        except AlreadyExists:
            self._log.debug("another process created the lease first")
        except Conflict:
            self._log.debug("another process wrote the lease first")
        except KubeError as error:
            self._log.warning("error reading or writing the lease", error=str(error))
        return False

    async def _acquire_or_renew(self) -> bool:
        # 1. This process holds the lease: write it without reading; the resourceVersion detects other writers.
        if self._lease is not None and self._renewed_at is not None:
            try:
                await self._write(self._lease, create=False)
            except KubeError as error:
                self._metrics.slow_path(self._options.name)
                self._log.debug("renewal without reading failed, reading first", error=str(error))
            else:
                return True
        # 2. Read the lease.
        lease = await self._read()
        now = self._clock.monotonic()
        if lease is None:
            self._observed = None
        else:
            record = LeaseRecord.of(lease)
            self._observed = (
                Observation(record, now) if self._observed is None else self._observed.next(record, now)
            )
        # 3. Decide, and 4. act.
        match decide(self._observed, self.identity, now, self._options.lease_duration):
            case Action.WAIT:
                if self.holder != self._logged_holder:
                    self._logged_holder = self.holder
                    self._log.info("another process is the leader", holder=self.holder)
                return False
            case Action.CREATE:
                await self._write({}, create=True)
            case Action.TAKE | Action.RENEW:
                await self._write(lease or {}, create=False)
        return True

    async def _read(self) -> dict[str, Any] | None:
        try:
            return _body(await self._client.get(_LEASES, self._options.name, self._options.namespace))
        except NotFound:
            return None

    async def _write(self, lease: Mapping[str, Any], *, create: bool) -> None:
        now = format_micro_time(self._clock.now())
        if create:
            record = LeaseRecord(self.identity).held_by(self._options, self.identity, now)
            lease = {"metadata": {"name": self._options.name, "namespace": self._options.namespace}}
        else:
            record = LeaseRecord.of(lease).held_by(self._options, self.identity, now)
        body = lease_body(lease, record, self._options.labels)
        sent_at = self._clock.monotonic()
        self._wrote = True
        self._lease = None
        if create:
            answer = await self._client.create(_LEASES, body, self._options.namespace)
        else:
            answer = await self._client.update(_LEASES, body)
        self._lease = _body(answer)
        self._observed = Observation(LeaseRecord.of(self._lease), sent_at)
        self._renewed_at = sent_at

    async def _release_once(self) -> bool:
        try:
            lease = await self._read()
            if lease is None:
                return True
            record = LeaseRecord.of(lease)
            if record.holder != self.identity:
                return True
            now = format_micro_time(self._clock.now())
            await self._client.update(_LEASES, lease_body(lease, record.released(now)))
        except KubeError as error:
            self._log.debug("release failed, retrying", error=str(error))
            return False
        self._log.info("released the lease")
        return True


def _body(lease: Object[Any]) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(lease.raw)
    return body
