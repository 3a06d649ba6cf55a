"""Runs Debian's docker-registry on the loopback interface. The package is downloaded if necessary, but not installed.

    async with DockerRegistry(folder) as registry:
        await registry.push("team/image", "1", labels={...})
        ...  # registry.url

Contract:
    * :func:`find_program` returns the program on the PATH, or else the one in the cache folder of the user, or else
      downloads the package with apt and unpacks it there. The system is not changed, except that apt's lists may be
      updated. If this is not possible, it raises :class:`RegistryNotFoundError` with the reason.
    * Each registry has its own storage in its folder, and ends with its ``async with`` block.
    * The caller chooses the authentication: none, ``htpasswd`` or ``token``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp

from support.component import Component
from support.ports import reserve_port

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DockerRegistry", "Pushed", "RegistryNotFoundError", "digest_of", "find_program"]

_PACKAGE = "docker-registry"
_FETCH_SECONDS = 180

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"


class RegistryNotFoundError(Exception):
    """The program is not available. The message is on one line."""


def find_program() -> Path:
    """The path of the program.

    Raises:
        RegistryNotFoundError: it is not installed and cannot be downloaded.
    """
    known = shutil.which(_PACKAGE)
    if known:
        return Path(known)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "aimctl"
    program = base / _PACKAGE / "usr" / "bin" / _PACKAGE
    if program.exists():
        return program
    base.mkdir(parents=True, exist_ok=True)
    with (base / f"{_PACKAGE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch(base)
    return program


def _fetch(base: Path) -> None:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise RegistryNotFoundError(
            "docker-registry is not on the PATH, and there is no apt-get to download it"
        )
    with tempfile.TemporaryDirectory(dir=base) as scratch:
        said = _run(["apt-get", "download", _PACKAGE], scratch)
        if said and os.geteuid() == 0:
            _run(["apt-get", "update", "-qq"], scratch)
            said = _run(["apt-get", "download", _PACKAGE], scratch)
        packages = list(Path(scratch).glob("*.deb"))
        if said or not packages:
            raise RegistryNotFoundError(
                f"docker-registry is not on the PATH, and apt-get download failed: {said or 'no package'};"
                " run 'apt-get install docker-registry'"
            )
        said = _run(["dpkg-deb", "-x", str(packages[0]), "root"], scratch)
        if said:
            raise RegistryNotFoundError(f"docker-registry cannot be unpacked: {said}")
        (Path(scratch) / "root").rename(base / _PACKAGE)


def _run(command: list[str], folder: str) -> str:
    """Run a command; returns its last error message if it fails, and else ""."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"exit code {done.returncode}"


def digest_of(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


class Pushed(NamedTuple):
    """A manifest that was pushed."""

    digest: str
    size: int
    config: str
    media_type: str


class DockerRegistry:
    """A running registry.

    Args:
        folder: for its configuration, storage and log.
        auth: the ``auth`` part of its configuration.
        headers: of requests that push.
    """

    def __init__(
        self,
        folder: Path,
        *,
        auth: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self._auth = auth
        self._headers = dict(headers or {})
        self._port = reserve_port()
        self.host = f"127.0.0.1:{self._port.number}"
        self.url = f"http://{self.host}"
        self._component = Component(_PACKAGE, folder / "registry.log")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        program = find_program()
        self._stack.callback(self._port.release)
        self._session = await self._stack.enter_async_context(aiohttp.ClientSession())
        await self.start(program)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._component.kill()
        await self._stack.aclose()

    async def start(self, program: Path | None = None) -> None:
        """Start it, possibly again, with the same port and storage."""
        configuration = {
            "version": 0.1,
            "log": {"level": "debug"},
            "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")}},
            "http": {"addr": self.host},
            **({"auth": self._auth} if self._auth else {}),
        }
        path = self.folder / "config.yml"
        path.write_text(json.dumps(configuration))  # JSON is YAML
        self._component.start([str(program or find_program()), "serve", str(path)])
        await self._component.wait_until("answer", self._answers, within=30)

    async def stop(self) -> None:
        """Kill it."""
        await self._component.kill()

    @property
    def log(self) -> str:
        return self._component.log.read_text(errors="replace")

    async def _answers(self) -> bool:
        try:
            async with self._session.get(f"{self.url}/v2/") as answer:
                return answer.status in (200, 401)
        except aiohttp.ClientError:
            return False

    # ---- pushing

    async def push(
        self,
        repository: str,
        tag: str = "",
        *,
        labels: Mapping[str, str] | None = None,
        oci: bool = False,
        architecture: str = "amd64",
    ) -> Pushed:
        """Push an image without layers, by its digest if there is no tag."""
        configuration = {
            "architecture": architecture,
            "os": "linux",
            "config": {"Labels": dict(labels) if labels is not None else None},
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        config = json.dumps(configuration).encode()
        await self.push_blob(repository, config)
        media_type = OCI_MANIFEST if oci else MANIFEST
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {
                "mediaType": OCI_CONFIG if oci else CONFIG,
                "size": len(config),
                "digest": digest_of(config),
            },
            "layers": [],
        }
        digest, size = await self.push_manifest(repository, tag, manifest, media_type)
        return Pushed(digest, size, digest_of(config), media_type)

    async def push_index(
        self, repository: str, tag: str, *images: tuple[Pushed, str], oci: bool = False
    ) -> str:
        """Push an index of images, each with its architecture; returns its digest."""
        media_type = OCI_INDEX if oci else MANIFEST_LIST
        index = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [
                {
                    "mediaType": image.media_type,
                    "size": image.size,
                    "digest": image.digest,
                    "platform": {"os": "linux", "architecture": architecture},
                }
                for image, architecture in images
            ],
        }
        return (await self.push_manifest(repository, tag, index, media_type))[0]

    async def push_manifest(
        self, repository: str, tag: str, document: Mapping[str, Any], media_type: str
    ) -> tuple[str, int]:
        body = json.dumps(document).encode()
        async with self._session.put(
            f"{self.url}/v2/{repository}/manifests/{tag or digest_of(body)}",
            data=body,
            headers={**self._headers, "Content-Type": media_type},
        ) as answer:
            assert answer.status == 201, await answer.text()
        return digest_of(body), len(body)

    async def push_blob(self, repository: str, body: bytes) -> None:
        async with self._session.post(
            f"{self.url}/v2/{repository}/blobs/uploads/", headers=self._headers
        ) as answer:
            assert answer.status == 202, await answer.text()
            where = answer.headers["Location"]
        joint = "&" if "?" in where else "?"
        async with self._session.put(
            f"{where}{joint}digest={digest_of(body)}",
            data=body,
            headers={**self._headers, "Content-Type": "application/octet-stream"},
        ) as answer:
            assert answer.status == 201, await answer.text()
