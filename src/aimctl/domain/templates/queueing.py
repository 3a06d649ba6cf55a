"""Which templates wait for a discovery slot, according to the objects in the API.

This is for clients that can only read, such as the command line. It agrees with discovery admission if the statuses are
up to date.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aimctl.api.v1alpha1 import TemplateState
from aimctl.domain.templates.decision import PROGRESSING, REDISCOVERING
from aimctl.domain.templates.discovery_report import AWAITING_DISCOVERY, DISCOVERED, DISCOVERY_FAILED
from aimctl.kubetypes import find_condition

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aimctl.api.v1alpha1 import AIMService, TemplateStatus

__all__ = ["awaits", "blocked", "pause_cause", "retry_time", "waiting_since", "waits_for_slot"]


def waits_for_slot(status: TemplateStatus, *, unfinished_job: bool) -> bool:
    """Whether a template waits for a slot: it has no Job for its first input, for a changed one or for a retry.

    It may wait from a later time on: see :func:`retry_time`.

    Args:
        status: of the template.
        unfinished_job: whether it owns a discovery Job that is neither Complete nor Failed, and so has a slot.
    """
    if unfinished_job or status.status == TemplateState.NOT_AVAILABLE:
        return False
    return _first(status) or _again(status) or bool(retry_time(status))


def retry_time(status: TemplateStatus) -> str:
    """From when a template waits for a slot whose last Job failed or could not run, RFC 3339; "" for any other."""
    records = status.discovery
    if records is None:
        return ""
    if _first(status):
        return (records.pause.until if records.pause is not None else None) or ""
    # The record of a failure remains while another input is discovered; the reason is then another one.
    failure = records.failure if _has_reason(status, DISCOVERY_FAILED) else None
    return (failure.retry_at if failure is not None else None) or ""


def pause_cause(status: TemplateStatus) -> str:
    """Why the last Job of a template failed or could not run; "" if :func:`retry_time` is ""."""
    records = status.discovery
    if records is None or not retry_time(status):
        return ""
    record = records.pause if _first(status) else records.failure
    return record.message if record is not None else ""


def blocked(status: TemplateStatus) -> str:
    """Why no Job can be created for a template, whether or not a slot is free; "" if one can."""
    return (status.discovery.blocked if status.discovery is not None else None) or ""


def waiting_since(status: TemplateStatus) -> str:
    """Since when a template waits for a slot, RFC 3339; "" if that is not in its status."""
    again = retry_time(status)
    if again:
        return again
    type_ = DISCOVERED if _first(status) else PROGRESSING
    found = find_condition(status.conditions, type_)
    return found.last_transition_time if found is not None else ""


def awaits(
    service: AIMService,
    namespace: str,
    uid: str,
    *,
    template: tuple[str, str],
    model: str,
    owners: Iterable[str],
) -> bool:
    """Whether a service waits for a template, which gets a slot before others then.

    A service waits for a template that it names, that it uses, or that was derived for it (the service is an owner). A
    service that names no template waits for all templates of its model.

    Args:
        service: spec and status.
        namespace: of the service.
        uid: of the service.
        template: namespace ("" for cluster templates) and name.
        model: ``spec.modelName`` of the template.
        owners: UIDs of the owners of the template.
    """
    where, name = template
    if where not in {"", namespace}:
        return False
    spec, used, image = service.spec, service.status.resolved_template, service.status.resolved_image
    asked = spec.model.ref or (image.name if image is not None else "")
    return (
        spec.template_ref == name
        or (not spec.template_ref and asked == model)
        or uid in owners
        or (used is not None and (used.namespace or "", used.name) == template)
    )


def _first(status: TemplateStatus) -> bool:
    return _has_reason(status, AWAITING_DISCOVERY)


def _has_reason(status: TemplateStatus, reason: str) -> bool:
    discovered = find_condition(status.conditions, DISCOVERED)
    return discovered is not None and discovered.reason == reason


def _again(status: TemplateStatus) -> bool:
    progressing = find_condition(status.conditions, PROGRESSING)
    return progressing is not None and progressing.status == "True" and progressing.reason == REDISCOVERING
