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
from aimctl.devcluster.http import Endpoint as Endpoint
from aimctl.devcluster.http import HttpFront as HttpFront
from aimctl.devcluster.memory_transport import MemoryTransport as MemoryTransport
from aimctl.devcluster.persist import FileJournal as FileJournal
from aimctl.devcluster.persist import JournalUnusable as JournalUnusable

__all__ = [
    "Answer",
    "ApiResponse",
    "ApiServer",
    "ApiServerOptions",
    "Authenticator",
    "CutStream",
    "Delay",
    "DenyRule",
    "DenyRules",
    "Endpoint",
    "Fault",
    "Faults",
    "FileJournal",
    "Gone410",
    "HttpFront",
    "JournalUnusable",
    "Match",
    "MemoryTransport",
    "Refuse",
    "Silence",
    "StaleRead",
    "User",
]
