"""The leader election record, and what to do about it: all pure.

A ``coordination.k8s.io/v1`` Lease says who leads, for how long that holds, and when it was last renewed.

Invariants:
    * Another's lease is judged only by how long *we* have seen it unchanged on our own monotonic clock, never
      by the times written in it. So clocks may differ between machines; only their rates must not, by more
      than ``lease_duration / renew_deadline``.
    * Fields and labels of the Lease that we do not know are kept as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JITTER", "Action", "LeaderElectionOptions", "LeaseRecord", "Observation", "decide", "lease_body"]

JITTER = 1.2
"""A candidate's pauses are ``retry_period`` times 1 to this, so that candidates do not march in step
(client-go).
"""


@dataclass(frozen=True, slots=True)
class LeaderElectionOptions:
    """How a process becomes leader. The defaults are client-go's.

    Attributes:
        name: name of the Lease; one for each set of replicas.
        namespace: its namespace.
        identity: who we are; must differ between replicas. "" lets the manager make ``<hostname>_<uuid>``.
        lease_duration: seconds for which others leave an unrenewed lease alone.
        renew_deadline: seconds without a successful renewal after which we stop leading, and writing.
        retry_period: seconds between attempts.
        release_on_exit: give the lease back at a clean exit, after the work has ended, so that the next
            leader need not wait.
        labels: put on the Lease while we hold it; other labels stay.
    """

    name: str
    namespace: str
    identity: str = ""
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    release_on_exit: bool = True
    labels: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ValueError: the text names the field, its value and the rule.
        """
        for field in ("name", "namespace"):
            if not getattr(self, field):
                raise ValueError(f"leader election {field}: must not be empty")
        for field in ("lease_duration", "renew_deadline", "retry_period"):
            if getattr(self, field) <= 0:
                raise ValueError(f"leader election {field}={getattr(self, field)}: must be above zero")
        if self.lease_duration <= self.renew_deadline:
            raise ValueError(
                f"leader election lease_duration={self.lease_duration}: must be longer than "
                f"renew_deadline={self.renew_deadline}, or two leaders could overlap"
            )
        if self.renew_deadline <= JITTER * self.retry_period:
            raise ValueError(
                f"leader election renew_deadline={self.renew_deadline}: must be longer than "
                f"{JITTER} x retry_period={self.retry_period}, or one slow renewal loses the lease"
            )

    @property
    def writes_end(self) -> float:
        """Seconds after a renewal when writes end that still wait for their answer: halfway from the renew
        deadline to the end of the lease.
        """
        return (self.renew_deadline + self.lease_duration) / 2

    @property
    def attempt_seconds(self) -> float:
        """The limit of one attempt: half the renew deadline, at least a second (as controller-runtime)."""
        return max(1.0, self.renew_deadline / 2)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The part of a Lease's spec that election is about. Times are ``metav1.MicroTime`` texts or ""."""

    holder: str = ""
    duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    transitions: int = 0

    @staticmethod
    def of(lease: Mapping[str, Any]) -> LeaseRecord:
        """Read a Lease body; absent and null fields are as good as empty."""
        spec = lease.get("spec") or {}
        return LeaseRecord(
            holder=spec.get("holderIdentity") or "",
            duration_seconds=spec.get("leaseDurationSeconds") or 0,
            acquire_time=spec.get("acquireTime") or "",
            renew_time=spec.get("renewTime") or "",
            transitions=spec.get("leaseTransitions") or 0,
        )

    def held_by(self, options: LeaderElectionOptions, identity: str, now: str) -> LeaseRecord:
        """The record after ``identity`` took or renewed it at ``now``."""
        same = self.holder == identity
        return LeaseRecord(
            holder=identity,
            duration_seconds=math.ceil(options.lease_duration),
            acquire_time=(self.acquire_time or now) if same else now,
            renew_time=now,
            transitions=self.transitions if same else self.transitions + 1,
        )

    def released(self, now: str) -> LeaseRecord:
        """The record after its holder let go: nobody's, and the count of transitions stays."""
        return LeaseRecord("", 1, now, now, self.transitions)


def lease_body(
    lease: Mapping[str, Any], record: LeaseRecord, labels: tuple[tuple[str, str], ...] = ()
) -> dict[str, Any]:
    """``lease`` with the record and labels put in; all else stays."""
    metadata = {**(lease.get("metadata") or {})}
    if labels:
        metadata["labels"] = {**(metadata.get("labels") or {}), **dict(labels)}
    spec = {
        **(lease.get("spec") or {}),
        "holderIdentity": record.holder,
        "leaseDurationSeconds": record.duration_seconds,
        "leaseTransitions": record.transitions,
    }
    times = {"acquireTime": record.acquire_time, "renewTime": record.renew_time}
    spec |= {field: time for field, time in times.items() if time}
    return {**lease, "metadata": metadata, "spec": spec}


@dataclass(frozen=True, slots=True)
class Observation:
    """A record, and since when on our clock (monotonic seconds) we have seen it so."""

    record: LeaseRecord
    since: float

    def next(self, record: LeaseRecord, now: float) -> Observation:
        """What we know after seeing ``record`` at ``now``: an unchanged record keeps its time."""
        return self if record == self.record else Observation(record, now)


class Action(Enum):
    """What to do about the Lease."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


def decide(observed: Observation | None, identity: str, now: float, lease_duration: float) -> Action:
    """The whole judgement.

    Args:
        observed: the Lease as last seen; None when there is none.
        identity: who we are.
        now: monotonic seconds.
        lease_duration: how long to respect a holder that does not say for how long.
    """
    if observed is None:
        return Action.CREATE
    record = observed.record
    if record.holder == identity:
        return Action.RENEW
    if not record.holder:
        return Action.TAKE
    respected = record.duration_seconds or lease_duration
    return Action.WAIT if now < observed.since + respected else Action.TAKE
