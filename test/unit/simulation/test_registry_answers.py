import base64
import json

import pytest

from aimctl.controllers.models.registry import (
    AccessDenied,
    ImageNotFound,
    MalformedMetadata,
    RateLimited,
    RegistryUnreachable,
)
from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import Credentials
from aimctl.runtime.kube.transport import HttpRequest
from aimctl.simulation.catalogue import Catalogue
from aimctl.simulation.registry import RegistryFault, SimulatedRegistry
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.simulated_registry import simulated_registry

IMAGES = (
    {
        "image": "ghcr.io/silogen/aim-llama*",
        "discover": {"model": "meta-llama/Llama-3.1-8B-Instruct"},
        "recommended_deployments": [
            {"gpu_model": "MI300X", "gpu_count": 1, "precision": "fp8", "metric": "latency"},
            {
                "gpu_model": "MI325X",
                "gpu_count": 4,
                "precision": "fp16",
                "metric": "throughput",
                "profile_id": "p",
            },
        ],
        "labels": {"org.opencontainers.image.title": "Llama"},
    },
    {"image": "multi:*", "labels": {"a": "b"}, "multi_platform": True},
    {"image": "quay.io/team/private:*", "labels": {"x": "y"}, "needs_pull_secret": True},
    {"image": "locked:*", "fail": "pull-refused"},
    {"image": "gone:*", "fail": "image-not-found"},
)


def registry_of(**options):
    return SimulatedRegistry(Catalogue.of({"images": IMAGES}), clock=virtual_clock(), **options)


async def read(registry, image, *credentials):
    return await simulated_registry(registry, clock=virtual_clock()).read(parse_image(image), credentials)


@virtual_time
async def test_labels_contain_the_recommended_deployments():
    found = await read(registry_of(), "ghcr.io/silogen/aim-llama-8b:0.3")
    assert found.digest.startswith("sha256:")
    assert found.labels["org.opencontainers.image.title"] == "Llama"
    assert found.labels["com.amd.aim.model.canonicalName"] == "meta-llama/Llama-3.1-8B-Instruct"
    first, second = json.loads(found.labels["com.amd.aim.model.recommendedDeployments"])
    assert first == {
        "gpuModel": "MI300X",
        "gpuCount": 1,
        "precision": "fp8",
        "metric": "latency",
        "profileId": "",
        "description": "",
    }
    assert (second["gpuModel"], second["gpuCount"], second["profileId"]) == ("MI325X", 4, "p")


@virtual_time
async def test_the_same_image_has_the_same_digest_and_another_tag_another():
    one = await read(registry_of(), "ghcr.io/silogen/aim-llama-8b:0.3")
    assert one == await read(registry_of(), "ghcr.io/silogen/aim-llama-8b:0.3")
    assert one.digest != (await read(registry_of(), "ghcr.io/silogen/aim-llama-8b:0.4")).digest


@virtual_time
async def test_an_image_is_found_by_the_digest_of_its_tag():
    registry = registry_of()
    digest = (await read(registry, "multi:latest")).digest
    assert (await read(registry_of(), f"multi@{digest}")).labels == {"a": "b"}
    with pytest.raises(ImageNotFound):
        await read(registry, f"multi@sha256:{'0' * 64}")


@virtual_time
async def test_an_image_of_several_platforms_has_an_index():
    registry = registry_of()
    answer = await registry.handle(
        HttpRequest("GET", "/v2/library/multi/manifests/1", (("ns", "docker.io"),))
    )
    assert answer.headers["Content-Type"].endswith("index.v1+json")
    assert [item["platform"]["architecture"] for item in json.loads(answer.body)["manifests"]] == [
        "arm64",
        "amd64",
    ]
    assert (await read(registry, "multi:1")).labels == {"a": "b"}


@virtual_time
async def test_a_glob_with_a_host_does_not_match_a_request_without_one():
    registry = registry_of()
    answer = await registry.handle(HttpRequest("GET", "/v2/silogen/aim-llama-8b/manifests/1"))
    assert answer.status == 404
    assert (await registry.handle(HttpRequest("GET", "/v2/team/multi/manifests/1"))).status == 200


