"""The simulated downloads: containers that fill the volume they mount.

A container is a download if its pod has the label ``app.kubernetes.io/component: download``. The source is the first hf://
or s3:// URI in its arguments and environment, the destination its first writable volume.

Contract:
    * The time is proportional to the size, which the catalogue specifies
      (:class:`~aimctl.simulation.hub.DownloadEntry`). A line ``{"aimctl":"progress","bytes":N}`` with the used bytes
      of the volume is logged at the start, every ten seconds (at most 10,000 times), and after a success. The result is
      reported as the operator's download program does: with a line and, after a success, a termination message.
    * Downloaded bytes stay on the volume. The next download continues after a killed or failed one; after a complete
      one it ends at once.
    * A download that does not fit ends with "No space left on device" and leaves the volume full.

Invariant: the contents of a volume change only when a run is over.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, final

from aimctl.devcluster.node.programs import Behaviour, MountedVolume, RunResult
from aimctl.simulation.hub import GIB, DownloadEntry, failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.devcluster.node.programs import ContainerCall
    from aimctl.simulation.catalogue import Catalogue
    from aimctl.simulation.hub import DownloadFail

__all__ = ["COMPONENT_LABEL", "DOWNLOAD", "DOWNLOADER_IMAGES", "PROGRESS_SECONDS", "Downloads"]

COMPONENT_LABEL, DOWNLOAD = "app.kubernetes.io/component", "download"
"""The label and its value on the pod of a download."""

DOWNLOADER_IMAGES = "storage-initializer"
"""Images with this in their name exist, even if they are not in the catalogue."""

PROGRESS_SECONDS = 10.0
"""Seconds between two progress lines."""

MAX_PROGRESS_LINES = 10_000
"""Limit for one run, after more than a day. The lines of a longer one are less frequent."""

_SOURCE = re.compile(r"(?:hf|s3)://[^\s'\"]+")
_NO_VOLUME = MountedVolume("/", "", "", 0)


@dataclass(slots=True)
class _Contents:
    """The contents of a volume: bytes by source, and how many downloads of it lost their connection."""

    arrived: dict[str, int] = field(default_factory=dict)
    losses: dict[str, int] = field(default_factory=dict)

    @property
    def used(self) -> int:
        return sum(self.arrived.values())


@dataclass(frozen=True, slots=True)
class _Plan:
    """One run: the bytes of the source at its start and end, and its outcome."""

    start: int
    end: int
    rate: float
    exit_code: int = 0
    reason: str = ""
    log: tuple[str, ...] = ()
    report: str = ""
    stalls: bool = False
    loses_connection: bool = False

    @property
    def seconds(self) -> float:
        return (self.end - self.start) / self.rate

    def at(self, seconds: float) -> int:
        return self.end if seconds >= self.seconds else self.start + int(seconds * self.rate)


@final
class Downloads:
    """A :class:`~aimctl.devcluster.node.programs.Program` for the containers of download Jobs.

    Args:
        catalogue: the sources and images.
        progress_seconds: between two progress lines.
    """

    def __init__(self, catalogue: Catalogue, *, progress_seconds: float = PROGRESS_SECONDS) -> None:
        self._catalogue = catalogue
        self._progress_seconds = progress_seconds
        self.outage: DownloadFail | None = None
        """While set, each download that starts fails like this. The catalogue is not changed."""
        self.granted = False
        """While True, sources that need a token accept any download."""
        self._volumes: dict[str, _Contents] = {}

    def behaviour(self, call: ContainerCall) -> Behaviour | None:
        """The behaviour of a download; None for other containers and for images that do not exist."""
        if not _is_download(call):
            return None
        entry = self._catalogue.entry(call.image, (*call.command, *call.args))
        if entry is None:
            known = DOWNLOADER_IMAGES in call.image
            return Behaviour(run=self._run) if known else None
        behaviour = entry.behaviour()
        return behaviour if entry.fail else replace(behaviour, run=self._run)

    def used_bytes(self, volume_uid: str) -> int:
        """The used bytes of the volume of a claim with this uid. Current runs do not count."""
        contents = self._volumes.get(volume_uid)
        return 0 if contents is None else contents.used

    def held_bytes(self, volume_uid: str, source: str) -> int:
        """The bytes of a source on the volume of a claim with this uid. Current runs do not count."""
        contents = self._volumes.get(volume_uid)
        return 0 if contents is None else contents.arrived.get(source, 0)

    def wipe(self, volume_uid: str) -> None:
        """Empty a volume."""
        self._volumes.pop(volume_uid, None)

    def _run(self, call: ContainerCall) -> RunResult:
        source = _source(call)
        if not source:
            return RunResult(b"no source: give a URI of hf:// or s3://\n", exit_code=2)
        volume = next((item for item in call.volumes if not item.read_only), _NO_VOLUME)
        contents = self._volumes.get(volume.uid) or _Contents()
        entry = self._entry(source)
        plan = self._plan(call, source, entry, volume, contents)
        others = contents.used - contents.arrived.get(source, 0)

        def ended(seconds: float) -> None:
            if not volume.uid:
                return
            after = self._volumes.setdefault(volume.uid, _Contents())
            after.arrived[source] = max(after.arrived.get(source, 0), plan.at(seconds))
            if plan.loses_connection and math.isinf(seconds):
                after.losses[source] = after.losses.get(source, 0) + 1

        first = f"INFO:root:Initializing, args: src_uri [{source}] dest_path [{volume.path}]\n"
        return RunResult(
            log_at_start=first.encode() + _line(others + plan.start),
            log_at_end="".join(f"{line}\n" for line in plan.log).encode(),
            exit_code=plan.exit_code,
            reason=plan.reason,
            termination_message=plan.report,
            duration_seconds=math.inf if plan.stalls else plan.seconds,
            log_while=tuple(self._progress(plan, others)),
            ended=ended,
        )

    def _plan(
        self,
        call: ContainerCall,
        source: str,
        entry: DownloadEntry,
        volume: MountedVolume,
        contents: _Contents,
    ) -> _Plan:
        rate = entry.gb_per_second * GIB
        arrived = contents.arrived.get(source, 0)
        rejection = entry.rejection(source, call.env)
        if rejection:
            return _Plan(arrived, arrived, rate, 1, log=rejection)
        size = self._size(source, entry, volume)
        room = volume.capacity_bytes - (contents.used - arrived) if volume.uid else size
        report = json.dumps({"aimctl": "verified", "files": 1, "bytes": size}, separators=(",", ":"))
        plan = _Plan(arrived, max(arrived, size), rate, log=(report,), report=report)
        if entry.fail or contents.losses.get(source, 0) < entry.fail_first:
            plan = _failing(plan, entry, int(size * entry.fail_at))
        if plan.end > room:
            full = ("OSError: [Errno 28] No space left on device", failed("VolumeFull"))
            return _Plan(arrived, max(arrived, room), rate, 1, log=full)
        return plan

    def _entry(self, source: str) -> DownloadEntry:
        fitting = (item for item in self._catalogue.downloads if item.fits(source))
        entry = next(fitting, None) or DownloadEntry(source="*")
        if self.granted:
            entry = entry.model_copy(update={"needs_token": False, "tokens": ()})
        return entry if self.outage is None else entry.model_copy(update={"fail": self.outage})

    def _size(self, source: str, entry: DownloadEntry, volume: MountedVolume) -> int:
        size_gb = entry.size_gb or self._catalogue.size_gb(source)
        if size_gb is not None:
            return int(size_gb * GIB)
        return volume.capacity_bytes * 9 // 10 if volume.uid else GIB

    def _progress(self, plan: _Plan, others: int) -> Iterator[tuple[float, bytes]]:
        """The progress lines of a run. For one that stalls, they repeat for an hour."""
        last = plan.seconds + (3600.0 if plan.stalls else 0.0)
        interval = max(self._progress_seconds, last / MAX_PROGRESS_LINES)
        for count in range(1, int(last / interval) + 1):
            seconds = count * interval
            yield seconds, _line(others + plan.at(seconds))
        if not plan.stalls and not plan.exit_code:
            yield plan.seconds, _line(others + plan.end)


def _line(count: int) -> bytes:
    return json.dumps({"aimctl": "progress", "bytes": count}, separators=(",", ":")).encode() + b"\n"


def _is_download(call: ContainerCall) -> bool:
    labels = (call.pod.get("metadata") or {}).get("labels") or {}
    return bool(labels.get(COMPONENT_LABEL) == DOWNLOAD)


def _source(call: ContainerCall) -> str:
    for text in (*call.args, *call.command, *call.env.values()):
        found = _SOURCE.search(text)
        if found:
            return found.group()
    return ""


def _failing(plan: _Plan, entry: DownloadEntry, arrives: int) -> _Plan:
    """The run with the failure that ``fail`` or ``fail_first`` of the entry specifies."""
    end = max(plan.start, min(plan.end, arrives))
    plan = replace(plan, report="")
    match entry.fail:
        case "stalls":
            return replace(plan, end=end, log=(), stalls=True)
        case "out-of-memory":
            return replace(plan, end=end, exit_code=137, reason="OOMKilled", log=())
        case "incomplete":
            text = "model.safetensors has fewer bytes than the hub lists"
            return replace(plan, end=end, exit_code=1, log=(text, failed("VerificationFailed")))
        case "crash":
            return replace(
                plan, end=end, exit_code=entry.exit_code, log=("Traceback (most recent call last):",)
            )
        case _:
            lost = "ConnectionError: HTTPSConnectionPool: Read timed out."
            log = (lost, failed("SourceUnavailable"))
            return replace(plan, end=end, exit_code=1, log=log, loses_connection=True)
