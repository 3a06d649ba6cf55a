"""Addresses that images are not read from."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from aimctl.controllers.models.registry_addresses import AddressGuard, AddressRefusedError, GuardedResolver
from aimctl.domain.images.addresses import is_public, is_refused

REFUSED = (
    *("127.0.0.1", "127.255.255.254", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    *("0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "fe80::1%eth0", "::ffff:a9fe:a9fe", "fd00:ec2::254"),
    *("100.100.100.200", "168.63.129.16", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"),
    *("", "localhost", "127.1", "1.2.3.4.5", "[::1"),
)
PERMITTED = ("10.0.0.7", "192.168.1.1", "172.16.0.1", "140.82.112.33", "2606:50c0:8000::154", "fd12:3456::1")


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_of_the_node_and_of_metadata_services_are_refused(address):
    assert is_refused(address)


@pytest.mark.parametrize("address", PERMITTED)
def test_other_addresses_are_permitted_unless_they_are_barred(address):
    assert not is_refused(address)
    assert is_refused(address, {ip_address(address)})


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_within_ipv6(address):
    for within in (f"::ffff:{address}", f"64:ff9b::{address}"):
        assert is_refused(within) or not is_refused(str(address))


@given(st.text(max_size=40))
def test_any_text_is_judged(text):
    assert is_refused(text) or not is_refused(text)
    assert isinstance(is_public(text), bool)


class Names:
    """Resolves names to the given addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(self, host, port=0, family=0):
        return [
            {"hostname": host, "host": item, "port": port, "family": family, "proto": 0, "flags": 0}
            for item in self._addresses
        ]

    async def close(self) -> None:
        return


def guard(**options) -> AddressGuard:
    return AddressGuard(environ={"KUBERNETES_SERVICE_HOST": "10.96.0.1"}, **options)


@pytest.mark.parametrize(
    "addresses", [("127.0.0.1",), ("169.254.169.254", "::1"), ("10.96.0.1",)], ids="+".join
)
async def test_a_name_without_permitted_addresses_is_refused(addresses):
    with pytest.raises(AddressRefusedError):
        await GuardedResolver(guard(), Names(*addresses)).resolve("rebind.example", 443)


async def test_only_permitted_addresses_of_a_name_are_used():
    found = await GuardedResolver(guard(), Names("127.0.0.1", "10.0.0.7")).resolve("mixed.example", 443)
    assert [item["host"] for item in found] == ["10.0.0.7"]


async def test_a_configured_mirror_may_have_any_address():
    trusting = guard(trusted=[URL("http://mirror.example:5000/x")])
    resolver = GuardedResolver(trusting, Names("127.0.0.1"))
    assert len(await resolver.resolve("mirror.example", 5000)) == 1
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("mirror.example", 5001)


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://127.0.0.1/", True),
        ("https://[::1]/", True),
        ("https://10.96.0.1/", True),
        ("https://kubernetes.default.svc/", True),
        ("https://KUBERNETES/", True),
        ("https://10.0.0.7/", False),
        ("https://ghcr.io/", False),
    ],
)
def test_literal_addresses_and_names_of_the_api_server_are_refused(url, refused):
    assert guard().refuses(URL(url)) is refused


async def test_how_a_host_in_a_private_network_responded_is_hidden():
    judge = guard(trusted=[URL("http://10.0.0.9:80")])
    assert judge.hides_details(URL("https://10.0.0.7/"))
    assert not judge.hides_details(URL("http://10.0.0.9/"))
    assert not judge.hides_details(URL("https://140.82.112.33/"))
    await GuardedResolver(judge, Names("10.0.0.7")).resolve("inside.example", 443)
    await GuardedResolver(judge, Names("140.82.112.33")).resolve("outside.example", 443)
    assert judge.hides_details(URL("https://inside.example/"))
    assert not judge.hides_details(URL("https://outside.example/"))
