"""Why a Job has no pod, from the Events of the Job controller.

The API server rejects pods because of a quota, a LimitRange, a policy, the Pod Security Standard of the namespace or a
missing service account. Only an Event about the Job says which. It is read while a Job has no pod, and never otherwise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aimctl.domain.conditions import one_line
from aimctl.domain.plan import List
from aimctl.kubetypes.builtin import CORE_EVENTS

if TYPE_CHECKING:
    from aimctl.domain.plan import Known
    from aimctl.kubetypes import CoreEvent, Job, Object

__all__ = ["pod_rejection", "rejected_pods"]

_PREFIX = re.compile(r'Error creating: (?:pods "[^"]{0,253}" is forbidden: )?')
"""The name of the pod is another one in each attempt."""


def rejected_pods(job: Object[Job]) -> List:
    """Read the Events about the pods of a Job that the API server rejected."""
    selector = f"involvedObject.uid={job.meta.uid},reason=FailedCreate"
    return List(CORE_EVENTS, job.meta.namespace, field_selector=selector)


def pod_rejection(read: List, known: Known) -> str:
    """Why the API server rejected the latest pod, on one line; "" if there is no Event, or it was not read."""
    got = known.reads.get(read)
    events: list[CoreEvent] = [] if got is None else [item.view for item in got.objects]
    latest = max(events, key=_time, default=None)
    return "" if latest is None else one_line(_PREFIX.sub("", latest.message, count=1))


def _time(event: CoreEvent) -> str:
    return event.last_timestamp or event.event_time or event.first_timestamp or ""
