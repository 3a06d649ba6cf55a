"""Runs of the container of a download Job on this machine: its script and program, with a temporary folder as volume."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aimctl.api.kinds import MODEL_CACHES
from aimctl.api.v1alpha1 import RuntimeConfigSpec
from aimctl.domain.caching.download_failure import explain
from aimctl.domain.caching.download_job import (
    MOUNT_PATH,
    TERMINATION_LOG,
    JobName,
    download_input,
    download_job,
)
from aimctl.domain.caching.download_log import own_output, parse_verified
from aimctl.domain.jobs.outcome import Cause, Failed
from support.things import make

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["DownloadPod", "Outcome"]


@dataclass(frozen=True)
class Outcome:
    """How a container ended.

    Attributes:
        code: the exit code.
        log: stdout and stderr.
        message: the termination message.
        reason: what the operator makes of a failure; empty after a success.
    """

    code: int
    log: str
    message: str
    reason: str

    @property
    def verified(self) -> int | None:
        """The bytes that the container has verified."""
        return parse_verified(self.message.encode())


@dataclass
class DownloadPod:
    """A volume, and the environment of the pods that mount it.

    Attributes:
        bin: folder of the Python that the image has.
        folder: an empty folder, for the volume and the rest of the container.
        env: the variables of the model cache.
    """

    bin: Path
    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    @property
    def volume(self) -> Path:
        """The volume."""
        return self.folder / "volume"

    def put(self, files: Mapping[str, bytes]) -> None:
        """Write files to the volume."""
        for name, content in files.items():
            path = self.volume / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def content(self, name: str) -> bytes:
        """A file on the volume."""
        return (self.volume / name).read_bytes()

    def files(self) -> set[str]:
        """The names of the files on the volume, without those of the libraries."""
        found = (path.relative_to(self.volume) for path in self.volume.rglob("*") if path.is_file())
        return {str(path) for path in found if path.parts[0] != ".cache"}

    def run(self, source: str, **env: str) -> Outcome:
        """One attempt."""
        self.volume.mkdir(exist_ok=True)
        home, ended = self.folder / "tmp", self.folder / "termination-log"
        home.mkdir(exist_ok=True)
        ended.write_bytes(b"")
        cache = make("c", "n", resource=MODEL_CACHES, uid="u", spec={"sourceURI": source, "size": "1Gi"})
        input_ = download_input(cache, RuntimeConfigSpec())
        job = download_job(cache, input_, JobName.make(1, volume_uid="v", input_hash=input_.hash))
        (container,) = job["spec"]["template"]["spec"]["containers"]
        places = {MOUNT_PATH: str(self.volume), TERMINATION_LOG: str(ended)}
        args = [places.get(item, item).replace("$$", "$") for item in container["args"]]
        given = {item["name"]: item["value"].replace("/tmp", str(home)) for item in container["env"]}
        variables = {**given, "PATH": f"{self.bin}:{os.environ['PATH']}", **self.env, **env}
        command = [part.replace("sleep 10", "sleep 0.1") for part in container["command"]]
        result = subprocess.run(
            [*command, *args],
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=180,
        )
        log = result.stdout
        failed = Failed(f"it ended with exit code {result.returncode}", Cause.CONTAINER, "Error")
        reason = ""
        if result.returncode:
            assert own_output(log).count(b"\n") == 1, "one line explains a failure"
            reason = explain(failed, log, source=source, claim="c", requested="1Gi", env=()).reason
        return Outcome(result.returncode, log.decode(errors="replace"), ended.read_text(), reason)
