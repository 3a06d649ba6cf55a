"""The YAML and the statements of ``docs/coming-from-kaiwo.md``."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from aimctl.api.kinds import INFERENCE_SERVICES, KINDS, OPERATOR_KINDS
from aimctl.api.v1alpha1 import API_VERSION
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.domain.labels import passed_labels
from aimctl.runtime import HORIZONTAL_POD_AUTOSCALERS, INGRESSES, NETWORK_POLICIES
from aimctl.testing.virtualtime import virtual_time
from support.documents import load_all_yaml
from support.service_witness import serving

PAGE = (Path(__file__).parents[3] / "docs" / "coming-from-kaiwo.md").read_text(encoding="utf-8")
BODIES = [
    body
    for block in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for body in load_all_yaml(block)
]
RESOURCES = {
    one.kind: one for one in (*OPERATOR_KINDS, HORIZONTAL_POD_AUTOSCALERS, INGRESSES, NETWORK_POLICIES)
}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: body["kind"])
def test_each_object_has_the_fields_of_its_kind(body):
    own = next((kind for kind in KINDS if kind.name == body["kind"]), None)
    if own is not None:
        (version,) = own.crd()["spec"]["versions"]
        schema = Schema.from_crd(version["schema"]["openAPIV3Schema"])
        pruned, unknown = schema.prune(body)
        assert (unknown, schema.validate(pruned, None)) == ([], [])
    else:
        resource = RESOURCES[body["kind"]]
        view = resource.decode(msgspec.json.encode(body))
        known = msgspec.json.decode(msgspec.json.encode(view))
        assert body["apiVersion"] == resource.api_version
        assert {"metadata": known["metadata"], "spec": known["spec"]} == {
            "metadata": body["metadata"],
            "spec": body["spec"],
        }, "a field that the kind does not have is lost"


@virtual_time
async def test_the_objects_are_accepted_and_the_policy_selects_the_pods_of_the_service():
    async with serving() as w:
        await w.namespace("team")
        w.start()
        for body in (one for one in BODIES if one["apiVersion"] == API_VERSION):
            namespaced = {**body, "metadata": {**body["metadata"], "namespace": "team"}}
            await w.client.apply(RESOURCES[body["kind"]], namespaced)
        await w.until_service("chat", "Running")
        item = await w.client.get(INFERENCE_SERVICES, "chat", "team")
        policy = next(body for body in BODIES if body["kind"] == "NetworkPolicy")
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= item.meta.labels.items()
        assert item.meta.labels["team"] == "red"


def test_the_labels_that_are_not_passed_are_those_of_the_page():
    section = PAGE.split("except these:\n", 1)[1].split("\n\nThe labels that", 1)[0]
    domains = re.findall(r"`([a-z0-9.]+\.[a-z]+)`", section)
    names = re.findall(r"`([a-z-]+)`", section)
    assert len(domains) == 6
    assert len(names) == 4
    labels = {f"{prefix}{domain}/x": "" for domain in domains for prefix in ("", "sub.")}
    assert passed_labels(labels | dict.fromkeys(names, "")) == {}
    kept = {"team": "red", "app": "x", "app.kubernetes.io/part-of": "x", "example.org/x": ""}
    assert passed_labels(kept) == kept
