"""The simulated image registry: the OCI distribution API for the images of the catalogue.

    registry = SimulatedRegistry(catalogue, clock=clock)
    answer = await registry.handle(HttpRequest("GET", "/v2/silogen/aim-qwen/manifests/1", (("ns", "ghcr.io"),)))

Contract:
    * It represents all registries. The query parameter ``ns``, which clients send to mirrors, selects one. Without it,
      catalogue entries whose glob has a host do not match.
    * An image exists if an entry of the catalogue matches, and has the labels of the entry. A private image
      (``needs_pull_secret``, ``fail: pull-refused``) requires a token from ``/token``, which requires a login.
    * Manifests, indexes and configurations are served, but no layers.
    * Faults (:class:`RegistryFault`) take precedence. :attr:`SimulatedRegistry.calls` records all requests.

:class:`RegistryFront` serves one over HTTP.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import json
import re
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, final

from aimctl.devcluster.apiserver.wire.requests import Query, header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.transport import HttpRequest
    from aimctl.simulation.catalogue import Catalogue, ImageEntry

__all__ = ["RegistryAnswer", "RegistryCall", "RegistryDown", "RegistryFault", "SimulatedRegistry"]

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PATH = re.compile(r"/v2/(?P<name>.+)/(?P<kind>manifests|blobs)/(?P<reference>[^/]+)")
_BLOBS_KEPT = 1024
_CALLS_KEPT = 1000
_PLATFORMS = ("arm64", "amd64")


class RegistryDown(ConnectionError):  # noqa: N818 - part of the public API
    """The registry does not respond. The HTTP front closes the connection."""


@dataclass(frozen=True, slots=True)
class RegistryAnswer:
    """A complete response."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class RegistryCall(NamedTuple):
    """A request: the monotonic time of the clock, its path, the registry, and the login, or "" if anonymous."""

    at: float
    path: str
    host: str
    login: str


@dataclass(slots=True)
class RegistryFault:
    """A fault of the registry.

    Attributes:
        image: a glob for ``host/repository``. Only ``*`` affects the token service.
        status: the status of the response; 0 closes the connection, None responds normally after ``seconds``.
        seconds: delay of the response.
        retry_after: the header Retry-After; "" sends none.
        body: the body of the response.
        times: how many requests are affected; None for all.
    """

    image: str = "*"
    status: int | None = 503
    seconds: float = 0.0
    retry_after: str = ""
    body: bytes = b"injected fault"
    times: int | None = None


@dataclass(frozen=True, slots=True)
class _Blob:
    body: bytes
    media_type: str
    entry: ImageEntry

    @property
    def digest(self) -> str:
        return "sha256:" + hashlib.sha256(self.body).hexdigest()


