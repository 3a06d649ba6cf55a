"""The Helm chart of the operator, from the same objects and permissions as its manifests.

Contract:
    * With default values, the chart renders the objects of :func:`~aimctl.controllers.manifests.manifests` except the
      namespace, which Helm creates or which exists.
    * The CRDs are templates, so that an upgrade of the release upgrades them. By default they stay when the release is
      uninstalled.
    * The names of all objects are fixed: the CRDs exist once in a cluster, and so does the operator.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import yaml

from aimctl import __version__
from aimctl.api import dashboard, deployment, monitoring, protection, rbac
from aimctl.api.kinds import KINDS
from aimctl.controllers.manifests import (
    EVENTS_OF_CLUSTER_OBJECTS,
    HEADER,
    election_role,
    manager_permissions,
    metrics_roles,
)
from aimctl.generation.documents import to_yaml
from aimctl.installation.templating import Inline, Lines, guarded, template, with_value
from aimctl.installation.values import Values, values_schema, values_yaml
from aimctl.runtime.manager import EVENT_PERMISSIONS, Requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["CHART_NAME", "chart"]

CHART_NAME = "aimctl"

_NAMESPACE = Inline("{{ .Release.Namespace }}")
_OPERATOR = "{{ $.Release.Namespace }}"
"""The same in text that is quoted, also within ``range``."""
_IMAGE = Inline(
    "{{- $tag := .Values.image.tag | default .Chart.AppVersion }}"
    ' {{ printf "%s%s%s" .Values.image.repository (ternary "@" ":" (hasPrefix "sha256:" $tag)) $tag | quote }}'
)
_PRIORITY = """\
{{- with ternary "PRIORITY" .Values.priorityClass.name .Values.priorityClass.create }}
priorityClassName: {{ . }}
{{- end }}""".replace("PRIORITY", deployment.PRIORITY_CLASS)
_SECURE = ".Values.metrics.secure"
_CERTIFICATE = "and .Values.metrics.secure .Values.metrics.certificateSecret"
_PLAIN_PORT = 8080
_CERT_DIR = "/var/run/secrets/aimctl/metrics"
_METRICS_ARGUMENTS = Lines(
    f"{{{{- if {_SECURE} }}}}\n"
    f"- --metrics-bind-address=:{deployment.METRICS_PORT}\n"
    "- --metrics-secure\n"
    "{{- if .Values.metrics.certificateSecret }}\n"
    f"- --metrics-cert-dir={_CERT_DIR}\n"
    "{{- end }}\n"
    "{{- else }}\n"
    f"- --metrics-bind-address=:{_PLAIN_PORT}\n"
    "{{- end }}"
)
_METRICS_NUMBER = Inline(f"{{{{ ternary {deployment.METRICS_PORT} {_PLAIN_PORT} {_SECURE} }}}}")
_TOKEN_FILE = f"bearerTokenFile: {monitoring.TOKEN_FILE}"
_SCRAPE = """\
{{- if .Values.metrics.secure }}
scheme: https
bearerTokenFile: TOKEN_FILE
tlsConfig:
  {{- if .Values.metrics.certificateSecret }}
  ca:
    secret:
      name: {{ .Values.metrics.certificateSecret }}
      key: ca.crt
  serverName: aimctl-manager-metrics.{{ .Release.Namespace }}.svc
  {{- else }}
  insecureSkipVerify: true
  {{- end }}
{{- end }}""".replace("bearerTokenFile: TOKEN_FILE", _TOKEN_FILE)
_NOTES = """\
The AIM operator {{ .Chart.AppVersion }} runs in the namespace {{ .Release.Namespace }}:

  kubectl -n {{ .Release.Namespace }} rollout status deployment/aimctl-manager
{{ if .Values.networkPolicy.create }}
The network policy admits only the peers in networkPolicy.metricsFrom to the metrics port. By default these are pods in
namespaces with the label metrics=enabled.
{{ end }}
{{- if .Values.metrics.secure }}
The metrics port needs a token of an account with the ClusterRole aimctl-metrics-reader; bind it to that of Prometheus.
{{ else }}
WARNING: metrics.secure is false. Every client that can connect to the metrics port reads the metrics and debug pages.
{{ end }}
{{- if and .Values.crds.install (not .Values.crds.keep) }}
WARNING: crds.keep is false. "helm uninstall" deletes all AIM objects, their model servers and their cache volumes.
{{ end -}}
"""


def chart(
    requirements: Requirements | None = None, *, with_: Sequence[str] = (), skip: Sequence[str] = ()
) -> Mapping[str, str]:
    """Return the files of the chart: path in its folder -> text.

    Args:
        requirements: of extensions; their CRDs and permissions are added.
        with_: functions that the manager adds in addition to the installed extensions, as ``package:function``.
        skip: installed extensions that it leaves out.
    """
    requirements = Requirements() if requirements is None else requirements
    files = {
        "Chart.yaml": HEADER + _about(),
        "values.yaml": HEADER + values_yaml(),
        "values.schema.json": values_schema(),
        "templates/NOTES.txt": _NOTES,
    }
    crds = [kind.crd() for kind in KINDS] + list(requirements.crds.values())
    for crd in crds:
        name = f"{crd['spec']['group']}_{crd['spec']['names']['plural']}"
        files[f"templates/crds/{name}.yaml"] = HEADER + _crd(crd)
    files["templates/service-account.yaml"] = HEADER + _service_account()
    files["templates/manager-role.yaml"] = HEADER + _roles(requirements)
    files["templates/leader-election-role.yaml"] = HEADER + election_role(_OPERATOR)
    for name, text in metrics_roles(_OPERATOR).items():
        files[f"templates/{name}"] = HEADER + guarded(_SECURE, text)
    files |= {f"templates/{name}": HEADER + text for name, text in rbac.people_roles().items()}
    files["templates/manager.yaml"] = HEADER + template(_deployment(with_, skip))
    files["templates/metrics-service.yaml"] = HEADER + template(_metrics_service())
    files |= {f"templates/{name}": HEADER + text for name, text in _optional()}
    return files


def _about() -> str:
    return to_yaml(
        {
            "apiVersion": "v2",
            "name": CHART_NAME,
            "description": "The AIM operator: service templates, their discovery, services and caches.",
            "type": "application",
            "version": __version__,
            "appVersion": __version__,
            "kubeVersion": ">=1.25.0-0",
            "keywords": ["kserve", "inference", "operator"],
        }
    )


def _in_release(body: dict[str, Any]) -> dict[str, Any]:
    """The object in the namespace of the release."""
    return {**body, "metadata": {**body["metadata"], "namespace": _NAMESPACE}}


def _crd(crd: Mapping[str, Any]) -> str:
    keep = Lines("{{- if .Values.crds.keep }}\nannotations:\n  helm.sh/resource-policy: keep\n{{- end }}")
    body = {**crd, "metadata": {**crd["metadata"], "annotations": keep}}
    return guarded(".Values.crds.install", template(body))


def _service_account() -> str:
    body = _in_release(yaml.safe_load(rbac.service_account("default")))
    body["metadata"]["annotations"] = with_value("annotations", "serviceAccountAnnotations")
    return template(body)


def _roles(requirements: Requirements) -> str:
    """The roles of the manager: a ClusterRole, or a Role in each watched namespace and a ClusterRole for the rest."""
    permissions = manager_permissions(requirements)
    everywhere = rbac.grant("aimctl-manager", permissions, _OPERATOR)
    parts = rbac.grant("aimctl-manager", permissions, _OPERATOR, namespaces=("{{ . }}",)).split("---\n")
    inside = [part for part in parts if re.search("^kind: Role", part, re.MULTILINE)]
    outside = [part for part in parts if part not in inside]
    elsewhere = (EVENTS_OF_CLUSTER_OBJECTS,)
    events = rbac.grant("aimctl-events", EVENT_PERMISSIONS, _OPERATOR, namespaces=elsewhere)
    return (
        "{{- if .Values.watchNamespaces }}\n"
        "{{- $namespaces := append .Values.watchNamespaces .Release.Namespace | uniq }}\n"
        + "---\n".join(outside)
        + "{{- range $namespaces }}\n"
        + "".join(f"---\n{part}" for part in inside)
        + "{{- end }}\n"
        + guarded(f'not (has "{EVENTS_OF_CLUSTER_OBJECTS}" $namespaces)', f"---\n{events}")
        + "{{- else }}\n"
        + everywhere
        + "{{- end }}\n"
    )


def _arguments() -> Lines:
    """The arguments that values add; those whose value is the default of the flag are left out."""
    defaults = Values()

    def option(flag: str, path: str, default: int | str) -> str:
        value = f"int .Values.{path}" if isinstance(default, int) else f".Values.{path}"
        return (
            f"{{{{- if ne ({value}) {json.dumps(default)} }}}}\n- {flag}={{{{ {value} }}}}\n{{{{- end }}}}\n"
        )

    return Lines(
        "{{- range .Values.watchNamespaces }}\n- --watch-namespace={{ . }}\n{{- end }}\n"
        + option("--discovery-limit", "discoveryLimit", defaults.discovery_limit)
        + option("--max-concurrent-reconciles", "maxConcurrentReconciles", defaults.max_concurrent_reconciles)
        + "{{- range $registry, $mirror := .Values.registryMirrors }}\n"
        '- {{ printf "--registry-mirror=%s=%s" $registry $mirror | quote }}\n{{- end }}\n'
        "{{- range .Values.allowedRegistries }}\n"
        '- {{ printf "--allowed-registry=%s" . | quote }}\n{{- end }}\n'
        + option("--log-level", "logLevel", defaults.log_level)
        + option("--log-format", "logFormat", defaults.log_format)
        + "{{- range .Values.extraArgs }}\n- {{ . | quote }}\n{{- end }}"
    )


def _metrics_service() -> dict[str, Any]:
    body = _in_release(deployment.metrics_service(""))
    body["metadata"]["annotations"] |= {
        "prometheus.io/scheme": Inline(f'{{{{ ternary "https" "http" {_SECURE} }}}}'),
        "prometheus.io/port": Inline(
            f'{{{{ ternary "{deployment.METRICS_PORT}" "{_PLAIN_PORT}" {_SECURE} | quote }}}}'
        ),
    }
    body["spec"]["ports"][0]["port"] = _METRICS_NUMBER
    return body


def _deployment(with_: Sequence[str], skip: Sequence[str]) -> dict[str, Any]:
    body = _in_release(deployment.deployment("", "", with_=with_, skip=skip))
    pods = body["spec"]["template"]
    pod = pods["spec"]
    (container,) = pod["containers"]
    body["spec"] = {**body["spec"], "replicas": Inline("{{ int .Values.replicas }}")}
    labels = Lines("{{- with .Values.podLabels }}\n{{- toYaml . | nindent <+0> }}\n{{- end }}")
    pods["metadata"] = {
        "labels": {**pods["metadata"]["labels"], "more": labels},
        "annotations": with_value("annotations", "podAnnotations"),
    }
    environment = Lines("{{- with .Values.extraEnv }}\n{{- toYaml . | nindent <+0> }}\n{{- end }}")
    container |= {
        "image": _IMAGE,
        "imagePullPolicy": Lines(
            "{{- with .Values.image.pullPolicy }}\nimagePullPolicy: {{ . }}\n{{- end }}"
        ),
        "args": [
            *(
                _METRICS_ARGUMENTS if one.startswith("--metrics-bind-address=") else one
                for one in container["args"]
                if one != "--metrics-secure"
            ),
            _arguments(),
        ],
        "ports": [
            {**port, "containerPort": _METRICS_NUMBER} if port["name"] == "metrics" else port
            for port in container["ports"]
        ],
        "volumeMounts": Lines(
            f"{{{{- if {_CERTIFICATE} }}}}\nvolumeMounts:\n- name: metrics-certificate\n  mountPath: {_CERT_DIR}\n"
            "  readOnly: true\n{{- end }}"
        ),
        "env": [*container["env"], environment],
        "resources": with_value("resources", "resources"),
    }
    pod |= {
        "priorityClassName": Lines(_PRIORITY),
        "topologySpreadConstraints": with_value("topologySpreadConstraints", "topologySpreadConstraints"),
        "imagePullSecrets": with_value("imagePullSecrets", "imagePullSecrets"),
        "nodeSelector": with_value("nodeSelector", "nodeSelector"),
        "tolerations": with_value("tolerations", "tolerations"),
        "affinity": with_value("affinity", "affinity"),
        "volumes": Lines(
            f"{{{{- if {_CERTIFICATE} }}}}\nvolumes:\n- name: metrics-certificate\n  secret:\n"
            "    secretName: {{ .Values.metrics.certificateSecret }}\n{{- end }}"
        ),
    }
    return body


def _optional() -> Iterator[tuple[str, str]]:
    """The objects that a value switches on or off."""
    priority = {**protection.priority_class(), "value": Inline("{{ int .Values.priorityClass.value }}")}
    yield "priority-class.yaml", guarded(".Values.priorityClass.create", template(priority))
    budget = _in_release(protection.disruption_budget(""))
    yield "disruption-budget.yaml", guarded(".Values.podDisruptionBudget.create", template(budget))
    policy = _in_release(protection.network_policy(""))
    (rule,) = policy["spec"]["ingress"]
    # An empty list of peers admits every client, so the rule is left out with it.
    ports = "".join(f"\n  {line}" for line in to_yaml({"ports": rule["ports"]}).splitlines())
    policy["spec"]["ingress"] = Lines(
        "{{- with .Values.networkPolicy.metricsFrom }}\ningress:\n- from:\n    {{- toYaml . | nindent <+4> }}"
        f"{ports}\n{{{{- end }}}}"
    )
    yield "network-policy.yaml", guarded(".Values.networkPolicy.create", template(policy))
    yield from _monitoring()


def _authorization(endpoint: Mapping[str, Any]) -> str:
    """The token of an endpoint, as YAML without a line break at the end."""
    return to_yaml({"authorization": endpoint["authorization"]}).rstrip()


def _monitoring() -> Iterator[tuple[str, str]]:
    """The objects for the Prometheus operator and for Grafana."""
    rules = monitoring.prometheus_rule("")
    for rule in (rule for group in rules["spec"]["groups"] for rule in group["rules"]):
        link = json.dumps(f"{{{{ . }}}}#{rule['alert'].lower()}")
        code = f"{{{{- with .Values.prometheus.runbook }}}}\nrunbook_url: {link}\n{{{{- end }}}}"
        rule["annotations"]["runbook_url"] = Lines(code)
    services, pods = monitoring.service_monitor(""), monitoring.pod_monitor("")
    (of_service,), (of_pod,) = services["spec"]["endpoints"], pods["spec"]["podMetricsEndpoints"]
    of_pod["security"] = Lines(_SCRAPE.replace(_TOKEN_FILE, _authorization(of_pod)))
    of_service["security"] = Lines(_SCRAPE)
    for endpoint in (of_service, of_pod):
        for key in ("scheme", "bearerTokenFile", "tlsConfig", "authorization"):
            endpoint.pop(key, None)
    for name, group, value, body in (
        ("service-monitor.yaml", "prometheus", "serviceMonitor", services),
        ("pod-monitor.yaml", "prometheus", "podMonitor", pods),
        ("rules.yaml", "prometheus", "rules", rules),
        ("dashboard.yaml", "grafana", "dashboard", dashboard.dashboard_config_map("")),
    ):
        made = _in_release(body)
        code = f"{{{{- with .Values.{group}.labels }}}}\n{{{{- toYaml . | nindent <+0> }}}}\n{{{{- end }}}}"
        made["metadata"]["labels"] = {**made["metadata"]["labels"], "more": Lines(code)}
        yield name, guarded(f".Values.{group}.{value}", template(made))
