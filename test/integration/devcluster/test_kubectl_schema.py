"""Unmodified kubectl with the embedded server: explain, tables, validation and both forms of apply.

Each test runs with every kubectl at hand: the machine's and the one from the test requirements.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from aimctl.devcluster.cluster import DevCluster
from aimctl.runtime.clock import LoopClock
from support.documents import load_yaml
from support.kubectl import Kubectl, kubectl_binaries
from support.proofs import variants

GROUP = "things.example.com"
API = f"{GROUP}/v1"


def immutable(field: str) -> dict[str, str]:
    same = f"(!has(self.{field}) || self.{field} == oldSelf.{field})"
    return {
        "rule": f"has(self.{field}) == has(oldSelf.{field}) && {same}",
        "message": f"{field} is immutable",
    }


CRD: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"engines.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "engines", "singular": "engine", "kind": "Engine", "shortNames": ["eng"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "additionalPrinterColumns": [
                    {"name": "Metric", "type": "string", "jsonPath": ".spec.metric"},
                    {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
                    {"name": "GPUs", "type": "integer", "jsonPath": ".spec.gpuSelector.count", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "Something that serves.",
                        "required": ["spec"],
                        "properties": {
                            "spec": {
                                "type": "object",
                                "description": "What is wished for.",
                                "required": ["modelName"],
                                "x-kubernetes-validations": [immutable("metric"), immutable("gpuSelector")],
                                "properties": {
                                    "modelName": {"type": "string", "description": "Name of the model."},
                                    "metric": {"type": "string", "enum": ["latency", "throughput"]},
                                    "gpuSelector": {
                                        "type": "object",
                                        "description": "Which GPUs.",
                                        "properties": {
                                            "count": {"type": "integer", "minimum": 1, "description": "How many."},
                                            "model": {"type": "string"},
                                        },
                                    },
                                    "config": {"type": "string", "default": "default"},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {
                                    "conditions": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "map",
                                        "x-kubernetes-list-map-keys": ["type"],
                                        "items": {
                                            "type": "object",
                                            "required": ["type", "status"],
                                            "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                                        },
                                    }
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}  # fmt: skip


def engine(name: str = "one", **spec: Any) -> str:
    body = {
        "apiVersion": API,
        "kind": "Engine",
        "metadata": {"name": name},
        "spec": {"modelName": "llama", **spec},
    }
    return yaml.safe_dump(body)


class AsyncKubectl:
    """kubectl in a thread, because the server runs in this loop."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    async def __call__(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self._kubectl, *args, stdin=stdin)

    async def fails(self, *args: str, stdin: str | None = None) -> str:
        return await asyncio.to_thread(self._kubectl.fails, *args, stdin=stdin)

    async def json(self, *args: str) -> Any:
        return await asyncio.to_thread(self._kubectl.json, *args)

    async def both(self, *args: str, stdin: str | None = None) -> str:
        done = await asyncio.to_thread(self._kubectl.run, *args, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest_asyncio.fixture(params=variants(kubectl_binaries()))
async def kubectl(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncKubectl]:
    async with DevCluster(clock=LoopClock(), controllers=False, crds=[CRD]) as cluster:
        await cluster.serve()
        config = cluster.write_kubeconfig(tmp_path / "kubeconfig")
        yield AsyncKubectl(Kubectl(config, tmp_path / "cache", request.param))


async def test_explain_shows_the_fields_of_a_custom_kind(kubectl: AsyncKubectl) -> None:
    kind = await kubectl("explain", "eng")
    assert "Something that serves." in kind
    assert "spec\t<Object> -required-" in kind
    nested = await kubectl("explain", "engine.spec.gpuSelector.count")
    assert "FIELD: count <integer>" in nested
    assert "How many." in nested
    every = await kubectl("explain", "engines.spec", "--recursive")
    assert "  gpuSelector\t<Object>\n    count\t<integer>\n    model\t<string>" in every
    assert "enum: latency, throughput" in await kubectl("explain", "engines.spec")
    assert "does not exist" in await kubectl.fails("explain", "engines.spec.nothing")


async def test_explain_shows_built_in_kinds(kubectl: AsyncKubectl) -> None:
    assert "containers\t<[]Container> -required-" in await kubectl("explain", "pods.spec")
    assert "backoffLimit" in await kubectl("explain", "job.spec", "--recursive")
    assert "uid" in await kubectl("explain", "lease.metadata.ownerReferences")


async def test_get_shows_the_columns_of_the_definition(kubectl: AsyncKubectl) -> None:
    await kubectl("create", "-f", "-", stdin=engine(metric="latency", gpuSelector={"count": 2}))
    header, line = (await kubectl("get", "eng")).splitlines()
    assert header.split() == ["NAME", "METRIC", "READY", "AGE"]
    assert line.split()[:2] == ["one", "latency"]
    wide = (await kubectl("get", "eng", "-o", "wide")).splitlines()
    assert wide[0].split() == ["NAME", "METRIC", "READY", "GPUS", "AGE"]
    assert "engine.things.example.com/one" in await kubectl("get", "all")


async def test_apply_rejects_unknown_fields_by_name(kubectl: AsyncKubectl) -> None:
    refused = await kubectl.fails("apply", "-f", "-", stdin=engine(foo=1, gpuSelector={"colour": "red"}))
    assert (
        'strict decoding error: unknown field "spec.foo", unknown field "spec.gpuSelector.colour"' in refused
        or 'strict decoding error: unknown field "spec.gpuSelector.colour", unknown field "spec.foo"'
        in refused
    )
    warned = await kubectl.both("apply", "--validate=warn", "-f", "-", stdin=engine(foo=1))
    assert 'Warning: unknown field "spec.foo"' in warned
    assert "foo" not in (await kubectl.json("get", "eng", "one"))["spec"]


async def test_apply_rejects_invalid_values_with_the_supported_ones(kubectl: AsyncKubectl) -> None:
    refused = await kubectl.fails("apply", "-f", "-", stdin=engine(metric="fast", gpuSelector={"count": 0}))
    assert 'The Engine "one" is invalid:' in refused
    assert 'spec.metric: Unsupported value: "fast": supported values: "latency", "throughput"' in refused
    assert (
        "spec.gpuSelector.count: Invalid value: 0: spec.gpuSelector.count in body should be greater than or equal to 1"
        in refused
    )
    refused = await kubectl.fails("create", "-f", "-", stdin=engine(modelName=None))
    assert "spec.modelName: Required value" in refused


async def test_a_repeated_apply_changes_nothing_and_immutable_fields_stay(kubectl: AsyncKubectl) -> None:
    manifest = engine(metric="latency")
    assert (
        await kubectl("apply", "-f", "-", stdin=manifest)
    ).strip() == "engine.things.example.com/one created"
    assert (
        await kubectl("apply", "-f", "-", stdin=manifest)
    ).strip() == "engine.things.example.com/one unchanged"
    for changed in (engine(metric="throughput"), engine()):
        refused = await kubectl.fails("apply", "-f", "-", stdin=changed)
        assert "spec: Invalid value: metric is immutable" in refused
    refused = await kubectl.fails(
        "apply", "-f", "-", stdin=engine(metric="latency", gpuSelector={"count": 1})
    )
    assert "gpuSelector is immutable" in refused
    changed = engine(metric="latency", config="other")
    assert (
        await kubectl("apply", "-f", "-", stdin=changed)
    ).strip() == "engine.things.example.com/one configured"


async def test_a_repeated_server_side_apply_keeps_the_resource_version(kubectl: AsyncKubectl) -> None:
    await kubectl("apply", "--server-side", "-f", "-", stdin=engine(metric="latency"))
    before = await kubectl.json("get", "eng", "one", "--show-managed-fields")
    await kubectl("apply", "--server-side", "-f", "-", stdin=engine(metric="latency"))
    assert await kubectl.json("get", "eng", "one", "--show-managed-fields") == before


async def test_a_conflict_names_the_other_manager_and_can_be_forced(
    kubectl: AsyncKubectl,
) -> None:
    await kubectl("create", "--field-manager=alpha", "-f", "-", stdin=engine(config="a"))
    apply = ("apply", "--server-side", "--field-manager=beta", "-f", "-")
    refused = await kubectl.fails(*apply, stdin=engine(config="b"))
    assert f'Apply failed with 1 conflict: conflict with "alpha" using {API}: .spec.config' in refused
    await kubectl(*apply, "--force-conflicts", stdin=engine(config="b"))
    found = await kubectl.json("get", "eng", "one", "--show-managed-fields")
    assert found["spec"]["config"] == "b"
    owners = {entry["manager"]: entry["fieldsV1"] for entry in found["metadata"]["managedFields"]}
    assert "f:config" in owners["beta"]["f:spec"]
    assert "f:config" not in owners["alpha"]["f:spec"]


async def test_client_side_apply_can_be_migrated_to_server_side(kubectl: AsyncKubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=engine(config="a"))
    await kubectl("apply", "--server-side", "-f", "-", stdin=engine(config="b"))
    found = await kubectl.json("get", "eng", "one", "--show-managed-fields")
    assert found["spec"]["config"] == "b"
    assert ("kubectl", "Apply") in {
        (e["manager"], e["operation"]) for e in found["metadata"]["managedFields"]
    }


async def test_server_side_apply_of_status_keeps_other_managers_conditions(kubectl: AsyncKubectl) -> None:
    await kubectl("create", "-f", "-", stdin=engine())
    for kind in ("Ready", "CacheWarm"):
        status = {"conditions": [{"type": kind, "status": "True"}]}
        body = {"apiVersion": API, "kind": "Engine", "metadata": {"name": "one"}, "status": status}
        arguments = ("--server-side", "--subresource=status", f"--field-manager={kind}", "-f", "-")
        await kubectl("apply", *arguments, stdin=yaml.safe_dump(body))
    found = await kubectl.json("get", "eng", "one")
    assert [condition["type"] for condition in found["status"]["conditions"]] == ["Ready", "CacheWarm"]
    assert "True" in (await kubectl("get", "eng")).splitlines()[1]


async def test_a_non_structural_definition_is_rejected(kubectl: AsyncKubectl) -> None:
    bad = load_yaml(yaml.safe_dump(CRD))
    bad["metadata"]["name"] = f"pumps.{GROUP}"
    bad["spec"]["names"] = {"plural": "pumps", "kind": "Pump"}
    spec = bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    spec["properties"]["odd"] = {}
    spec["x-kubernetes-validations"] = [{"rule": "self.metrik == 'x'"}]
    refused = await kubectl.fails("create", "-f", "-", stdin=yaml.safe_dump(bad))
    assert "must not be empty for specified object fields" in refused
    del spec["properties"]["odd"]
    refused = await kubectl.fails("create", "-f", "-", stdin=yaml.safe_dump(bad))
    assert "undefined field 'metrik'" in refused


async def test_both_forms_of_apply_work_for_built_in_kinds(kubectl: AsyncKubectl) -> None:
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "c"},
        "data": {"a": "1", "b": "2"},
    }
    await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(settings))
    del settings["data"]["b"]  # type: ignore[attr-defined]
    assert "configured" in await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(settings))
    assert (await kubectl.json("get", "cm", "c"))["data"] == {"a": "1"}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "j"},
        "spec": {
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "containers": [{"name": "c", "image": "i:1", "env": [{"name": "A", "value": "1"}]}],
                }
            }
        },
    }
    await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(job))
    assert "unchanged" in await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(job))
    header = (await kubectl("get", "jobs")).splitlines()[0]
    assert header.split() == ["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]
    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump(job))
