"""The validation of containers: ports, probes, resources, security and what happens at their start and end.

Contract: that of the checks in ``rules/checks.py``.

Source: Kubernetes' ``core/validation``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import forbidden, invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    all_of,
    at_least,
    between,
    fields,
    items,
    listed,
    name,
    one_of,
    port,
    relative_path,
)
from aimctl.devcluster.apiserver.builtin.rules.pods.variables import environment, imported
from aimctl.devcluster.apiserver.builtin.rules.pods.volumes import devices_of, mounts_of
from aimctl.devcluster.apiserver.builtin.rules.resources import resources
from aimctl.devcluster.apiserver.objects.names import field_label_errors
from aimctl.devcluster.apiserver.schema.errors import FieldError, GoStruct

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.devcluster.apiserver.builtin.rules.checks import Check

__all__ = ["IDENTITY", "container_errors", "profile"]

_HEADER = re.compile(r"[-A-Za-z0-9]+")
_HEADER_TEXT = (
    "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for"
    " validation is '[-A-Za-z0-9]+')"
)
_POLICIES = ("Always", "Never", "OnFailure")
_MOST_RULES, _MOST_CODES = 20, 255
_NO_PROBE = "may not be set for init containers without restartPolicy=Always"
_SECURITY = (
    *("Capabilities", "Privileged", "SELinuxOptions", "WindowsOptions", "RunAsUser", "RunAsGroup"),
    *("RunAsNonRoot", "ReadOnlyRootFilesystem", "AllowPrivilegeEscalation", "ProcMount", "SeccompProfile"),
    "AppArmorProfile",
)
"""The fields of the server's form of a security context, which messages show."""


def container_errors(
    value: Any, path: str, volumes: Mapping[str, Any], *, grace: int | None, policy: str, init: bool = False
) -> Iterator[FieldError]:
    """The errors of a container.

    Args:
        value: the container.
        path: where it is.
        volumes: the valid volumes of the pod, by name.
        grace: the seconds that the pod has to end.
        policy: the restart policy of the pod.
        init: whether the container runs before the others.
    """
    for field in ("name", "image"):
        if not value.get(field):
            yield required(f"{path}.{field}")
    yield from _FIELDS(value, path)
    if "volumeMounts" in value:
        yield from mounts_of(value, volumes, path)
    if "volumeDevices" in value:
        yield from devices_of(value, volumes, path)
    if "resizePolicy" in value:
        yield from _resizing(value, f"{path}.resizePolicy", policy)
    if "restartPolicy" in value or "restartPolicyRules" in value:
        yield from _restarting(value, path)
    probed = not init or value.get("restartPolicy") == "Always"
    for field, check in _WITHOUT_INIT.items():
        content = value.get(field)
        if content is None:
            continue
        if probed:
            yield from check(content, f"{path}.{field}")
        else:
            yield forbidden(f"{path}.{field}", _NO_PROBE)
    if probed and "lifecycle" in value:
        yield from _sleeping(value["lifecycle"], f"{path}.lifecycle", grace)


