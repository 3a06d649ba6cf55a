"""A tour of lightkube on the embedded and on a real API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.tours import check_tour, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster


def test_the_client_sees_the_recorded_steps(cluster: RunningCluster, namespace: str, clients: Path) -> None:
    check_tour("lightkube", cluster, run_program(clients / "python", "lightkube_tour.py", cluster, namespace))
