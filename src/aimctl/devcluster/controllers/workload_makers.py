"""Which controller belongs to which kind of workload or Service. Its module is imported when the controller is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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

    def of(load: Callable[[], _Maker], name: str) -> Callable[[], Controller]:
        return lambda: load()(client(name), clock=clock, events=events(name))

    return {
        ("apps", "deployments"): of(_deployments, "deployment-controller"),
        ("apps", "replicasets"): of(_replica_sets, "replicaset-controller"),
        ("apps", "statefulsets"): of(_stateful_sets, "statefulset-controller"),
        ("apps", "daemonsets"): of(_daemon_sets, "daemonset-controller"),
        ("batch", "cronjobs"): of(_cron_jobs, "cronjob-controller"),
        ("", "services"): of(_endpoint_slices, "endpointslice-controller"),
    }


def _deployments() -> _Maker:
    from aimctl.devcluster.controllers.deployments.deployments import DeploymentController

    return DeploymentController


def _replica_sets() -> _Maker:
    from aimctl.devcluster.controllers.deployments.replica_sets import ReplicaSetController

    return ReplicaSetController


def _stateful_sets() -> _Maker:
    from aimctl.devcluster.controllers.workloads.stateful_sets import StatefulSetController

    return StatefulSetController


def _daemon_sets() -> _Maker:
    from aimctl.devcluster.controllers.workloads.daemon_sets import DaemonSetController

    return DaemonSetController


def _cron_jobs() -> _Maker:
    from aimctl.devcluster.controllers.batch.cron_jobs import CronJobController

    return CronJobController


def _endpoint_slices() -> _Maker:
    from aimctl.devcluster.controllers.services.endpoint_slices import EndpointSliceController

    return EndpointSliceController