def _ports(value: Any, path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, each in enumerate(value):
        here = f"{path}[{index}]"
        given = each.get("name")
        errors = list(port(given, f"{here}.name")) if given else []
        yield from errors
        if given and not errors:
            if given in names:
                yield FieldError("FieldValueDuplicate", f"{here}.name", given, "")
            names.add(given)
        if not each.get("containerPort"):
            yield required(f"{here}.containerPort")
        else:
            yield from port(each["containerPort"], f"{here}.containerPort")
        yield from port(each.get("hostPort") or None, f"{here}.hostPort")
        yield from _PROTOCOLS(each.get("protocol"), f"{here}.protocol")


_PROTOCOLS = one_of("SCTP", "TCP", "UDP")


# -- probes and handlers


def _command(value: Any, path: str) -> Iterator[FieldError]:
    if not value.get("command"):
        yield required(f"{path}.command")


def _http(value: Any, path: str) -> Iterator[FieldError]:
    yield from port(value.get("port") or 0, f"{path}.port")
    scheme = value.get("scheme") or "HTTP"
    if scheme not in ("HTTP", "HTTPS"):
        yield unsupported(f"{path}.scheme", scheme, ("HTTP", "HTTPS"))
    for each in value.get("httpHeaders") or ():
        given = each.get("name") or ""
        if not _HEADER.fullmatch(given):
            yield invalid(f"{path}.httpHeaders", given, _HEADER_TEXT)


def _to_port(value: Any, path: str) -> Iterator[FieldError]:
    yield from port(value.get("port") or 0, f"{path}.port")


def _nothing(value: Any, path: str) -> Iterator[FieldError]:
    """The length of a sleep depends on the grace period of the pod."""
    del value, path
    yield from ()


_ACTIONS: Mapping[str, Check] = {
    "exec": _command,
    "httpGet": _http,
    "tcpSocket": _to_port,
    "grpc": _to_port,
    "sleep": _nothing,
}


def _handler(value: Any, path: str) -> Iterator[FieldError]:
    """One action, of which the first is checked."""
    given = [action for action in _ACTIONS if value.get(action) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    yield from _ACTIONS[given[0]](value[given[0]], f"{path}.{given[0]}")
    for action in given[1:]:
        yield forbidden(f"{path}.{action}", "may not specify more than 1 handler type")


_natural = at_least(0)
_probe = all_of(
    _handler,
    fields(
        initialDelaySeconds=_natural,
        timeoutSeconds=_natural,
        periodSeconds=_natural,
        successThreshold=_natural,
        failureThreshold=_natural,
        terminationGracePeriodSeconds=at_least(1, text="must be greater than 0"),
    ),
)


def _only_once(value: Any, path: str) -> Iterator[FieldError]:
    """A probe of which one success is enough."""
    yield from _probe(value, path)
    if value.get("successThreshold") not in (None, 1):
        yield invalid(f"{path}.successThreshold", value["successThreshold"], "must be 1")


def _readiness(value: Any, path: str) -> Iterator[FieldError]:
    yield from _probe(value, path)
    seconds = value.get("terminationGracePeriodSeconds")
    if seconds is not None:
        text = "must not be set for readinessProbes"
        yield invalid(f"{path}.terminationGracePeriodSeconds", seconds, text)


def _sleeping(value: Any, path: str, grace: int | None) -> Iterator[FieldError]:
    for field in ("postStart", "preStop"):
        seconds = ((value.get(field) or {}).get("sleep") or {}).get("seconds")
        if seconds is not None and grace is not None and not 0 <= seconds <= grace:
            text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
            yield invalid(f"{path}.{field}.sleep", seconds, text)


_WITHOUT_INIT: Mapping[str, Check] = {
    "lifecycle": fields(postStart=_handler, preStop=_handler),
    "livenessProbe": _only_once,
    "readinessProbe": _readiness,
    "startupProbe": _only_once,
}
"""What an init container has only if it runs beside the others."""


# -- restarts and resizes


def _restarting(value: Any, path: str) -> Iterator[FieldError]:
    policy, rules = value.get("restartPolicy"), value.get("restartPolicyRules") or ()
    if policy is None and rules:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    elif policy is not None and policy not in _POLICIES:
        yield unsupported(f"{path}.restartPolicy", policy, _POLICIES)
    if len(rules) > _MOST_RULES:
        text = f"must have at most {_MOST_RULES} items"
        yield FieldError("FieldValueTooMany", f"{path}.restartPolicyRules", len(rules), text)
    for index, rule in enumerate(rules):
        here = f"{path}.restartPolicyRules[{index}]"
        action, codes = rule.get("action") or "", rule.get("exitCodes")
        if action not in ("Restart", "RestartAllContainers"):
            yield unsupported(f"{here}.action", action, ("Restart", "RestartAllContainers"))
        if codes is None:
            yield required(f"{here}.exitCodes", "must be specified")
            continue
        operator, numbers = codes.get("operator") or "", codes.get("values") or ()
        if operator not in ("In", "NotIn"):
            yield unsupported(f"{here}.exitCodes.operator", operator, ("In", "NotIn"))
        if len(numbers) > _MOST_CODES:
            text = f"must have at most {_MOST_CODES} items"
            yield FieldError("FieldValueTooMany", f"{here}.exitCodes.values", len(numbers), text)


def _resizing(value: Any, path: str, policy: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, each in enumerate(value.get("resizePolicy") or ()):
        resource, restart = each.get("resourceName") or "", each.get("restartPolicy") or ""
        if resource in seen:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}]", resource, "")
        seen.add(resource)
        yield from one_of("cpu", "memory", needed=True)(resource, path)
        yield from one_of("NotRequired", "RestartContainer", needed=True)(restart, path)
        if policy == "Never" and restart != "NotRequired":
            text = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            yield invalid(path, restart, text)


# -- security

IDENTITY = between(0, (1 << 31) - 1)
"""A user or group on a node."""


def profile(noun: str, field: str) -> Check:
    """A profile of the node, or a default one."""

    def check(value: Any, path: str) -> Iterator[FieldError]:
        kind, local = value.get("type") or "", value.get("localhostProfile")
        if not kind:
            yield required(f"{path}.type", f"type is required when {field} is set")
        else:
            yield from one_of("Localhost", "RuntimeDefault", "Unconfined")(kind, f"{path}.type")
        if kind == "Localhost" and local is None:
            text = f"must be set when {noun} type is Localhost"
            yield required(f"{path}.localhostProfile", text)
        elif kind == "Localhost":
            yield from relative_path(local, f"{path}.localhostProfile")
        elif local is not None:
            shown: Any = GoStruct(Type=kind, LocalhostProfile=local) if noun == "seccomp" else local
            text = f"can only be set when {noun} type is Localhost"
            yield invalid(f"{path}.localhostProfile", shown, text)

    return check


def _security(value: Any, path: str) -> Iterator[FieldError]:
    yield from _SECURITY_FIELDS(value, path)
    if value.get("allowPrivilegeEscalation") is not False:
        return
    shown = GoStruct({each: value.get(f"{each[0].lower()}{each[1:]}") for each in _SECURITY})
    added = (value.get("capabilities") or {}).get("add") or ()
    if value.get("capabilities") is not None:
        dropped = value["capabilities"].get("drop")
        shown["Capabilities"] = GoStruct(Add=list(added) or None, Drop=dropped or None)
    if value.get("privileged"):
        text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        yield invalid(path, shown, text)
    for each in added:
        if each == "CAP_SYS_ADMIN":
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            yield invalid(path, shown, text)


_SECURITY_FIELDS = fields(
    runAsUser=IDENTITY,
    runAsGroup=IDENTITY,
    procMount=listed("Default", "Unmasked"),
    seccompProfile=profile("seccomp", "seccompProfile"),
    appArmorProfile=profile("AppArmor", "appArmorProfile"),
)


_FIELDS = fields(
    name=name(field_label_errors),
    terminationMessagePolicy=one_of("File", "FallbackToLogsOnError"),
    ports=_ports,
    env=items(environment),
    envFrom=items(imported),
    imagePullPolicy=one_of("Always", "IfNotPresent", "Never"),
    resources=resources,
    securityContext=_security,
)
