"""The validation of pod specs, in pods and in the pod templates of workloads.

Contract: that of the checks in ``rules/checks.py``. Not checked are what only Windows has, resource claims, the
resources of whole pods, and names of objects that need not exist.

Source: Kubernetes' ``core/validation``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from aimctl.devcluster.apiserver.builtin.fields import invalid, required, unsupported
from aimctl.devcluster.apiserver.builtin.rules.checks import (
    address,
    between,
    fields,
    items,
    label_key,
    listed,
    name,
    one_of,
    selector_labels,
)
from aimctl.devcluster.apiserver.builtin.rules.pods.containers import IDENTITY, container_errors, profile
from aimctl.devcluster.apiserver.builtin.rules.pods.scheduling import AFFINITY, spreading, toleration
from aimctl.devcluster.apiserver.builtin.rules.pods.volumes import volumes_of
from aimctl.devcluster.apiserver.objects.names import (
    field_label_errors,
    search_domain_errors,
    subdomain_errors,
)
from aimctl.devcluster.apiserver.schema.errors import FieldError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["pod", "pod_spec", "pod_template"]

_SYSCTL = re.compile(r"[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*")
_SYSCTL_TEXT = (
    "must have at most 253 characters and match regex"
    " ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
)
_LONGEST_SYSCTL = 253
_MOST_SERVERS, _MOST_DOMAINS, _MOST_CHARACTERS = 3, 32, 2048


def pod_spec(spec: Any, path: str) -> Iterator[FieldError]:
    """The errors of a pod spec."""
    volumes: dict[str, Any] = {}
    yield from volumes_of(spec, path, volumes)
    grace, policy = spec.get("terminationGracePeriodSeconds"), spec.get("restartPolicy") or "Always"
    names: set[str] = set()
    ports: set[str] = set()
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    for field in ("containers", "initContainers"):
        for index, each in enumerate(spec.get(field) or ()):
            here = f"{path}.{field}[{index}]"
            init = field == "initContainers"
            yield from container_errors(each, here, volumes, grace=grace, policy=policy, init=init)
            given = each.get("name") or ""
            if given in names:
                yield FieldError("FieldValueDuplicate", f"{here}.name", given, "")
            names.add(given)
            if "ports" in each:
                yield from _host_ports(each["ports"], f"{here}.ports", set() if init else ports)
            yield from _files_of_variables(each, volumes, f"{here}.env")
    if spec.get("hostNetwork"):
        yield from _ports_of_node(spec, path)
    yield from _FIELDS(spec, path)
    yield from _name_service(spec, path)


def pod_template(template: Any, path: str) -> Iterator[FieldError]:
    """The labels and the spec of the pods of a workload."""
    labels = (template.get("metadata") or {}).get("labels")
    if labels:
        yield from selector_labels(labels, f"{path}.labels")
    yield from pod_spec(template.get("spec") or {}, f"{path}.spec")


def pod(spec: Any, path: str) -> Iterator[FieldError]:
    """What is valid in a pod template, but not in a pod."""
    yield from pod_spec(spec or {}, path)
    for field in ("containers", "initContainers"):
        for index, each in enumerate((spec or {}).get(field) or ()):
            image = each.get("image") or ""
            if image != image.strip():
                text = "must not have leading or trailing whitespace"
                yield invalid(f"{path}.{field}[{index}].image", image, text)


def _host_ports(ports: Any, path: str, taken: set[str]) -> Iterator[FieldError]:
    for index, each in enumerate(ports):
        number = each.get("hostPort")
        if not number:
            continue
        shown = f"{each.get('protocol') or ''}/{each.get('hostIP') or ''}/{number}"
        if shown in taken:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}].hostPort", shown, "")
        taken.add(shown)


def _files_of_variables(container: Any, volumes: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    """Files with variables are in empty directories of the pod."""
    for index, each in enumerate(container.get("env") or ()):
        source = (each.get("valueFrom") or {}).get("fileKeyRef")
        if source is None:
            continue
        given, here = source.get("volumeName") or "", f"{path}[{index}].valueFrom.fileKeyRef.volumeName"
        if given not in volumes:
            yield FieldError("FieldValueNotFound", here, given, "")
        elif "emptyDir" not in volumes[given]:
            yield invalid(here, given, "referenced volume must be of type emptyDir")


def _ports_of_node(spec: Any, path: str) -> Iterator[FieldError]:
    for number, container in enumerate(spec.get("containers") or ()):
        for index, each in enumerate(container.get("ports") or ()):
            port = each.get("hostPort") or 0
            if port and port != each.get("containerPort"):
                text = "must match `containerPort` when `hostNetwork` is true"
                yield invalid(f"{path}.containers[{number}].ports[{index}].hostPort", port, text)


def _name_service(spec: Any, path: str) -> Iterator[FieldError]:
    """Where names are looked up."""
    config, here = spec.get("dnsConfig"), f"{path}.dnsConfig"
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(here, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{here}.nameservers", text)
            return
    if config is None:
        return
    servers, domains = config.get("nameservers") or (), config.get("searches") or ()
    if len(servers) > _MOST_SERVERS:
        text = f"must not have more than {_MOST_SERVERS} nameservers"
        yield invalid(f"{here}.nameservers", servers, text)
    yield from items(address)(servers, f"{here}.nameservers")
    if len(domains) > _MOST_DOMAINS:
        text = f"must not have more than {_MOST_DOMAINS} search paths"
        yield invalid(f"{here}.searches", domains, text)
    if len(" ".join(domains)) > _MOST_CHARACTERS:
        text = f"must not have more than {_MOST_CHARACTERS} characters (including spaces) in the search list"
        yield invalid(f"{here}.searches", domains, text)
    for index, domain in enumerate(domains):
        shown = domain.removesuffix(".")
        for text in search_domain_errors(shown) if domain != "." else ():
            yield invalid(f"{here}.searches[{index}]", shown, text)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{here}.options[{index}]", "must not be empty")


def _gates(value: Any, path: str) -> Iterator[FieldError]:
    seen: set[str] = set()
    for index, each in enumerate(value):
        given = each.get("name") or ""
        yield from label_key(given, f"{path}[{index}]")
        if given in seen:
            yield FieldError("FieldValueDuplicate", f"{path}[{index}]", given, "")
        seen.add(given)


def _readiness_gate(value: Any, path: str) -> Iterator[FieldError]:
    yield from label_key(value.get("conditionType"), f"{path}.conditionType")


def _host_alias(value: Any, path: str) -> Iterator[FieldError]:
    yield from address(value.get("ip"), f"{path}.ip")
    for index, host in enumerate(value.get("hostnames") or ()):
        for text in subdomain_errors(host):
            yield invalid(f"{path}.hostnames[{index}]", host, text)


def _system(value: Any, path: str) -> Iterator[FieldError]:
    given = value.get("name") or ""
    if not given:
        yield required(f"{path}.name")
    elif given not in ("linux", "windows"):
        yield unsupported(path, given, ("linux", "windows"))


def _kernel_settings(value: Any, path: str) -> Iterator[FieldError]:
    names: set[str] = set()
    for index, each in enumerate(value):
        given, here = each.get("name") or "", f"{path}[{index}].name"
        if not given:
            yield required(here)
        elif len(given) > _LONGEST_SYSCTL or not _SYSCTL.fullmatch(given):
            yield invalid(here, given, _SYSCTL_TEXT)
        elif given in names:
            yield FieldError("FieldValueDuplicate", here, given, "")
        names.add(given)


_subdomain, _label = name(subdomain_errors), name(field_label_errors)
_FIELDS = fields(
    restartPolicy=listed("Always", "OnFailure", "Never"),
    dnsPolicy=one_of("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"),
    nodeSelector=selector_labels,
    securityContext=fields(
        fsGroup=IDENTITY,
        runAsUser=IDENTITY,
        runAsGroup=IDENTITY,
        supplementalGroups=items(IDENTITY),
        sysctls=_kernel_settings,
        fsGroupChangePolicy=listed("Always", "OnRootMismatch"),
        seccompProfile=profile("seccomp", "seccompProfile"),
        appArmorProfile=profile("AppArmor", "appArmorProfile"),
        supplementalGroupsPolicy=listed("Merge", "Strict"),
        seLinuxChangePolicy=listed("Recursive"),
    ),
    affinity=AFFINITY,
    readinessGates=items(_readiness_gate),
    schedulingGates=_gates,
    topologySpreadConstraints=spreading,
    serviceAccountName=_subdomain,
    nodeName=_subdomain,
    activeDeadlineSeconds=between(1, (1 << 31) - 1),
    hostname=_label,
    subdomain=_label,
    tolerations=items(toleration),
    hostAliases=items(_host_alias),
    priorityClassName=_subdomain,
    runtimeClassName=_subdomain,
    preemptionPolicy=one_of("PreemptLowerPriority", "Never", needed=True),
    os=_system,
)
