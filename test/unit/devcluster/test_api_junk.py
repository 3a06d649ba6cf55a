"""Invalid requests: the server always answers with a Status, and never with an internal error."""

from __future__ import annotations

import copy
import json
import random

import pytest

from aimctl.testing.virtualtime import virtual_time
from support.apiserver import (
    APPLY,
    CONFIG_MAPS,
    CRDS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    WIDGETS,
    Api,
    config_map,
    crd,
    pod,
    widget,
)

JUNK = (
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    True,
    [],
    {},
    [None],
    [1],
    ["x"],
    [{}],
    {"x": None},
    {"name": 1},
    [[]],
    "\ud83d\ude00",
    1 << 70,
)
JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "j"},
    "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}}},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s"},
    "data": {"a": "Yg=="},
    "stringData": {"c": "d"},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "v"},
    "spec": {"ports": [{"port": 80}]},
}
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "l"},
    "spec": {"leaseDurationSeconds": 5},
}
BODIES = (
    (CONFIG_MAPS, config_map("c", a="1")),
    (PODS, pod("p", tolerations=[{"key": "a"}], initContainers=[{"name": "i", "image": "y"}])),
    (WIDGETS, widget("w", size="small")),
    ("/apis/batch/v1/namespaces/default/jobs", JOB),
    ("/api/v1/namespaces/default/secrets", SECRET),
    ("/api/v1/namespaces/default/services", SERVICE),
    ("/apis/coordination.k8s.io/v1/namespaces/default/leases", LEASE),
    (
        "/api/v1/namespaces",
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "n"},
            "spec": {"finalizers": ["kubernetes"]},
        },
    ),
    (CRDS, crd("gadgets", "Gadget")),
)
META = {
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "finalizers": ["a.b/c"],
    "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
    "managedFields": [
        {
            "manager": "m",
            "operation": "Update",
            "apiVersion": "v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:data": {}},
        }
    ],
    "creationTimestamp": "2026-01-01T00:00:00Z",
    "resourceVersion": "",
    "uid": "",
    "generation": 1,
}


def spoiled(body: dict, rng: random.Random) -> dict:
    """The body with one or two values replaced by invalid ones."""
    body = copy.deepcopy(body)
    body["metadata"].update(copy.deepcopy(META))
    for _ in range(rng.choice((1, 1, 2))):
        place = body
        while True:
            key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            place[key] = copy.deepcopy(rng.choice(JUNK))
            break
    return body


@pytest.mark.parametrize("seed", range(4))
@virtual_time
async def test_invalid_values_anywhere_never_cause_an_internal_error(seed: int) -> None:
    rng = random.Random(seed)
    api = Api()
    await api.ok("POST", CRDS, crd())
    for path, body in BODIES[:-2]:
        await api.ok("POST", path, body)
    taken = 0
    for _ in range(300):
        path, body = rng.choice(BODIES)
        sent = spoiled(body, rng)
        name = body["metadata"]["name"]
        method, url, media, query = rng.choice(
            (
                ("POST", path, "application/json", {"dryRun": "All"}),
                ("PUT", f"{path}/{name}", "application/json", {"dryRun": "All"}),
                ("PATCH", f"{path}/{name}", MERGE, {}),
                ("PATCH", f"{path}/{name}", STRATEGIC, {"dryRun": "All"}),
                ("PATCH", f"{path}/{name}", APPLY, {"fieldManager": "f", "force": "true", "dryRun": "All"}),
                ("PATCH", f"{path}/{name}/status", MERGE, {}),
                ("DELETE", f"{path}/{name}", "application/json", {"dryRun": "All"}),
            )
        )
        answer = await api(method, url, sent, query, media=media)
        shown = f"{method} {url} {media} {json.dumps(sent)}: {answer.body}"
        assert answer.status < 500 or answer.body.get("reason") != "InternalError", shown
        taken += answer.status < 300
    assert taken > 0
    for path, _ in BODIES:
        for item in (await api.ok("GET", path))["items"]:
            assert item["metadata"]["name"]


@virtual_time
async def test_invalid_json_patches_and_bodies_are_rejected() -> None:
    api = Api()
    await api.ok("POST", CONFIG_MAPS, config_map("c", a="1"))
    for junk in JUNK:
        for media in (MERGE, JSON_PATCH, STRATEGIC, APPLY):
            answer = await api(
                "PATCH", f"{CONFIG_MAPS}/c", json.dumps(junk).encode(), {"fieldManager": "f"}, media=media
            )
            assert answer.status < 500 or answer.body.get("reason") != "InternalError", (
                junk,
                media,
                answer.body,
            )
        for method, path in (
            ("POST", CONFIG_MAPS),
            ("PUT", f"{CONFIG_MAPS}/c"),
            ("DELETE", f"{CONFIG_MAPS}/c"),
        ):
            answer = await api(method, path, json.dumps(junk).encode(), {"dryRun": "All"})
            assert answer.status < 500 or answer.body.get("reason") != "InternalError", (
                junk,
                method,
                answer.body,
            )
        operation = [{"op": "replace", "path": "/data/a", "value": junk}]
        answer = await api("PATCH", f"{CONFIG_MAPS}/c", operation, {"dryRun": "All"}, media=JSON_PATCH)
        assert answer.status < 500 or answer.body.get("reason") != "InternalError", (junk, answer.body)
