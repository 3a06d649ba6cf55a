"""The leader election record, and the decision to acquire it. Pure.

A ``coordination.k8s.io/v1`` Lease has the leader, the duration of the lease and the time of the last renewal.

Invariants:
    * Whether the lease of another process has expired is determined by how long this process has seen it unchanged on
      its own monotonic clock, never by the timestamps in the Lease. The clocks of machines may therefore differ; only
      their rates must not differ by more than ``lease_duration / renew_deadline``.
    * Unknown fields and labels of the Lease are preserved.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from aimctl.runtime.arguments import check_number

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["JITTER", "Action", "LeaderElectionOptions", "LeaseRecord", "Observation", "decide", "lease_body"]

JITTER = 1.2
"""The pause of a candidate is ``retry_period`` times a random factor between 1 and this value (client-go)."""


@dataclass(frozen=True, slots=True)
class LeaderElectionOptions:
    """Options of leader election. The defaults are those of client-go.

    Attributes:
        name: of the Lease; the same for all replicas.
        namespace: of the Lease.
        identity: of this process; unique among the replicas. "" for ``<hostname>_<uuid>``.
        lease_duration: seconds after the last renewal for which other processes do not take the lease.
        renew_deadline: seconds without a successful renewal after which the leader stops leading and writing.
        retry_period: seconds between attempts. After a failed renewal the leader pauses for a quarter of it.
        release_on_exit: release the lease on a clean exit, after the work has ended, so that the next leader need not
            wait until it expires.
        labels: added to the Lease; other labels are kept.
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
        """Validate the options.

        Raises:
            TypeError: a duration is not a number.
            ValueError: a value is invalid; the message names the field, its value and the rule.
        """
        for field in ("name", "namespace"):
            if not getattr(self, field):
                raise ValueError(f"leader election {field}: must not be empty")
        for field in ("lease_duration", "renew_deadline", "retry_period"):
            check_number(f"leader election {field}", getattr(self, field))
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
        """Seconds after a renewal at which pending writes are given up: halfway between the renew deadline and the end
        of the lease.
        """
        return (self.renew_deadline + self.lease_duration) / 2

    @property
    def retry_seconds(self) -> float:
        """Pause of the leader after a failed renewal: a quarter of the retry period.

        client-go pauses for the whole retry period, but counts the renew deadline from its first failed attempt. Here
        it is counted from the last renewal, so that fewer whole periods would be left after an outage.
        """
        return self.retry_period / 4

    @property
    def attempt_seconds(self) -> float:
        """Time limit of one attempt: half the renew deadline, at least one second (as in controller-runtime)."""
        return max(1.0, self.renew_deadline / 2)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """The spec of a Lease, as far as it concerns leader election. Times are in the format of ``metav1.MicroTime``, or
    "".
    """

    holder: str = ""
    duration_seconds: int = 0
    acquire_time: str = ""
    renew_time: str = ""
    transitions: int = 0

    @staticmethod
    def of(lease: Mapping[str, Any]) -> LeaseRecord:
        """Parse the body of a Lease; absent and null fields count as empty."""
        spec = lease.get("spec") or {}
        return LeaseRecord(
            holder=spec.get("holderIdentity") or "",
            duration_seconds=spec.get("leaseDurationSeconds") or 0,
            acquire_time=spec.get("acquireTime") or "",
            renew_time=spec.get("renewTime") or "",
            transitions=spec.get("leaseTransitions") or 0,
        )

    def held_by(self, options: LeaderElectionOptions, identity: str, now: str) -> LeaseRecord:
        """The record after ``identity`` has acquired or renewed the lease at ``now``."""
        same = self.holder == identity
        return LeaseRecord(
            holder=identity,
            duration_seconds=math.ceil(options.lease_duration),
            acquire_time=(self.acquire_time or now) if same else now,
            renew_time=now,
            transitions=self.transitions if same else self.transitions + 1,
        )

    def released(self, now: str) -> LeaseRecord:
        """The record after its holder has released the lease: without a holder; the number of transitions is kept."""
        return LeaseRecord("", 1, now, now, self.transitions)


def lease_body(
    lease: Mapping[str, Any], record: LeaseRecord, labels: tuple[tuple[str, str], ...] = ()
) -> dict[str, Any]:
    """``lease`` with the record and the labels added; everything else is kept."""
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
    """A record, and the monotonic time at which this process first saw it in this state."""

    record: LeaseRecord
    since: float

    def next(self, record: LeaseRecord, now: float) -> Observation:
        """The observation after reading ``record`` at ``now``; an unchanged record keeps its time."""
        return self if record == self.record else Observation(record, now)


class Action(Enum):
    """The next step with the Lease."""

    CREATE = "create"
    TAKE = "take"
    RENEW = "renew"
    WAIT = "wait"


def decide(observed: Observation | None, identity: str, now: float, lease_duration: float) -> Action:
    """Decide what to do with the Lease.

    Args:
        observed: the Lease as last read; None if it does not exist.
        identity: of this process.
        now: monotonic time in seconds.
        lease_duration: used if the Lease has no duration.
    """
    if observed is None:
        return Action.CREATE
    record = observed.record
    if record.holder == identity:
        return Action.RENEW
    if not record.holder:
        return Action.TAKE
    duration = record.duration_seconds or lease_duration
    return Action.WAIT if now < observed.since + duration else Action.TAKE