@virtual_time
async def test_head_returns_only_the_digest():
    answer = await registry_of().handle(HttpRequest("HEAD", "/v2/multi/manifests/1"))
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Docker-Content-Digest"].startswith("sha256:")


@pytest.mark.parametrize("image", ["gone:1", "nobody/has-it:1"])
def test_an_image_that_no_registry_has_is_404(image):
    @virtual_time
    async def scenario():
        with pytest.raises(ImageNotFound):
            await read(registry_of(), image)

    scenario()


@virtual_time
async def test_a_private_image_requires_a_login():
    registry = registry_of(logins={"ann": "right"})
    path = "/v2/team/private/manifests/1"
    answer = await registry.handle(HttpRequest("GET", path, (("ns", "quay.io"),), {"Host": "mirror:5000"}))
    assert answer.status == 401
    assert answer.headers["Www-Authenticate"] == (
        'Bearer realm="http://mirror:5000/token",service="simulated",scope="repository:team/private:pull"'
    )
    image = "quay.io/team/private:1"
    with pytest.raises(AccessDenied):
        await read(registry, image)
    with pytest.raises(AccessDenied):
        await read(registry, image, Credentials("ann", "wrong"))
    found = await read(registry, image, Credentials("ann", "wrong"), Credentials("ann", "right"))
    assert found.labels == {"x": "y"}
    assert registry.calls[-1].login == "ann"


@virtual_time
async def test_an_anonymous_or_invalid_token_gives_no_access_to_a_private_image():
    registry = registry_of()
    token = json.loads((await registry.handle(HttpRequest("GET", "/token"))).body)["token"]
    for text in (f"Bearer {token}", "Bearer %%%", "Digest x", f"Basic {base64.b64encode(b'a:b').decode()}"):
        request = HttpRequest(
            "GET", "/v2/team/private/manifests/1", (("ns", "quay.io"),), {"Authorization": text}
        )
        assert (await registry.handle(request)).status == 403
    bad = HttpRequest("GET", "/token", (), {"Authorization": "Basic %%%"})
    assert (await registry.handle(bad)).status == 401


@virtual_time
async def test_an_image_with_refused_pulls_is_denied_with_any_login():
    with pytest.raises(AccessDenied):
        await read(registry_of(), "locked:1", Credentials("ann", "any"))


@virtual_time
async def test_faults_apply_by_image_and_number():
    registry = registry_of()
    registry.faults += [
        RegistryFault("docker.io/library/multi", status=429, retry_after="7", times=1),
        RegistryFault("ghcr.io/*", status=0),
        RegistryFault("quay.io/*", status=200, body=b"<html>"),
    ]
    with pytest.raises(RateLimited) as limited:
        await read(registry, "multi:1")
    assert limited.value.retry_after == 7
    assert (await read(registry, "multi:1")).labels == {"a": "b"}
    with pytest.raises(RegistryUnreachable):
        await read(registry, "ghcr.io/silogen/aim-llama-8b:0.3")
    with pytest.raises(MalformedMetadata):
        await read(registry, "quay.io/team/private:1")


@virtual_time
async def test_a_slow_registry_responds_and_every_call_is_recorded():
    registry = registry_of()
    registry.faults.append(RegistryFault(status=None, seconds=20, times=1))
    begun = virtual_clock().monotonic()
    await read(registry, "multi:1")
    assert virtual_clock().monotonic() - begun == 20
    assert [call.path.split("/")[-2] for call in registry.calls] == ["manifests", "manifests", "blobs"]
    assert {call.host for call in registry.calls} == {"docker.io"}


@virtual_time
async def test_the_registry_is_read_only():
    answer = await registry_of().handle(HttpRequest("PUT", "/v2/multi/manifests/1"))
    assert answer.status == 405
    assert (await registry_of().handle(HttpRequest("GET", "/v2/"))).status == 200
    assert (await registry_of().handle(HttpRequest("GET", "/v2/multi/tags/list"))).status == 404
