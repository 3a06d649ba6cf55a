"""The volume of a model cache and the Job that fills it: manifests and names.

Contract:
    * :func:`volume_claim` and :func:`download_job` return complete manifests, the same for the same input. The pod
      fulfils the ``restricted`` Pod Security Standard.
    * A Job is one attempt on one volume. :class:`JobName` reads volume, attempt and input from its name. Two attempts
      have different names, and so have two volumes.
    * A Job is Complete only if every file of the source is on the volume and verified: the pod runs
      :mod:`aimctl.downloader.program` with the libraries of the image, by default that of KServe's storage initializer.
      :mod:`aimctl.domain.caching.download_log` reads what the pod reports.
"""

from __future__ import annotations

import importlib.resources
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, final

from aimctl.domain.caching.download_log import CONTAINER, PROGRESS_SECONDS
from aimctl.domain.environment import merge_env
from aimctl.domain.hashing import digest
from aimctl.domain.jobs.disruption import DISRUPTIONS_DO_NOT_COUNT
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
from aimctl.domain.plan import List
from aimctl.domain.templates.discovery_job import NO_SIDECARS, REDISCOVER_ANNOTATION, merge_pull_secrets
from aimctl.kubetypes import owner_reference
from aimctl.kubetypes.builtin import PODS
from aimctl.kubetypes.quantity import Quantity, size_in_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.api.v1alpha1 import AIMModelCache, EnvVar, RuntimeConfigSpec
    from aimctl.kubetypes import Object

__all__ = [
    "ACTIVE_DEADLINE_SECONDS",
    "MEMORY_LIMIT",
    "MOUNT_PATH",
    "TTL_SECONDS_AFTER_FINISHED",
    "UNKNOWN_SIZE_BYTES",
    "DownloadInput",
    "JobName",
    "download_input",
    "download_job",
    "own_pods",
    "volume_bytes",
    "volume_claim",
]

MOUNT_PATH = "/cache"
"""Where the pod mounts the volume. The files of the model are in the root of the volume."""

TTL_SECONDS_AFTER_FINISHED = 6 * 3600
"""Finished Jobs and their logs are deleted after six hours. The status reports their result until then and later."""

ACTIVE_DEADLINE_SECONDS = 24 * 3600
"""A download that has not ended after a day hangs. The next attempt continues with the data on the volume."""

UNKNOWN_SIZE_BYTES = 64 * 1024**3
"""Assumed size of a source whose size is unknown."""

MIN_VOLUME_BYTES = 1024**3
"""Smallest volume: many storage systems cannot create smaller ones."""

TERMINATION_LOG = "/dev/termination-log"
"""Where the program reports what it has verified; the kubelet copies it to the status of the pod."""

_USER = 1000
"""The user of KServe's image."""

_MEBIBYTE = 1024**2

MEMORY_LIMIT = "8Gi"

_RESOURCES: Mapping[str, Mapping[str, str]] = {
    "requests": {"cpu": "500m", "memory": "512Mi"},
    "limits": {"cpu": "4", "memory": MEMORY_LIMIT},
}

