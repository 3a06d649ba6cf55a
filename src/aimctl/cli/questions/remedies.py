"""What to do about a cause: advice where the operator's message has none, and commands to copy.

Contract: decided by kind and reason.
"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

from aimctl.cli.kinds import short_name
from aimctl.cli.suggestions import command
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.services.kserve.status import POD_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.cli.questions.explanation import Cause, Explanation
    from aimctl.cli.questions.health import Health

__all__ = ["advice", "commands", "explain_command"]

_ADVICE: Mapping[str, str] = {
    "DiscoveryFailed": "Discovery is repeated after a change of the template or its model. To repeat it without a"
    " change, use the command below.",
    "GPUNotAvailable": "Add such a node, or use a template for GPUs that the cluster has. The template"
    " becomes available by itself when the node joins.",
    "SourceUnavailable": "If it lasts, check the network policies and the proxy of the download pods, and HF_ENDPOINT"
    " or AWS_ENDPOINT_URL in their environment.",
}
"""By reason, for messages of the operator that name the cause only."""

_COMMANDS: Mapping[str, tuple[str, ...]] = {
    "DiscoveryFailed": ("aimctl rediscover {name} {where_or_cluster}",),
    "GPUNotAvailable": (
        "kubectl get nodes -L amd.com/gpu.device-id,amd.com/gpu.family,nvidia.com/gpu.product",
    ),
    "ModelNotFound": ("kubectl get aimmdl,aimclmdl {where}",),
    "TemplateNotFound": ("kubectl get aimst,aimclst {where}",),
    "TemplateSelectionAmbiguous": ("kubectl patch aimsvc {name} --type=merge -p {patch} {where}",),
    "RuntimeConfigNotFound": ("kubectl get aimrcfg,aimcrcfg {where}",),
    "StorageClassNotFound": ("kubectl get storageclass",),
    "NoDefaultStorageClass": ("kubectl get storageclass",),
    "RuntimeNotInstalled": ("kubectl get crd inferenceservices.serving.kserve.io",),
    "RuntimeNotReady": ("kubectl get deployments,replicasets,pods {where} -l {of_service}",),
    "RuntimeStarting": ("kubectl get deployments,replicasets,pods {where} -l {of_service}",),
    "NotReconciled": (
        "kubectl get deployment,lease aimctl-manager -n {operator_namespace}",
        "kubectl logs deployment/aimctl-manager --tail=20 -n {operator_namespace}",
    ),
}
"""By reason; each cause has ``kubectl describe`` as well."""


def advice(cause: Cause) -> str:
    """One or two sentences; "" where the message has the remedy, or the time of the next attempt is known."""
    shown = cause.reported
    return "" if shown.blocked or shown.retry_at else _ADVICE.get(shown.reason, "")


def commands(
    cause: Cause, explanation: Explanation, operator_namespace: str, *, has_log: bool = False
) -> tuple[str, ...]:
    """The commands for one cause, the most specific first.

    Args:
        cause: the cause.
        explanation: that it is part of.
        operator_namespace: of the manager, and of the Jobs of cluster templates.
        has_log: whether a container has run behind the object that is reported.
    """
    shown = cause.reported
    where = f"-n {shown.namespace}" if shown.namespace else ""
    fits = [one.name for one in explanation.candidates if one.dropped_by in (None, "Selection")]
    patch = json.dumps({"spec": {"templateRef": fits[0] if fits else "NAME"}}, separators=(",", ":"))
    fields = {
        "kind": short_name(shown.kind),
        "name": shown.name,
        "where": where,
        "where_or_cluster": where or "--cluster",
        "where_or_operator": where or f"--operator-namespace {operator_namespace}",
        "operator_namespace": operator_namespace,
        "patch": shlex.quote(patch),
        "of_service": f"{POD_LABEL}={runtime_name(shown.name, shown.namespace)}",
    }
    # What blocks a discovery has its remedy in the message; another request would change nothing.
    own = [
        command(one.format(**fields)) for one in (() if shown.blocked else _COMMANDS.get(shown.reason, ()))
    ]
    if has_log:
        own.insert(0, command("aimctl logs {kind} {name} {where_or_operator} --tail 20".format(**fields)))
    if shown == explanation.waiting_template:
        own.append(command("aimctl queue"))
    described = [_describe(one) for one in (cause.health, shown) if one.uid and one.kind != "Event"]
    return tuple(dict.fromkeys((*own, *described)))


def explain_command(health: Health) -> str:
    """The command that explains an object."""
    where = f" -n {health.namespace}" if health.namespace else ""
    return command(f"aimctl explain {short_name(health.kind)} {health.name}{where}")


def _describe(health: Health) -> str:
    where = f" -n {health.namespace}" if health.namespace else ""
    return command(f"kubectl describe {short_name(health.kind)} {health.name}{where}")
