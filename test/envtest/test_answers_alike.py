"""The embedded server and a real one, asked the same things, answer alike.

Every request goes to both, in order. Status code and reason must be the same each time; the message too, except where
the step says that it is worded by version or by implementation. Objects are compared without what must differ.
"""

from __future__ import annotations

import asyncio
import copy
import json
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest

from aimctl.devcluster import ApiServer, HttpFront
from aimctl.runtime.clock import LoopClock
from support.apiserver import (
    APPLY,
    CONFIG_MAPS,
    CRDS,
    JSON_PATCH,
    MERGE,
    PODS,
    STRATEGIC,
    WIDGETS,
    config_map,
    crd,
    pod,
    widget,
)

if TYPE_CHECKING:
    from support.controlplane import ControlPlane

NAMESPACES = "/api/v1/namespaces"
INSIDE = f"{NAMESPACES}/alike/configmaps"
JOBS = "/apis/batch/v1/namespaces/default/jobs"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
SECRETS = "/api/v1/namespaces/default/secrets"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Step(NamedTuple):
    """One request; ``worded`` says that messages are the server's own affair."""

    method: str
    path: str
    body: Any = None
    query: dict[str, str] = {}  # noqa: RUF012 - never changed
    media: str = "application/json"
    worded: bool = False


class Result(NamedTuple):
    """One answer."""

    status: int
    body: Any


def held(body: dict[str, Any]) -> dict[str, Any]:
    body["metadata"]["finalizers"] = ["example.com/hold"]
    return body


def applied(name: str = "c", **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "5"}, **more}


def job(name: str, policy: str) -> dict[str, Any]:
    spec = {"restartPolicy": policy, "containers": [{"name": "a", "image": "x"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": spec}},
    }


def storage(size: str) -> dict[str, Any]:
    return {"requests": {"storage": size}}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    fields = {"accessModes": ["ReadWriteMany"], "resources": storage("10Gi"), "storageClassName": "x", **spec}
    kept = {key: value for key, value in fields.items() if value is not None}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": kept}


C, ONE = CONFIG_MAPS, f"{CONFIG_MAPS}/c"
LEASE = {
    "apiVersion": "coordination.k8s.io/v1",
    "kind": "Lease",
    "metadata": {"name": "l"},
    "spec": {"holderIdentity": "a"},
}
BINDING = {
    "apiVersion": "v1",
    "kind": "Binding",
    "metadata": {"name": "p"},
    "target": {"kind": "Node", "name": "n1"},
}
IMAGE = {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "y"}]}}}}