_DEFAULT_ENV: tuple[dict[str, Any], ...] = (
    {"name": "HOME", "value": "/tmp"},  # noqa: S108 - a path in the container, on a volume of its own
    {"name": "HF_HOME", "value": "/tmp/huggingface"},  # noqa: S108 - as above
    # Progress bars would fill the log, and a second copy of every file the disk of the node.
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
download= stopped=
end() {{ stopped=1; if [ -n "$download" ]; then kill "$download" 2>/dev/null; fi; }}
trap end TERM INT
"$@" &
download=$!
if [ -n "$stopped" ]; then end; fi
while kill -0 "$download" 2>/dev/null; do report; sleep {PROGRESS_SECONDS}; done &
reporter=$!
wait "$download"
code=$?
while kill -0 "$download" 2>/dev/null; do wait "$download"; code=$?; done
kill "$reporter" 2>/dev/null
if [ "$code" -eq 0 ]; then report; fi
exit "$code"
"""
"""POSIX sh. The last output of a failed download remains the end of the log. The kubelet would replace ``$$``."""

_HUB_PROGRAM = importlib.resources.files("aimctl.downloader").joinpath("program.py").read_text("utf-8")


@final
@dataclass(frozen=True, slots=True)
class DownloadInput:
    """What determines the download pod. ``hash`` is a SHA-256 over it; a failed download is retried when it changes."""

    source: str
    image: str
    env: tuple[dict[str, Any], ...]
    pull_secrets: tuple[str, ...]
    hash: str


def download_input(
    cache: Object[AIMModelCache], runtime_config: RuntimeConfigSpec, *, requested: str = ""
) -> DownloadInput:
    """Collect what determines the pod.

    Variables of the runtime config replace the defaults, and variables of the cache replace both.

    Args:
        cache: the model cache. The annotation ``rediscover`` is part of the hash: a new value requests another attempt.
        runtime_config: the one in force.
        requested: the size that the volume claim requests. It is part of the hash: a larger volume justifies another
            attempt.
    """
    spec = cache.view.spec
    env = merge_env(_DEFAULT_ENV, _env(runtime_config.env), _env(spec.env))
    secrets = merge_pull_secrets(item.name for item in spec.image_pull_secrets)
    shape = {
        "source": spec.source_uri,
        "image": spec.model_download_image,
        "env": env,
        "pullSecrets": secrets,
        "requested": requested,
        "rediscover": cache.meta.annotations.get(REDISCOVER_ANNOTATION, ""),
    }
    return DownloadInput(spec.source_uri, spec.model_download_image, env, secrets, digest(shape))


@final
@dataclass(frozen=True, slots=True)
class JobName:
    """``download-<cache>-<attempt>-<volume><input>``.

    Attributes:
        attempt: counted from 1 since the last success.
        volume: from the UID of the volume claim.
        input: from the hash of the input.
    """

    attempt: int
    volume: str
    input: str

    @classmethod
    def make(cls, attempt: int, *, volume_uid: str, input_hash: str) -> JobName:
        """The name of an attempt to download an input to a volume."""
        return cls(attempt, digest(volume_uid)[:8], input_hash[:6])

    @classmethod
    def parse(cls, name: str) -> JobName | None:
        """The reverse of :meth:`of`; None for other names."""
        match = _JOB_NAME.fullmatch(name)
        return match and cls(int(match["attempt"]), match["volume"], match["input"])

    def of(self, cache: str) -> str:
        """The name of the Job of a model cache, in 63 characters."""
        suffix = f"-{self.attempt}-{self.volume}{self.input}"
        head = "download-" + cache.replace(".", "-")
        return shorten(head, MAX_NAME - len(suffix)) + suffix


_JOB_NAME = re.compile(
    r"download-.+-(?P<attempt>[1-9][0-9]{0,9})-(?P<volume>[0-9a-f]{8})(?P<input>[0-9a-f]{6})", re.ASCII
)


def volume_bytes(size: str, headroom_percent: int) -> int:
    """The size of the volume for a source: with headroom, in whole MiB, never smaller than the source.

    Raises:
        ValueError: ``size`` is not a size in bytes.
    """
    source = size_in_bytes(size) or UNKNOWN_SIZE_BYTES
    wanted = max(-(-source * (100 + max(0, headroom_percent)) // 100), MIN_VOLUME_BYTES)
    return -(-wanted // _MEBIBYTE) * _MEBIBYTE


def volume_claim(
    cache: Object[AIMModelCache],
    size_bytes: int,
    storage_class: str | None,
    *,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The PersistentVolumeClaim of a model cache.

    Args:
        cache: the model cache.
        size_bytes: from :func:`volume_bytes`.
        storage_class: its name; None for the default of the cluster.
        labels: propagated labels; the operator's own take precedence.
    """
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteMany"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": str(Quantity(Decimal(size_bytes), "binary"))}},
    }
    if storage_class is not None:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(cache, cache.meta.name, {**(labels or {}), **_labels(cache, MODEL_CACHE)}),
        "spec": spec,
    }


def download_job(
    cache: Object[AIMModelCache],
    input_: DownloadInput,
    name: JobName,
    *,
    labels: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The Job of one attempt; ``labels`` as in :func:`volume_claim`."""
    labels = {**(labels or {}), **_labels(cache, DOWNLOAD)}
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
            {"name": "cache", "persistentVolumeClaim": {"claimName": cache.meta.name}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if input_.pull_secrets:
        pod["imagePullSecrets"] = [{"name": item} for item in input_.pull_secrets]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(cache, name.of(cache.meta.name), labels),
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": DISRUPTIONS_DO_NOT_COUNT,
            "activeDeadlineSeconds": ACTIVE_DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": TTL_SECONDS_AFTER_FINISHED,
            "template": {
                "metadata": {"labels": {**labels, **NO_SIDECARS}, "annotations": dict(NO_SIDECARS)},
                "spec": pod,
            },
        },
    }


def _downloader(source: str) -> tuple[str, ...]:
    return ("python3", "-c", _HUB_PROGRAM, source, MOUNT_PATH, TERMINATION_LOG)


def _verbatim(text: str) -> str:
    """Escaped, because the kubelet replaces ``$(NAME)`` and ``$$`` in arguments."""
    return text.replace("$", "$$")


def own_pods(cache: Object[AIMModelCache]) -> List:
    """A read of the pods of all downloads of a cache. The name of a Job exists once, but its pod may outlive it."""
    selector = ",".join(f"{name}={value}" for name, value in _labels(cache, DOWNLOAD).items())
    return List(PODS, cache.meta.namespace, selector)


def _metadata(cache: Object[AIMModelCache], name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": cache.meta.namespace,
        "labels": dict(labels),
        "ownerReferences": [owner_reference(cache)],
    }


def _labels(cache: Object[AIMModelCache], component: str) -> dict[str, str]:
    return {
        LABEL_COMPONENT: component,
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_MODEL_CACHE: label_value(cache.meta.name),
    }


def _env(items: Iterable[EnvVar]) -> list[dict[str, Any]]:
    return [item.to_json() for item in items]
