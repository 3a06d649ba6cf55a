"""A tour of Helm on the embedded and on a real API server."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from support.helm import Helm
from support.tours import Step, check_tour, stable

if TYPE_CHECKING:
    from pathlib import Path

    from support.clusters import RunningCluster

IMAGE = "registry.test/aim-quick:1"
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gadgets.helm.tours.example.com}
spec:
  group: helm.tours.example.com
  scope: Namespaced
  names: {plural: gadgets, kind: Gadget, singular: gadget, listKind: GadgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
"""
OBJECTS = """
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-config, labels: {chart: tour}}
data:
  greeting: {{ .Values.greeting | quote }}
  {{- if (lookup "v1" "Namespace" "" "kube-system") }}
  found: kube-system
  {{- end }}
---
apiVersion: v1
kind: Service
metadata: {name: {{ .Release.Name }}}
spec: {selector: {app: tour}, ports: [{port: {{ .Values.port }}}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}}
spec:
  replicas: 0
  selector: {matchLabels: {app: tour}}
  template:
    metadata: {labels: {app: tour}}
    spec: {containers: [{name: main, image: IMAGE}]}
---
apiVersion: helm.tours.example.com/v1
kind: Gadget
metadata: {name: {{ .Release.Name }}}
spec: {size: {{ .Values.size }}}
{{- if .Values.extra }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}-extra}
{{- end }}
""".replace("IMAGE", IMAGE)
HOOKS = """
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}-prepare
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
spec:
  template: {spec: {restartPolicy: Never, containers: [{name: main, image: IMAGE, args: [dry-run]}]}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation}
spec: {restartPolicy: Never, containers: [{name: main, image: IMAGE, args: [dry-run]}]}
""".replace("IMAGE", IMAGE)
VALUES = "greeting: hello\nport: 80\nsize: 1\nextra: false\n"
NOTES = "{{ .Release.Name }} runs on Kubernetes {{ .Capabilities.KubeVersion.Major }}\n"
_DATES = re.compile(r"\w{3} \w{3} +\d+ \d\d:\d\d:\d\d \d{4}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*( \S+ \S+)?")


_TYPES = "server-side apply checks types with the schema, and reports another message"
DIFFERENCES = {
    "helm upgrade one FOLDER --set size=large --timeout=AGE": _TYPES,
    "helm history one --max=2": _TYPES,
}


def write_chart(folder: Path) -> Path:
    files = {
        "Chart.yaml": "apiVersion: v2\nname: tour\nversion: 1.0.0\nappVersion: '1'\nkubeVersion: '>=1.28.0-0'\n",
        "values.yaml": VALUES,
        "values.schema.json": '{"properties": {"port": {"type": "integer"}}}',
        "crds/gadgets.yaml": CRD,
        "templates/objects.yaml": OBJECTS,
        "templates/hooks.yaml": HOOKS,
        "templates/NOTES.txt": NOTES,
    }
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def test_the_client_prints_the_recorded_steps(
    cluster: RunningCluster, namespace: str, tmp_path: Path
) -> None:
    chart = str(write_chart(tmp_path / "chart"))
    program = Helm(tmp_path, cluster.kubeconfig)
    steps: list[Step] = []

    def helm(*args: str, keep: bool = True) -> None:
        done = program.run(*args, "-n", namespace)
        texts = [
            stable(_DATES.sub("DATE", text)).replace(str(tmp_path), "FOLDER")
            for text in (done.stdout, done.stderr)
        ]
        name = stable(" ".join(args)).replace(str(tmp_path), "FOLDER")
        steps.append([f"helm {name}", [done.returncode, *(texts if keep else ())]])

    def objects(step: str) -> None:
        listed = cluster.kubectl(
            "get", "cm,svc,deploy,job,pod", "-l", "!absent", "-n", namespace, "-o", "name"
        )
        names = sorted(re.sub(r"-prepare-\w{5}$", "-prepare-POD", name) for name in listed.split())
        data = cluster.kubectl(
            "get", "cm", "one-config", "-n", namespace, "-o", "jsonpath={.data}", "--ignore-not-found"
        )
        steps.append([step, [[name for name in names if "kube-root-ca" not in name], data]])

    helm("lint", chart)
    helm("template", "one", chart)
    helm("install", "one", chart, "--dry-run=server", keep=False)
    helm("install", "one", chart, "--set", "port=eighty")
    helm("install", "one", chart, "--timeout=60s")
    objects("objects of the first revision")
    helm("install", "one", chart)
    helm("status", "one", keep=False)  # the order of its kinds is random
    helm("get", "notes", "one")
    helm("list")
    helm("get", "values", "one", "--all")
    helm("get", "manifest", "one", keep=False)
    helm("upgrade", "one", chart, "--set", "greeting=bye,extra=true,port=81", "--timeout=60s")
    objects("objects of the second revision")
    helm("upgrade", "one", chart, "--set", "size=large", "--timeout=60s")
    helm("history", "one", "--max=2")
    helm("upgrade", "one", chart, "--set", "port=99999", "--rollback-on-failure", "--timeout=60s")
    cluster.kubectl("patch", "cm", "one-config", "-n", namespace, "-p", '{"data":{"greeting":"changed"}}')
    helm("rollback", "one", "1", "--timeout=60s")
    objects("objects after the rollback")
    helm("history", "one", "-o", "json", keep=False)
    helm("test", "one", "--timeout=60s")
    helm("test", "one", "--logs", "--timeout=60s", keep=False)
    cluster.kubectl("create", "configmap", "two-config", "-n", namespace)
    helm("upgrade", "--install", "two", chart, "--timeout=60s")
    helm("upgrade", "--install", "two", chart, "--take-ownership", "--timeout=60s")
    helm("list", "--all", "-q")
    helm("uninstall", "one", "--keep-history")
    helm("list", "--uninstalled", "-q")
    helm("uninstall", "two", "--wait", "--timeout=60s")
    helm("uninstall", "two")
    helm("uninstall", "one")
    cluster.kubectl("delete", "crd", "gadgets.helm.tours.example.com")
    check_tour("helm", cluster, steps, DIFFERENCES)
