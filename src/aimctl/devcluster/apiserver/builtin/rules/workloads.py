"""Rules of workloads, autoscalers, disruption budgets and priority classes that concern several fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules import autoscalers, storage
from aimctl.devcluster.apiserver.builtin.rules.checks import at_least, requirement, selector_labels
from aimctl.devcluster.apiserver.builtin.rules.pods.spec import pod_template
from aimctl.devcluster.apiserver.objects.selectors import from_object
from aimctl.devcluster.apiserver.schema.errors import FieldError, GoStruct

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.devcluster.apiserver.builtin.rules.checks import Check

_MOST_PRIORITY = 1_000_000_000
_LONGEST_CRON_NAME = 52
_NOUNS = {"daemonset": "DaemonSet", "deployment": "ReplicaSet", "statefulset": "StatefulSet"}


def _is_valid(selector: Any) -> bool:
    """Whether the server can use a selector. If it cannot, the pod template is not validated."""
    expressions = selector.get("matchExpressions") or ()
    errors = [error for each in expressions for error in requirement(each, "")]
    return not errors and not any(selector_labels(selector.get("matchLabels"), ""))


def _shown(selector: Any) -> GoStruct:
    """A selector as messages show it, without what is empty."""
    expressions = [
        {
            "key": each.get("key") or "",
            "operator": each.get("operator") or "",
            **({"values": each["values"]} if each.get("values") else {}),
        }
        for each in selector.get("matchExpressions") or ()
    ]
    labels = dict(sorted((selector.get("matchLabels") or {}).items()))
    return GoStruct(
        {
            **({"matchLabels": labels} if labels else {}),
            **({"matchExpressions": expressions} if expressions else {}),
        }
    )


def pods_of(word: str, *, optional: bool = False) -> Check:
    """The selector and the pod template of a workload; ``word`` is its name in messages."""

    def check(spec: Any, path: str) -> Iterator[FieldError]:
        selector, template = spec.get("selector"), spec.get("template") or {}
        if selector is None and not optional:
            yield required(f"{path}.selector")
        elif selector is not None and not any(selector.values()):
            yield invalid(f"{path}.selector", _shown(selector), f"empty selector is invalid for {word}")
        labels = (template.get("metadata") or {}).get("labels")
        if selector is not None and not _is_valid(selector):
            if word != "daemonset":
                text = "invalid label selector" if word == "deployment" else ""
                yield invalid(f"{path}.selector", _shown(selector), text)
                return
        elif selector is None or not from_object(selector).matches(labels or {}):
            text = "`selector` does not match template `labels`"
            yield invalid(f"{path}.template.metadata.labels", labels, text)
        pod = template.get("spec") or {}
        shown = _of_stateful_set(spec, template) if word == "statefulset" else template
        yield from pod_template(shown, f"{path}.template")
        policy = pod.get("restartPolicy", "Always")
        if policy != "Always":
            yield unsupported(f"{path}.template.spec.restartPolicy", policy, ("Always",))
        if pod.get("activeDeadlineSeconds") is not None:
            text = f"activeDeadlineSeconds in {_NOUNS[word]} is not Supported"
            yield forbidden(f"{path}.template.spec.activeDeadlineSeconds", text)

    return check


def _of_stateful_set(spec: Any, template: Any) -> Any:
    """The template of a StatefulSet as it is checked.

    Its claims precede the other volumes and replace those with equal names. Host names of pods are generated.
    """
    claims = [
        (each.get("metadata") or {}).get("name") or "" for each in spec.get("volumeClaimTemplates") or ()
    ]
    pod = {**(template.get("spec") or {}), "hostname": None, "subdomain": None}
    if claims:
        pod["volumes"] = [
            *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)),
            *(each for each in pod.get("volumes") or () if (each.get("name") or "") not in claims),
        ]
    return {**template, "spec": pod}


def cron_name(metadata: Any, path: str) -> Iterator[FieldError]:
    """The length of a CronJob's name, to which eleven characters are added for its Jobs."""
    given = metadata.get("name") or ""
    if len(given) > _LONGEST_CRON_NAME:
        yield invalid(f"{path}.name", given, f"must be no more than {_LONGEST_CRON_NAME} characters")


