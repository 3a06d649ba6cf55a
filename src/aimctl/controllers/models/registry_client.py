"""Reads images from registries: the OCI distribution API, and Docker's.

Contract of :class:`OciRegistry` (see :mod:`aimctl.controllers.models.registry` for what it raises):
    * A read takes 30 s at most, all steps together, and no answer of more than 4 MiB is taken.
    * What is read is what its digest promises: manifests named by digest, and the configuration.
    * Credentials go to the registry (or the mirror that stands for it) and to the token service it names itself, over
      HTTPS only, unless it is a mirror given with ``http://``; never along with a redirect to another origin, and
      never where another origin asks for them.

A mirror stands in place of its registry, and is told which one it stands for (``?ns=``, as containerd does): when it
has not got an image, the registry itself is not asked.
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
    RegistryUnreachable,
)
from aimctl.domain.images.manifest import (
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
from aimctl.domain.images.reference import DEFAULT_REGISTRY
from aimctl.domain.images.registry_auth import parse_challenges
from aimctl.runtime.kube.answers import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from multidict import CIMultiDictProxy

    from aimctl.domain.images.reference import ImageReference
    from aimctl.domain.images.registry_auth import Challenge, Credentials
    from aimctl.runtime.clock import Clock

__all__ = ["MAX_ANSWER_BYTES", "READ_SECONDS", "Answer", "Exchange", "OciRegistry"]

READ_SECONDS = 30.0
MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""What registries themselves allow a manifest to have."""

