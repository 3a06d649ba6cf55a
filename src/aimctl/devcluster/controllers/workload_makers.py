"""Which controller belongs to which kind of workload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aimctl.devcluster.controllers.batch.cron_jobs import CronJobController
from aimctl.devcluster.controllers.deployments.deployments import DeploymentController
from aimctl.devcluster.controllers.deployments.replica_sets import ReplicaSetController
from aimctl.devcluster.controllers.workloads.daemon_sets import DaemonSetController
from aimctl.devcluster.controllers.workloads.stateful_sets import StatefulSetController

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.devcluster.machinery.controller import Controller
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["workload_controllers"]


class _Maker(Protocol):
    def __call__(self, client: Client, *, clock: Clock, events: EventRecorder) -> Controller: ...


def workload_controllers(
    client: Callable[[str], Client], events: Callable[[str], EventRecorder], *, clock: Clock
) -> dict[tuple[str, str], Callable[[], Controller]]:
    """What creates the controller of each kind, by group and plural.

    Args:
        client: returns the client of a component.
        events: returns the event recorder of a component.
        clock: source of all times.
    """

    def of(make: _Maker, name: str) -> Callable[[], Controller]:
        return lambda: make(client(name), clock=clock, events=events(name))

    return {
        ("apps", "deployments"): of(DeploymentController, "deployment-controller"),
        ("apps", "replicasets"): of(ReplicaSetController, "replicaset-controller"),
        ("apps", "statefulsets"): of(StatefulSetController, "statefulset-controller"),
        ("apps", "daemonsets"): of(DaemonSetController, "daemonset-controller"),
        ("batch", "cronjobs"): of(CronJobController, "cronjob-controller"),
    }