def daemon_update(strategy: Any, path: str) -> Iterator[FieldError]:
    """The update strategy of a DaemonSet."""
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("RollingUpdate", "OnDelete"):
        shown, text = (
            GoStruct(Type=kind, RollingUpdate=_limits_shown(rolling)),
            'supported values: "RollingUpdate", "OnDelete"',
        )
        yield FieldError("FieldValueNotSupported", path, shown, text)
    elif rolling is not None:
        surge, unavailable = _is_some(rolling.get("maxSurge")), _is_some(rolling.get("maxUnavailable"))
        if surge and unavailable:
            text = "may not be set when maxUnavailable is non-zero"
            yield invalid(f"{path}.rollingUpdate.maxSurge", rolling["maxSurge"], text)
        elif not surge and not unavailable:
            yield required(f"{path}.rollingUpdate.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _limits_shown(rolling: Any) -> Any:
    """The limits of a rolling update as messages show them."""
    if rolling is None:
        return None
    return GoStruct(MaxUnavailable=rolling.get("maxUnavailable", 0), MaxSurge=rolling.get("maxSurge", 0))


def _is_some(number: Any) -> bool:
    """Whether a number or percentage is not zero. A text that is neither counts as zero."""
    if isinstance(number, str):
        digits = number.removesuffix("%")
        return digits.isdecimal() and int(digits[:9]) != 0
    return bool(number)


def ordered_update(strategy: Any, path: str) -> Iterator[FieldError]:
    """The update strategy of a StatefulSet."""
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    # The limit of unavailable pods is a feature that is not enabled, so its value is lost.
    shown = rolling and GoStruct(Partition=rolling.get("partition", 0), MaxUnavailable=None)
    if kind not in ("RollingUpdate", "OnDelete"):
        shown = GoStruct(Type=kind, RollingUpdate=shown)
        yield invalid(path, shown, "must be 'RollingUpdate' or 'OnDelete'")
    elif kind == "OnDelete" and rolling is not None:
        yield invalid(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
    elif rolling is not None:
        yield from at_least(0)(rolling.get("partition"), f"{path}.rollingUpdate.partition")


def deployment(strategy: Any, path: str) -> Iterator[FieldError]:
    """The strategy of a Deployment."""
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind not in ("Recreate", "RollingUpdate"):
        shown = GoStruct(Type=kind, RollingUpdate=_limits_shown(rolling))
        yield FieldError(
            "FieldValueNotSupported", path, shown, 'supported values: "Recreate", "RollingUpdate"'
        )
    elif kind == "Recreate" and rolling is not None:
        text = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden(f"{path}.rollingUpdate", text)
    elif rolling is not None and not any(
        _is_some(rolling.get(key)) for key in ("maxSurge", "maxUnavailable")
    ):
        place = f"{path}.rollingUpdate.maxUnavailable"
        yield invalid(place, rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0")


def progress(spec: Any, path: str) -> Iterator[FieldError]:
    """The progress deadline of a Deployment."""
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
    if deadline is not None and deadline <= ready:
        yield invalid(f"{path}.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def management(value: Any, path: str) -> Iterator[FieldError]:
    """The order in which a StatefulSet starts pods."""
    if value not in (None, "OrderedReady", "Parallel"):
        yield invalid(path, value, "must be 'OrderedReady' or 'Parallel'")


def claims(value: Any, path: str) -> Iterator[FieldError]:
    """The claims of a StatefulSet have a spec. It is checked as that of any claim if it is given."""
    for index, each in enumerate(value or ()):
        if each.get("spec") is None:
            yield from storage.claim({}, f"{path}[{index}].spec")


def taints(value: Any, path: str) -> Iterator[FieldError]:
    """The taints of a node differ in key or effect."""
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(value or ()):
        key, effect = each.get("key") or "", each.get("effect") or ""
        if (key, effect) in seen:
            shown = GoStruct(
                Key=key, Value=each.get("value") or "", Effect=effect, TimeAdded=each.get("timeAdded")
            )
            text = "taints must be unique by key and effect pair"
            yield FieldError("FieldValueDuplicate", f"{path}[{index}]", shown, text)
        seen.add((key, effect))


def budget(spec: Any, path: str) -> Iterator[FieldError]:
    """A PodDisruptionBudget has one limit."""
    if spec.get("minAvailable") is not None and spec.get("maxUnavailable") is not None:
        shown = GoStruct(
            MinAvailable=spec["minAvailable"],
            Selector=spec.get("selector"),
            MaxUnavailable=spec["maxUnavailable"],
            UnhealthyPodEvictionPolicy=spec.get("unhealthyPodEvictionPolicy"),
        )
        yield invalid(path, shown, "minAvailable and maxUnavailable cannot be both set")


def autoscaler(spec: Any, path: str) -> Iterator[FieldError]:
    """The limits and the target of an autoscaler."""
    least, most = spec.get("minReplicas", 1), spec.get("maxReplicas") or 0
    if least < 1:
        yield invalid(f"{path}.minReplicas", least, "must be greater than or equal to 1")
    if most == 0:
        yield required(f"{path}.maxReplicas", "must be set and greater than 0")
    elif most < 0:
        yield invalid(f"{path}.maxReplicas", most, "must be greater than or equal to 1")
    if most < least:
        yield invalid(f"{path}.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    yield from autoscalers.scaled(spec.get("scaleTargetRef") or {}, f"{path}.scaleTargetRef")


def priority(obj: Any, path: str) -> Iterator[FieldError]:
    """Names and values that are reserved for the system."""
    del path
    given = str(obj["metadata"].get("name") or "")
    if given.startswith("system-"):
        text = (
            "priority class names with 'system-' prefix are reserved for system use only. error:"
            f" {given} is not a known system priority class"
        )
        yield forbidden("metadata.name", text)
    elif (obj.get("value") or 0) > _MOST_PRIORITY:
        text = f"maximum allowed value of a user defined priority is {_MOST_PRIORITY}"
        yield forbidden("value", text)
