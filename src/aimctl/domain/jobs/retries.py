"""When a Job is tried again that failed for a cause that may be removed without a change of its input.

Contract:
    * The first :data:`QUICK_ATTEMPTS` pauses are short, so that a remedy works within a minute while people look for
      it. If access stays denied after that, the pauses grow to :data:`LONGEST_SECONDS`, so that a Job that cannot
      succeed does not run every minute for ever, and credentials that are rejected are not sent so often.
    * During such a long pause the metadata of the Secrets, ConfigMaps and the service account that the pod refers to
      are read every :data:`~aimctl.domain.jobs.inputs.POLL_SECONDS`. A changed one ends the pause.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.domain.hashing import digest
from aimctl.kubetypes.helpers.backoff import exponential_delay

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.domain.plan import Get, Known

__all__ = ["LONGEST_SECONDS", "QUICK_ATTEMPTS", "SHORT_SECONDS", "denied_pause", "short_pause", "versions"]

QUICK_ATTEMPTS = 12
"""With the run of a Job, they take about ten minutes."""

SHORT_SECONDS = 40.0
"""The longest short pause: with the start of a pod, a Job succeeds within a minute after the cause was removed."""

LONGEST_SECONDS = 300.0


def short_pause(failures: int, first_seconds: float) -> float:
    """Seconds after this number of failures in a row, at least one: doubled each time, at most 40."""
    return exponential_delay(max(0, failures - 1), first_seconds, SHORT_SECONDS)


def denied_pause(failures: int, first_seconds: float) -> float:
    """The same while access is denied: after :data:`QUICK_ATTEMPTS`, doubled up to :data:`LONGEST_SECONDS`."""
    if failures <= QUICK_ATTEMPTS:
        return short_pause(failures, first_seconds)
    return exponential_delay(failures - QUICK_ATTEMPTS, SHORT_SECONDS, LONGEST_SECONDS)


def versions(reads: Iterable[Get], known: Known) -> str:
    """A hash of the versions of the objects that were read, which changes when one is created, changed or deleted.

    Without objects it is empty, and so is it before all of them were read.
    """
    found = []
    for read in reads:
        got = known.reads.get(read)
        if got is None:
            return ""
        version = got.object.meta.resource_version if got.object is not None else ""
        found.append([read.resource.kind, read.name, version])
    return digest(found)[:16] if found else ""
