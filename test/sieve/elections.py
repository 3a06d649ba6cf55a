"""What must be true about the Lease of the managers.

Contract: :class:`Elections` sees every write of the Lease. The rules are:
    * When a manager acquires the Lease, every former leader has ended, has crashed, or is stopping.
    * A manager that stops gracefully releases the Lease, unless one of its writes may still take effect.
    * A Lease that was released is acquired within :data:`RELEASED_SECONDS`, and any other one within
      :data:`EXPIRED_SECONDS` after its last renewal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.runtime.manager import LeaderElectionOptions
from sieve.observed import Key
from support.ledger import OPERATOR_NAMESPACE
from support.operator import LEASE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sieve.observed import Body, Change, Observed
    from support.operator import Replica, World

__all__ = ["ELECTION", "Elections"]

ELECTION = LeaderElectionOptions(
    LEASE, OPERATOR_NAMESPACE, lease_duration=30.0, renew_deadline=20.0, retry_period=8.0
)
"""Longer than the defaults, so that fewer writes are renewals."""

_LEASE_KEY = Key("leases", OPERATOR_NAMESPACE, LEASE)
_JITTER_SECONDS = 2.0
RELEASED_SECONDS = ELECTION.retry_period + _JITTER_SECONDS
"""A manager that waits reads the Lease once in each retry period, which is up to a fifth longer."""
EXPIRED_SECONDS = ELECTION.lease_duration + RELEASED_SECONDS
"""A manager that waits counts the duration from when it read the Lease first."""


class Elections:
    """Checks the Lease.

    Args:
        w: the managers.
        observed: the objects.
        report: receives violations.
    """

    def __init__(self, w: World, observed: Observed, report: Callable[[str], None]) -> None:
        self._w, self._observed, self._report = w, observed, report
        self._written_at = 0.0
        """When the Lease was written last."""
        observed.listeners.append(self._changed)

    @property
    def holder(self) -> str:
        """The identity of the holder; "" for none."""
        return _holder(self._observed.objects.get(_LEASE_KEY))

    def stopped(self, replica: Replica) -> None:
        """A manager has stopped gracefully, and none of its writes had an unclear result."""
        if self.holder == replica.identity:
            self._report(f"{replica.identity} stopped without releasing the Lease")

    def _changed(self, change: Change) -> None:
        if change.key != _LEASE_KEY:
            return
        before, holder = _holder(change.before), _holder(change.after)
        if holder and holder != before and change.before is not None:
            seconds, most = self._w.now - self._written_at, EXPIRED_SECONDS if before else RELEASED_SECONDS
            if seconds > most:
                self._report(
                    f"{holder} acquired the Lease after {seconds:.1f} s, which is more than {most:g} s"
                )
        if holder and holder != before:
            for replica in self._w.replicas:
                if (
                    replica.identity != holder
                    and replica.leads
                    and not (replica.stopping or replica.wire.cut)
                ):
                    self._report(f"{holder} acquired the Lease while {replica.identity} is a leader")
        self._written_at = self._w.now


def _holder(lease: Body | None) -> str:
    return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")
