"""Reads images from registries with the OCI distribution API and the API of Docker registries.

Contract of :class:`OciRegistry`, in addition to that of :class:`~aimctl.controllers.models.registry.ImageRegistry`:
    * A read takes at most 30 s in total. A manifest has at most 512 KiB, a configuration 2 MiB, the response of a token
      service 64 KiB. Only one response is kept at a time.
    * Messages contain nothing of a response but its status and the standard error codes of registries.
    * With an allow-list, no other registries are read. Their redirects and token services may be elsewhere.
    * Manifests that are named by digest, and the configuration, are verified against their digests.
    * Credentials are sent to the registry or its mirror, and to the token service that it specifies, over HTTPS only,
      unless the mirror was configured with ``http://``. They are not sent along with a redirect to another origin, nor
      in response to a challenge of another origin.
    * A mirror replaces its registry, whose name it receives as ``?ns=``, as from containerd. An image that the mirror
      does not have is not read from the registry.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Protocol, final

from yarl import URL

from aimctl.controllers.models.registry import (
    AccessDenied,
    ImageConfig,
    ImageNotFound,
    MalformedMetadata,
    RateLimited,
    ReadTimedOut,
    RegistryNotAllowed,
    RegistryUnreachable,
)
from aimctl.domain.images.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    NotAnImage,
    check_digest,
    choose_platform,
    config_digest,
    error_codes,
    is_index,
    json_object,
    labels_of,
    sha256_digest,
)
from aimctl.domain.images.reference import DEFAULT_REGISTRY
from aimctl.domain.images.registry_auth import Credentials, host_matches, parse_challenges
from aimctl.runtime.kube import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import CIMultiDictProxy

    from aimctl.domain.images.reference import ImageReference
    from aimctl.domain.images.registry_auth import Challenge
    from aimctl.runtime.clock import Clock

__all__ = ["MAX_RESPONSE_BYTES", "READ_SECONDS", "Exchange", "OciRegistry", "Response"]

READ_SECONDS = 30.0
MAX_RESPONSE_BYTES = 2 * 1024 * 1024
"""Of a configuration. Those of usual images have some 10 KiB; the AIM labels may have 512 KiB."""

MAX_MANIFEST_BYTES = 512 * 1024
"""Of a manifest or an index. Those of usual images have less than 32 KiB."""

MAX_TOKEN_BYTES = 64 * 1024

MAX_REDIRECTS = 5
_HUB = URL("https://registry-1.docker.io")
_MAX_DEPTH = 2
"""Levels of indexes. Some build tools write an index that refers to another one; deeper nesting is not followed."""

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_REDIRECT_REMEDY = (
    "credentials are not sent to it, so it must not require any: fix the redirects of the registry"
)
_NOT_NOW = frozenset({408, 425})
_NO_TOKEN = frozenset({400, 404})
"""Responses of token services to invalid credentials; 400 is that of OAuth 2.0 (RFC 6749, section 5.2)."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Response(NamedTuple):
    """A complete response."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Exchange(Protocol):
    """Sends one request and returns the response. Redirects are not followed.

    Raises:
        RegistryUnreachable: there was no response.
        MalformedMetadata: the response has more than ``max_bytes``.
        RegistryNotAllowed: requests must not be sent to this address.
    """

    async def __call__(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Response:
        """Send it, with ``form`` as the form-encoded body. The body of an error response may be cut."""
        ...


@final
class OciRegistry:
    """Reads images from any registry.

    Args:
        exchange: sends requests.
        clock: for dates in Retry-After.
        mirrors: base URL of the mirror by host of the registry; ``*`` for all other registries.
        allowed: hosts of registries that may be read, in which ``*`` stands for a part of a label; empty for all.
        read_seconds: time limit of a read.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: Clock,
        mirrors: Mapping[str, str] | None = None,
        allowed: Sequence[str] = (),
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._mirrors = {host: URL(base) for host, base in (mirrors or {}).items()}
        self._allowed = tuple(allowed)
        self._seconds = read_seconds

    async def read(self, image: ImageReference, credentials: Sequence[Credentials]) -> ImageConfig:
        """See :class:`~aimctl.controllers.models.registry.ImageRegistry`."""
        if self._allowed and not any(host_matches(pattern, image.host) for pattern in self._allowed):
            raise RegistryNotAllowed(
                f"registry {image.host} is not read: it is none of the registries that the administrator allows,"
                f" {', '.join(self._allowed)}"
            )
        mirror = self._mirrors.get(image.host) or self._mirrors.get("*")
        host = _HUB if image.host == DEFAULT_REGISTRY else URL(f"https://{image.host}")
        failures: list[AccessDenied | ImageNotFound] = []
        try:
            async with asyncio.timeout(self._seconds):
                for own in credentials or (Credentials(),):
                    reading = _Reading(
                        self._exchange, self._clock, image, own, mirror or host, mirror=mirror is not None
                    )
                    try:
                        return await reading.run()
                    except (AccessDenied, ImageNotFound) as error:
                        # Some registries report an image as missing that the account may not read.
                        failures.append(error)
        except TimeoutError as error:
            raise ReadTimedOut(
                f"registry {image.host}: no complete response within {self._seconds:g} s"
            ) from error
        except NotAnImage as error:
            raise MalformedMetadata(f"registry {image.host}, image {image}: {error}") from error
        raise next((item for item in failures if isinstance(item, AccessDenied)), failures[-1])


