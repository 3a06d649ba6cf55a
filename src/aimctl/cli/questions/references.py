"""Where the cause of a state lies: for each kind, condition and reason, the references to follow.

Contract: everything is pure. :data:`RULES` is the only place that says where a cause may lie. For a reason without a
rule, cause and remedy are in the object's own message. For a kind that is not the operator's, the state stands in for
the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, final

from aimctl.api import kinds
from aimctl.api.v1alpha1 import CacheState, TemplateState
from aimctl.cli.questions.answers import Objects, Problem, Question, Trouble
from aimctl.cli.questions.health import examine, newest
from aimctl.domain.naming import DOWNLOAD, LABEL_COMPONENT, LABEL_TEMPLATE, label_value
from aimctl.domain.services.kserve.name import runtime_name
from aimctl.domain.services.kserve.status import POD_LABEL
from aimctl.kubetypes import find_condition
from aimctl.kubetypes.builtin import CORE_EVENTS, JOBS, PODS, PVCS, STORAGE_CLASSES
from aimctl.runtime.kube import Object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from aimctl.api.v1alpha1 import TemplateMatch
    from aimctl.cli.questions.answers import Answer
    from aimctl.cli.questions.health import Health
    from aimctl.runtime.kube import Resource

__all__ = ["RULES", "Reference", "references"]


@final
@dataclass(frozen=True, slots=True)
class Reference:
    """Objects in which a cause may lie.

    Attributes:
        questions: in order of precedence; the first one whose objects exist counts.
        keep: of the objects found, those to follow.
        aspect: the type of the condition that matters there; "" for the one that explains the object's state.
    """

    questions: tuple[Question, ...]
    keep: Callable[[Objects], Iterable[Object[Any]]] = field(default=tuple, compare=False)
    aspect: str = ""

    def targets(self, answers: Mapping[Question, Answer]) -> tuple[Object[Any] | Problem, ...]:
        """The objects, or the problem in their place; nothing if they were not asked for."""
        missing: Problem | None = None
        for question in self.questions:
            answer = answers.get(question)
            if isinstance(answer, Problem) and answer.trouble is Trouble.ABSENT:
                missing = missing or answer
            elif isinstance(answer, Problem):
                return (answer,)  # the object may exist, and take precedence
            elif answer is not None:
                return tuple(self.keep((answer,) if isinstance(answer, Object) else answer))
        return () if missing is None else (missing,)


References: TypeAlias = tuple[Reference, ...]
Follow: TypeAlias = "Callable[[Object[Any], str], References]"
"""From an object and the operator's namespace to references."""


def references(item: Object[Any], health: Health, operator_namespace: str) -> tuple[Reference, ...]:
    """The references to follow from an object whose state is ``health``."""
    reason = health.reason if health.own else health.state
    follow = RULES.get((health.kind, health.condition if health.own else "", reason))
    return () if follow is None else follow(item, operator_namespace)


# ---- references


def _named(name: str | None, namespace: str, *resources: Resource[Any]) -> References:
    """The object of this name: that of the namespace before that of the cluster. Nothing without a name."""
    questions = (
        Question(one, namespace if one.namespaced else "", name or "")
        for one in resources
        if namespace or not one.namespaced
    )
    return (Reference(tuple(questions)),) if name else ()


def _owned(items: Iterable[Object[Any]], owner: Object[Any]) -> list[Object[Any]]:
    return [item for item in items if any(one.uid == owner.meta.uid for one in item.meta.owners)]


def _newest(items: Iterable[Object[Any]]) -> Objects:
    found = newest(items)
    return () if found is None else (found,)


def _model(item: Object[Any], _: str) -> References:
    spec = item.view.spec
    name = spec.model.ref if hasattr(spec, "model") else spec.model_name
    return _named(name, item.meta.namespace, kinds.MODELS, kinds.CLUSTER_MODELS)


