"""What the document says about caching: models on volumes before anything starts.

Docstrings name the rows of ``docs/conformance.md`` that a test shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.stage import condition, said
from support.waiting import eventually

if TYPE_CHECKING:
    from support.stage import Stage

WEIGHTS = {"name": "weights", "sourceURI": "hf://example/weights", "size": "40Gi"}
TOKENIZER = {"name": "tokenizer", "sourceURI": "hf://example/tokenizer", "size": "2Mi"}
TOKEN = {"name": "HF_TOKEN", "value": "hf_given"}


def caches(stage: Stage) -> dict[str, dict[str, Any]]:
    """Source -> the AIMModelCache."""
    return {item["spec"]["sourceURI"]: item for item in stage.list("AIMModelCache")}


def test_a_template_with_caching_is_warm_before_it_is_ready(stage: Stage) -> None:
    """Document 8, 24, 25, 60, 70, 71, 72, 74, 76."""
    stage.model(image="slow:quick-enough")
    stage.edit("AIMModel", "model", {"image": "registry.test/nobody-pushed-this:1"})
    stage.template(metric="latency", caching={"enabled": True}, env=[TOKEN])
    requested = stage.until_condition("AIMServiceTemplate", "template", "CacheWarm", "WarmRequested")
    assert requested["status"] == "False", "caching is wanted, and cannot begin before the sources are known"

    stage.edit("AIMServiceTemplate", "template", {"modelSources": [WEIGHTS, TOKENIZER]})
    stage.until_condition("AIMServiceTemplate", "template", "CacheWarm", "Warming")
    status = stage.until("AIMServiceTemplate", "template", "Progressing")
    assert said(status)["Ready"][0] == "False"
    assert said(status)["Progressing"][0] == "True"
    status = stage.until("AIMServiceTemplate", "template", "Ready", 120)
    assert said(status)["CacheWarm"] == ("True", "Warm")
    assert said(status)["Ready"][0] == "True"
    assert said(status)["Progressing"][0] == "False"

    cached = caches(stage)
    assert set(cached) == {"hf://example/weights", "hf://example/tokenizer"}
    for item in cached.values():
        assert item["status"]["status"] == "Available"
        assert item["status"]["progress"]["percent"] == 100
        claim = stage.core.read_namespaced_persistent_volume_claim(
            item["status"]["persistentVolumeClaim"], stage.namespace
        )
        assert claim.spec.access_modes == ["ReadWriteMany"]
    (job, *_) = stage.jobs("app.kubernetes.io/component=download")
    assert any(item.name == "HF_TOKEN" for item in job.spec.template.spec.containers[0].env)


def test_a_cluster_template_is_cached_into_a_namespace_on_request(stage: Stage) -> None:
    """Document 6, 69."""
    name = stage.named("profile")
    stage.make(
        "AIMClusterModel", name, {"image": stage.cluster.image("quick"), "discovery": {"enabled": False}}
    )
    stage.make("AIMClusterServiceTemplate", name, {"modelName": name, "modelSources": [TOKENIZER]})
    stage.make("AIMTemplateCache", "wanted-here", {"templateRef": name})
    status = stage.until("AIMTemplateCache", "wanted-here", "Available", 120)
    assert status["resolvedTemplate"]["scope"] == "Cluster"
    assert [item["source"] for item in status["models"]] == ["hf://example/tokenizer"]
    assert "CacheWarm" not in said(stage.status("AIMClusterServiceTemplate", name))


def test_a_download_that_fails_says_why_and_is_tried_again(stage: Stage) -> None:
    """Document 73, 75."""
    stage.model()
    source = {"name": "gone", "sourceURI": "hf://example/absent", "size": "1Gi"}
    stage.template(metric="latency", modelSources=[source], caching={"enabled": True})
    failed = stage.until_condition("AIMServiceTemplate", "template", "CacheWarm", "WarmFailed")
    assert failed["status"] == "False"
    assert "hf://example/absent" in failed["message"]
    status = stage.until("AIMServiceTemplate", "template", "Degraded")
    assert said(status)["Ready"][0] == "False"
    (cache,) = stage.list("AIMModelCache")
    assert condition(cache["status"], "Ready")["reason"] == "SourceNotFound"
    assert cache["status"]["failedDownloads"] >= 1
    assert cache["status"]["nextDownloadAt"], "it says when it is tried again"


def test_two_templates_share_the_download_of_one_source(stage: Stage) -> None:
    stage.model()
    for name in ("one", "two"):
        stage.template(name, metric="latency", modelSources=[TOKENIZER], caching={"enabled": True})
    for name in ("one", "two"):
        stage.until("AIMServiceTemplate", name, "Ready", 120)
    assert len(stage.list("AIMModelCache")) == 1
    assert len(stage.jobs("app.kubernetes.io/component=download")) == 1

    stage.delete("AIMServiceTemplate", "one")
    stage.until_gone("AIMTemplateCache", "one")
    stage.delete("AIMServiceTemplate", "two")
    stage.until_gone("AIMTemplateCache", "two")
    (kept,) = stage.list("AIMModelCache")
    assert kept["status"]["status"] == "Available", "what is downloaded is not thrown away"
    stage.delete("AIMModelCache", kept["metadata"]["name"])
    eventually(
        lambda: (
            not stage.core.list_namespaced_persistent_volume_claim(stage.namespace).items
            and not stage.jobs("app.kubernetes.io/component=download")
        ),
        60,
        "volume and Job go with the cache",
    )
