"""A Kubernetes cluster in one process: API server, controllers and simulated nodes, for development and
tests.
"""

from aimctl.devcluster.add_ons import AddOn as AddOn
from aimctl.devcluster.add_ons import Host as Host
from aimctl.devcluster.apiserver.access import Authenticator as Authenticator
from aimctl.devcluster.apiserver.access import DenyRule as DenyRule
from aimctl.devcluster.apiserver.access import DenyRules as DenyRules
from aimctl.devcluster.apiserver.access import User as User
from aimctl.devcluster.apiserver.http import Endpoint as Endpoint
from aimctl.devcluster.apiserver.http import HttpFront as HttpFront
from aimctl.devcluster.apiserver.memory_transport import MemoryTransport as MemoryTransport
from aimctl.devcluster.apiserver.server import ApiServer as ApiServer
from aimctl.devcluster.apiserver.server import ApiServerOptions as ApiServerOptions
from aimctl.devcluster.apiserver.wire.responses import ApiResponse as ApiResponse
from aimctl.devcluster.cluster import ClusterFields as ClusterFields
from aimctl.devcluster.cluster import ClusterOptions as ClusterOptions
from aimctl.devcluster.cluster import DevCluster as DevCluster
from aimctl.devcluster.controllers.batch.job_tally import JobBackoff as JobBackoff
from aimctl.devcluster.controllers.volumes import VolumeProvisioner as VolumeProvisioner
from aimctl.devcluster.faults import Action as Action
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
from aimctl.devcluster.machinery.events import EventRecorder as EventRecorder
from aimctl.devcluster.machinery.settling import NotSettled as NotSettled
from aimctl.devcluster.node.kubelet import KubeletServer as KubeletServer
from aimctl.devcluster.node.logs import ContainerLogs as ContainerLogs
from aimctl.devcluster.node.machines import Machine as Machine
from aimctl.devcluster.node.nodes import SimulatedNodes as SimulatedNodes
from aimctl.devcluster.node.programs import Behaviour as Behaviour
from aimctl.devcluster.node.programs import ContainerCall as ContainerCall
from aimctl.devcluster.node.programs import MountedVolume as MountedVolume
from aimctl.devcluster.node.programs import Program as Program
from aimctl.devcluster.node.programs import RunResult as RunResult
from aimctl.devcluster.storage.journal import FileJournal as FileJournal
from aimctl.devcluster.storage.journal import JournalUnusable as JournalUnusable

__all__ = [
    "Action",
    "AddOn",
    "Answer",
    "ApiResponse",
    "ApiServer",
    "ApiServerOptions",
    "Authenticator",
    "Behaviour",
    "ClusterFields",
    "ClusterOptions",
    "ContainerCall",
    "ContainerLogs",
    "CutStream",
    "Delay",
    "DenyRule",
    "DenyRules",
    "DevCluster",
    "Endpoint",
    "EventRecorder",
    "Fault",
    "Faults",
    "FileJournal",
    "Gone410",
    "Host",
    "HttpFront",
    "JobBackoff",
    "JournalUnusable",
    "KubeletServer",
    "Machine",
    "Match",
    "MemoryTransport",
    "MountedVolume",
    "NotSettled",
    "Program",
    "Refuse",
    "RunResult",
    "Silence",
    "SimulatedNodes",
    "StaleRead",
    "User",
    "VolumeProvisioner",
]