def _runtime_config(item: Object[Any], operator_namespace: str) -> References:
    namespace = item.meta.namespace or operator_namespace
    return _named(
        item.view.spec.runtime_config_name, namespace, kinds.RUNTIME_CONFIGS, kinds.CLUSTER_RUNTIME_CONFIGS
    )


def _storage_class(item: Object[Any], _: str) -> References:
    spec = item.view.spec
    fields = ("storage_class_name", "default_storage_class_name")
    return _named(next(filter(None, (getattr(spec, one, None) for one in fields)), None), "", STORAGE_CLASSES)


def _named_template(item: Object[Any], _: str) -> References:
    return _named(item.view.spec.template_ref, item.meta.namespace, kinds.TEMPLATES, kinds.CLUSTER_TEMPLATES)


def _template_in_use(item: Object[Any], operator_namespace: str) -> References:
    """The resolved template, otherwise the one that is named, otherwise the candidates that may become Ready.

    While ``Resolved`` is not True, ``resolvedTemplate`` is the template of the last configuration, and not the cause.
    """
    resolved, condition = (
        item.view.status.resolved_template,
        find_condition(item.view.status.conditions, "Resolved"),
    )
    if resolved is not None and (condition is None or condition.status == "True"):
        kind = kinds.TEMPLATES if resolved.namespace else kinds.CLUSTER_TEMPLATES
        return _named(resolved.name, resolved.namespace or "", kind)
    if item.view.spec.template_ref:
        return _named_template(item, operator_namespace)

    def keep(templates: Objects) -> Iterable[Object[Any]]:
        coming = ("", TemplateState.PENDING, TemplateState.PROGRESSING)
        return (one for one in templates if one.view.status.status in coming)

    return tuple(replace(one, keep=keep) for one in _candidates(item))


def _candidates(item: Object[Any]) -> References:
    """The templates that selection excluded because they are not Ready."""
    return tuple(
        reference
        for match in item.view.status.template_matching
        if match.dropped_by == "Ready"
        for reference in _candidate(item, match)
    )


def _candidate(item: Object[Any], match: TemplateMatch) -> References:
    kind = kinds.CLUSTER_TEMPLATES if match.scope == "Cluster" else kinds.TEMPLATES
    return _named(match.name, item.meta.namespace, kind)


def _no_template(item: Object[Any], operator_namespace: str) -> References:
    """Why a service has no template.

    The named template does not exist; or candidates are excluded because they are not Ready; or the model has no
    templates, which depends on what was read from its image. Of several candidates, one that only lacks its GPU is not
    the cause. If all are excluded for other reasons, the service itself is the cause: it lists them.
    """
    status, image = item.view.status, item.view.status.resolved_image
    if item.view.spec.template_ref:
        return _named_template(item, operator_namespace)
    if status.template_matching or image is None:
        several = len(status.template_matching) > 1

        def keep(templates: Objects) -> Iterable[Object[Any]]:
            lacks_gpu = TemplateState.NOT_AVAILABLE
            return (one for one in templates if not several or one.view.status.status != lacks_gpu)

        return tuple(replace(one, keep=keep) for one in _candidates(item))
    kind = kinds.MODELS if image.namespace else kinds.CLUSTER_MODELS
    return tuple(
        replace(one, keep=_read, aspect="MetadataExtracted")
        for one in _named(image.name, image.namespace or "", kind)
    )


def _read(models: Objects) -> Iterable[Object[Any]]:
    """The models whose images are read: that one is not read is a choice of its user, and no cause."""
    for model in models:
        extracted = find_condition(model.view.status.conditions, "MetadataExtracted")
        if extracted is None or extracted.reason != "Disabled":
            yield model


def _base_template(item: Object[Any], operator_namespace: str) -> References:
    """The template from which that of a service is derived: the one that is named, otherwise the selected one."""
    if item.view.spec.template_ref:
        return _named_template(item, operator_namespace)
    selected = next((one for one in item.view.status.template_matching if one.selected), None)
    return () if selected is None else _candidate(item, selected)


