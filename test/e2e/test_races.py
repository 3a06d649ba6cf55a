"""What happens at the same moment: on a real API server, with its own garbage collector, nothing is lost or left.

Every template here has static sources, so that no discovery slows the races down, unless a test needs one.
"""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import kubernetes
import pytest
from kubernetes.client.exceptions import ApiException

from support.clusters import API_VERSION
from support.stage import Stage
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.clusters import RunningCluster

STATIC = {
    "metric": "latency",
    "modelSources": [{"name": "weights", "sourceURI": "hf://example/weights", "size": "1Gi"}],
}
OVERRIDES = {"metric": "throughput"}
DERIVED = "aim.silogen.ai/derived-template"


def derived(stage: Stage) -> list[dict[str, Any]]:
    """The derived templates of the stage's namespace."""
    templates = stage.list("AIMServiceTemplate")
    return [item for item in templates if DERIVED in item["metadata"].get("labels", {})]


def owners(template: dict[str, Any]) -> list[str]:
    return sorted(item["name"] for item in template["metadata"].get("ownerReferences", ()))


def at_once(*actions: Callable[[], Any]) -> None:
    """Run all of them from one starting shot."""
    barrier = threading.Barrier(len(actions))

    def run(action: Callable[[], Any]) -> None:
        barrier.wait(10)
        action()

    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(run, action) for action in actions]:
            done.result()


@pytest.mark.parametrize("tries", [20, pytest.param(200, marks=pytest.mark.proof)])
@pytest.mark.timeout(600)
def test_two_services_with_the_same_overrides_created_at_once_share_one_template(
    stage: Stage, tries: int
) -> None:
    stage.model()
    for number in range(tries):
        stage.template(f"base-{number}", **STATIC, gpuSelector={"count": number + 1})
    for number in range(tries):
        at_once(
            *(
                lambda side=side, number=number: stage.service(
                    f"{side}-{number}", templateRef=f"base-{number}", overrides=OVERRIDES
                )
                for side in ("left", "right")
            )
        )
    wanted = sorted([f"left-{number}", f"right-{number}"] for number in range(tries))
    eventually(
        lambda: sorted(map(owners, derived(stage))) == wanted,
        max(120, 2 * tries),  # a loaded machine needs more than half a second for each
        f"{tries} templates have two owners each",
        otherwise=lambda: [(item["metadata"]["name"], owners(item)) for item in derived(stage)][:20],
    )


@pytest.mark.parametrize("tries", [20, pytest.param(60, marks=pytest.mark.proof)])
@pytest.mark.timeout(300)
def test_a_service_deleted_while_its_template_is_being_created_leaves_nothing(
    stage: Stage, tries: int
) -> None:
    stage.model()
    chance = random.Random(1)
    for number in range(tries):
        stage.template(f"base-{number}", **STATIC, gpuSelector={"count": number + 1})
        stage.service(f"short-{number}", templateRef=f"base-{number}", overrides=OVERRIDES)
        time.sleep(chance.uniform(0, 0.06))
        stage.delete("AIMService", f"short-{number}")
    assert stage.list("AIMService") == []
    eventually(
        lambda: not derived(stage),
        120,
        "no derived template is left",
        otherwise=lambda: [(item["metadata"]["name"], owners(item)) for item in derived(stage)],
    )
    time.sleep(1)
    assert derived(stage) == [], "one came late"


def everything(cluster: RunningCluster, namespace: str) -> dict[str, list[str]]:
    """All that the operator could have left in a namespace, by kind."""
    selector = {"label_selector": "app.kubernetes.io/managed-by=aim"}
    core, batch = kubernetes.client.CoreV1Api(cluster.api), kubernetes.client.BatchV1Api(cluster.api)
    found = {
        "jobs": batch.list_namespaced_job(namespace, **selector).items,
        "pods": core.list_namespaced_pod(namespace, **selector).items,
        "claims": core.list_namespaced_persistent_volume_claim(namespace, **selector).items,
    }
    named = {kind: [item.metadata.name for item in items] for kind, items in found.items()}
    group, version = API_VERSION.split("/")
    for plural in ("aimservicetemplates", "aimservices", "aimtemplatecaches", "aimmodelcaches", "aimmodels"):
        items = cluster.custom.list_namespaced_custom_object(group, version, namespace, plural)["items"]
        named[plural] = [item["metadata"]["name"] for item in items]
    return {kind: names for kind, names in named.items() if names}


@pytest.mark.timeout(300)
def test_a_template_deleted_while_its_caches_download_leaves_no_download_behind(stage: Stage) -> None:
    stage.model()
    sources = [
        {"name": f"part-{number}", "sourceURI": f"hf://example/endless-{number}", "size": "200Gi"}
        for number in range(3)
    ]
    stage.template(metric="latency", modelSources=sources, caching={"enabled": True})
    eventually(
        lambda: len(stage.jobs("app.kubernetes.io/component=download")) == 3, 60, "three downloads run"
    )
    stage.delete("AIMServiceTemplate", "template")
    eventually(
        lambda: set(everything(stage.cluster, stage.namespace)) == {"aimmodels"},
        120,
        "template cache, model caches, claims, Jobs and pods are gone",
        otherwise=lambda: everything(stage.cluster, stage.namespace),
    )


@pytest.mark.timeout(300)
def test_a_namespace_deleted_in_the_middle_of_everything_goes_and_nothing_comes_back(stage: Stage) -> None:
    cluster, namespace = stage.cluster, stage.namespace
    stage.model()
    stage.model("endless", "endless")
    stage.template("waiting", model="endless", metric="latency")
    stage.template("cached", **STATIC, caching={"enabled": True})
    stage.template("base", metric="latency")
    for number in range(20):
        stage.service(
            f"service-{number}", templateRef="base", overrides={"gpuSelector": {"count": number + 1}}
        )
    eventually(lambda: len(derived(stage)) >= 5 and stage.jobs(), 60, "the operator is in the middle of it")
    stage.core.delete_namespace(namespace)

    def gone() -> bool:
        try:
            stage.core.read_namespace(namespace)
        except ApiException as error:
            return error.status == 404
        return False

    eventually(gone, 120, "the namespace is gone", otherwise=lambda: everything(cluster, namespace))
    other = Stage(cluster, "doc")
    other.model()
    other.template(**STATIC)
    other.until("AIMServiceTemplate", "template", "Ready")
    assert everything(cluster, namespace) == {}, "the operator is at work, and made nothing anew"
