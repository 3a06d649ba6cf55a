"""The values of the Helm chart: their types, defaults and descriptions.

``values.yaml``, ``values.schema.json`` and the table in ``docs/installing.md`` are generated from :class:`Values`.
Defaults that the manifests contain too are taken from these.
"""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import GenerateJsonSchema

from aimctl.api.deployment import DEFAULT_IMAGE, deployment
from aimctl.api.protection import METRICS_CLIENTS, priority_class
from aimctl.generation.documents import to_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Values", "values_schema", "values_yaml"]

_DEPLOYMENT = deployment("default", DEFAULT_IMAGE)["spec"]
_POD = _DEPLOYMENT["template"]["spec"]
(_CONTAINER,) = _POD["containers"]

Objects = tuple[dict[str, Any], ...]
Namespace = Annotated[str, Field(pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class _Group(BaseModel):
    """A mapping of values; unknown names are errors, because they are usually spelling mistakes."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


class Image(_Group):
    """The image of the manager. No image is published: build it from the Dockerfile."""

    repository: str = DEFAULT_IMAGE.rpartition(":")[0]
    """Registry and repository, without a tag."""
    tag: str = ""
    """Tag, or digest as `sha256:...`; empty for the version of the chart."""
    pull_policy: Literal["", "IfNotPresent", "Always", "Never"] = ""
    """When nodes pull the image; empty for the default of Kubernetes."""


class Crds(_Group):
    """The definitions of the nine kinds."""

    install: bool = True
    """Install and upgrade them with the release. Set it to false if another tool does."""
    keep: bool = True
    """Keep them when the release is uninstalled. Without them, all AIM objects are deleted, and with these the model
    servers and the cache volumes."""


class PriorityClass(_Group):
    """Scheduling priority of the manager's pods."""

    create: bool = True
    """Create the class `aimctl-manager`."""
    value: int = Field(default=priority_class()["value"], le=1_000_000_000)
    """Its priority; it cannot be changed after it was created."""
    name: str = ""
    """Another class, if `create` is false; empty for none."""


class PodDisruptionBudget(_Group):
    """How many replicas a drain of nodes may evict at a time."""

    create: bool = True
    """Create the budget, which allows one."""


class Metrics(_Group):
    """The metrics port, which also serves the debug pages."""

    secure: bool = True
    """Serve them with TLS on port 8443, to clients with a token and a permission. If false, they are served as plain
    HTTP on port 8080, to every client that can connect."""
    certificate_secret: str = ""
    """Secret of the type `kubernetes.io/tls` in the namespace of the release; empty for a self-signed certificate. It
    must be valid for `aimctl-manager-metrics.NAMESPACE.svc`."""


class NetworkPolicy(_Group):
    """Who may connect to the manager."""

    create: bool = True
    """Create the policy. Without it, every pod of the cluster may connect to the ports of the manager."""
    metrics_from: Objects = Field(default=(METRICS_CLIENTS,))
    """Peers that may connect to the metrics port, as in `spec.ingress.from` of a NetworkPolicy; empty for none."""


class Prometheus(_Group):
    """Objects for the Prometheus operator, whose CRDs have to be installed."""

    service_monitor: bool = False
    """Create a ServiceMonitor."""
    pod_monitor: bool = False
    """Create a PodMonitor, instead of the ServiceMonitor: with both, every value counts twice in sums."""
    rules: bool = False
    """Create a PrometheusRule with the alerts."""
    runbook: str = ""
    """Address of your copy of the runbook, to which the alerts then link. In any case each alert has the command that
    prints its section, `aimctl runbook NAME`."""
    labels: dict[str, str] = Field(default={})
    """Labels of these objects, by which a Prometheus may select them."""


class Grafana(_Group):
    """The dashboard."""

    dashboard: bool = False
    """Create a ConfigMap with the dashboard, which the sidecar of Grafana's chart loads."""
    labels: dict[str, str] = Field(default={})
    """Labels of the ConfigMap, in addition to `grafana_dashboard: "1"`."""


class Values(_Group):
    """All values of the chart."""

    image: Image = Image()
    image_pull_secrets: Objects = ()
    """Pull secrets of the manager's image, such as `- name: registry`. Those of models belong to the models."""
    replicas: int = Field(default=_DEPLOYMENT["replicas"], ge=0)
    """Number of managers: one leader, the others are standbys with filled caches."""
    watch_namespaces: tuple[Namespace, ...] = ()
    """Watch only these namespaces and that of the release, with Roles in these instead of a ClusterRole; empty for all.
    The namespaces must exist."""
    discovery_limit: int = Field(default=10, ge=1, le=1000)
    """Discovery Jobs that may be unfinished at one time."""
    max_concurrent_reconciles: int = Field(default=4, ge=1, le=100)
    """Concurrent reconciles of each controller."""
    registry_mirrors: dict[str, str] = Field(default={})
    """Base URL of the mirror by image registry, such as `ghcr.io: https://mirror.example`; `*` for all registries."""
    allowed_registries: tuple[str, ...] = ()
    """Image registries whose metadata may be read, such as `*.example.org`; empty for all."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    log_format: Literal["json", "console"] = "json"
    """`json`, or `console` for text."""
    extra_args: tuple[str, ...] = ()
    """More arguments of `aimctl manager`, such as `--with=package:function`."""
    extra_env: Objects = ()
    """More environment variables of the manager, such as `HTTPS_PROXY`."""
    resources: dict[str, Any] = Field(default=_CONTAINER["resources"])
    """Requests and limits of the manager."""
    pod_labels: dict[str, str] = Field(default={})
    """More labels of the manager's pods."""
    pod_annotations: dict[str, str] = Field(default={})
    """Annotations of the manager's pods."""
    node_selector: dict[str, str] = Field(default={})
    """Labels of nodes on which the manager may run."""
    tolerations: Objects = ()
    """Taints that the manager's pods tolerate."""
    affinity: dict[str, Any] = Field(default={})
    """Affinity of the manager's pods."""
    topology_spread_constraints: Objects = Field(default=tuple(_POD["topologySpreadConstraints"]))
    """How the replicas are spread; by default over nodes, where possible."""
    service_account_annotations: dict[str, str] = Field(default={})
    """Annotations of the manager's service account."""
    crds: Crds = Crds()
    priority_class: PriorityClass = PriorityClass()
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    metrics: Metrics = Metrics()
    network_policy: NetworkPolicy = NetworkPolicy()
    prometheus: Prometheus = Prometheus()
    grafana: Grafana = Grafana()


def values_yaml() -> str:
    """Return ``values.yaml``: every value with its default, and its description as a comment."""
    return "\n".join(_yaml_lines(Values(), "")) + "\n"


def _yaml_lines(group: _Group, indent: str) -> Iterator[str]:
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if isinstance(value, _Group):
            yield from _comment(type(value).__doc__ or "", indent)
            yield f"{indent}{field.alias}:"
            yield from _yaml_lines(value, f"{indent}  ")
        else:
            yield from _comment(field.description or "", indent)
            default = list(value) if isinstance(value, tuple) else value
            yield from (indent + line for line in to_yaml({field.alias or name: default}).splitlines())


def _comment(text: str, indent: str) -> Iterator[str]:
    yield from textwrap.wrap(
        " ".join(text.split()), 110, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )


def values_schema() -> str:
    """Return ``values.schema.json``, with which Helm rejects unknown names and values of a wrong type."""
    schema: Mapping[str, Any] = Values.model_json_schema(schema_generator=_Schema)
    # Helm adds this value if the chart is a dependency of another one.
    properties = {**schema["properties"], "global": {"type": "object"}}
    text = json.dumps({**schema, "title": "Values of the chart aimctl", "properties": properties}, indent=2)
    return text.replace("\\n", " ") + "\n"


class _Schema(GenerateJsonSchema):
    """Without titles of values, which only repeat the names, and without defaults, which are in ``values.yaml``."""

    def default_schema(self, schema: Any) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: Any) -> bool:
        del schema
        return False
