"""Models, images and pull secrets for tests of the whole operator.

async with world(catalogue=images(image("aim-x:*", deployment()))) as w:
    await w.model("m", "team", image="aim-x:1")
    w.start()
    await until_model(w, "m", "team", "Ready")
"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import msgspec

from aimctl.api import kinds
from aimctl.kubetypes.builtin import SECRETS
from aimctl.simulation import Catalogue

if TYPE_CHECKING:
    from support.operator import World

__all__ = [
    "condition_of",
    "deployment",
    "image",
    "images",
    "model_of",
    "pull_secret",
    "said",
    "templates_of",
    "until_model",
]


def deployment(
    gpu: str = "MI300X", count: int = 1, metric: str = "latency", precision: str = "fp8"
) -> dict[str, Any]:
    """One recommended deployment as an entry of the catalogue."""
    return {"gpu_model": gpu, "gpu_count": count, "metric": metric, "precision": precision}


def image(glob: str, *deployments: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An image with an answer for discovery and these recommended deployments in its labels."""
    return {
        "image": glob,
        "discover": {"model": "org/model"},
        "recommended_deployments": list(deployments),
        "pull_seconds": 0,
        **more,
    }


def images(*entries: dict[str, Any]) -> Catalogue:
    return Catalogue.default().extended(*entries)


async def model_of(w: World, name: str, namespace: str = "") -> dict[str, Any]:
    """The model from the API server."""
    kind = kinds.MODELS if namespace else kinds.CLUSTER_MODELS
    return msgspec.json.decode((await w.client.get(kind, name, namespace)).raw, type=dict)


async def condition_of(w: World, name: str, namespace: str, type_: str) -> dict[str, Any]:
    conditions = (await model_of(w, name, namespace)).get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == type_), {})


async def said(w: World, name: str, namespace: str = "", type_: str = "MetadataExtracted") -> tuple[str, str]:
    found = await condition_of(w, name, namespace, type_)
    return found.get("status", ""), found.get("reason", "")


async def until_model(
    w: World,
    name: str,
    namespace: str,
    state: str,
    *,
    reason: str = "",
    image: str = "",
    seconds: float = 60.0,
) -> dict[str, Any]:
    """Wait until the model is in this state, and MetadataExtracted has this reason, and its metadata is of this image."""
    end = w.now + seconds
    body: dict[str, Any] = {}
    while w.now < end:
        body = await model_of(w, name, namespace)
        status = body.get("status", {})
        if (
            status.get("status") == state
            and (not reason or (await said(w, name, namespace))[1] == reason)
            and (not image or status.get("imageMetadata", {}).get("image") == image)
        ):
            return body
        await asyncio.sleep(0.05)
    raise AssertionError(
        f"{namespace}/{name} is not {state} {reason} within {seconds:g} s: {json.dumps(body)}"
    )


async def templates_of(w: World, namespace: str = "") -> dict[str, dict[str, Any]]:
    """The templates of a namespace, or of the cluster, by name."""
    kind = kinds.TEMPLATES if namespace else kinds.CLUSTER_TEMPLATES
    page = await w.client.list(kind, namespace)
    return {item.meta.name: msgspec.json.decode(item.raw, type=dict) for item in page.items}


async def pull_secret(
    w: World, name: str, namespace: str, host: str = "docker.io", password: str = "right"
) -> None:
    """Create or change a pull secret."""
    await w.namespace(namespace)
    auth = base64.b64encode(f"robot:{password}".encode()).decode()
    config = base64.b64encode(json.dumps({"auths": {host: {"auth": auth}}}).encode()).decode()
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": config},
    }
    await w.client.apply(SECRETS, body)
