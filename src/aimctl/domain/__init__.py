"""What the operator decides, as pure functions: no I/O, no clock, no waiting.

The names most callers need stand here; gpus, naming, hashing, quantity and conditions are modules of small
functions, best imported whole.
"""

from __future__ import annotations

from aimctl.domain.admission import DEFAULT_LIMIT as DEFAULT_LIMIT
from aimctl.domain.admission import Candidate as Candidate
from aimctl.domain.admission import admit as admit
from aimctl.domain.admission import queue_order as queue_order
from aimctl.domain.discovery_decision import DiscoveryDecision as DiscoveryDecision
from aimctl.domain.discovery_decision import DiscoveryWish as DiscoveryWish
from aimctl.domain.discovery_decision import JobDeletion as JobDeletion
from aimctl.domain.discovery_decision import LogRequest as LogRequest
from aimctl.domain.discovery_decision import PodsRequest as PodsRequest
from aimctl.domain.discovery_decision import decide_discovery as decide_discovery
from aimctl.domain.discovery_job import COMPONENT as COMPONENT
from aimctl.domain.discovery_job import CONTAINER as CONTAINER
from aimctl.domain.discovery_job import REDISCOVER_ANNOTATION as REDISCOVER_ANNOTATION
from aimctl.domain.discovery_job import DiscoveryInput as DiscoveryInput
from aimctl.domain.discovery_job import TemplateIdentity as TemplateIdentity
from aimctl.domain.discovery_job import discovery_input as discovery_input
from aimctl.domain.discovery_job import job_name as job_name
from aimctl.domain.discovery_job import manifest as manifest
from aimctl.domain.discovery_output import MAX_OUTPUT_BYTES as MAX_OUTPUT_BYTES
from aimctl.domain.discovery_output import DiscoveryError as DiscoveryError
from aimctl.domain.discovery_output import DiscoveryResult as DiscoveryResult
from aimctl.domain.discovery_output import Source as Source
from aimctl.domain.job_outcome import JobView as JobView
from aimctl.domain.job_outcome import PodLog as PodLog
from aimctl.domain.job_outcome import PodView as PodView
from aimctl.domain.job_outcome import judge as judge
from aimctl.domain.naming import LABEL_COMPONENT as LABEL_COMPONENT
from aimctl.domain.observation import Blocked as Blocked
from aimctl.domain.observation import EventWish as EventWish
from aimctl.domain.observation import ObservedJob as ObservedJob
from aimctl.domain.observation import TemplateObservation as TemplateObservation
from aimctl.domain.observation import rfc3339 as rfc3339
from aimctl.domain.resolution import DEFAULT_RUNTIME_CONFIG as DEFAULT_RUNTIME_CONFIG
from aimctl.domain.resolution import Found as Found
from aimctl.domain.resolution import Missing as Missing
from aimctl.domain.resolution import Reference as Reference
from aimctl.domain.resolution import Resolved as Resolved
from aimctl.domain.resolution import resolve_model as resolve_model
from aimctl.domain.resolution import resolve_runtime_config as resolve_runtime_config
from aimctl.domain.status_slice import StatusFamily as StatusFamily
from aimctl.domain.status_slice import StatusSlice as StatusSlice
from aimctl.domain.template_decision import RollUp as RollUp
from aimctl.domain.template_decision import TemplateDecision as TemplateDecision
from aimctl.domain.template_decision import decide_template as decide_template
from aimctl.domain.template_decision import roll_up as roll_up

__all__ = [
    "COMPONENT",
    "CONTAINER",
    "DEFAULT_LIMIT",
    "DEFAULT_RUNTIME_CONFIG",
    "LABEL_COMPONENT",
    "MAX_OUTPUT_BYTES",
    "REDISCOVER_ANNOTATION",
    "Blocked",
    "Candidate",
    "DiscoveryDecision",
    "DiscoveryError",
    "DiscoveryInput",
    "DiscoveryResult",
    "DiscoveryWish",
    "EventWish",
    "Found",
    "JobDeletion",
    "JobView",
    "LogRequest",
    "Missing",
    "ObservedJob",
    "PodLog",
    "PodView",
    "PodsRequest",
    "Reference",
    "Resolved",
    "RollUp",
    "Source",
    "StatusFamily",
    "StatusSlice",
    "TemplateDecision",
    "TemplateIdentity",
    "TemplateObservation",
    "admit",
    "decide_discovery",
    "decide_template",
    "discovery_input",
    "job_name",
    "judge",
    "manifest",
    "queue_order",
    "resolve_model",
    "resolve_runtime_config",
    "rfc3339",
    "roll_up",
]
