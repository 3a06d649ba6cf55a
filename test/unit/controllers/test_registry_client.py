"""To which servers the registry client sends requests and credentials, with a recording exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from aimctl.controllers.models.registry import (
    AccessDenied,
    ImageNotFound,
    MalformedMetadata,
    RegistryUnreachable,
)
from aimctl.controllers.models.registry_client import OciRegistry, Response
from aimctl.domain.images.reference import parse_image
from aimctl.domain.images.registry_auth import Credentials
from aimctl.runtime.clock import LoopClock
from support.hostile_registry import image_replies

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yarl import URL

REPLIES = image_replies()
ME = Credentials("me", "hush")


def response(status: int, body: bytes = b"", **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, CIMultiDictProxy(CIMultiDict(named)), body)


class Exchange:
    """Responds from a function of the URL, or else as a registry that has the image ``x:1``."""

    def __init__(
        self, special: Callable[[URL, Mapping[str, str]], Response | None] = lambda *_: None
    ) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self._special = special

    async def __call__(self, method, url, headers, form=None, *, max_bytes=0) -> Response:
        self.asked.append((method, str(url), headers.get("Authorization", "")))
        reply = REPLIES.get(url.path)
        return self._special(url, headers) or (
            response(200, reply.body, **{k.replace("-", "_"): v for k, v in reply.headers.items()})
            if reply
            else response(404)
        )


def registry(exchange: Exchange, **mirrors: str) -> OciRegistry:
    return OciRegistry(exchange, clock=LoopClock(), mirrors=mirrors)


@pytest.mark.parametrize(
    ("image", "url"),
    [
        ("ghcr.io/x:1", "https://ghcr.io/v2/x/manifests/1"),
        ("reg:5000/x:1", "https://reg:5000/v2/x/manifests/1"),
        ("localhost:5000/x:1", "https://localhost:5000/v2/x/manifests/1"),
        ("[::1]:5000/x:1", "https://[::1]:5000/v2/x/manifests/1"),
        ("docker.io/org/x:1", "https://registry-1.docker.io/v2/org/x/manifests/1"),
        ("vllm", "https://registry-1.docker.io/v2/library/vllm/manifests/latest"),
    ],
)
async def test_registries_are_read_over_https(image, url):
    exchange = Exchange(lambda *_: response(503))
    with pytest.raises(RegistryUnreachable):
        await registry(exchange).read(parse_image(image), ())
    assert exchange.asked == [("GET", url, "")]


async def test_the_mirror_of_a_registry_takes_precedence_over_the_mirror_of_all():
    exchange = Exchange()
    mirrors = {"ghcr.io": "https://one.example", "*": "https://all.example/cache"}
    reader = OciRegistry(exchange, clock=LoopClock(), mirrors=mirrors)
    await reader.read(parse_image("ghcr.io/x:1"), ())
    assert exchange.asked[0][1] == "https://one.example/v2/x/manifests/1?ns=ghcr.io"
    exchange.asked.clear()
    with pytest.raises(Exception, match="404"):
        await reader.read(parse_image("quay.io/y:1"), ())
    assert exchange.asked == [("GET", "https://all.example/cache/v2/y/manifests/1?ns=quay.io", "")]


async def test_a_redirect_to_http_is_not_followed():
    def redirect(url, _):
        return response(307, Location="http://ghcr.io/plain") if "blobs" in url.path else None

    exchange = Exchange(redirect)
    with pytest.raises(MalformedMetadata, match="or not HTTPS"):
        await registry(exchange).read(parse_image("ghcr.io/x:1"), (ME,))
    assert all(url.startswith("https://") for _, url, _ in exchange.asked)


async def test_a_token_service_with_http_is_not_used():
    exchange = Exchange(lambda *_: response(401, WWW_Authenticate='Bearer realm="http://auth.example/token"'))
    with pytest.raises(MalformedMetadata, match="no valid token service with HTTPS"):
        await registry(exchange).read(parse_image("ghcr.io/x:1"), (ME,))
    assert len(exchange.asked) == 1


async def test_the_registry_receives_the_token_and_the_token_service_the_password():
    def tokens(url, headers):
        if url.host == "auth.example":
            return response(200, b'{"token": "t"}')
        if url.host == "store.example":
            return response(200, REPLIES[url.path].body)
        if headers.get("Authorization") != "Bearer t":
            return response(401, WWW_Authenticate='Bearer realm="https://auth.example/token",service="s"')
        return response(307, Location=f"https://store.example{url.path}") if "blobs" in url.path else None

    exchange = Exchange(tokens)
    found = await registry(exchange).read(parse_image("ghcr.io/x:1"), (ME,))
    assert found.labels == {"a": "b"}
    by_host: dict[str, set[str]] = {}
    for _, url, authorization in exchange.asked:
        by_host.setdefault(url.split("/")[2], set()).add(authorization)
    assert by_host == {
        "ghcr.io": {"", "Bearer t"},
        "auth.example": {ME.basic},
        "store.example": {""},
    }


# ---- several credentials


OTHER = Credentials("other", "pw")


def only_for(account: Credentials, otherwise: int):
    def says(url, headers):
        given = headers.get("Authorization", "")
        if not given:
            return response(401, WWW_Authenticate='Basic realm="x"')
        return None if given == account.basic else response(otherwise)

    return says


@pytest.mark.parametrize("hidden", [401, 403, 404])
async def test_the_next_credentials_are_tried_when_the_image_is_denied_or_missing(hidden: int):
    exchange = Exchange(only_for(OTHER, hidden))
    found = await registry(exchange).read(parse_image("ghcr.io/x:1"), (ME, OTHER))
    assert found.labels


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [(404, 404, ImageNotFound), (404, 401, AccessDenied), (401, 404, AccessDenied), (403, 403, AccessDenied)],
)
async def test_an_image_is_missing_if_no_credentials_were_denied(
    first: int, second: int, kind: type[Exception]
):
    def says(url, headers):
        given = headers.get("Authorization", "")
        if not given:
            return response(401, WWW_Authenticate='Basic realm="x"')
        return response(first if given == ME.basic else second)

    with pytest.raises(kind):
        await registry(Exchange(says)).read(parse_image("ghcr.io/x:1"), (ME, OTHER))
