"""The volume of a model cache and the Job that fills it: manifests, names, and what the Job's log says of its progress.

Contract:
    * :func:`volume_claim` and :func:`download_job` are JSON ready to be created, the same for the same input. The pod
      passes the ``restricted`` Pod Security Standard.
    * A Job is one attempt on one volume. :class:`JobName` reads volume, attempt and input back from its name; two
      attempts never share one, and neither do two volumes.
    * The pod prints a line ``{"aimctl":"progress","bytes":N}`` every :data:`PROGRESS_SECONDS` seconds, N being what is
      on the volume. :func:`progress_line` writes one, :func:`parse_progress` reads the last of any bytes and never
      raises.

What runs is KServe's storage initializer, which takes a source and a folder. It knows ``hf://<owner>/<model>`` only;
the other forms (one file or folder of a model, a model without owner) are fetched with the library that it brings.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, final

from aimctl.api.v1alpha1 import API_VERSION
from aimctl.domain.hashing import digest
from aimctl.domain.naming import (
    DOWNLOAD,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_MODEL_CACHE,
    MANAGED_BY,
    MAX_NAME,
    MODEL_CACHE,
    label_value,
    shorten,
)
from aimctl.domain.templates.discovery_job import merge_env, merge_pull_secrets
from aimctl.kubetypes.quantity import Quantity, size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import EnvVar, ModelCacheSpec, RuntimeConfigSpec

__all__ = [
    "ACTIVE_DEADLINE_SECONDS",
    "CONTAINER",
    "MOUNT_PATH",
    "PROGRESS_SECONDS",
    "TTL_SECONDS_AFTER_FINISHED",
    "UNKNOWN_SIZE_BYTES",
    "CacheIdentity",
    "DownloadInput",
    "JobName",
    "download_input",
    "download_job",
    "parse_progress",
    "progress_line",
    "volume_bytes",
    "volume_claim",
    "without_progress",
]

CONTAINER = "download"
"""Name of the container that downloads; its arguments are the source, the folder, then the downloader's command."""

MOUNT_PATH = "/cache"
"""Where the volume is in the download pod; the model's files are in its root."""

PROGRESS_SECONDS = 10
"""Period of the progress lines."""

PROGRESS_TAIL_LINES = 20
PROGRESS_TAIL_BYTES = 16 * 1024
"""How much of a log is read to find the last progress line."""

TTL_SECONDS_AFTER_FINISHED = 6 * 3600
"""Finished Jobs and their logs go after six hours; how they ended is kept in status long before."""

ACTIVE_DEADLINE_SECONDS = 24 * 3600
"""A download that has not ended after a day hangs; the next attempt goes on from what is on the volume."""

UNKNOWN_SIZE_BYTES = 64 * 1024**3
"""Size that is assumed of a source whose size nobody knows."""

MIN_VOLUME_BYTES = 1024**3
"""Smallest volume: many storage systems make none smaller."""

INITIALIZER = "/storage-initializer/scripts/initializer-entrypoint"
"""KServe's entry point in its storage initializer image: takes a source and a folder."""

_USER = 1000
"""The user that KServe's image is made for."""

_MEBIBYTE = 1024**2

_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "500m", "memory": "512Mi"},
    "limits": {"cpu": "4", "memory": "8Gi"},
}

