"""Runs groups on a server: compares the embedded server with the recordings, records a real one, or checks recordings.

Contract: :func:`compare_embedded` needs no program besides Python and takes seconds. :func:`record` starts a control
plane without controllers; see ``support.kubernetes_binaries`` for where its programs are found.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aimctl.testing.virtualtime import run_virtual
from conformance import recordings
from conformance.compare import compare, known_differences, version_differences
from conformance.play import play
from conformance.targets import embedded, real
from support.controlplane import ControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from pathlib import Path

    from conformance.cases import Group
    from conformance.compare import Comparison
    from support.kubernetes_binaries import Binaries


def compare_embedded(group: Group) -> Comparison:
    """Play a group on a new embedded server and compare it with its recording. Raises RecordingError, CaseError."""
    expected = recordings.read(group)
    return compare(group.name, expected, played_embedded(group), known_differences())


def played_embedded(group: Group) -> dict[str, Any]:
    """The responses of a new embedded server."""

    async def run() -> dict[str, Any]:
        async with embedded() as target:
            return await play(group, target)

    return run_virtual(run())


@asynccontextmanager
async def control_plane(
    binaries: Binaries | None = None, directory: Path | None = None
) -> AsyncIterator[ControlPlane]:
    """A control plane as it is recorded: without controllers, so that only requests change objects."""
    async with ControlPlane(binaries, directory, controllers=False) as plane:
        yield plane


async def played_real(groups: Sequence[Group], plane: ControlPlane) -> dict[str, dict[str, Any]]:
    """The responses of a real server by group."""
    async with real(plane) as target:
        return {group.name: await play(group, target) for group in groups}


def record(groups: Sequence[Group]) -> str:
    """Record groups from a real server; returns its version."""
    responses, version = asyncio.run(_on_real_server(groups))
    for group in groups:
        recordings.write(group, responses[group.name], version)
    return version


def check_recordings(groups: Sequence[Group]) -> list[Comparison]:
    """Compare the recordings with a real server. Raises RecordingError, CaseError."""
    expected = {group.name: recordings.read(group) for group in groups}
    responses, version = asyncio.run(_on_real_server(groups))
    return compare_recordings(expected, responses, version)


def compare_recordings(
    expected: Mapping[str, Any], responses: Mapping[str, Any], version: str
) -> list[Comparison]:
    """Compare recordings with responses of a real server of a version. See ``versions`` for older ones."""
    known = version_differences(version)
    return [compare(name, expected[name], responses[name], known) for name in expected]


async def _on_real_server(groups: Sequence[Group]) -> tuple[dict[str, dict[str, Any]], str]:
    async with control_plane() as plane:
        version = ".".join(str(part) for part in plane.version)
        return await played_real(groups, plane), version
