"""How other packages extend the embedded cluster.

    machines_with_gpus = AddOn(name="gpus", machines=(Machine("gpu-0", resources={"vendor.example/gpu": "8"}),))
    async with DevCluster(clock=clock, add_ons=[machines_with_gpus]) as cluster:
        ...

Contract:
    * An :class:`AddOn` is data: what the cluster has in addition. The cluster installs it in this order: CRDs and
      namespaces, admission, machines and programs, then controllers.
    * Add-ons are installed in the order given; earlier programs take precedence over later ones.
    * Names are unique: installing an add-on whose name is installed already does nothing.
    * Controllers start after the API server and its built-in controllers, run until the cluster stops, and
      ``DevCluster.settled`` waits for them. If ``ClusterOptions.controllers`` is false, the controllers and machines of
      add-ons are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aimctl.devcluster.apiserver.verbs.write_types import Admission
    from aimctl.devcluster.machinery.controller import Controller
    from aimctl.devcluster.machinery.events import EventRecorder
    from aimctl.devcluster.node.machines import Machine
    from aimctl.devcluster.node.programs import Program
    from aimctl.runtime.clock import Clock
    from aimctl.runtime.kube.client import Client

__all__ = ["AddOn", "Host"]


class Host(Protocol):
    """What the cluster offers the controllers of an add-on."""

    @property
    def clock(self) -> Clock:
        """The cluster's time."""
        ...

    @property
    def pace(self) -> float:
        """``ClusterOptions.pace``, by which simulated durations are to be multiplied."""
        ...

    def internal_client(self, name: str) -> Client:
        """A client with this field manager that may do everything and that no injected fault affects."""
        ...

    def event_recorder(self, component: str) -> EventRecorder:
        """Writes Events in the name of this component."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AddOn:
    """Something installed in a cluster.

    Attributes:
        name: identifies the add-on within a cluster.
        crds: manifests of CustomResourceDefinitions, created or updated by server-side apply.
        namespaces: created unless they exist.
        admission: called for every create and update, in order, as the webhooks that an installation registers.
        machines: simulated nodes.
        programs: decide what containers do, see :class:`~aimctl.devcluster.node.programs.Program`.
        controllers: called once when the add-on is installed.
    """

    name: str
    crds: tuple[Mapping[str, Any], ...] = ()
    namespaces: tuple[str, ...] = ()
    admission: tuple[Admission, ...] = ()
    machines: tuple[Machine, ...] = ()
    programs: tuple[Program, ...] = ()
    controllers: tuple[Callable[[Host], Controller], ...] = ()
