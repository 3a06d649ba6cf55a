"""The pod behind an object: of a discovery Job, of a download Job, or of an InferenceService.

Contract: pure. :func:`steps` says how to get from an object to its pod, one list at a time; at each step the newest
object that belongs to the one before is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.api import kinds
from aimctl.cli.questions.answers import Question
from aimctl.cli.questions.health import newest
from aimctl.domain.naming import DOWNLOAD, LABEL_COMPONENT, LABEL_TEMPLATE, label_value
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.services.kserve.status import POD_LABEL
from aimctl.kubetypes.builtin import JOBS, PODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from aimctl.cli.questions.answers import Answer, Objects
    from aimctl.runtime.kube import Object

__all__ = ["HAVE_PODS", "Step", "Trail", "has_log", "steps"]

HAVE_PODS = (
    kinds.SERVICES,
    kinds.TEMPLATES,
    kinds.CLUSTER_TEMPLATES,
    kinds.TEMPLATE_CACHES,
    kinds.MODEL_CACHES,
)
"""The kinds behind whose objects a pod may run."""


@final
@dataclass(frozen=True, slots=True)
class Step:
    """From one object to the next.

    Attributes:
        noun: what is looked for, in a sentence.
        question: the list to read, given the object before.
        choose: the object of the list to go on with; None if there is none.
    """

    noun: str
    question: Callable[[Object[Any]], Question]
    choose: Callable[[Object[Any], Objects], Object[Any] | None]


@final
@dataclass(frozen=True, slots=True)
class Trail:
    """How far the steps from an object led.

    Attributes:
        last: the pod, or the object behind which nothing more was found.
        missing: the noun of what was not found; "" for the pod.
        answer: to the last question.
    """

    last: Object[Any]
    missing: str
    answer: Answer

    @property
    def found(self) -> bool:
        """Whether the pod was found."""
        return not self.missing


def has_log(pod: Object[Any]) -> bool:
    """Whether a container of the pod runs or has run, also if it now waits to be started again."""
    states = (state for one in pod.view.container_statuses for state in (one.state, one.last_state))
    return any(one.running is not None or one.terminated is not None for one in states)


def steps(item: Object[Any], operator_namespace: str) -> tuple[Step, ...]:
    """The steps from an object of one of :data:`HAVE_PODS` to its pod."""
    if item.resource == kinds.SERVICES:
        return (Step("pod", _of_service, lambda _, pods: newest(pods)),)
    if item.resource == kinds.TEMPLATE_CACHES:
        return (Step("model cache", _model_caches, _in_work), *_DOWNLOAD)
    if item.resource == kinds.MODEL_CACHES:
        return _DOWNLOAD

    def discovery(template: Object[Any]) -> Question:
        label = f"{LABEL_TEMPLATE}={label_value(template.meta.name)}"
        return Question(JOBS, template.meta.namespace or operator_namespace, labels=label)

    return (Step("discovery Job", discovery, _owned), _POD)


def _owned(owner: Object[Any], items: Objects) -> Object[Any] | None:
    return newest(item for item in items if any(one.uid == owner.meta.uid for one in item.meta.owners))


def _of_service(service: Object[Any]) -> Question:
    name = runtime_name(service.meta.name, service.meta.namespace) or service.meta.name
    label = f"{POD_LABEL}={name}"
    return Question(PODS, service.meta.namespace, labels=label)


def _model_caches(cache: Object[Any]) -> Question:
    return Question(kinds.MODEL_CACHES, cache.meta.namespace)


def _in_work(cache: Object[Any], items: Objects) -> Object[Any] | None:
    """The first model cache of a template cache that is not Available; without one, the first."""
    listed = {one.model_cache: one.status for one in cache.view.status.models}
    found = [item for item in items if item.meta.name in listed]
    return next((one for one in found if listed[one.meta.name] != "Available"), found[0] if found else None)


def _downloads(cache: Object[Any]) -> Question:
    return Question(JOBS, cache.meta.namespace, labels=f"{LABEL_COMPONENT}={DOWNLOAD}")


def _of_job(job: Object[Any]) -> Question:
    return Question(PODS, job.meta.namespace, labels=f"job-name={job.meta.name}")


_POD = Step("pod", _of_job, _owned)
_DOWNLOAD = (Step("download Job", _downloads, _owned), _POD)