MAX_REDIRECTS = 5
_HUB = URL("https://registry-1.docker.io")
_MAX_DEPTH = 2
"""An index may lead to another one, as some build tools write it; deeper nesting is a trap."""

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_REDIRECT_REMEDY = "it gets no credentials, and must answer without: have the registry's redirects mended"
_NOT_NOW = frozenset({408, 425})
_NO_TOKEN = frozenset({400, 404})
"""Of a token service: OAuth 2.0's answer to credentials that are of no use (RFC 6749, 5.2), and the usual other one."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Answer(NamedTuple):
    """One answer, whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Exchange(Protocol):
    """One request and its answer; no redirect is followed.

    Raises:
        RegistryUnreachable: there was no answer.
        MalformedMetadata: it has more than :data:`MAX_ANSWER_BYTES`.
    """

    async def __call__(
        self, method: str, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Answer:
        """Send it; ``form`` is a body as HTML forms send it."""
        ...


@final
class OciRegistry:
    """All registries; see the module.

    Args:
        exchange: how requests travel.
        clock: for the dates in Retry-After.
        mirrors: registry's host -> base URL to ask instead; ``*`` for all others.
        read_seconds: limit of one read.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        clock: Clock,
        mirrors: Mapping[str, str] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._mirrors = {host: URL(base) for host, base in (mirrors or {}).items()}
        self._seconds = read_seconds

    async def read(self, image: ImageReference, credentials: Sequence[Credentials]) -> ImageConfig:
        """See :class:`~aimctl.controllers.models.registry.ImageRegistry`."""
        candidates: Sequence[Credentials | None] = credentials or (None,)
        failures: list[AccessDenied | ImageNotFound] = []
        try:
            async with asyncio.timeout(self._seconds):
                for who in candidates:
                    try:
                        return await self._reading(image, who).run()
                    except (AccessDenied, ImageNotFound) as error:
                        failures.append(
                            error
                        )  # not there, say some registries, of what an account may not see
        except TimeoutError as error:
            raise ReadTimedOut(
                f"registry {image.host}: no complete answer within {self._seconds:g} s"
            ) from error
        except NotAnImage as error:
            raise MalformedMetadata(f"registry {image.host}, image {image}: {error}") from error
        raise next((item for item in failures if isinstance(item, AccessDenied)), failures[-1])

    def _reading(self, image: ImageReference, who: Credentials | None) -> _Reading:
        mirror = self._mirrors.get(image.host) or self._mirrors.get("*")
        host = _HUB if image.host == DEFAULT_REGISTRY else URL(f"https://{image.host}")
        return _Reading(self._exchange, self._clock, image, who, mirror or host, mirror=mirror is not None)


@final
class _Reading:
    """One read as one person."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        image: ImageReference,
        who: Credentials | None,
        base: URL,
        *,
        mirror: bool,
    ) -> None:
        self._exchange = exchange
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

    def _told_digest(self, answer: Answer) -> str:
        told = answer.headers.get("Docker-Content-Digest", "")
        # Of an algorithm that we do not know it is as good as none.
        return told if told.startswith(("sha256:", "sha512:")) else sha256_digest(answer.body)

    async def _get(self, what: str, name: str, accept: str) -> Answer:
        url = self._base / "v2" / self._image.repository / what / name % self._query
        answer, origin = await self._send(url, accept)
        # Whoever else asks who we are would choose where our credentials go.
        if answer.status == 401 and origin == url.origin():
            authorization = await self._log_in(answer)
            if authorization != self._authorization:
                self._authorization = authorization
                answer, origin = await self._send(url, accept)
        if answer.status != 200:
            if origin == url.origin():
                self._fail(answer)
            self._fail(answer, f"{origin.authority}, where {self._where} redirects to,", _REDIRECT_REMEDY)
        return answer

    # ---- requests

    async def _send(self, url: URL, accept: str) -> tuple[Answer, URL]:
        """GET, redirects followed; nobody but the first origin gets credentials. With the origin that answers."""
        origin = url.origin()
        for _ in range(MAX_REDIRECTS + 1):
            headers = {"Accept": accept}
            if self._authorization and url.origin() == origin:
                headers["Authorization"] = self._authorization
            answer = await self._ask("GET", url, headers)
            if answer.status not in _REDIRECTS:
                return answer, url.origin()
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

    async def _ask(
        self, method: str, url: URL, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> Answer:
        try:
            return await self._exchange(method, url, headers, form)
        except RegistryUnreachable as error:
            # A token service or a store of blobs that is away says nothing about the registry.
            elsewhere = url.origin() != self._base.origin()
            raise RegistryUnreachable(
                f"{self._where} cannot be read: {error}",
                whole_registry=error.whole_registry and not elsewhere,
                retry_after=error.retry_after,
            ) from error

    # ---- who we are

    async def _log_in(self, refused: Answer) -> str:
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
            answer = await self._ask("POST", realm, {}, form)
        else:
            headers = {"Authorization": who.basic} if who is not None and who.basic else {}
            answer = await self._ask("GET", realm.update_query(fields), headers)
        if answer.status != 200:
            by = f"the token service {realm.authority} of {self._where}"
            if answer.status in _NO_TOKEN:
                raise self._denied(answer, by)
            self._fail(answer, by)
        document = json_object(answer.body, f"the answer of the token service {realm.authority}")
        token = document.get("token") or document.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise MalformedMetadata(f"the token service {realm.authority} of {self._where} gives no token")
        return f"Bearer {token}"

    # ---- refusals

    def _fail(self, answer: Answer, by: str = "", remedy: str = "") -> NoReturn:
        by = by or self._where
        status = answer.status
        said = error_text(answer.body)
        text = f"{status} {said}" if said else str(status)
        if status in (401, 403):
            raise self._denied(answer, by, remedy)
        if status == 404:
            raise ImageNotFound(f"{by} has no image {self._image} ({text}): check spec.image")
        if status == 429:
            seconds = parse_retry_after(answer.headers.get("Retry-After"), clock=self._clock)
            raise RateLimited(f"{by} has had too many requests ({text})", retry_after=seconds)
        if status in _NOT_NOW or status >= 500:
            seconds = parse_retry_after(answer.headers.get("Retry-After"), clock=self._clock)
            raise RegistryUnreachable(f"{by} answers {text}", retry_after=seconds)
        raise MalformedMetadata(f"{by} answers {text} when asked for {self._image}")

    def _denied(self, answer: Answer, by: str = "", remedy: str = "") -> AccessDenied:
        said = error_text(answer.body)
        text = f"{answer.status} {said}" if said else str(answer.status)
        remedy = remedy or (
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
