"""The environment of the AIM operator, simulated on the embedded cluster.

    simulation = Simulation(clock=clock, kserve=True)
    async with DevCluster(clock=clock, add_ons=simulation.add_ons) as cluster:
        ...

It consists of the CRDs of aim.silogen.ai, machines with accelerators, a catalogue of images and what they do, an image
registry, downloads, and optionally KServe.
"""

from aimctl.simulation.catalogue import Catalogue as Catalogue
from aimctl.simulation.catalogue import CatalogueError as CatalogueError
from aimctl.simulation.downloads import Downloads as Downloads
from aimctl.simulation.environment import Simulation as Simulation
from aimctl.simulation.environment import kserve_add_on as kserve_add_on
from aimctl.simulation.hub import DownloadEntry as DownloadEntry
from aimctl.simulation.kserve import SimulatedKServe as SimulatedKServe
from aimctl.simulation.kserve import inference_service_crd as inference_service_crd
from aimctl.simulation.machines import gpu_machine as gpu_machine
from aimctl.simulation.machines import gpu_machines as gpu_machines
from aimctl.simulation.registry import RegistryAnswer as RegistryAnswer
from aimctl.simulation.registry import RegistryCall as RegistryCall
from aimctl.simulation.registry import RegistryFault as RegistryFault
from aimctl.simulation.registry import SimulatedRegistry as SimulatedRegistry
from aimctl.simulation.registry_front import RegistryFront as RegistryFront

__all__ = [
    "Catalogue",
    "CatalogueError",
    "DownloadEntry",
    "Downloads",
    "RegistryAnswer",
    "RegistryCall",
    "RegistryFault",
    "RegistryFront",
    "SimulatedKServe",
    "SimulatedRegistry",
    "Simulation",
    "gpu_machine",
    "gpu_machines",
    "inference_service_crd",
    "kserve_add_on",
]
