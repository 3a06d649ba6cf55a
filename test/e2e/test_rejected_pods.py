"""Pods that the admission of the API server rejects: the cause is named, and the remedy helps within a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from support.clusters import server_kind
from support.stage import condition
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

pytestmark = pytest.mark.skipif(
    server_kind() == "embedded", reason="the embedded server has no admission plugins for pods"
)

WEIGHTS = {"name": "w", "sourceURI": "hf://example/weights", "size": "1Gi"}
QUOTA = {"metadata": {"name": "small"}, "spec": {"hard": {"pods": "0"}}}
LIMITS = {
    "metadata": {"name": "small"},
    "spec": {"limits": [{"type": "Container", "max": {"memory": "16Mi"}}]},
}
POLICY = {
    "metadata": {"name": ""},
    "spec": {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [{"expression": "false", "message": "no pods before noon"}],
    },
}


def message(stage: Stage, kind: str, name: str) -> str:
    return str(condition(stage.status(kind, name), "Ready").get("message", ""))


def check(stage: Stage, cause: str, remedy: Any) -> None:
    """Discovery and a download name the cause; after the remedy both succeed."""
    stage.model()
    stage.template("found", metric="latency")
    stage.make("AIMModelCache", "weights", {"sourceURI": WEIGHTS["sourceURI"], "size": "1Gi"})
    for kind, name in (("AIMServiceTemplate", "found"), ("AIMModelCache", "weights")):
        eventually(
            lambda kind=kind, name=name: cause in message(stage, kind, name),
            120,
            f"{kind} names {cause!r}",
            otherwise=lambda kind=kind, name=name: stage.status(kind, name),
        )
    remedy()
    stage.until("AIMServiceTemplate", "found", "Ready", 75)
    stage.until("AIMModelCache", "weights", "Available", 75)


def test_a_quota_is_named_and_can_be_raised(stage: Stage) -> None:
    stage.core.create_namespaced_resource_quota(stage.namespace, QUOTA)
    # The controller manager of the tests has no quota controller, which writes the status that admission uses.
    status = {"hard": QUOTA["spec"]["hard"], "used": {"pods": "0"}}
    stage.core.patch_namespaced_resource_quota_status("small", stage.namespace, {"status": status})
    check(
        stage,
        "exceeded quota: small",
        lambda: stage.core.delete_namespaced_resource_quota("small", stage.namespace),
    )


def test_a_limit_range_is_named_and_can_be_removed(stage: Stage) -> None:
    stage.core.create_namespaced_limit_range(stage.namespace, LIMITS)
    check(
        stage,
        "maximum memory usage per Container is 16Mi",
        lambda: stage.core.delete_namespaced_limit_range("small", stage.namespace),
    )


def test_a_policy_is_named_and_can_be_removed(stage: Stage) -> None:
    import kubernetes

    registration = kubernetes.client.AdmissionregistrationV1Api(stage.cluster.api)
    name = stage.named("no-pods")
    registration.create_validating_admission_policy({**POLICY, "metadata": {"name": name}})
    selector = {"matchLabels": {"kubernetes.io/metadata.name": stage.namespace}}
    registration.create_validating_admission_policy_binding(
        {
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": selector},
            },
        }
    )
    probe = {"metadata": {"name": "probe"}, "spec": {"containers": [{"name": "c", "image": "quick"}]}}

    def denied() -> bool:
        try:
            stage.core.create_namespaced_pod(stage.namespace, probe, dry_run="All")
        except kubernetes.client.ApiException as error:
            return "no pods before noon" in str(error.body)
        return False

    try:
        eventually(denied, 60, "the policy is in effect")
        check(
            stage,
            "no pods before noon",
            lambda: registration.delete_validating_admission_policy_binding(name),
        )
    finally:
        registration.delete_validating_admission_policy(name)
