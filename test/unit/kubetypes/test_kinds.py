"""The built-in kinds with all their fields."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kubernetes_asyncio.client import models

from aimctl.kubetypes import Resource, builtin, k8s, kinds, to_body

ROOT = Path(__file__).parents[3]
KINDS: dict[str, Resource[Any]] = {name: getattr(kinds, name) for name in kinds.__all__}
MODELS = {
    "CORE_EVENTS": "CoreV1Event",
    "EVENTS": "EventsV1Event",
    "HORIZONTAL_POD_AUTOSCALERS": "V2HorizontalPodAutoscaler",
}
TEXT = "eHg="
"""A text that is valid for every field of type str, also those with base64."""


def complete(type_: str, path: tuple[str, ...] = ()) -> Any:
    """A value of a type of kubernetes-asyncio in which every field is set; recursive types end at the second level."""
    if found := re.fullmatch(r"list\[(.*)\]", type_):
        return [complete(found[1], path)]
    if found := re.fullmatch(r"dict\(str, (.*)\)", type_):
        return {"a_key": complete(found[1], path)}
    scalars = {
        "str": TEXT,
        "object": TEXT,
        "int": 7,
        "float": 1.5,
        "bool": True,
        "datetime": datetime(2026, 1, 2, tzinfo=UTC),
    }
    if type_ in scalars:
        return scalars[type_]
    model = getattr(models, type_)
    fields = {
        attribute: complete(field, (*path, type_))
        for attribute, field in model.openapi_types.items()
        if path.count(type_) < 2 and attribute != "managed_fields"
    }
    return model(**fields)


def without_kinds(value: Any) -> Any:
    """A body without the kinds of objects, which the encoding of a body adds (a claim template needs none)."""
    if isinstance(value, dict):
        left_out = {"apiVersion", "kind"} if "metadata" in value else set()
        return {key: without_kinds(item) for key, item in value.items() if key not in left_out}
    return [without_kinds(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", KINDS)
def test_every_field_of_a_kind_is_typed_and_keeps_its_json_name(name: str) -> None:
    kind = KINDS[name]
    body = to_body(complete(MODELS.get(name, f"V1{kind.kind}")))
    view = kind.decode(msgspec.json.encode(body))
    assert to_body(view) == without_kinds(body)
    with pytest.raises(AttributeError):
        view.metadata = None


@pytest.mark.parametrize("name", KINDS)
def test_an_empty_body_has_a_view_without_none_at_the_top(name: str) -> None:
    kind = KINDS[name]
    empty = kind.decode(b"{}")
    assert kind.decode(b'{"metadata":null,"spec":null,"status":null,"data":null}') == empty
    assert to_body(empty) == {}
    for field in ("metadata", "spec", "status"):
        assert getattr(empty, field, "") is not None


def test_the_kinds_are_those_of_the_narrow_types_too() -> None:
    narrow = {name: getattr(builtin, name) for name in builtin.__all__ if name in KINDS}
    assert len(narrow) >= 13
    assert {name: KINDS[name] for name in narrow} == narrow
    assert {name: KINDS[name].kind for name in narrow} == {name: one.kind for name, one in narrow.items()}


def test_a_pod_is_read_without_checks_for_none() -> None:
    body = {"spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}]}}
    pod = kinds.PODS.decode(msgspec.json.encode(body))
    container = pod.spec.containers[0]
    assert (container.image, container.ports[0].container_port, container.resources.limits) == ("i", 80, {})
    assert (pod.spec.host_network, pod.status.container_statuses, container.liveness_probe) == (
        None,
        (),
        None,
    )


@pytest.mark.parametrize("port", [8080, "http"])
def test_a_port_is_a_number_or_a_name(port: int | str) -> None:
    body = {"spec": {"ports": [{"port": 80, "targetPort": port}]}}
    assert kinds.SERVICES.decode(msgspec.json.encode(body)).spec.ports[0].target_port == port


def test_a_value_that_means_something_else_than_its_absence_is_written() -> None:
    assert to_body(k8s.DeploymentSpec(replicas=0)) == {"replicas": 0}
    assert to_body(k8s.PodSpec(automount_service_account_token=False)) == {
        "automountServiceAccountToken": False
    }
    assert to_body(k8s.PersistentVolumeClaimSpec(storage_class_name="")) == {"storageClassName": ""}
    assert to_body(k8s.Volume(name="v", empty_dir=k8s.EmptyDirVolumeSource())) == {
        "name": "v",
        "emptyDir": {},
    }
    assert to_body(k8s.NetworkPolicyPeer(namespace_selector=k8s.LabelSelector())) == {"namespaceSelector": {}}


def test_binary_data_is_bytes_in_python_and_base64_in_json() -> None:
    secret = kinds.SECRETS.decode(b'{"metadata":{"name":"s"},"data":{"key":"dGV4dA=="}}')
    assert secret.data == {"key": b"text"}
    assert to_body(secret)["data"] == {"key": "dGV4dA=="}
    assert "text" not in repr(secret)
    assert "dGV4" not in repr(secret)


def test_a_type_is_imported_when_it_is_used() -> None:
    program = (
        "import sys\nfrom aimctl.runtime import PODS, DEPLOYMENTS, k8s\n"
        "def loaded(): return sorted(m.rpartition('.')[2] for m in sys.modules if m.startswith('aimctl.kubetypes.k8s.'))\n"
        "print(loaded())\nPODS.decode(b'{}')\nprint(loaded())\nk8s.Role\nprint('access' in loaded())\n"
        "print('kubernetes_asyncio' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:4] == [
        "['names']",
        "['meta', 'names', 'pods', 'volumes']",
        "True",
        "False",
    ]


def test_an_unknown_type_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Depolyment'"):
        k8s.Depolyment  # type: ignore[attr-defined]  # noqa: B018 - the mistake


def test_the_generated_files_are_up_to_date() -> None:
    header = (ROOT / "src/aimctl/kubetypes/k8s/pods.py").read_text(encoding="utf-8")
    installed = importlib.metadata.version("kubernetes-asyncio").split(".")[0]
    if f"kubernetes-asyncio {installed};" not in header:
        pytest.skip(f"they are of another version than the installed kubernetes-asyncio {installed}")
    done = subprocess.run(
        [sys.executable, "hack/typed_kinds.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