def _template_cache(item: Object[Any], _: str) -> References:
    """The template cache of a template, or of the template that a service uses."""
    resolved = getattr(item.view.status, "resolved_template", None)
    name = (
        item.meta.name if item.resource == kinds.TEMPLATES else resolved.name if resolved is not None else ""
    )
    return _named(name, item.meta.namespace, kinds.TEMPLATE_CACHES)


def _model_caches(item: Object[Any], _: str) -> References:
    """The model caches that failed; without such, those that are not Available."""
    waiting = [one for one in item.view.status.models if one.status != CacheState.AVAILABLE]
    failed = [one for one in waiting if one.status == CacheState.FAILED]
    names = dict.fromkeys(one.model_cache for one in failed or waiting)
    return tuple(one for name in names for one in _named(name, item.meta.namespace, kinds.MODEL_CACHES))


def _discovery(item: Object[Any], operator_namespace: str) -> References:
    return _job(
        item, item.meta.namespace or operator_namespace, f"{LABEL_TEMPLATE}={label_value(item.meta.name)}"
    )


def _download(item: Object[Any], operator_namespace: str) -> References:
    job = _job(item, item.meta.namespace, f"{LABEL_COMPONENT}={DOWNLOAD}")
    return (*job, *_volume(item, operator_namespace))


def _job(item: Object[Any], namespace: str, labels: str) -> References:
    """The newest unfinished Job of an object."""

    def keep(jobs: Objects) -> Objects:
        return _newest(job for job in _owned(jobs, item) if not job.view.finished)

    return (Reference((Question(JOBS, namespace, labels=labels),), keep),)


def _volume(item: Object[Any], _: str) -> References:
    """The volume claim, unless it is bound."""
    status = item.view.status
    bound = any(one.type == "StorageReady" and one.status == "True" for one in status.conditions)
    return () if bound else _named(status.persistent_volume_claim, item.meta.namespace, PVCS)


def _templates_of_model(item: Object[Any], _: str) -> References:
    """The templates of a model that are not Ready.

    A template whose GPU no node offers does not count against a model, unless all are like this.
    """
    ready = find_condition(item.view.status.conditions, "Ready")
    fine = {TemplateState.READY, TemplateState.NOT_AVAILABLE}
    if ready is not None and ready.reason == "GPUNotAvailable":
        fine = {TemplateState.READY}

    def keep(templates: Objects) -> Iterable[Object[Any]]:
        return (one for one in templates if runs(one) and one.view.status.status not in fine)

    def runs(template: Object[Any]) -> bool:
        resolved, meta = template.view.status.resolved_image, item.meta
        if resolved is not None:
            return bool(resolved.uid == meta.uid)
        return (template.view.spec.model_name, template.meta.namespace) == (meta.name, meta.namespace)

    scopes = (
        (kinds.TEMPLATES,) if item.resource == kinds.MODELS else (kinds.CLUSTER_TEMPLATES, kinds.TEMPLATES)
    )
    return tuple(Reference((Question(kind, item.meta.namespace),), keep) for kind in scopes)


def _inference_service(item: Object[Any], _: str) -> References:
    name, namespace = item.meta.name, item.meta.namespace
    return _named(runtime_name(name, namespace), namespace, kinds.INFERENCE_SERVICES)


def _serving_pods(item: Object[Any], _: str) -> References:
    """The newest pod of an InferenceService that states a problem."""

    def keep(pods: Objects) -> Objects:
        return _newest(pod for pod in pods if examine(pod).unhealthy)

    labels = f"{POD_LABEL}={item.meta.name}"
    return (Reference((Question(PODS, item.meta.namespace, labels=labels),), keep),)


def _pods_of_job(item: Object[Any], operator_namespace: str) -> References:
    """The newest pod, unless it runs; and the warning that says why there is none."""

    def keep(pods: Objects) -> Iterable[Object[Any]]:
        return (pod for pod in _newest(_owned(pods, item)) if examine(pod).state != "Running")

    pods = Question(PODS, item.meta.namespace, labels=f"job-name={item.meta.name}")
    return (Reference((pods,), keep), *_warning(item, operator_namespace))


