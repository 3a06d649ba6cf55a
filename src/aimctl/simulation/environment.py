"""The AIM environment as add-ons of the embedded cluster.

Contract: a :class:`Simulation` belongs to one cluster, to which its ``add_ons`` are passed. ``registry`` and
``downloads`` show what happens there. While an image is a key of ``faults``, its containers behave like that entry of
the catalogue, and not like their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from aimctl.api.kinds import KINDS
from aimctl.devcluster.add_ons import AddOn
from aimctl.simulation.catalogue import Catalogue, ImageEntry
from aimctl.simulation.downloads import PROGRESS_SECONDS, Downloads
from aimctl.simulation.kserve import READY_SECONDS, SimulatedKServe, inference_service_crd
from aimctl.simulation.kserve_webhooks import KServeWebhooks
from aimctl.simulation.machines import gpu_machines
from aimctl.simulation.registry import SimulatedRegistry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aimctl.devcluster.add_ons import Host
    from aimctl.devcluster.node.programs import Behaviour, ContainerCall
    from aimctl.runtime.clock import Clock

__all__ = ["Simulation", "kserve_add_on"]

OPERATOR_NAMESPACE = "kaiwo-system"


@final
class Simulation:
    """The add-ons of one cluster, and access to what they simulate.

    Args:
        clock: the cluster's clock.
        catalogue: what images and downloads do; None takes the default catalogue.
        crds: CustomResourceDefinitions to install; None takes those of aim.silogen.ai.
        namespaces: created in the cluster.
        progress_seconds: between two lines of a download's log, before the cluster's ``pace``.
        kserve: whether KServe is installed. :func:`kserve_add_on` installs it later.
        kserve_seconds: from an InferenceService's spec to its outcome, before the cluster's ``pace``.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        catalogue: Catalogue | None = None,
        crds: Iterable[Mapping[str, Any]] | None = None,
        namespaces: Iterable[str] = (OPERATOR_NAMESPACE,),
        progress_seconds: float = PROGRESS_SECONDS,
        kserve: bool = False,
        kserve_seconds: float = READY_SECONDS,
    ) -> None:
        self.catalogue = catalogue or Catalogue.default()
        self.faults: dict[str, ImageEntry] = {}
        self.downloads = Downloads(self.catalogue, progress_seconds=progress_seconds)
        self.registry = SimulatedRegistry(self.catalogue, clock=clock)
        environment = AddOn(
            name="aim",
            crds=tuple(kind.crd() for kind in KINDS) if crds is None else tuple(crds),
            namespaces=tuple(namespaces),
            machines=gpu_machines(),
            programs=(_Faults(self.faults), self.downloads, self.catalogue),
        )
        serving = (kserve_add_on(self.catalogue, ready_seconds=kserve_seconds),) if kserve else ()
        self.add_ons: tuple[AddOn, ...] = (environment, *serving)


@final
class _Faults:
    """The program of the containers whose images have a fault."""

    def __init__(self, entries: Mapping[str, ImageEntry]) -> None:
        self._entries = entries

    def behaviour(self, call: ContainerCall) -> Behaviour | None:
        """The behaviour of a container; None if its image has no fault."""
        entry = self._entries.get(call.image)
        return None if entry is None else entry.behaviour()


def kserve_add_on(catalogue: Catalogue, *, ready_seconds: float = READY_SECONDS) -> AddOn:
    """KServe: the kind InferenceService, its webhooks, and a controller that reports an outcome for each.

    Args:
        catalogue: decides which images serve.
        ready_seconds: from a spec to its outcome, before the cluster's ``pace``.
    """

    def controller(host: Host) -> SimulatedKServe:
        return SimulatedKServe(
            host.internal_client("kserve"),
            clock=host.clock,
            catalogue=catalogue,
            events=host.event_recorder("kserve"),
            ready_seconds=ready_seconds * host.pace,
        )

    return AddOn(
        name="kserve",
        crds=(inference_service_crd(),),
        admission=(KServeWebhooks(),),
        controllers=(controller,),
    )