CREATE = (
    Step("POST", C, config_map("c", a="1")),
    Step("POST", C, config_map("c")),
    Step("GET", ONE),
    Step("GET", f"{C}/zz"),
    Step("POST", C, {"metadata": {"name": "untyped"}}),
    Step("POST", C, {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "y"}}, worded=True),
    Step("POST", C, {"kind": "ConfigMap", "apiVersion": "v2", "metadata": {"name": "y"}}, worded=True),
    Step("POST", C, {"metadata": {"name": "y", "namespace": "other"}}),
    Step("POST", C, {"metadata": {}}),
    Step("POST", C, {"metadata": {"name": "A_b"}}),
    Step("POST", C, {"metadata": {"name": "x" * 254}}, worded=True),
    Step("POST", C, {"metadata": {"name": "y", "resourceVersion": "3"}}),
    Step("POST", C, {"metadata": {"name": "y", "labels": {"a": "b c"}}}),
    Step("POST", C, {"metadata": {"name": "y", "labels": {"x/y/z": "1"}}}),
    Step("POST", C, {"metadata": {"name": "y", "labels": {"a": 1}}}, worded=True),
    Step("POST", C, {"metadata": {"name": "y", "finalizers": ["a b"]}}),
    Step(
        "POST",
        C,
        {
            "metadata": {
                "name": "y",
                "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": ""}],
            }
        },
    ),
    Step("POST", C, {"metadata": {"name": "y", "annotations": {"a": "x" * 262145}}}, worded=True),
    Step("POST", C, b"{", worded=True),
    Step("POST", C, b"[]", worded=True),
    Step("POST", C, b"x=1", media="application/x-www-form-urlencoded", worded=True),
    Step("POST", C, {"metadata": {"name": "y"}}, {"dryRun": "Some"}, worded=True),
    Step("POST", C, {"metadata": {"name": "dry"}, "data": {"a": "b"}}, {"dryRun": "All"}),
    Step("POST", f"{NAMESPACES}/nowhere/configmaps", config_map("c")),
    Step("POST", NAMESPACES, {"metadata": {"name": "a.b"}}),
)
UPDATE = (
    Step("PUT", ONE, config_map("d")),
    Step("PUT", f"{C}/zz", config_map("zz")),
    Step("PUT", ONE, {"metadata": {"name": "c", "resourceVersion": "1"}}),
    Step("PUT", ONE, {"metadata": {"name": "c", "uid": "other"}}, worded=True),
    Step("PUT", ONE, {"metadata": {}}),
    Step("PUT", ONE, {"metadata": {"name": "c", "resourceVersion": "abc"}}, worded=True),
    Step("PATCH", ONE, {"data": {"b": "2"}}, media=MERGE),
    Step("PATCH", ONE, {"data": {"b": None}}, media=STRATEGIC),
    Step("PATCH", ONE, [{"op": "test", "path": "/data/a", "value": "9"}], media=JSON_PATCH),
    Step("PATCH", ONE, [{"op": "jump"}], media=JSON_PATCH),
    Step("PATCH", ONE, {}, media=JSON_PATCH, worded=True),
    Step("PATCH", ONE, {}, media="text/plain", worded=True),
    Step("PATCH", f"{C}/zz", {}, media=MERGE),
    Step("PATCH", ONE, {"metadata": {"name": "d"}}, media=MERGE),
    Step("PATCH", ONE, {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}, media=MERGE),
    Step("PATCH", ONE, {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}, media=MERGE, worded=True),
    Step("PATCH", ONE, {"metadata": {"uid": "x"}}, media=MERGE, worded=True),
    Step("PATCH", ONE, {"metadata": {"resourceVersion": "1"}}, media=MERGE),
    Step("PATCH", ONE, {"metadata": {"namespace": "x"}}, media=MERGE),
    Step("PATCH", ONE, {"metadata": {"generation": 7}}, media=MERGE),
    Step("PATCH", ONE, applied(), media=APPLY),
    Step("PATCH", ONE, applied(), {"fieldManager": "m"}, media=APPLY, worded=True),
    Step(
        "PATCH",
        ONE,
        applied(metadata={"managedFields": [{"manager": "z"}]}),
        {"fieldManager": "m"},
        media=APPLY,
        worded=True,
    ),
    Step("PATCH", ONE, {"data": {}}, {"force": "true"}, media=MERGE),
    Step("PATCH", f"{C}/n", applied("n"), {"fieldManager": "m"}, media=APPLY),
    Step("PATCH", f"{C}/n", applied("other"), {"fieldManager": "m"}, media=APPLY),
)
DELETE = (
    Step("DELETE", ONE, {"preconditions": {"uid": "zz"}}, worded=True),
    Step("DELETE", ONE, {"preconditions": {"resourceVersion": "1"}}, worded=True),
    Step("DELETE", ONE, {"propagationPolicy": "Sideways"}, worded=True),
    Step("DELETE", ONE, {"orphanDependents": True, "propagationPolicy": "Orphan"}, worded=True),
    Step("DELETE", ONE, None, {"dryRun": "All"}),
    Step("DELETE", ONE),
    Step("DELETE", ONE),
    Step("POST", C, held(config_map("f", a="1"))),
    Step("DELETE", f"{C}/f", {"propagationPolicy": "Foreground"}),
    Step(
        "PATCH",
        f"{C}/f",
        {"metadata": {"finalizers": ["example.com/hold", "x.io/y"]}},
        media=MERGE,
        worded=True,
    ),
    # meanwhile the real garbage collector takes its finalizer back
    Step("DELETE", f"{C}/f", worded=True),
    Step("PATCH", f"{C}/f", {"metadata": {"finalizers": None}}, media=MERGE),
    Step("GET", f"{C}/f"),
    Step("POST", NAMESPACES, {"metadata": {"name": "alike"}}),
    Step("POST", INSIDE, held(config_map("held", a="1"))),
    Step("DELETE", f"{NAMESPACES}/alike"),
    Step("POST", INSIDE, config_map("late")),
    Step("DELETE", f"{NAMESPACES}/default"),
)
READ = (
    Step("GET", C, None, {"labelSelector": "a in b"}),
    Step("GET", C, None, {"labelSelector": "a=b=c"}),
    Step("GET", C, None, {"labelSelector": "-a"}, worded=True),
    Step("GET", C, None, {"labelSelector": "a=-b"}, worded=True),
    Step("GET", C, None, {"fieldSelector": "spec.x=1"}),
    Step("GET", PODS, None, {"fieldSelector": "spec.x=1"}),
    Step("GET", C, None, {"fieldSelector": "x"}),
    Step("GET", C, None, {"resourceVersion": "abc"}),
    Step("GET", C, None, {"resourceVersion": "99999999"}, worded=True),
    Step("GET", f"{C}/x", None, {"resourceVersion": "99999999"}, worded=True),
    Step("GET", C, None, {"continue": "!!"}, worded=True),
    Step("GET", C, None, {"continue": "e30"}),
    Step("GET", C, None, {"limit": "many"}),
    Step("GET", C, None, {"resourceVersionMatch": "Exact"}),
    Step("GET", C, None, {"resourceVersion": "1", "resourceVersionMatch": "Foo"}, worded=True),
    Step("GET", C, None, {"watch": "1", "resourceVersion": "abc"}),
    Step(
        "GET", C, None, {"watch": "1", "resourceVersionMatch": "Exact", "resourceVersion": "5"}, worded=True
    ),
    Step("GET", "/apis/nothing.example/v1/things"),
    Step("GET", "/api/v1/things"),
    Step("GET", f"{NAMESPACES}/default/nodes"),
    Step("POST", f"{C}/x", {}),
    Step("PUT", C, {}),
    Step("PATCH", C, {}, media=MERGE),
    Step("POST", "/api/v1/configmaps", config_map("q")),
    Step("GET", f"{C}/x/scale"),
    Step("PUT", f"{C}/x/status", {}),
    Step("GET", REVIEWS),
)
KINDS = (
    Step("POST", JOBS, job("j", "Never"), worded=True),
    Step("PATCH", f"{JOBS}/j", IMAGE, media=STRATEGIC, worded=True),
    Step("POST", JOBS, job("k", "Always")),
    Step("PUT", f"{LEASES}/l", LEASE),
    Step("PUT", f"{LEASES}/l", LEASE, worded=True),
    Step("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}, "immutable": True}),
    Step("PATCH", f"{SECRETS}/s", {"data": {"a": "Yw=="}}, media=MERGE),
    Step("PATCH", f"{SECRETS}/s", {"type": "other"}, media=MERGE),
    Step("POST", SECRETS, {"metadata": {"name": "t"}, "data": {"a": "***"}}, worded=True),
    Step("POST", PODS, pod("p"), worded=True),
    Step("PATCH", f"{PODS}/p", {"spec": {"hostname": "h"}}, media=MERGE, worded=True),
    Step("GET", f"{PODS}/p/log", None, {"container": "zz"}),
    Step("GET", f"{PODS}/p/log"),
    Step("POST", f"{PODS}/p/binding", BINDING),
    Step("POST", f"{PODS}/p/binding", BINDING),
    Step("DELETE", f"{PODS}/p", worded=True),
    Step("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0}, worded=True),
    Step("GET", f"{PODS}/p"),
    Step(
        "POST",
        PODS,
        pod("two", containers=[{"name": "a", "image": "x"}, {"name": "b", "image": "x"}]),
        worded=True,
    ),
    Step("GET", f"{PODS}/two/log"),
    Step("DELETE", f"{PODS}/two", worded=True),
)
CLAIMS_OF = "/api/v1/namespaces/default/persistentvolumeclaims"
CLAIMS = (
    Step("POST", CLAIMS_OF, claim("a", accessModes=None)),
    Step("POST", CLAIMS_OF, claim("a", resources=None)),
    Step("POST", CLAIMS_OF, claim("a", resources={"requests": {"storage": "0"}}), worded=True),
    Step("POST", CLAIMS_OF, claim("a")),
    Step("PATCH", f"{CLAIMS_OF}/a", {"spec": {"resources": storage("20Gi")}}, media=MERGE, worded=True),
    Step("PATCH", f"{CLAIMS_OF}/a", {"spec": {"volumeName": "v"}}, media=MERGE),
    Step("PATCH", f"{CLAIMS_OF}/a", {"spec": {"volumeName": "w"}}, media=MERGE, worded=True),
    Step("PATCH", f"{CLAIMS_OF}/a/status", {"status": {"phase": "Bound"}}, media=MERGE),
    Step("PATCH", f"{CLAIMS_OF}/a", {"spec": {"resources": storage("1Gi")}}, media=MERGE, worded=True),
    Step("PATCH", f"{CLAIMS_OF}/a", {"spec": {"accessModes": ["ReadOnlyMany"]}}, media=MERGE, worded=True),
    Step("PATCH", f"{CLAIMS_OF}/a/status", {"status": {"phase": "Lost"}}, media=MERGE),
)
CUSTOM = (
    Step("GET", WIDGETS),
    Step("POST", WIDGETS, widget("w", size="small")),
    Step("POST", WIDGETS, widget("v", size="huge")),
    Step("POST", WIDGETS, {"spec": {}}, worded=True),
    Step("POST", WIDGETS, {"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": "q"}}),
    Step("POST", WIDGETS, {"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "q"}}),
    Step("PUT", f"{WIDGETS}/w", widget("w", size="large"), worded=True),
    Step("PATCH", f"{WIDGETS}/w", {}, media=STRATEGIC),
    Step("PATCH", f"{WIDGETS}/w", {"spec": {"size": "large", "zz": 1}}, media=MERGE),
    Step(
        "PATCH",
        f"{WIDGETS}/w/status",
        {"status": {"a": 1}, "spec": {"size": "small"}, "metadata": {"labels": {"q": "r"}}},
        media=MERGE,
    ),
    Step("GET", WIDGETS, None, {"fieldSelector": "spec.size=large"}),
    Step("GET", f"{WIDGETS}/w/scale"),
    Step("PATCH", f"{WIDGETS}/w", {"metadata": {"finalizers": ["example.com/hold"]}}, media=MERGE),
    Step("DELETE", f"{WIDGETS}/w"),
    Step("PATCH", f"{WIDGETS}/w", {"metadata": {"finalizers": []}}, media=MERGE),
    Step("GET", f"{WIDGETS}/w"),
    Step("POST", CRDS, {**crd(), "metadata": {"name": "zz.example.com"}}),
    Step("DELETE", f"{CRDS}/widgets.example.com"),
)

VARYING = {"uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "lastTransitionTime", "time"}
LATER = {"managedFields", "selfLink"}
"""Left out: kept by their own tests, or gone since 1.24."""


def comparable(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {
            key: comparable(item, key)
            for key, item in value.items()
            if key not in LATER and key != "kubernetes.io/metadata.name"
        }
    if isinstance(value, list):
        return [comparable(item, name) for item in value]
    return "~" if name in VARYING and value is not None else value


def tidy(value: Any) -> Any:
    """Without what is empty: older servers write some of it, newer ones do not."""
    if isinstance(value, dict):
        kept = {key: tidy(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item not in ({}, [], None, "")}
    return [tidy(item) for item in value] if isinstance(value, list) else value


async def asked(session: aiohttp.ClientSession, step: Step) -> Result:
    body = step.body if isinstance(step.body, bytes) or step.body is None else json.dumps(step.body).encode()
    headers = {"Content-Type": step.media}
    async with session.request(
        step.method, step.path, params=step.query, data=body, headers=headers
    ) as answer:
        text = await answer.text()
    try:
        return Result(answer.status, json.loads(text))
    except ValueError:
        return Result(answer.status, text)


async def both(plane: ControlPlane, steps: tuple[Step, ...]) -> list[tuple[Step, Result, Result]]:
    server = ApiServer(clock=LoopClock())
    server.start()
    front = HttpFront(server)
    endpoint = await front.serve()
    tls = ssl.create_default_context(cafile=str(plane.ca_file))
    token = {"Authorization": f"Bearer {plane.token}"}
    try:
        async with (
            aiohttp.ClientSession(endpoint.url) as ours,
            aiohttp.ClientSession(plane.url, headers=token, connector=aiohttp.TCPConnector(ssl=tls)) as real,
        ):
            if steps[0].path == WIDGETS:
                for session in (ours, real):
                    await asked(session, Step("POST", CRDS, crd()))
                async with asyncio.timeout(20):
                    while (await asked(real, Step("GET", WIDGETS))).status != 200:  # noqa: ASYNC110 - another program
                        await asyncio.sleep(0.1)
            return [(step, await asked(real, step), await asked(ours, step)) for step in steps]
    finally:
        await front.aclose()
        server.close()


@pytest.mark.parametrize(
    "steps",
    [CREATE + UPDATE + DELETE, READ, KINDS, CLAIMS, CUSTOM],
    ids=["write", "read", "kinds", "claims", "custom"],
)
async def test_both_servers_answer_alike(plane: ControlPlane, steps: tuple[Step, ...]) -> None:
    differences = []
    for step, real, ours in await both(plane, copy.deepcopy(steps)):
        shown = f"{step.method} {step.path} {step.query or ''} {str(step.body)[:150]}"
        if real.status != ours.status:
            differences.append(f"{shown}\n  real {real.status} {real.body}\n  ours {ours.status} {ours.body}")
            continue
        one, two = tidy(comparable(real.body)), tidy(comparable(ours.body))
        if step.worded:
            one, two = (body.get("reason") if isinstance(body, dict) else None for body in (one, two))
        if one != two:
            differences.append(f"{shown}\n  real {one}\n  ours {two}")
    assert not differences, "\n".join(differences)
