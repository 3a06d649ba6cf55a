"""A Kubernetes cluster in one process: API server, controllers and simulated nodes, for development and
tests.
"""

from aimctl.devcluster.access import Authenticator as Authenticator
from aimctl.devcluster.access import DenyRule as DenyRule
from aimctl.devcluster.access import DenyRules as DenyRules
from aimctl.devcluster.access import User as User
from aimctl.devcluster.api import ApiResponse as ApiResponse
from aimctl.devcluster.api import ApiServer as ApiServer
from aimctl.devcluster.api import ApiServerOptions as ApiServerOptions
from aimctl.devcluster.catalogue import Catalogue as Catalogue
from aimctl.devcluster.catalogue import CatalogueError as CatalogueError
from aimctl.devcluster.cluster import ClusterOptions as ClusterOptions
from aimctl.devcluster.cluster import DevCluster as DevCluster
from aimctl.devcluster.cluster import NotSettled as NotSettled
from aimctl.devcluster.downloads import Downloads as Downloads
from aimctl.devcluster.faults import Answer as Answer
from aimctl.devcluster.faults import CutStream as CutStream
from aimctl.devcluster.faults import Delay as Delay
from aimctl.devcluster.faults import Fault as Fault
from aimctl.devcluster.faults import Faults as Faults
from aimctl.devcluster.faults import Gone410 as Gone410
from aimctl.devcluster.faults import Match as Match
from aimctl.devcluster.faults import Refuse as Refuse
from aimctl.devcluster.faults import Silence as Silence
from aimctl.devcluster.faults import StaleRead as StaleRead
from aimctl.devcluster.happenings import Happenings as Happenings
from aimctl.devcluster.http import Endpoint as Endpoint
from aimctl.devcluster.http import HttpFront as HttpFront
from aimctl.devcluster.hub import DownloadEntry as DownloadEntry
from aimctl.devcluster.jobplan import JobBackoff as JobBackoff
from aimctl.devcluster.kserve import SimulatedKServe as SimulatedKServe
from aimctl.devcluster.kserve import inference_service_crd as inference_service_crd
from aimctl.devcluster.kubelet import KubeletServer as KubeletServer
from aimctl.devcluster.logbook import LogBook as LogBook
from aimctl.devcluster.machines import Machine as Machine
from aimctl.devcluster.machines import gpu_machine as gpu_machine
from aimctl.devcluster.memory_transport import MemoryTransport as MemoryTransport
from aimctl.devcluster.node import SimulatedNodes as SimulatedNodes
from aimctl.devcluster.persist import FileJournal as FileJournal
from aimctl.devcluster.persist import JournalUnusable as JournalUnusable
from aimctl.devcluster.programs import Behaviour as Behaviour
from aimctl.devcluster.programs import ContainerCall as ContainerCall
from aimctl.devcluster.programs import MountedVolume as MountedVolume
from aimctl.devcluster.programs import Program as Program
from aimctl.devcluster.programs import RunResult as RunResult
from aimctl.devcluster.registry import RegistryAnswer as RegistryAnswer
from aimctl.devcluster.registry import RegistryCall as RegistryCall
from aimctl.devcluster.registry import RegistryFault as RegistryFault
from aimctl.devcluster.registry import SimulatedRegistry as SimulatedRegistry
from aimctl.devcluster.registry_front import RegistryFront as RegistryFront
from aimctl.devcluster.volumes import VolumeProvisioner as VolumeProvisioner

__all__ = [
    "Answer",
    "ApiResponse",
    "ApiServer",
    "ApiServerOptions",
    "Authenticator",
    "Behaviour",
    "Catalogue",
    "CatalogueError",
    "ClusterOptions",
    "ContainerCall",
    "CutStream",
    "Delay",
    "DenyRule",
    "DenyRules",
    "DevCluster",
    "DownloadEntry",
    "Downloads",
    "Endpoint",
    "Fault",
    "Faults",
    "FileJournal",
    "Gone410",
    "Happenings",
    "HttpFront",
    "JobBackoff",
    "JournalUnusable",
    "KubeletServer",
    "LogBook",
    "Machine",
    "Match",
    "MemoryTransport",
    "MountedVolume",
    "NotSettled",
    "Program",
    "Refuse",
    "RegistryAnswer",
    "RegistryCall",
    "RegistryFault",
    "RegistryFront",
    "RunResult",
    "Silence",
    "SimulatedKServe",
    "SimulatedNodes",
    "SimulatedRegistry",
    "StaleRead",
    "User",
    "VolumeProvisioner",
    "gpu_machine",
    "inference_service_crd",
]