def _warning(item: Object[Any], _: str) -> References:
    """The newest warning among the Events about an object, unless the object states its problem itself."""
    if examine(item).unhealthy:
        return ()

    def keep(events: Objects) -> Objects:
        return _newest(event for event in events if event.view.type == "Warning")

    fields = f"involvedObject.uid={item.meta.uid}"
    return (Reference((Question(CORE_EVENTS, item.meta.namespace, fields=fields),), keep),)


# ---- the table

_SERVICE = ("AIMService",)
_TEMPLATES = ("AIMServiceTemplate", "AIMClusterServiceTemplate")
_CACHE = ("AIMTemplateCache",)
_MODEL_CACHE = ("AIMModelCache",)
_MODELS = ("AIMModel", "AIMClusterModel")


def _rows() -> Iterator[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], Follow]]:
    """Kinds, condition types, reasons, and what to follow."""
    selected = ("Ready", "Resolved")
    yield _SERVICE, selected, ("ModelNotFound",), _model
    yield _SERVICE, selected, ("RuntimeConfigNotFound",), _runtime_config
    yield _SERVICE, selected, ("TemplateNotFound",), _no_template
    yield _SERVICE, selected, ("TemplateNotReady",), _template_in_use
    yield _SERVICE, selected, ("BaseTemplateNotFound",), _base_template
    yield _SERVICE, ("Ready", "CacheReady"), ("CacheNotReady", "CacheFailed"), _template_cache
    yield _SERVICE, ("Ready", "RuntimeReady"), ("RuntimeStarting", "RuntimeNotReady"), _inference_service

    yield _TEMPLATES, ("Ready",), ("ModelNotFound",), _model
    yield _TEMPLATES, ("Ready",), ("RuntimeConfigNotFound",), _runtime_config
    yield _TEMPLATES, ("Ready",), ("AwaitingDiscovery", "DiscoveryRunning"), _discovery
    warming = ("WarmRequested", "Warming", "WarmFailed")
    yield _TEMPLATES, ("Ready", "CacheWarm"), warming, _template_cache

    yield _CACHE, ("Ready",), ("TemplateNotFound",), _named_template
    yield _CACHE, ("Ready",), ("RuntimeConfigNotFound",), _runtime_config
    yield _CACHE, ("Ready",), ("TemplateNotDiscovered",), _template_in_use
    yield _CACHE, ("Ready",), warming, _model_caches

    yield _MODEL_CACHE, ("Ready",), ("RuntimeConfigNotFound",), _runtime_config
    yield _MODEL_CACHE, ("Ready",), ("StorageClassNotFound",), _storage_class
    yield _MODEL_CACHE, ("Ready",), ("VolumeLost", "VolumeDeleting", "VolumeMissing", "NameTaken"), _volume
    waiting = ("DownloadWaiting", "Downloading", "DownloadStalled", "NoPod", "Unschedulable")
    yield _MODEL_CACHE, ("Ready",), waiting, _download

    yield _MODELS, ("Ready",), ("RuntimeConfigNotFound",), _runtime_config
    rolled_up = ("TemplatesFailed", "TemplatesDegraded", "TemplatesProgressing", "GPUNotAvailable")
    yield _MODELS, ("Ready",), rolled_up, _templates_of_model

    yield ("AIMRuntimeConfig", "AIMClusterRuntimeConfig"), ("",), ("",), _storage_class
    yield ("Job",), ("",), ("Waiting", "Running"), _pods_of_job
    yield ("Pod", "PersistentVolumeClaim"), ("",), ("Pending",), _warning
    yield ("InferenceService",), ("",), ("NotReady", "Pending", "Failed"), _serving_pods


RULES: Mapping[tuple[str, str, str], Follow] = {
    (kind, type_, reason): follow
    for names, types, reasons, follow in _rows()
    for kind in names
    for type_ in types
    for reason in reasons
}
"""Kind, condition type and reason -> what to follow."""
