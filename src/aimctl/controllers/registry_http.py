"""Reads images from real registries: the OCI distribution API, and Docker's, over HTTPS.

Contract of :class:`HttpImageRegistry` (see :mod:`aimctl.controllers.registry` for what it raises):
    * A read takes 30 s at most, all steps together, and no answer of more than 4 MiB is taken.
    * What is read is what its digest promises: manifests named by digest, and the configuration.
    * Credentials go to the registry (or the mirror that stands for it) and to the token service it names, over HTTPS
      only, unless it is a mirror given with ``http://``; never along with a redirect to another origin.
    * Nothing is connected before the first read; :meth:`HttpImageRegistry.run` closes all connections when it ends.

A mirror stands in place of its registry, and is told which one it stands for (``?ns=``, as containerd does): when it
has not got an image, the registry itself is not asked.
"""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, NamedTuple, NoReturn, final

import aiohttp
from yarl import URL

from aimctl.controllers.registry import (
    AccessDenied,
    ImageConfig,
    ImageNotFound,
    MalformedMetadata,
    RateLimited,
    RegistryUnreachable,
)
from aimctl.domain.excerpts import printable
from aimctl.domain.image_manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    NotAnImage,
    check_digest,
    choose_platform,
    config_digest,
    error_text,
    is_index,
    json_object,
    labels_of,
    sha256_digest,
)
from aimctl.domain.image_reference import DEFAULT_REGISTRY
from aimctl.domain.registry_auth import parse_challenges
from aimctl.runtime.kube.answers import parse_retry_after
from aimctl.runtime.kube.http import hang_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import CIMultiDictProxy

    from aimctl.domain.image_reference import ImageReference
    from aimctl.domain.registry_auth import Challenge, Credentials
    from aimctl.runtime.clock import Clock

__all__ = ["MAX_ANSWER_BYTES", "READ_SECONDS", "HttpImageRegistry"]

