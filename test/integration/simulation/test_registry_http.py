"""The simulated registry over a real socket, read by the operator's own client."""

import asyncio

import pytest

from aimctl.controllers.models.registry import AccessDenied, ImageNotFound, RegistryUnreachable
from aimctl.controllers.models.registry_addresses import AddressGuard
from aimctl.controllers.models.registry_client import OciRegistry
from aimctl.controllers.models.registry_http import HttpExchange
from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import Credentials
from aimctl.runtime.clock import LoopClock
from aimctl.simulation import Catalogue, RegistryFault, RegistryFront, SimulatedRegistry

LOOPBACK = AddressGuard(networks=["127.0.0.0/8"])

IMAGES = (
    {"image": "ghcr.io/silogen/aim-llama*", "labels": {"a": "b"}, "multi_platform": True},
    {"image": "quay.io/team/private:*", "labels": {"x": "y"}, "needs_pull_secret": True},
)


@pytest.fixture
async def mirrored():
    """A registry, and a client that uses it as a mirror of all registries."""
    clock = LoopClock()
    registry = SimulatedRegistry(Catalogue.of({"images": IMAGES}), clock=clock)
    async with RegistryFront(registry) as front:
        exchange = HttpExchange(trust_env=False, addresses=LOOPBACK)
        try:
            yield registry, OciRegistry(exchange, clock=clock, mirrors={"*": front.endpoint.url})
        finally:
            await exchange.aclose()


async def test_an_image_is_read_from_the_mirror(mirrored):
    _, reader = mirrored
    found = await reader.read(parse_image("ghcr.io/silogen/aim-llama:0.3"), ())
    assert found.labels == {"a": "b"}
    pinned = await reader.read(parse_image(f"ghcr.io/silogen/aim-llama:0.3@{found.digest}"), ())
    assert pinned == found
    with pytest.raises(ImageNotFound):
        await reader.read(parse_image("ghcr.io/silogen/other:1"), ())


async def test_a_private_image_is_read_with_a_login_only(mirrored):
    _, reader = mirrored
    image = parse_image("quay.io/team/private:1")
    with pytest.raises(AccessDenied):
        await reader.read(image, ())
    assert (await reader.read(image, (Credentials("ann", "secret"),))).labels == {"x": "y"}


async def test_faults_reach_the_client(mirrored):
    registry, reader = mirrored
    image = parse_image("ghcr.io/silogen/aim-llama:0.3")
    registry.faults.append(RegistryFault(status=0))
    with pytest.raises(RegistryUnreachable):
        await reader.read(image, ())
    registry.faults[:] = [RegistryFault(status=503, times=1)]
    with pytest.raises(RegistryUnreachable):
        await reader.read(image, ())
    assert (await reader.read(image, ())).labels == {"a": "b"}


async def test_a_client_that_gives_up_ends_its_request(mirrored):
    registry, reader = mirrored
    registry.faults.append(RegistryFault(status=None, seconds=3600))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await reader.read(parse_image("ghcr.io/silogen/aim-llama:0.3"), ())


async def test_a_port_in_use_is_an_error():
    registry = SimulatedRegistry(Catalogue.of({"images": IMAGES}), clock=LoopClock())
    async with RegistryFront(registry) as front:
        with pytest.raises(OSError, match="address already in use"):
            async with RegistryFront(registry, port=front.endpoint.port):
                pass
