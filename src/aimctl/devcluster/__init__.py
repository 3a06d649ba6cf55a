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
from aimctl.devcluster.jobplan import JobBackoff as JobBackoff
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
from aimctl.devcluster.programs import Program as Program
from aimctl.devcluster.programs import RunResult as RunResult
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
    "NotSettled",
    "Program",
    "Refuse",
    "RunResult",
    "Silence",
    "SimulatedNodes",
    "StaleRead",
    "User",
    "VolumeProvisioner",
    "gpu_machine",
]
