"""What a kubelet reads before it creates a container: the environment, and credentials for the image's registry.

Contract: every read goes to the server, so a new Secret is found by the next attempt. A missing object results in the
kubelet's message. Only errors of the server are raised.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, final

import msgspec

from aimctl.kubetypes.builtin import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from aimctl.runtime.kube.errors import NotFound

if TYPE_CHECKING:
    from aimctl.kubetypes import Resource
    from aimctl.runtime.kube.client import Client

__all__ = ["Environment", "Lookup"]

JsonObject = Mapping[str, Any]

_DOCKER_HOSTS = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


class Environment(NamedTuple):
    """The variables, the names of those from Secrets, and the kubelet's message if one is missing, or ""."""

    values: dict[str, str]
    from_secrets: frozenset[str]
    error: str = ""


class _Missing(Exception):  # noqa: N818 - carries a message to ``Lookup.environment``
    pass


@final
class Lookup:
    """Reads the objects that pods refer to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def environment(self, pod: JsonObject, container: JsonObject) -> Environment:
        """The environment from ``envFrom``, then ``env``, as in the kubelet."""
        values: dict[str, str] = {}
        secret: set[str] = set()
        namespace = str(pod["metadata"]["namespace"])
        try:
            for source in container.get("envFrom") or ():
                prefix = source.get("prefix") or ""
                for kind, field in (("secret", "secretRef"), ("configmap", "configMapRef")):
                    if source.get(field):
                        data = await self._data(kind, source[field], namespace)
                        values |= {f"{prefix}{name}": value for name, value in data.items()}
                        secret |= {f"{prefix}{name}" for name in data} if kind == "secret" else set()
            for item in container.get("env") or ():
                name = item["name"]
                value, is_secret = await self._value(pod, item, namespace)
                if value is not None:
                    values[name] = value
                    secret = secret | {name} if is_secret else secret - {name}
        except _Missing as missing:
            return Environment({}, frozenset(), str(missing))
        return Environment(values, frozenset(secret))

    async def credentials(self, pod: JsonObject, image: str) -> bool:
        """Whether the pod or its service account has a pull secret for the image's registry.

        Missing Secrets are ignored, as by the kubelet, which then pulls without credentials.
        """
        namespace = str(pod["metadata"]["namespace"])
        named: Iterable[JsonObject] = pod["spec"].get("imagePullSecrets") or ()
        if not named:
            account = pod["spec"].get("serviceAccountName") or "default"
            body = await self._get(SERVICE_ACCOUNTS, account, namespace)
            named = (body or {}).get("imagePullSecrets") or ()
        for reference in named:
            body = await self._get(SECRETS, str(reference.get("name") or ""), namespace)
            if body is not None and _registry_host(image) in _hosts(body):
                return True
        return False

    async def _value(self, pod: JsonObject, item: JsonObject, namespace: str) -> tuple[str | None, bool]:
        source = item.get("valueFrom")
        if not source:
            return str(item.get("value") or ""), False
        if source.get("fieldRef"):
            return _field(pod, str(source["fieldRef"].get("fieldPath") or "")), False
        for kind, field in (("secret", "secretKeyRef"), ("configmap", "configMapKeyRef")):
            reference = source.get(field)
            if reference:
                data = await self._data(kind, reference, namespace)
                key = reference.get("key")
                if key not in data:
                    if reference.get("optional"):
                        return None, False
                    shown = "Secret" if kind == "secret" else "ConfigMap"
                    raise _Missing(f"couldn't find key {key} in {shown} {namespace}/{reference.get('name')}")
                return data[key], kind == "secret"
        return "", False

    async def _data(self, kind: str, reference: JsonObject, namespace: str) -> dict[str, str]:
        name = str(reference.get("name") or "")
        body = await self._get(SECRETS if kind == "secret" else CONFIG_MAPS, name, namespace)
        if body is None:
            if reference.get("optional"):
                return {}
            raise _Missing(f'{kind} "{name}" not found')
        data = body.get("data") or {}
        return {key: _decoded(value) for key, value in data.items()} if kind == "secret" else dict(data)

    async def _get(self, resource: Resource[Any], name: str, namespace: str) -> JsonObject | None:
        if not name:
            return None
        try:
            found = await self._client.get(resource, name, namespace)
        except NotFound:
            return None
        return msgspec.json.decode(found.raw, type=dict[str, Any])


def _registry_host(image: str) -> str:
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return "docker.io" if first in _DOCKER_HOSTS else first
    return "docker.io"


def _hosts(secret: JsonObject) -> frozenset[str]:
    """The registries of a pull secret; none if the Secret has another type or cannot be parsed."""
    data = secret.get("data") or {}
    try:
        if secret.get("type") == "kubernetes.io/dockerconfigjson":
            auths = json.loads(base64.b64decode(data[".dockerconfigjson"]))["auths"]
        elif secret.get("type") == "kubernetes.io/dockercfg":
            auths = json.loads(base64.b64decode(data[".dockercfg"]))
        else:
            return frozenset()
        hosts = {entry.partition("://")[2] or entry for entry in auths}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return frozenset()
    plain = {host.partition("/")[0] for host in hosts}
    return frozenset("docker.io" if host in _DOCKER_HOSTS else host for host in plain)


def _decoded(value: str) -> str:
    try:
        return base64.b64decode(value).decode(errors="replace")
    except binascii.Error:
        return ""


def _field(pod: JsonObject, path: str) -> str:
    """The downward API: a dotted path with at most one subscript (``metadata.labels['app']``)."""
    head, bracket, key = path.partition("[")
    value: Any = pod
    for part in head.split("."):
        value = (value.get(part) if isinstance(value, Mapping) else None) or ""
    if bracket:
        value = value.get(key.strip("]'\""), "") if isinstance(value, Mapping) else ""
    return value if isinstance(value, str) else ""
