"""The validation of Jobs, and of the Jobs of CronJobs.

Contract: that of the checks in ``rules/checks.py``.

Source: ``pkg/apis/batch/validation`` of Kubernetes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aimctl.devcluster.apiserver.builtin.fields import invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import at_least, fields, label_key
from aimctl.devcluster.apiserver.builtin.rules.pods.spec import pod_template
from aimctl.devcluster.apiserver.objects.names import field_label_errors
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError, GoStruct, go_quote

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["job", "job_template", "named_job", "time_zone"]

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_STATUSES = ("False", "True", "Unknown")
_MOST_RULES, _MOST_CODES, _MOST_PATTERNS = 20, 255, 20
_MOST_PARALLEL, _MOST_FAILED, _LONGEST_INDEXES = 100_000, 100_000, 64 * 1024
_MANY, _MOST_OF_MANY = 100_000, 10_000
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_ZONE_PART = re.compile(r"[-A-Za-z._0-9+]{1,14}")

_natural = at_least(0)
_LIMITS = fields(
    parallelism=_natural,
    completions=_natural,
    activeDeadlineSeconds=_natural,
    backoffLimit=_natural,
    ttlSecondsAfterFinished=_natural,
    backoffLimitPerIndex=_natural,
    maxFailedIndexes=_natural,
)


def job(spec: Any, path: str) -> Iterator[FieldError]:
    """The errors of the spec of a Job, except those of its selector."""
    yield from _LIMITS(spec, path)
    yield from _indexes(spec, path)
    template = spec.get("template") or {}
    failures, success = spec.get("podFailurePolicy"), spec.get("successPolicy")
    if failures is not None:
        yield from _failure_policy(failures, f"{path}.podFailurePolicy", spec)
    if success is not None and spec.get("completionMode") != "Indexed":
        shown = GoStruct(
            Rules=[
                GoStruct(
                    SucceededIndexes=rule.get("succeededIndexes"), SucceededCount=rule.get("succeededCount")
                )
                for rule in success.get("rules") or ()
            ]
            or None
        )
        yield invalid(f"{path}.successPolicy", shown, "requires indexed completion mode")
    elif success is not None:
        yield from _success_policy(success, f"{path}.successPolicy", spec.get("completions") or 0)
    allowed = ("Failed",) if failures is not None else ("Failed", "TerminatingOrFailed")
    if spec.get("podReplacementPolicy", "Failed") not in allowed:
        yield unsupported(f"{path}.podReplacementPolicy", spec["podReplacementPolicy"], allowed)
    yield from pod_template(template, f"{path}.template")
    policy = (template.get("spec") or {}).get("restartPolicy") or "Always"
    place = f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        yield required(place, 'valid values: "OnFailure", "Never"')
    elif policy not in ("OnFailure", "Never"):
        yield unsupported(place, policy, ("OnFailure", "Never"))
    elif failures is not None and policy != "Never":
        yield invalid(place, policy, 'only "Never" is supported when podFailurePolicy is specified')


def named_job(obj: Any, path: str) -> Iterator[FieldError]:
    """The pods of an indexed Job have its name and their index as their host name."""
    del path
    spec, given = obj.get("spec") or {}, obj["metadata"].get("name") or ""
    completions = spec.get("completions") or 0
    if spec.get("completionMode") != "Indexed" or completions <= 0:
        return
    host = f"{given}-{completions - 1}"
    if field_label_errors(host):
        text = f"will not able to create pod with invalid DNS label: {host}"
        yield invalid("metadata.name", given, text)


def job_template(template: Any, path: str) -> Iterator[FieldError]:
    """The Jobs of a CronJob."""
    yield from job((template or {}).get("spec") or {}, f"{path}.spec")


def _indexes(spec: Any, path: str) -> Iterator[FieldError]:
    """The limits of Jobs whose pods have indexes, which other Jobs do not have."""
    mode = spec.get("completionMode", "NonIndexed")
    failed, retries = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if failed is not None and retries is None:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    if mode == "Indexed":
        yield from _indexed(spec, path)
    elif mode != "NonIndexed":
        yield unsupported(f"{path}.completionMode", mode, ("NonIndexed", "Indexed"))
    else:
        for field, value in (("backoffLimitPerIndex", retries), ("maxFailedIndexes", failed)):
            if value is not None:
                yield invalid(f"{path}.{field}", value, "requires indexed completion mode")


def _indexed(spec: Any, path: str) -> Iterator[FieldError]:
    completions, parallel = spec.get("completions"), spec.get("parallelism")
    failed, retries = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if completions is None:
        yield required(f"{path}.completions", "when completion mode is Indexed")
    if parallel is not None and parallel > _MOST_PARALLEL:
        text = f"must be less than or equal to {_MOST_PARALLEL} when completion mode is Indexed"
        yield invalid(f"{path}.parallelism", parallel, text)
    if failed is not None:
        if completions is not None and failed > completions:
            yield invalid(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
        if failed > _MOST_FAILED:
            text = f"must be less than or equal to {_MOST_FAILED}"
            yield invalid(f"{path}.maxFailedIndexes", failed, text)
    if completions is not None and completions > _MANY and retries is not None:
        yield from _many_indexes(spec, path)


def _many_indexes(spec: Any, path: str) -> Iterator[FieldError]:
    if spec.get("maxFailedIndexes") is None:
        text = f"must be specified when completions is above {_MANY}"
        yield required(f"{path}.maxFailedIndexes", text)
    for field in ("parallelism", "maxFailedIndexes"):
        value = spec.get(field)
        if value is not None and value > _MOST_OF_MANY:
            text = (
                f"must be less than or equal to {_MOST_OF_MANY} when completions are above {_MANY} and used with"
                " backoff limit per index"
            )
            yield invalid(f"{path}.{field}", value, text)


def _choice(value: str, path: str, allowed: Collection[str]) -> Iterator[FieldError]:
    """One of these texts. The message about a missing one lists them in another form."""
    if not value:
        shown = " ".join(go_quote(each) for each in allowed)
        yield required(path, f"valid values: [{shown}]")
    elif value not in allowed:
        yield unsupported(path, value, allowed)


def _too_many(path: str, items: Collection[Any], most: int) -> Iterator[FieldError]:
    if len(items) > most:
        yield FieldError("FieldValueTooMany", path, len(items), f"must have at most {most} items")


def _failure_policy(policy: Any, path: str, spec: Any) -> Iterator[FieldError]:
    rules = policy.get("rules") or ()
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {
        each.get("name") for field in ("containers", "initContainers") for each in pod.get(field) or ()
    }
    yield from _too_many(f"{path}.rules", rules, _MOST_RULES)
    for index, rule in enumerate(rules):
        here = f"{path}.rules[{index}]"
        action, codes = rule.get("action") or "", rule.get("onExitCodes")
        conditions = rule.get("onPodConditions") or ()
        if action == "FailIndex":
            if spec.get("backoffLimitPerIndex") is None:
                yield invalid(f"{here}.action", action, "requires the backoffLimitPerIndex to be set")
        else:
            yield from _choice(action, f"{here}.action", _ACTIONS)
        if codes is not None:
            yield from _exit_codes(codes, f"{here}.onExitCodes", containers)
        yield from _too_many(f"{here}.onPodConditions", conditions, _MOST_PATTERNS)
        for number, pattern in enumerate(conditions):
            place = f"{here}.onPodConditions[{number}]"
            yield from label_key(pattern.get("type"), f"{place}.type")
            yield from _choice(pattern.get("status") or "True", f"{place}.status", _STATUSES)
        if codes is not None and conditions:
            text = "specifying both OnExitCodes and OnPodConditions is not supported"
            yield FieldError("FieldValueInvalid", here, OMITTED, text)
        elif codes is None and not conditions:
            text = "specifying one of OnExitCodes and OnPodConditions is required"
            yield FieldError("FieldValueInvalid", here, OMITTED, text)


def _exit_codes(codes: Any, path: str, containers: Collection[str]) -> Iterator[FieldError]:
    operator, container = codes.get("operator") or "", codes.get("containerName")
    values = codes.get("values") or []
    yield from _choice(operator, f"{path}.operator", ("In", "NotIn"))
    if container is not None and container not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        yield invalid(f"{path}.containerName", container, text)
    if not values:
        yield invalid(f"{path}.values", codes.get("values"), "at least one value is required")
    yield from _too_many(f"{path}.values", values, _MOST_CODES)
    seen: set[int] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield invalid(f"{path}.values[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield FieldError("FieldValueDuplicate", f"{path}.values[{index}]", value, "")
        seen.add(value)
    if values != sorted(values):
        yield invalid(f"{path}.values", values, "must be ordered")


def _success_policy(policy: Any, path: str, completions: int) -> Iterator[FieldError]:
    rules = policy.get("rules") or ()
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        yield required(f"{path}.rules", text)
    yield from _too_many(f"{path}.rules", rules, _MOST_RULES)
    for index, rule in enumerate(rules):
        here = f"{path}.rules[{index}]"
        indexes, count = rule.get("succeededIndexes"), rule.get("succeededCount")
        total = 0
        if indexes is None and count is None:
            text = "at least one of succeededCount or succeededIndexes must be specified"
            yield required(here, text)
        if indexes is not None:
            if len(indexes) > _LONGEST_INDEXES:
                text = f"may not be more than {_LONGEST_INDEXES} bytes"
                yield FieldError("FieldValueTooLong", f"{here}.succeededIndexes", OMITTED, text)
            try:
                total = _count(indexes, completions)
            except ValueError as error:
                text = f"error parsing succeededIndexes: {error}"
                yield invalid(f"{here}.succeededIndexes", indexes, text)
        if count is None:
            continue
        yield from _natural(count, f"{here}.succeededCount")
        for most, what in (
            (completions, "the number of specified completions"),
            *(
                ((total, "the number of indexes in the specified succeededIndexes field"),)
                if indexes is not None
                else ()
            ),
        ):
            if count > most:
                text = f"must be less than or equal to {most} ({what})"
                yield invalid(f"{here}.succeededCount", count, text)


def _count(indexes: str, completions: int) -> int:
    """How many indexes a text such as ``0-2,5`` names. ValueError says why it names none."""
    total, last = 0, -1
    for number, part in enumerate(indexes.split(",") if indexes else ()):
        limits = part.split("-")
        if len(limits) > 2:
            raise ValueError(
                f"the fragment {go_quote(part)} violates the requirement that an index interval can have at most"
                " two parts separated by '-'"
            )
        first = _index(limits[0], completions)
        end = _index(limits[1], completions) if len(limits) > 1 else first
        if len(limits) > 1 and first >= end:
            raise ValueError(f"non-increasing order, previous: {first}, current: {end}")
        if number and last >= first:
            raise ValueError(f"non-increasing order, previous: {last}, current: {first}")
        total, last = total + end - first + 1, end
    return total


def _index(text: str, completions: int) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"cannot convert string to integer for index: {go_quote(text)}")
    if int(text) >= completions:
        raise ValueError(f"too large index: {go_quote(text)}")
    return int(text)


def time_zone(value: Any, path: str) -> Iterator[FieldError]:
    """The name of a time zone, if it is given."""
    if value is None:
        return
    if not value:
        yield invalid(path, value, "timeZone must be nil or non-empty string")
        return
    valid = all(
        _ZONE_PART.fullmatch(part) and part not in (".", "..") and not part.startswith("-")
        for part in value.split("/")
    )
    if valid and value.lower() == "local":
        text = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid(path, value, text)
        return
    try:
        known = valid and ZoneInfo(value) is not None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = False
    if not known:
        yield invalid(path, value, f"unknown time zone {value}")