@final
class SimulatedRegistry:
    """A registry without a socket.

    Args:
        catalogue: the images and their labels.
        clock: source of all times.
        logins: accepted passwords by user; None accepts any.
    """

    def __init__(
        self, catalogue: Catalogue, *, clock: Clock, logins: Mapping[str, str] | None = None
    ) -> None:
        self.calls: deque[RegistryCall] = deque(maxlen=_CALLS_KEPT)
        self.faults: list[RegistryFault] = []
        self._catalogue = catalogue
        self._clock = clock
        self._logins = None if logins is None else dict(logins)
        self._blobs: OrderedDict[tuple[str, str], _Blob] = OrderedDict()

    async def handle(self, request: HttpRequest) -> RegistryAnswer:
        """Answer one request.

        Raises:
            RegistryDown: because of a fault.
        """
        query = Query(request.query)
        host = query.text("ns")
        login = _login_of(header(request.headers, "Authorization"))
        self.calls.append(RegistryCall(self._clock.monotonic(), request.path, host, login))
        match = _PATH.fullmatch(request.path)
        fault = self._fault(f"{host}/{match['name']}".removeprefix("/") if match else "")
        if fault is not None:
            if fault.seconds:
                await self._clock.sleep(fault.seconds)
            if fault.status == 0:
                raise RegistryDown(f"no response for {request.path}")
            if fault.status is not None:
                retry = {"Retry-After": fault.retry_after} if fault.retry_after else {}
                return RegistryAnswer(fault.status, {"Content-Type": "text/plain", **retry}, fault.body)
        if request.method not in {"GET", "HEAD"}:
            return _error(405, "UNSUPPORTED", "this registry is read-only")
        answer = self._answer(request, query, match)
        return RegistryAnswer(answer.status, answer.headers) if request.method == "HEAD" else answer

    def _answer(self, request: HttpRequest, query: Query, match: re.Match[str] | None) -> RegistryAnswer:
        if request.path == "/token":
            return self._token(request, query)
        if request.path in {"/v2", "/v2/"}:
            return RegistryAnswer(200, {"Content-Type": "application/json"}, b"{}")
        if match is None:
            return _error(404, "UNSUPPORTED", "no such endpoint")
        name, reference = match["name"], match["reference"]
        if match["kind"] == "manifests":
            blob = self._manifest(query.text("ns"), name, reference)
            code = "MANIFEST_UNKNOWN"
        else:
            blob, code = self._blobs.get((name, reference)), "BLOB_UNKNOWN"
        entry = blob.entry if blob is not None else None
        rejection = entry and _rejection(entry, request, name)
        if rejection:
            return rejection
        if blob is None or (entry is not None and entry.fail == "image-not-found"):
            return _error(404, code, f"{name} has no {reference}")
        headers = {"Content-Type": blob.media_type, "Docker-Content-Digest": blob.digest}
        return RegistryAnswer(200, headers, blob.body)

    def _token(self, request: HttpRequest, query: Query) -> RegistryAnswer:
        text = header(request.headers, "Authorization")
        user, password = _basic(text)
        if text and (not user or (self._logins is not None and self._logins.get(user) != password)):
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        token = base64.urlsafe_b64encode(f"{user}\n{query.text('scope')}".encode()).decode()
        return _json(200, {"token": token, "expires_in": 300})

    def _manifest(self, host: str, name: str, reference: str) -> _Blob | None:
        known = self._blobs.get((name, reference))
        if known is not None:
            return known
        tag = "latest" if reference.startswith("sha256:") else reference
        entry = next((each for each in self._entries(host, f"{name}:{tag}")), None)
        if entry is None:
            return None
        made = self._make(name, f"{name}:{tag}", entry)
        return self._blobs.get((name, reference)) if reference != tag else made

    def _entries(self, host: str, image: str) -> Iterator[ImageEntry]:
        """The entries that match the image, under any of its names."""
        names = [f"{host}/{image}" if host else image]
        if host == "docker.io":
            names += [image, image.removeprefix("library/")]
        for entry in self._catalogue.images:
            if any(entry.names(each) for each in names):
                yield entry

    def _make(self, name: str, image: str, entry: ImageEntry) -> _Blob:
        """The manifest or index of an image. All its blobs are available by digest from now on."""
        manifests = []
        for architecture in _PLATFORMS if entry.multi_platform else ("amd64",):
            labels = entry.image_labels() if architecture == "amd64" else {}
            config = self._keep(name, entry, _CONFIG, _config(image, architecture, labels))
            document = {
                "schemaVersion": 2,
                "mediaType": _MANIFEST,
                "config": _descriptor(config),
                "layers": [],
            }
            manifest = self._keep(name, entry, _MANIFEST, document)
            platform = {"os": "linux", "architecture": architecture}
            manifests.append((manifest, _descriptor(manifest) | {"platform": platform}))
        if not entry.multi_platform:
            return manifests[0][0]
        described = [item for _, item in manifests]
        index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": described}
        return self._keep(name, entry, _INDEX, index)

    def _keep(self, name: str, entry: ImageEntry, media_type: str, document: Mapping[str, Any]) -> _Blob:
        blob = _Blob(json.dumps(document, separators=(",", ":")).encode(), media_type, entry)
        self._blobs[name, blob.digest] = blob
        self._blobs.move_to_end((name, blob.digest))
        while len(self._blobs) > _BLOBS_KEPT:
            self._blobs.popitem(last=False)
        return blob

    def _fault(self, image: str) -> RegistryFault | None:
        for fault in self.faults:
            if fault.times != 0 and fnmatch.fnmatchcase(image, fault.image):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def _rejection(entry: ImageEntry, request: HttpRequest, name: str) -> RegistryAnswer | None:
    if entry.fail == "registry-unavailable":
        return _error(503, "UNAVAILABLE", "service unavailable")
    if not entry.needs_pull_secret and entry.fail != "pull-refused":
        return None
    text = header(request.headers, "Authorization")
    if not text:
        host = header(request.headers, "Host") or "registry.invalid"
        scope = f"repository:{name}:pull"
        challenge = f'Bearer realm="http://{host}/token",service="simulated",scope="{scope}"'
        return _error(401, "UNAUTHORIZED", "authentication required", {"Www-Authenticate": challenge})
    if entry.fail == "pull-refused" or not _login_of(text):
        return _error(403, "DENIED", "requested access to the resource is denied")
    return None


def _config(image: str, architecture: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "os": "linux",
        "config": {"Labels": dict(labels), "Env": [f"SIMULATED_IMAGE={image}"]},
        "rootfs": {"type": "layers", "diff_ids": []},
    }


def _descriptor(blob: _Blob) -> dict[str, Any]:
    return {"mediaType": blob.media_type, "digest": blob.digest, "size": len(blob.body)}


def _basic(text: str) -> tuple[str, str]:
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(rest, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _login_of(text: str) -> str:
    """The user of a token; "" for an anonymous or invalid one."""
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "bearer":
        return ""
    try:
        return base64.urlsafe_b64decode(rest).decode().partition("\n")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> RegistryAnswer:
    return _json(status, {"errors": [{"code": code, "message": message}]}, headers)


def _json(status: int, document: Any, headers: Mapping[str, str] | None = None) -> RegistryAnswer:
    body = json.dumps(document).encode()
    return RegistryAnswer(status, {"Content-Type": "application/json", **(headers or {})}, body)
