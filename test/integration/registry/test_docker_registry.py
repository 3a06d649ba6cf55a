"""Reading images from Debian's docker-registry: without authentication, with passwords, and with tokens."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from aimctl.controllers.models.registry import (
    AccessDenied,
    ImageNotFound,
    MalformedMetadata,
    RegistryUnreachable,
)
from aimctl.controllers.models.registry_addresses import AddressGuard
from aimctl.controllers.models.registry_client import OciRegistry
from aimctl.controllers.models.registry_http import HttpExchange
from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import Credentials, credentials_for, read_pull_secret
from aimctl.runtime.clock import LoopClock
from support.docker_registry import DockerRegistry, RegistryNotFoundError, digest_of, find_program
from support.token_service import TokenService

LOOPBACK = AddressGuard(networks=["127.0.0.0/8"])

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

USER = ("me", "hush")
HASHED = "me:$2y$04$kN7OSfURoFAkcvJpKf3AFOqXS0WyN2lmprOP7PHc0DsvwgWqUq0eW\n"
"""``htpasswd -nbB me hush``. The registry supports only bcrypt."""

ME = Credentials(*USER)
LABELS = {"com.amd.aim.model.canonicalName": "org/model", "other": "x" * 1000}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    try:
        find_program()
    except RegistryNotFoundError as error:
        pytest.skip(str(error))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def plain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DockerRegistry]:
    """A registry without authentication."""
    async with DockerRegistry(tmp_path_factory.mktemp("plain")) as registry:
        yield registry


@pytest.fixture(scope="module")
def passwords(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("locked") / "htpasswd"
    path.write_text(HASHED)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def locked(passwords: Path) -> AsyncIterator[DockerRegistry]:
    """A registry with basic authentication."""
    folder = passwords.parent
    auth = {"htpasswd": {"realm": "a realm, with a comma", "path": str(passwords)}}
    async with DockerRegistry(folder, auth=auth, headers={"Authorization": ME.basic}) as registry:
        await registry.push("private/image", "1", labels=LABELS)
        yield registry


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tokens(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TokenService]:
    async with TokenService(
        tmp_path_factory.mktemp("tokens"), user=USER, private=frozenset({"private/image"})
    ) as service:
        yield service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bearer(
    tmp_path_factory: pytest.TempPathFactory, tokens: TokenService
) -> AsyncIterator[DockerRegistry]:
    """A registry with token authentication, a public image and a private image."""
    folder = tmp_path_factory.mktemp("bearer")
    for name in ("public/image", "private/image"):
        token = tokens.token(f"repository:{name}:x", USER[0], actions=("pull", "push"))
        async with DockerRegistry(
            folder, auth=tokens.auth, headers={"Authorization": f"Bearer {token}"}
        ) as registry:
            await registry.push(name, "1", labels=LABELS)
    async with DockerRegistry(folder, auth=tokens.auth) as registry:
        yield registry


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exchange() -> AsyncIterator[HttpExchange]:
    made = HttpExchange(trust_env=False, addresses=LOOPBACK)
    yield made
    await made.aclose()


def reader(registry: DockerRegistry, exchange: HttpExchange) -> OciRegistry:
    return OciRegistry(exchange, clock=LoopClock(), mirrors={"*": registry.url})


# ---- without authentication


@pytest.mark.parametrize("oci", [False, True], ids=["docker", "oci"])
async def test_digest_and_labels_of_an_image_are_read(plain, exchange, oci):
    pushed = await plain.push(f"team/one-{oci}".lower(), "1", labels=LABELS, oci=oci)
    found = await reader(plain, exchange).read(parse_image(f"ghcr.io/team/one-{oci}:1".lower()), ())
    assert found.digest == pushed.digest
    assert found.labels == LABELS


async def test_a_short_name_refers_to_the_library(plain, exchange):
    await plain.push("library/short", "latest", labels=LABELS)
    found = await reader(plain, exchange).read(parse_image("short"), ())
    assert found.labels == LABELS


async def test_an_image_is_read_by_digest_without_a_tag(plain, exchange):
    pushed = await plain.push("team/digest", labels=LABELS)
    found = await reader(plain, exchange).read(parse_image(f"ghcr.io/team/digest@{pushed.digest}"), ())
    assert (found.digest, found.labels) == (pushed.digest, LABELS)


async def test_an_image_without_labels_has_none(plain, exchange):
    await plain.push("team/none", "1")
    assert (await reader(plain, exchange).read(parse_image("ghcr.io/team/none:1"), ())).labels == {}


@pytest.mark.parametrize("oci", [False, True], ids=["docker", "oci"])
async def test_the_image_for_amd64_is_read_and_the_digest_is_that_of_the_index(plain, exchange, oci):
    name = f"team/many-{oci}".lower()
    arm = await plain.push(name, labels={"arch": "arm64"}, architecture="arm64", oci=oci)
    amd = await plain.push(name, labels={"arch": "amd64"}, oci=oci)
    digest = await plain.push_index(name, "1", (arm, "arm64"), (amd, "amd64"), oci=oci)
    found = await reader(plain, exchange).read(parse_image(f"ghcr.io/{name}:1"), ())
    assert (found.digest, found.labels) == (digest, {"arch": "amd64"})
    only = await plain.push_index(name, "2", (arm, "arm64"), oci=oci)
    found = await reader(plain, exchange).read(parse_image(f"ghcr.io/{name}:2"), ())
    assert (found.digest, found.labels) == (only, {"arch": "arm64"})


async def test_an_artifact_that_is_not_an_image_has_no_labels(plain, exchange):
    config = b'{"name": "chart", "version": "1"}'
    await plain.push_blob("team/chart", config)
    pushed = await plain.push("team/chart", "x")
    document = {
        "schemaVersion": 2,
        "mediaType": pushed.media_type,
        "config": {
            "mediaType": "application/vnd.cncf.helm.config.v1+json",
            "size": len(config),
            "digest": digest_of(config),
        },
        "layers": [],
    }
    await plain.push_manifest("team/chart", "1", document, pushed.media_type)
    assert (await reader(plain, exchange).read(parse_image("ghcr.io/team/chart:1"), ())).labels == {}


@pytest.mark.parametrize("image", ["ghcr.io/team/nothing:1", "ghcr.io/team/tagged:2"])
async def test_a_missing_image_is_reported_with_the_message_of_the_registry(plain, exchange, image):
    await plain.push("team/tagged", "1")
    with pytest.raises(ImageNotFound) as caught:
        await reader(plain, exchange).read(parse_image(image), ())
    assert image in str(caught.value)
    assert "MANIFEST_UNKNOWN" in str(caught.value)
    assert "spec.image" in str(caught.value)


async def test_a_corrupted_blob_is_rejected(plain, exchange):
    # The labels are unique, because the registry stores equal configurations once.
    pushed = await plain.push("team/spoiled", "1", labels={"state": "fresh"})
    digest = pushed.config.removeprefix("sha256:")
    blob = plain.folder / "storage/docker/registry/v2/blobs/sha256" / digest[:2] / digest / "data"
    blob.write_bytes(blob.read_bytes().replace(b"fresh", b"stale"))
    with pytest.raises(MalformedMetadata, match="does not match its digest"):
        await reader(plain, exchange).read(parse_image("ghcr.io/team/spoiled:1"), ())


async def test_a_stopped_registry_is_unreachable_until_it_is_started_again(tmp_path, exchange):
    async with DockerRegistry(tmp_path) as registry:
        await registry.push("team/image", "1", labels=LABELS)
        reading = reader(registry, exchange)
        await reading.read(parse_image("ghcr.io/team/image:1"), ())
        await registry.stop()
        with pytest.raises(RegistryUnreachable, match="connection refused") as caught:
            await reading.read(parse_image("ghcr.io/team/image:1"), ())
        assert caught.value.whole_registry
        assert caught.value.transient
        await registry.start()
        assert (await reading.read(parse_image("ghcr.io/team/image:1"), ())).labels == LABELS


# ---- passwords


async def test_with_the_right_password_a_private_image_is_read(locked, exchange):
    found = await reader(locked, exchange).read(parse_image("ghcr.io/private/image:1"), (ME,))
    assert found.labels == LABELS


async def test_credentials_are_read_from_a_pull_secret_as_kubectl_creates_it(locked, exchange):
    auth = base64.b64encode(b"me:hush").decode()
    data = {".dockerconfigjson": json.dumps({"auths": {"ghcr.io": {"auth": auth}}}).encode()}
    image = parse_image("ghcr.io/private/image:1")
    found = await reader(locked, exchange).read(image, credentials_for(image, read_pull_secret(data)))
    assert found.labels == LABELS


async def test_without_credentials_the_remedy_is_a_pull_secret(locked, exchange):
    with pytest.raises(AccessDenied, match="imagePullSecrets"):
        await reader(locked, exchange).read(parse_image("ghcr.io/private/image:1"), ())


async def test_a_wrong_password_is_reported_without_the_password(locked, exchange):
    with pytest.raises(AccessDenied, match="credentials of the pull secret are invalid") as caught:
        await reader(locked, exchange).read(
            parse_image("ghcr.io/private/image:1"), (Credentials("me", "topsecret"),)
        )
    assert "topsecret" not in repr(caught.value)
    assert "401" in str(caught.value)


async def test_several_credentials_are_tried_in_order(locked, exchange):
    wrong = Credentials("me", "old")
    found = await reader(locked, exchange).read(parse_image("ghcr.io/private/image:1"), (wrong, ME))
    assert found.labels == LABELS


# ---- tokens


async def test_a_public_image_is_read_with_an_anonymous_token(bearer, exchange, tokens):
    tokens.asked.clear()
    found = await reader(bearer, exchange).read(parse_image("ghcr.io/public/image:1"), ())
    assert found.labels == LABELS
    assert tokens.asked == [("GET", "repository:public/image:pull", "")]


async def test_a_private_image_is_read_with_the_token_of_a_user(bearer, exchange, tokens):
    tokens.asked.clear()
    found = await reader(bearer, exchange).read(parse_image("ghcr.io/private/image:1"), (ME,))
    assert found.labels == LABELS
    assert tokens.asked == [("GET", "repository:private/image:pull", "me")]


async def test_an_identity_token_is_posted(bearer, exchange, tokens):
    tokens.asked.clear()
    credentials = Credentials(username="<token>", identity_token=tokens.refresh_token)
    found = await reader(bearer, exchange).read(parse_image("ghcr.io/private/image:1"), (credentials,))
    assert found.labels == LABELS
    assert tokens.asked == [("POST", "repository:private/image:pull", "refresh")]


async def test_a_registry_token_is_sent_unchanged(bearer, exchange, tokens):
    tokens.asked.clear()
    credentials = Credentials(registry_token=tokens.token("repository:private/image:pull", "me"))
    found = await reader(bearer, exchange).read(parse_image("ghcr.io/private/image:1"), (credentials,))
    assert found.labels == LABELS
    assert tokens.asked == []


DENIED = {
    "no credentials": ((), "imagePullSecrets"),
    "the wrong password": ((Credentials("me", "wrong"),), "credentials of the pull secret are invalid"),
    "an old identity token": (
        (Credentials(identity_token="old"),),
        "credentials of the pull secret are invalid",
    ),
    "an old registry token": (
        (Credentials(registry_token="old"),),
        "credentials of the pull secret are invalid",
    ),
}


@pytest.mark.parametrize("what", DENIED)
async def test_access_to_a_private_image_is_denied_with_a_remedy(bearer, exchange, what):
    credentials, remedy = DENIED[what]
    with pytest.raises(AccessDenied, match=remedy):
        await reader(bearer, exchange).read(parse_image("ghcr.io/private/image:1"), credentials)
