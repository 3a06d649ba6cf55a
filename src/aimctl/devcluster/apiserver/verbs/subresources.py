"""The subresources log, binding, eviction, token and scale.

Contract:
    * Pod logs are read from a :class:`~aimctl.devcluster.apiserver.logs.LogSource`. Its errors become those of the real
      server.
    * A pod can be bound once.
    * Scale reads and writes the paths that the kind specifies.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.logs import LogKey, LogOptions, NoSuchLog, NotStarted
from aimctl.devcluster.apiserver.objects.disruption import disruption_target
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError, go_quote
from aimctl.devcluster.apiserver.tokens import ISSUER, Account
from aimctl.devcluster.apiserver.verbs.write_types import WriteOptions
from aimctl.devcluster.apiserver.wire import statuses
from aimctl.runtime.clock import format_time, parse_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from aimctl.devcluster.apiserver.logs import LogSource
    from aimctl.devcluster.apiserver.objects.kinds import Scale, ServedKind
    from aimctl.devcluster.apiserver.tokens import TokenIssuer
    from aimctl.devcluster.apiserver.verbs.deletion import DeleteOptions
    from aimctl.devcluster.apiserver.verbs.write_types import Target, Written
    from aimctl.devcluster.apiserver.verbs.writes import Writer
    from aimctl.devcluster.apiserver.wire.requests import Query, RequestInfo
    from aimctl.devcluster.storage.records import Record
    from aimctl.runtime.clock import Clock

__all__ = ["Subresources", "missing_subresource", "scale_of"]

_TOKEN_SECONDS, _LEAST_TOKEN_SECONDS = 3600, 600
_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_STREAMS = frozenset(
    (
        *(("pods", name) for name in ("attach", "exec", "portforward", "proxy")),
        *((plural, "proxy") for plural in ("nodes", "services")),
    )
)
"""Connections to what runs, which this server does not have."""


@final
class Subresources:
    """Handles subresources; writes with the :class:`Writer`."""

    def __init__(self, writer: Writer, *, clock: Clock, issuer: TokenIssuer) -> None:
        self._writer = writer
        self._clock = clock
        self._issuer = issuer
        self.logs: LogSource | None = None

    # -- log

    def log(self, pod: Mapping[str, Any], query: Query) -> bytes | AsyncGenerator[bytes] | None:
        """The log, or with ``follow`` a stream; None if the pod has no node.

        Raises:
            StatusError: 400, 404.
        """
        metadata = pod["metadata"]
        _check_log_options(query, metadata["name"])
        container = self._container(pod, query.text("container"))
        if not (pod.get("spec") or {}).get("nodeName"):
            return None
        since = query.text("sinceTime")
        since_seconds = query.number("sinceSeconds")
        try:
            options = LogOptions(
                tail_lines=query.number("tailLines"),
                limit_bytes=query.number("limitBytes"),
                since_seconds=None if since_seconds is None else float(since_seconds),
                since_time=parse_time(since) if since else None,
                timestamps=query.flag("timestamps"),
                previous=query.flag("previous"),
            )
        except ValueError as error:
            raise statuses.bad_request(f"sinceTime: {error}") from error
        if self.logs is None:
            raise statuses.internal_error("no node serves logs: set a LogSource")
        key = LogKey(metadata["namespace"], metadata["name"], container)
        try:
            text = self.logs.read(key, options)
        except NotStarted as error:
            raise statuses.bad_request(str(error)) from error
        except NoSuchLog as error:
            raise statuses.status(404, "NotFound", str(error.args[0])) from error
        return _followed(self.logs.follow(key, options)) if query.flag("follow") else text

    @staticmethod
    def _container(pod: Mapping[str, Any], asked: str) -> str:
        spec, metadata = pod.get("spec") or {}, pod["metadata"]
        names = [each["name"] for each in spec.get("containers") or ()]
        all_names = [
            each["name"]
            for field in ("initContainers", "containers", "ephemeralContainers")
            for each in spec.get(field) or ()
        ]
        if asked:
            if asked not in all_names:
                raise statuses.bad_request(f"container {asked} is not valid for pod {metadata['name']}")
            return asked
        default = (metadata.get("annotations") or {}).get(_DEFAULT_CONTAINER)
        if default in names:
            return str(default)
        if len(names) == 1:
            return str(names[0])
        pod_name, shown = metadata["name"], " ".join(names)
        text = f"a container name must be specified for pod {pod_name}, choose one of: [{shown}]"
        init = [each["name"] for each in spec.get("initContainers") or ()]
        raise statuses.bad_request(
            f"{text} or one of the init containers: [{' '.join(init)}]" if init else text
        )

    # -- binding

    def bind(self, target: Target, record: Record, body: Mapping[str, Any], options: WriteOptions) -> None:
        """Bind a pod to a node. Raises StatusError 400, 409."""
        node = (body.get("target") or {}).get("name") or ""
        if not node:
            raise statuses.status(500, "", "target.name: Required value")
        pod = self._writer.stored_form(target.kind, record)
        spec = pod["spec"]
        pod_resource = target.kind.resource
        if pod["metadata"].get("deletionTimestamp"):
            why = f"pod {record.name} is being deleted, cannot be assigned to a host"
            raise statuses.conflict(pod_resource, record.name, why)
        if spec.get("nodeName"):
            why = f"pod {record.name} is already assigned to node {go_quote(spec['nodeName'])}"
            raise statuses.conflict(replace(pod_resource, plural="pods/binding"), record.name, why)
        spec["nodeName"] = node
        status = dict(pod.get("status") or {})
        scheduled = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": format_time(self._clock.now()),
        }
        others = [each for each in status.get("conditions") or () if each.get("type") != "PodScheduled"]
        status["conditions"] = [*others, scheduled]
        self._writer.force(target.kind, {**pod, "status": status}, options)

    # -- token

    def token(self, target: Target, record: Record, body: Mapping[str, Any]) -> dict[str, Any]:
        """A TokenRequest with its token. Raises StatusError 422."""
        spec = body.get("spec") or {}
        seconds = spec.get("expirationSeconds") or _TOKEN_SECONDS
        if seconds < _LEAST_TOKEN_SECONDS:
            text = "may not specify a duration less than 10 minutes"
            error = FieldError("FieldValueInvalid", "spec.expirationSeconds", seconds, text)
            raise statuses.invalid("authentication.k8s.io", "TokenRequest", "", [error])
        audiences = spec.get("audiences") or [ISSUER]
        ends = self._clock.now() + timedelta(seconds=seconds)
        bound = spec.get("boundObjectRef")
        account = Account(target.namespace, target.name, record.uid, tuple(audiences))
        token = self._issuer.issue(account, ends, bound=bound)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": target.name, "namespace": target.namespace, "creationTimestamp": None},
            "spec": {"audiences": audiences, "boundObjectRef": bound, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": format_time(ends)},
        }

    # -- eviction

    def disrupted(self, target: Target, record: Record, options: DeleteOptions) -> Record:
        """The pod with the condition that names its eviction; one that has ended gets none."""
        pod = self._writer.stored_form(target.kind, record)
        status = pod.setdefault("status", {})
        if status.get("phase") in {"Succeeded", "Failed"} or options.dry_run:
            return record
        condition = disruption_target("EvictionByEvictionAPI", "Eviction API: evicting", self._clock.now())
        others = [item for item in status.get("conditions") or () if item["type"] != condition["type"]]
        status["conditions"] = [*others, condition]
        written = self._writer.replace(target.kind, record, pod, WriteOptions(), subresource="status")
        return written.record

    # -- scale

    def scaled(
        self, target: Target, record: Record, body: Mapping[str, Any], options: WriteOptions
    ) -> Written:
        """Set the replicas from a Scale object. Raises StatusError 409, 422."""
        kind = target.kind
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version and version != str(record.version):
            raise statuses.conflict(kind.resource, record.name)
        obj = self._writer.stored_form(kind, record)
        replicas = (body.get("spec") or {}).get("replicas") or 0
        _set(obj, _scale(kind).spec_replicas_path, replicas)
        if replicas < 0 and not kind.custom:
            text = "must be greater than or equal to 0"
            error = FieldError("FieldValueInvalid", "spec.replicas", replicas, text)
            raise statuses.invalid("autoscaling", "Scale", record.name, [error])
        return self._writer.replace(kind, record, obj, options, subresource="scale")


def missing_subresource(kind: ServedKind, info: RequestInfo) -> statuses.StatusError:
    """The error for a subresource that is not served. For custom kinds it is that of a missing object."""
    resource, name = kind.resource, info.subresource.partition("/")[0]
    if kind.custom and name in ("status", "scale"):
        return statuses.not_found(resource, info.name)
    if not resource.group and (resource.plural, name) in _STREAMS:
        text = f"{resource.plural}/{name} is not implemented: nothing runs in the pods of an embedded cluster"
        return statuses.status(501, "NotImplemented", text)
    return statuses.path_not_found()


def _check_log_options(query: Query, name: str) -> None:
    """Raise StatusError 422 for options of a log that are invalid."""
    errors = []
    for option, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        number = query.number(option)
        if number is not None and number < least:
            text = f"must be greater than {'or equal to ' if least == 0 else ''}0"
            errors.append(FieldError("FieldValueInvalid", option, number, text))
    if query.text("sinceTime") and query.text("sinceSeconds"):
        text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
        errors.append(FieldError("FieldValueForbidden", "[]", OMITTED, text))
    if errors:
        raise statuses.invalid("", "PodLogOptions", name, errors)


def _scale(kind: ServedKind) -> Scale:
    if kind.scale is None:
        raise statuses.path_not_found()
    return kind.scale


def scale_of(kind: ServedKind, obj: Mapping[str, Any]) -> dict[str, Any]:
    """The ``autoscaling/v1`` Scale of an object."""
    scale = _scale(kind)
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status: dict[str, Any] = {"replicas": _get(obj, scale.status_replicas_path) or 0}
    selector = _get(obj, scale.label_selector_path) if scale.label_selector_path else None
    if isinstance(selector, dict):
        selector = _selector_text(selector)
    if selector:
        status["selector"] = selector
    replicas = _get(obj, scale.spec_replicas_path)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: metadata[name] for name in kept if name in metadata},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _selector_text(selector: Mapping[str, Any]) -> str:
    """A label selector, or the labels of a ReplicationController, in the syntax of queries."""
    is_selector = "matchLabels" in selector or "matchExpressions" in selector
    labels = (selector.get("matchLabels") or {}) if is_selector else selector
    parts = [(key, f"{key}={value}") for key, value in labels.items()]
    for item in (selector.get("matchExpressions") or ()) if is_selector else ():
        key, values = item.get("key", ""), ",".join(sorted(item.get("values") or ()))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "DoesNotExist": f"!{key}"}
        parts.append((key, forms.get(item.get("operator", ""), key)))
    return ",".join(text for _, text in sorted(parts, key=lambda part: part[0]))


def _get(obj: Mapping[str, Any], path: str) -> Any:
    value: Any = obj
    for name in path.strip(".").split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _set(obj: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.strip(".").split(".")
    for name in parents:
        obj = obj.setdefault(name, {})
    obj[last] = value


async def _followed(source: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        async for chunk in source:
            yield chunk
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()
