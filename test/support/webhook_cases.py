"""What API servers send to admission webhooks and do with the answers: the same requests to any server.

:func:`webhook_transcript` returns a list of steps and outcomes without what differs between two runs, so the transcripts
of two servers can be compared. ``webhook_answers.json`` has that of Kubernetes 1.36.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from support.pki import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["RECORDED", "Receiver", "shown", "webhook_transcript"]

RECORDED = Path(__file__).parent / "webhook_answers.json"
_CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
_NAMESPACE = "/api/v1/namespaces/hooked"
_MAPS = f"{_NAMESPACE}/configmaps"
_MERGE = "application/merge-patch+json"
_CHANGING = ("uid", "resourceVersion", "creationTimestamp", "time", "deletionTimestamp")
_UIDS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Call = Any
"""``await call(method, path, body, query, media)`` returns (status, body, warnings)."""


class Receiver:
    """An HTTPS server that answers reviews by their path, and keeps them. ``context`` has another certificate."""

    def __init__(self, folder: Path, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._authority = CertificateAuthority(folder)
        files = self._authority.issue("webhook")
        self._files = files
        self.bundle = base64.b64encode(self._authority.certificate.read_bytes()).decode()
        self.reviews: list[tuple[str, dict[str, Any]]] = []
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        context = self._context
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._files.certificate, self._files.key)
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context).start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        server = self._runner.server
        open_ones = [each.transport for each in server.connections] if server else []
        await self._runner.cleanup()
        for transport in open_ones:
            if transport is not None:
                transport.abort()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        review = json.loads(await request.read())
        name = request.path.strip("/")
        self.reviews.append((name, review))
        if name == "sleep":
            await asyncio.sleep(60)
        if name == "broken":
            return web.Response(status=500, text="no idea")
        if name == "nonsense":
            return web.Response(text="{}", content_type="application/json")
        asked = review["request"]
        response: dict[str, Any] = {
            "uid": asked["uid"],
            "allowed": True,
            **_ANSWERS.get(name, _nothing)(asked),
        }
        if name == "other-uid":
            response["uid"] = "x"
        body = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}
        return web.json_response(body)


def _nothing(_: dict[str, Any]) -> dict[str, Any]:
    return {}


def _patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}


def _label(_: dict[str, Any]) -> dict[str, Any]:
    return _patch({"op": "add", "path": "/metadata/labels", "value": {"by": "webhook"}})


def _count(asked: dict[str, Any]) -> dict[str, Any]:
    """Add one to the number in ``data.count``."""
    data = (asked["object"] or {}).get("data")
    if not data:
        return {}
    return _patch({"op": "add", "path": "/data/count", "value": str(int(data.get("count", "0")) + 1)})


_ANSWERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "label": lambda asked: _label(asked) if asked["object"] else {},
    "label-always": _label,
    "count": _count,
    "count-again": _count,
    "deny": lambda _: {"allowed": False, "status": {"message": "not today", "code": 418, "reason": "Tea"}},
    "deny-plainly": lambda _: {"allowed": False},
    "deny-reason": lambda _: {"allowed": False, "status": {"reason": "Forbidden", "code": 200}},
    "warn": lambda _: {"warnings": ["be careful"]},
    "bad-patch": lambda _: _patch({"op": "remove", "path": "/data/absent"}),
    "invalid-patch": lambda _: _patch({"op": "add", "path": "/data", "value": {"not a key!": "x"}}),
}


def _webhook(receiver: Receiver, path: str, **fields: Any) -> dict[str, Any]:
    rules = [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": ["*"],
            "resources": ["configmaps", "pods", "pods/status"],
        }
    ]
    return {
        "name": f"{path}.hooks.example.com",
        "clientConfig": {"url": f"{receiver.url}/{path}", "caBundle": receiver.bundle},
        "rules": rules,
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "namespaceSelector": {"matchLabels": {"hooks": "on"}},
        **fields,
    }


def shown(value: Any) -> Any:
    """The value without what differs between two runs."""
    if isinstance(value, dict):
        return {
            key: "SET" if key in _CHANGING and item is not None else shown(item)
            for key, item in value.items()
            if key not in ("managedFields", "userInfo")
        }
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, str):
        text = _UIDS.sub("UID", value)
        return re.sub(r"127\.0\.0\.1:\d+(->\S+)?", "ADDRESS", text)
    return value


async def webhook_transcript(
    call: Call, receiver: Receiver, settle: Callable[[], Awaitable[None]]
) -> list[Any]:
    """Make the requests. ``settle`` waits until the server uses changed configurations."""
    steps: list[Any] = []

    async def configure(kind: str, *hooks: dict[str, Any], name: str = "hooks.example.com") -> None:
        body = {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": f"{kind}WebhookConfiguration",
            "metadata": {"name": name},
            "webhooks": list(hooks),
        }
        status, answer, _ = await call("POST", f"{_CONFIGURATIONS}/{kind.lower()}webhookconfigurations", body)
        assert status == 201, answer
        await settle()

    async def clear() -> None:
        for kind in ("mutating", "validating"):
            await call("DELETE", f"{_CONFIGURATIONS}/{kind}webhookconfigurations")
        await settle()

    async def step(title: str, method: str, path: str, *rest: Any, ordered: bool = True, **more: Any) -> None:
        receiver.reviews.clear()
        status, body, warnings = await call(method, path, *rest, **more)
        reviews = [[name, shown(review["request"])] for name, review in receiver.reviews]
        if not ordered:
            reviews.sort(key=lambda each: each[0])
        steps.append(
            [title, {"status": status, "body": shown(body), "warnings": warnings, "reviews": reviews}]
        )

    def config_map(name: str, **data: str) -> dict[str, Any]:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
        return {**body, "data": data} if data else body

    labelled = {"metadata": {"name": "hooked", "labels": {"hooks": "on"}}}
    await call("POST", "/api/v1/namespaces", labelled)
    await configure("Mutating", _webhook(receiver, "label"))
    await step("a creation is changed", "POST", _MAPS, config_map("a", x="1"))
    generated = {"metadata": {"generateName": "gen-"}}
    receiver.reviews.clear()
    status, body, _ = await call("POST", _MAPS, generated)
    steps.append(["a generated name is not known yet", [status, "name" in receiver.reviews[0][1]["request"]]])
    await call("DELETE", f"{_MAPS}/{body['metadata']['name']}")
    await step(
        "an update is sent with the old object", "PATCH", f"{_MAPS}/a", {"data": {"x": "2"}}, media=_MERGE
    )
    await step(
        "another namespace is not selected",
        "POST",
        "/api/v1/namespaces/default/configmaps",
        config_map("free"),
    )
    await call("DELETE", "/api/v1/namespaces/default/configmaps/free")
    await step("a dry run is sent as such", "POST", _MAPS, config_map("dry"), query={"dryRun": "All"})
    await step("a deletion is sent", "DELETE", f"{_MAPS}/a")
    await clear()
    await call("POST", _MAPS, config_map("b"))
    await configure("Mutating", _webhook(receiver, "label-always"))
    await step("a patch of a deletion", "DELETE", f"{_MAPS}/b")
    await clear()

    await configure(
        "Mutating",
        _webhook(receiver, "count", reinvocationPolicy="IfNeeded"),
        _webhook(receiver, "count-again"),
    )
    await step("an earlier webhook is called again", "POST", _MAPS, config_map("c", x="1"))
    await clear()
    await configure("Mutating", _webhook(receiver, "bad-patch"))
    await step("a patch that does not fit", "POST", _MAPS, config_map("d"))
    await clear()
    await configure("Mutating", _webhook(receiver, "invalid-patch"))
    await step("a patch that makes the object invalid", "POST", _MAPS, config_map("d"))
    await clear()

    for path in ("deny", "deny-plainly", "deny-reason"):
        await configure("Validating", _webhook(receiver, path))
        await step(f"a denial: {path}", "POST", _MAPS, config_map("e"))
        await clear()
    await configure("Validating", _webhook(receiver, "warn"), _webhook(receiver, "allow"))
    await step("warnings reach the client", "POST", _MAPS, config_map("f"), ordered=False)
    await step("an invalid object is not sent", "POST", _MAPS, config_map("A_b"))
    await step("an update without a change is sent", "PATCH", f"{_MAPS}/f", {}, media=_MERGE, ordered=False)
    await step("a deletion is sent to validating webhooks", "DELETE", f"{_MAPS}/f", ordered=False)
    await clear()

    for path in ("broken", "nonsense", "other-uid"):
        await configure("Validating", _webhook(receiver, path))
        await step(f"a failing webhook: {path}", "POST", _MAPS, config_map("g"))
        await clear()
    gone = {"clientConfig": {"url": "https://127.0.0.1:9/x", "caBundle": receiver.bundle}}
    await configure("Validating", {**_webhook(receiver, "gone"), **gone})
    await step("a webhook that does not listen", "POST", _MAPS, config_map("g"))
    await clear()
    await configure("Validating", {**_webhook(receiver, "gone", failurePolicy="Ignore"), **gone})
    await step("a failure that is ignored", "POST", _MAPS, config_map("h"))
    await clear()
    unknown = {"clientConfig": {"url": f"{receiver.url}/allow"}}
    await configure("Validating", {**_webhook(receiver, "allow"), **unknown})
    await step("an authority that is not known", "POST", _MAPS, config_map("g"))
    await clear()

    conditions = [
        {"name": "only-x", "expression": "object != null && has(object.data) && 'x' in object.data"}
    ]
    await configure("Validating", _webhook(receiver, "deny", matchConditions=conditions))
    await step("a match condition that is false", "POST", _MAPS, config_map("i"))
    await step("a match condition that is true", "POST", _MAPS, config_map("j", x="1"))
    await clear()
    selector = {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}
    await configure("Validating", _webhook(receiver, "deny", objectSelector=selector))
    await step("an object that is not selected", "POST", _MAPS, config_map("k"))
    await step(
        "an object that is selected",
        "PATCH",
        f"{_MAPS}/k",
        {"metadata": {"labels": {"team": "a"}}},
        media=_MERGE,
    )
    await clear()
    await configure("Validating", _webhook(receiver, "deny-plainly"))
    await step("the deletion of a collection", "DELETE", _MAPS)
    await clear()
    listed = (await call("GET", _MAPS))[1]["items"]
    steps.append(
        [
            "what is left",
            [item["metadata"]["name"] for item in listed if item["metadata"]["name"] != "kube-root-ca.crt"],
        ]
    )
    return steps