_DEFAULT_ENV: tuple[dict[str, Any], ...] = (
    {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a path in the container, on a volume of its own
    {"name": "HF_HOME", "value": "/tmp/huggingface"},  # noqa: S108 - as above
    # Bars fill the log, and a second copy of every file would fill the node's disk.
    {"name": "HF_HUB_DISABLE_PROGRESS_BARS", "value": "1"},
    {"name": "HF_XET_CHUNK_CACHE_SIZE_BYTES", "value": "0"},
)

_SCRIPT = f"""\
folder=$2
shift 2
umask 022
report() {{
  used=$(du -sk "$folder" 2>/dev/null)
  used=${{used%%[!0-9]*}}
  if [ -n "$used" ]; then echo "{{\\"aimctl\\":\\"progress\\",\\"bytes\\":$((used * 1024))}}"; fi
}}
download= told=
end() {{ told=1; if [ -n "$download" ]; then kill "$download" 2>/dev/null; fi; }}
trap end TERM INT
"$@" &
download=$!
if [ -n "$told" ]; then end; fi
while kill -0 "$download" 2>/dev/null; do report; sleep {PROGRESS_SECONDS}; done &
reporter=$!
wait "$download"
code=$?
while kill -0 "$download" 2>/dev/null; do wait "$download"; code=$?; done
kill "$reporter" 2>/dev/null
if [ "$code" -eq 0 ]; then report; fi
exit "$code"
"""
"""POSIX sh. A failed download's own words stay the last ones in the log. No ``$$`` here: the kubelet would halve it."""

_HUB_PROGRAM = """\
import os, sys
from huggingface_hub import snapshot_download
repo, revision, path, folder = sys.argv[1:]
patterns = [path, path + "/*"] if path else None
snapshot_download(repo, revision=revision or None, local_dir=folder, allow_patterns=patterns)
if path and not os.path.exists(os.path.join(folder, path)):
    sys.exit("404 Client Error: Entry Not Found: " + repo + " has no " + path)
"""


@final
@dataclass(frozen=True, slots=True)
class CacheIdentity:
    """Which model cache: what its metadata says.

    Attributes:
        rediscover: the value of the annotation by which people ask for another attempt now, "" without one.
        propagated: labels that go along to what is made for the cache.
    """

    namespace: str
    name: str
    uid: str
    generation: int = 0
    deleting: bool = False
    managed: bool = False
    rediscover: str = ""
    propagated: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class DownloadInput:
    """What shapes a download; ``hash`` is a SHA-256 over it, and a failed download is tried again when it changes."""

    source: str
    image: str
    env: tuple[dict[str, Any], ...]
    pull_secrets: tuple[str, ...]
    hash: str


def download_input(
    cache: CacheIdentity, spec: ModelCacheSpec, runtime_config: RuntimeConfigSpec, *, requested: str = ""
) -> DownloadInput:
    """Gather what shapes the pod.

    Env: what suits the downloader, then the runtime config's, then the cache's; the later wins.

    Args:
        cache: whose.
        spec: what to download.
        runtime_config: the one in force.
        requested: size that the volume claim asks for: a larger volume is worth another attempt.
    """
    env = merge_env(_DEFAULT_ENV, _env(runtime_config.env), _env(spec.env))
    secrets = merge_pull_secrets(item.name for item in spec.image_pull_secrets)
    shape = {
        "source": spec.source_uri,
        "image": spec.model_download_image,
        "env": env,
        "pullSecrets": secrets,
        "requested": requested,
        "rediscover": cache.rediscover,
    }
    return DownloadInput(spec.source_uri, spec.model_download_image, env, secrets, digest(shape))


@final
@dataclass(frozen=True, slots=True)
class JobName:
    """``download-<cache>-<attempt>-<volume><input>``.

    Attributes:
        attempt: counted from 1 since the last success.
        volume: stands for the volume claim's UID.
        input: stands for the input's hash.
    """

    attempt: int
    volume: str
    input: str

    @classmethod
    def make(cls, attempt: int, *, volume_uid: str, input_hash: str) -> JobName:
        """Of this attempt to download this input into this volume."""
        return cls(attempt, digest(volume_uid)[:8], input_hash[:6])

    @classmethod
    def parse(cls, name: str) -> JobName | None:
        """What a Job's name says; None when it is not one of :meth:`of`."""
        match = _JOB_NAME.fullmatch(name)
        return match and cls(int(match["attempt"]), match["volume"], match["input"])

    def of(self, cache: str) -> str:
        """The name of the Job, in 63 characters."""
        suffix = f"-{self.attempt}-{self.volume}{self.input}"
        head = "download-" + cache.replace(".", "-")
        return shorten(head, MAX_NAME - len(suffix)) + suffix


_JOB_NAME = re.compile(
    r"download-.+-(?P<attempt>[1-9][0-9]{0,9})-(?P<volume>[0-9a-f]{8})(?P<input>[0-9a-f]{6})", re.ASCII
)


def volume_bytes(size: str, headroom_percent: int) -> int:
    """Bytes to ask of storage for a source of this size: with headroom, in whole MiB, never less than the source.

    Raises:
        ValueError: ``size`` is no size in bytes.
    """
    source = size_in_bytes(size) or UNKNOWN_SIZE_BYTES
    wanted = max(-(-source * (100 + max(0, headroom_percent)) // 100), MIN_VOLUME_BYTES)
    return -(-wanted // _MEBIBYTE) * _MEBIBYTE


def volume_claim(cache: CacheIdentity, size_bytes: int, storage_class: str | None) -> dict[str, Any]:
    """The PersistentVolumeClaim; ``storage_class`` None takes the cluster's default."""
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": str(Quantity(Decimal(size_bytes), "binary"))}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    labels = {LABEL_COMPONENT: MODEL_CACHE, **_labels(cache)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": cache.name,
            "namespace": cache.namespace,
            "labels": dict(cache.propagated) | labels,
            "ownerReferences": [_owner(cache)],
        },
        "spec": spec,
    }


def download_job(cache: CacheIdentity, input_: DownloadInput, name: JobName) -> dict[str, Any]:
    """The Job of one attempt."""
    labels = dict(cache.propagated) | {LABEL_COMPONENT: DOWNLOAD, **_labels(cache)}
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": CONTAINER,
                "image": input_.image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["/bin/sh", "-c", _SCRIPT, CONTAINER],
                "args": [
                    _verbatim(text) for text in (input_.source, MOUNT_PATH, *_downloader(input_.source))
                ],
                "env": list(input_.env),
                "resources": _RESOURCES,
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumeMounts": [
                    {"name": "cache", "mountPath": MOUNT_PATH},
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in the container
                ],
            }
        ],
        "volumes": [
            {"name": "cache", "persistentVolumeClaim": {"claimName": cache.name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if input_.pull_secrets:
        pod["imagePullSecrets"] = [{"name": item} for item in input_.pull_secrets]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name.of(cache.name),
            "namespace": cache.namespace,
            "labels": labels,
            "ownerReferences": [_owner(cache)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": ACTIVE_DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS_AFTER_FINISHED,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


_LONGEST_LINE = 256


def progress_line(downloaded_bytes: int) -> bytes:
    """The line that says so."""
    return b'{"aimctl":"progress","bytes":%d}\n' % downloaded_bytes


def parse_progress(log: bytes) -> int | None:
    """Bytes on the volume by the last progress line in a piece of log; None when there is none."""
    for line in reversed(log.splitlines()):
        if b'"aimctl"' not in line or len(line) > _LONGEST_LINE:
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(said, dict) and said.get("aimctl") == "progress":
            amount = said.get("bytes")
            if type(amount) is int and 0 <= amount < 2**63:
                return amount
    return None


def without_progress(log: bytes) -> bytes:
    """The downloader's own words."""
    return b"".join(line for line in log.splitlines(keepends=True) if parse_progress(line) is None)


def _downloader(source: str) -> tuple[str, ...]:
    scheme, _, rest = source.partition("://")
    parts = [part for part in rest.split("/") if part]
    if scheme != "hf" or len(parts) == 2:
        return (INITIALIZER, source, MOUNT_PATH)
    model, _, revision = (parts[1] if len(parts) > 1 else rest.strip("/")).partition(":")
    repo = f"{parts[0]}/{model}" if len(parts) > 1 else model
    return ("python3", "-c", _HUB_PROGRAM, repo, revision, "/".join(parts[2:]), MOUNT_PATH)


def _verbatim(text: str) -> str:
    """Protected from the kubelet, which replaces ``$(NAME)`` in arguments, and takes ``$$`` for ``$``."""
    return text.replace("$", "$$")


def _labels(cache: CacheIdentity) -> dict[str, str]:
    return {LABEL_MANAGED_BY: MANAGED_BY, LABEL_MODEL_CACHE: label_value(cache.name)}


def _owner(cache: CacheIdentity) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": "AIMModelCache",
        "name": cache.name,
        "uid": cache.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _env(items: Iterable[EnvVar]) -> list[dict[str, Any]]:
    return [item.to_json() for item in items]