READ_SECONDS = 30.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""What registries themselves allow a manifest to have."""

MAX_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 32
_HUB = URL("https://registry-1.docker.io")
_MAX_DEPTH = 2
"""An index may lead to another one, as some build tools write it; deeper nesting is a trap."""

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_NOT_NOW = frozenset({408, 425, 500, 502, 503, 504})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@final
class HttpImageRegistry:
    """See the module.

    Args:
        clock: for the dates in Retry-After.
        mirrors: registry's host -> base URL to ask instead; ``*`` for all others.
        trust_env: use the proxies that environment variables name.
        read_seconds: limit of one read.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        mirrors: Mapping[str, str] | None = None,
        trust_env: bool = True,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._clock = clock
        self._mirrors = {host: URL(base) for host, base in (mirrors or {}).items()}
        self._trust_env = trust_env
        self._seconds = read_seconds
        self._session: aiohttp.ClientSession | None = None

    async def run(self) -> None:
        """Until cancelled; then close all connections."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. A later read opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
            await asyncio.sleep(0)  # the sockets go with the next turn of the loop

    async def read(self, image: ImageReference, credentials: Sequence[Credentials]) -> ImageConfig:
        """See :class:`~aimctl.controllers.registry.ImageRegistry`."""
        candidates: Sequence[Credentials | None] = credentials or (None,)
        try:
            async with asyncio.timeout(self._seconds):
                for who in candidates[:-1]:
                    try:
                        return await self._reading(image, who).run()
                    except AccessDenied:
                        continue
                return await self._reading(image, candidates[-1]).run()
        except TimeoutError as error:
            raise RegistryUnreachable(
                f"registry {image.host}: no complete answer within {self._seconds:g} s"
            ) from error
        except NotAnImage as error:
            raise MalformedMetadata(f"registry {image.host}, image {image}: {error}") from error

    def _reading(self, image: ImageReference, who: Credentials | None) -> _Reading:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Digests are of the bytes as they are kept, and a packed answer could unpack to anything.
                headers={"User-Agent": "aimctl", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=self._trust_env,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
            )
        base, mirror = self._base(image.host)
        return _Reading(self._session, self._clock, image, who, base, mirror=mirror)

    def _base(self, host: str) -> tuple[URL, bool]:
        mirror = self._mirrors.get(host) or self._mirrors.get("*")
        if mirror is not None:
            return mirror, True
        return (_HUB if host == DEFAULT_REGISTRY else URL(f"https://{host}")), False


class _Answer(NamedTuple):
    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


@final
class _Reading:
    """One read as one person."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        clock: Clock,
        image: ImageReference,
        who: Credentials | None,
        base: URL,
        *,
        mirror: bool,
    ) -> None:
        self._session = session
        self._clock = clock
        self._image = image
        self._who = who
        self._base = base
        self._query = {"ns": image.host} if mirror else {}
        self._plain = base.scheme == "http"
        self._authorization = f"Bearer {who.registry_token}" if who and who.registry_token else ""
        at = f" (mirror {base.authority})" if mirror else ""
        self._where = f"registry {image.host}{at}"

    async def run(self) -> ImageConfig:
        """Manifest, perhaps by way of an index; then the configuration."""
        answer = await self._get("manifests", self._image.name, _ACCEPT)
        digest = self._image.digest or self._told_digest(answer)
        check_digest(answer.body, digest, "the manifest")
        manifest = json_object(answer.body, "the manifest")
        for _ in range(_MAX_DEPTH):
            if not is_index(manifest, answer.headers.get("Content-Type", "")):
                break
            chosen = choose_platform(manifest)
            answer = await self._get("manifests", chosen, _ACCEPT)
            check_digest(answer.body, chosen, "the platform's manifest")
            manifest = json_object(answer.body, "the platform's manifest")
        wanted = config_digest(manifest)
        body = (await self._get("blobs", wanted, "*/*")).body
        check_digest(body, wanted, "the configuration")
        return ImageConfig(digest, labels_of(json_object(body, "the configuration")))

    def _told_digest(self, answer: _Answer) -> str:
        told = answer.headers.get("Docker-Content-Digest", "")
        # Of an algorithm that we do not know it is as good as none.
        return told if told.startswith(("sha256:", "sha512:")) else sha256_digest(answer.body)

    async def _get(self, what: str, name: str, accept: str) -> _Answer:
        url = self._base / "v2" / self._image.repository / what / name % self._query
        answer = await self._send(url, accept)
        if answer.status == 401:
            authorization = await self._log_in(answer)
            if authorization != self._authorization:
                self._authorization = authorization
                answer = await self._send(url, accept)
        if answer.status != 200:
            self._fail(answer)
        return answer

    # ---- requests

    async def _send(self, url: URL, accept: str) -> _Answer:
        """GET, redirects followed; nobody but the first origin gets credentials."""
        origin = url.origin()
        for _ in range(MAX_REDIRECTS + 1):
            headers = {"Accept": accept}
            if self._authorization and url.origin() == origin:
                headers["Authorization"] = self._authorization
            answer = await self._exchange("GET", url, headers)
            if answer.status not in _REDIRECTS:
                return answer
            url = self._redirected(url, answer.headers.get("Location", ""))
        raise MalformedMetadata(f"{self._where} redirects more than {MAX_REDIRECTS} times")

    def _redirected(self, url: URL, location: str) -> URL:
        target = _address(location, url)
        if target is None:
            raise MalformedMetadata(f"{self._where} redirects to no address")
        if not self._may_talk_to(target):
            raise MalformedMetadata(f"{self._where} redirects to {target.scheme}://, which is not safe")
        return target

    def _may_talk_to(self, url: URL) -> bool:
        return url.scheme == "https" or (url.scheme == "http" and self._plain)

    async def _exchange(
        self, method: str, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> _Answer:
        try:
            answer = await self._session.request(
                method, url, headers=headers, data=form, allow_redirects=False
            )
            try:
                return _Answer(answer.status, answer.headers, await self._body(answer))
            finally:
                hang_up(answer)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, NotAnImage):
                raise
            raise self._unreachable(url, error) from error

    async def _body(self, answer: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise NotAnImage(f"an answer has more than {MAX_ANSWER_BYTES >> 20} MiB")
        return bytes(body)

    def _unreachable(self, url: URL, error: Exception) -> RegistryUnreachable:
        """Say what happened in the words of the one who has to fix it."""
        never_there = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            text = "connection refused"
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            text = f"the name {url.host} cannot be looked up"
        elif isinstance(error, aiohttp.ClientConnectorCertificateError):
            text = f"its certificate is not trusted: {error.certificate_error}"
        elif isinstance(error, TimeoutError):
            text = "it cannot be connected to"
        else:
            text = str(error) or type(error).__name__
        other = "" if url.origin() == self._base.origin() else f", at {url.authority}"
        return RegistryUnreachable(
            f"{self._where}{other}: {printable(text[:300])}", whole_registry=never_there and not other
        )

    # ---- who we are

    async def _log_in(self, refused: _Answer) -> str:
        """The value of an Authorization header that the registry may take. Raises AccessDenied if there is none."""
        headers = refused.headers.getall("WWW-Authenticate", [])
        challenges = {challenge.scheme: challenge for challenge in parse_challenges(headers)}
        if "bearer" in challenges and not (self._who and self._who.registry_token):
            return await self._token(challenges["bearer"])
        if "basic" in challenges and self._who is not None and self._who.basic:
            return self._who.basic
        raise self._denied(refused)

    async def _token(self, challenge: Challenge) -> str:
        """Ask the token service that the registry names."""
        realm = _address(challenge.parameters.get("realm", ""))
        if realm is None or not self._may_talk_to(realm):
            raise MalformedMetadata(f"{self._where} names no token service that can be asked safely")
        scope = challenge.parameters.get("scope") or f"repository:{self._image.repository}:pull"
        fields = {"scope": scope}
        if challenge.parameters.get("service"):
            fields["service"] = challenge.parameters["service"]
        who = self._who
        if who is not None and who.identity_token:
            form = {
                **fields,
                "grant_type": "refresh_token",
                "client_id": "aimctl",
                "refresh_token": who.identity_token,
            }
            answer = await self._exchange("POST", realm, {}, form)
        else:
            headers = {"Authorization": who.basic} if who is not None and who.basic else {}
            answer = await self._exchange("GET", realm.update_query(fields), headers)
        if answer.status != 200:
            self._fail(answer, by=f"the token service {realm.authority} of {self._where}")
        document = json_object(answer.body, f"the answer of the token service {realm.authority}")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise MalformedMetadata(f"the token service {realm.authority} of {self._where} gives no token")
        return f"Bearer {token}"

    # ---- refusals

    def _fail(self, answer: _Answer, by: str = "") -> NoReturn:
        by = by or self._where
        status = answer.status
        said = error_text(answer.body)
        text = f"{status} {said}" if said else str(status)
        if status in (401, 403):
            raise self._denied(answer, by)
        if status == 404:
            raise ImageNotFound(f"{by} has no image {self._image} ({text}): check spec.image")
        if status == 429:
            seconds = parse_retry_after(answer.headers.get("Retry-After"), clock=self._clock)
            raise RateLimited(f"{by} has had too many requests ({text})", retry_after=seconds)
        if status in _NOT_NOW or status >= 500:
            seconds = parse_retry_after(answer.headers.get("Retry-After"), clock=self._clock)
            raise RegistryUnreachable(f"{by} answers {text}", retry_after=seconds)
        raise MalformedMetadata(f"{by} answers {text} when asked for {self._image}")

    def _denied(self, answer: _Answer, by: str = "") -> AccessDenied:
        said = error_text(answer.body)
        text = f"{answer.status} {said}" if said else str(answer.status)
        remedy = (
            "the credentials in the pull secret are wrong, or may not read it"
            if self._who is not None
            else "name a pull secret for this registry in spec.imagePullSecrets"
        )
        return AccessDenied(f"{by or self._where} refuses image {self._image} ({text}): {remedy}")


def _address(text: str, base: URL | None = None) -> URL | None:
    """A URL that can be asked, perhaps relative to another; None for anything else."""
    if not text:
        return None
    try:
        url = URL(text) if base is None else base.join(URL(text))
    except ValueError:
        return None
    return url if url.host and url.port and url.user is None else None