@final
class _Reading:
    """One read with one set of credentials, which are empty for an anonymous read."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        image: ImageReference,
        credentials: Credentials,
        base: URL,
        *,
        mirror: bool,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._image = image
        self._credentials = credentials
        self._base = base
        self._query = {"ns": image.host} if mirror else {}
        self._plain = base.scheme == "http"
        self._authorization = f"Bearer {credentials.registry_token}" if credentials.registry_token else ""
        at = f" (mirror {base.authority})" if mirror else ""
        self._where = f"registry {image.host}{at}"

    async def run(self) -> ImageConfig:
        """Read the manifest, possibly through an index, and then the configuration."""
        digest, wanted = await self._manifest()
        body = (await self._get("blobs", wanted, "*/*", MAX_RESPONSE_BYTES)).body
        check_digest(body, wanted, "the configuration")
        return ImageConfig(digest, labels_of(json_object(body, "the configuration")))

    async def _manifest(self) -> tuple[str, str]:
        """The digests of the image and of its configuration."""
        name, digest, what = self._image.name, self._image.digest, "the manifest"
        for level in range(_MAX_DEPTH + 1):
            # A response that was kept while waiting for the next one would add to the memory of all reads.
            response = await self._get("manifests", name, _ACCEPT, MAX_MANIFEST_BYTES)
            digest = digest or self._digest_of(response)
            check_digest(response.body, name if level else digest, what)
            manifest = json_object(response.body, what)
            if not is_index(manifest, response.headers.get("Content-Type", "")):
                return digest, config_digest(manifest)
            name, what = choose_platform(manifest), "the platform's manifest"
            del response, manifest
        raise NotAnImage(f"the index refers to other indexes in more than {_MAX_DEPTH} levels")

    def _digest_of(self, response: Response) -> str:
        digest = response.headers.get("Docker-Content-Digest", "")
        # A digest of an unknown algorithm cannot be verified.
        return digest if digest.startswith(("sha256:", "sha512:")) else sha256_digest(response.body)

    async def _get(self, what: str, name: str, accept: str, max_bytes: int) -> Response:
        url = self._base / "v2" / self._image.repository / what / name % self._query
        response, origin = await self._send(url, accept, max_bytes)
        # Another origin could otherwise choose where credentials are sent.
        if response.status == 401 and origin == url.origin():
            authorization = await self._log_in(response)
            if authorization != self._authorization:
                self._authorization = authorization
                response, origin = await self._send(url, accept, max_bytes)
        if response.status != 200:
            if origin == url.origin():
                self._fail(response)
            self._fail(response, f"{origin.authority}, to which {self._where} redirects,", _REDIRECT_REMEDY)
        return response

    # ---- requests

    async def _send(self, url: URL, accept: str, max_bytes: int) -> tuple[Response, URL]:
        """GET with redirects; returns the response and its origin. Only the first origin receives credentials."""
        origin = url.origin()
        for _ in range(MAX_REDIRECTS + 1):
            headers = {"Accept": accept}
            if self._authorization and url.origin() == origin:
                headers["Authorization"] = self._authorization
            response = await self._ask("GET", url, headers, max_bytes=max_bytes)
            if response.status not in _REDIRECTS:
                return response, url.origin()
            url = self._redirected(url, response.headers.get("Location", ""))
        raise MalformedMetadata(f"{self._where} redirects more than {MAX_REDIRECTS} times")

    def _redirected(self, url: URL, location: str) -> URL:
        target = _address(location, url)
        if target is None or not self._may_talk_to(target):
            raise MalformedMetadata(f"{self._where} redirects to an address that is not valid, or not HTTPS")
        return target

    def _may_talk_to(self, url: URL) -> bool:
        return url.scheme == "https" or (url.scheme == "http" and self._plain)

    async def _ask(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
        *,
        max_bytes: int = MAX_TOKEN_BYTES,
    ) -> Response:
        try:
            return await self._exchange(method, url, headers, form, max_bytes=max_bytes)
        except RegistryNotAllowed as error:
            raise RegistryNotAllowed(f"{self._where} cannot be read: {error}") from error
        except RegistryUnreachable as error:
            # An unreachable token service or blob store does not mean that the registry is unreachable.
            elsewhere = url.origin() != self._base.origin()
            raise RegistryUnreachable(
                f"{self._where} cannot be read: {error}",
                whole_registry=error.whole_registry and not elsewhere,
                retry_after=error.retry_after,
            ) from error

    # ---- authentication

    async def _log_in(self, refused: Response) -> str:
        """The value of the Authorization header for the challenge of the registry, or AccessDenied if there is none."""
        headers = refused.headers.getall("WWW-Authenticate", [])
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(headers)}
        own = self._credentials
        if "bearer" in challenges and not own.registry_token:
            return await self._token(challenges["bearer"])
        if "basic" in challenges and own.basic:
            return own.basic
        raise self._denied(refused)

    async def _token(self, challenge: Challenge) -> str:
        """Request a token from the token service that the registry specifies."""
        realm = _address(challenge.parameters.get("realm", ""))
        if realm is None or not self._may_talk_to(realm):
            raise MalformedMetadata(f"{self._where} specifies no valid token service with HTTPS")
        scope = challenge.parameters.get("scope") or f"repository:{self._image.repository}:pull"
        fields = {"scope": scope}
        if challenge.parameters.get("service"):
            fields["service"] = challenge.parameters["service"]
        own = self._credentials
        if own.identity_token:
            form = {"grant_type": "refresh_token", "client_id": "aimctl", "refresh_token": own.identity_token}
            response = await self._ask("POST", realm, {}, {**fields, **form})
        else:
            headers = {"Authorization": own.basic} if own.basic else {}
            response = await self._ask("GET", realm.update_query(fields), headers)
        if response.status != 200:
            by = f"token service {realm.authority} of {self._where}"
            if response.status in _NO_TOKEN:
                raise self._denied(response, by)
            self._fail(response, by)
        document = json_object(response.body, f"the response of token service {realm.authority}")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise MalformedMetadata(
                f"token service {realm.authority} of {self._where} returned no valid token"
            )
        return f"Bearer {token}"

    # ---- errors

    def _fail(self, response: Response, by: str = "", remedy: str = "") -> NoReturn:
        by, status, text = by or self._where, response.status, _status_text(response)
        seconds = parse_retry_after(response.headers.get("Retry-After"), clock=self._clock)
        if status in (401, 403):
            raise self._denied(response, by, remedy)
        if status == 404:
            raise ImageNotFound(f"{by} does not have image {self._image} ({text}): check spec.image")
        if status == 429:
            raise RateLimited(f"{by} received too many requests ({text})", retry_after=seconds)
        if status in _NOT_NOW or status >= 500:
            raise RegistryUnreachable(f"{by} responded with {text}", retry_after=seconds)
        raise MalformedMetadata(f"{by} responded with {text} to the request for {self._image}")

    def _denied(self, response: Response, by: str = "", remedy: str = "") -> AccessDenied:
        remedy = remedy or (
            "the credentials of the pull secret are invalid, or may not read it"
            if self._credentials != Credentials()
            else "add a pull secret for this registry to spec.imagePullSecrets"
        )
        return AccessDenied(
            f"{by or self._where} denied access to image {self._image} ({_status_text(response)}): {remedy}"
        )


def _status_text(response: Response) -> str:
    return f"{response.status} {error_codes(response.body)}".rstrip()


def _address(text: str, base: URL | None = None) -> URL | None:
    """A URL without credentials, possibly relative to another; None if it is not valid."""
    if not text:
        return None
    try:
        url = URL(text) if base is None else base.join(URL(text))
    except ValueError:
        return None
    return url if url.host and url.port and url.user is None else None
