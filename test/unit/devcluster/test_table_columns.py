"""Tables of custom and built-in kinds, as kubectl get shows them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.builtin.types import builtin_kinds
from aimctl.devcluster.apiserver.objects.kinds import PrinterColumn, ServedKind
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.devcluster.apiserver.tables.ages import age, human_duration
from aimctl.devcluster.apiserver.tables.jsonpaths import compile_path, find
from aimctl.devcluster.apiserver.tables.render import render_table
from aimctl.kubetypes import Resource
from aimctl.runtime.clock import format_time

NOW = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
KINDS = {(kind.resource.group, kind.resource.kind): kind for kind in builtin_kinds()}


def ago(**delta: float) -> str:
    return format_time(NOW - timedelta(**delta))


def row(group: str, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
    table = render_table(KINDS[group, kind], [obj], now=NOW)
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"), (-1.5, "0s"), (0, "0s"), (59, "59s"), (119, "119s"), (120, "2m"), (330, "5m30s"), (600, "10m"),
        (179 * 60, "179m"), (3 * 3600, "3h"), (3 * 3600 + 60, "3h1m"), (8 * 3600 + 60, "8h"), (47 * 3600, "47h"),
        (48 * 3600, "2d"), (50 * 3600, "2d2h"), (8 * 86400 + 3600, "8d"), (364 * 86400, "364d"), (729 * 86400, "729d"),
        (730 * 86400, "2y"), (731 * 86400, "2y1d"), (8 * 365 * 86400 + 86400, "8y"),
    ],
)  # fmt: skip
def test_a_duration_has_the_format_of_kubectl(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_a_duration_never_has_more_than_two_units(seconds: int) -> None:
    text = human_duration(seconds)
    assert 1 <= sum(char.isalpha() for char in text) <= 2


def test_an_age_without_a_time_is_unknown() -> None:
    assert age(None, NOW) == "<unknown>"
    assert age("yesterday", NOW) == "<invalid>"
    assert age(ago(minutes=5), NOW) == "5m"


DOCUMENT = {
    "spec": {"a.b": 1, "list": [{"name": "x", "n": 1}, {"name": "y", "n": 2}], "k": {"p": [1, 2, 3]}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Failure", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.k.p", [[1, 2, 3]]),
        (".spec.k.p[0]", [1]),
        (".spec.k.p[-1]", [3]),
        (".spec.k.p[7]", []),
        (".spec.k.p[0:2]", [1, 2]),
        (".spec.list[*].name", ["x", "y"]),
        (r".spec.a\.b", [1]),
        (".spec['a.b']", [1]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type=='Failure')].status", ["False"]),
        ('.status.conditions[?(@.type!="Ready")].type', ["Failure"]),
        (".spec.list[?(@.n>1)].name", ["y"]),
        (".spec.list[?(@.n)].name", ["x", "y"]),
        (".spec.list[?(@.name>1)].name", []),
        ("..name", ["x", "y"]),
        ("{.spec.k.p[1]}", [2]),
        ("$.spec.k.p[1]", [2]),
        (".spec.nothing.deeper", []),
    ],
)
def test_a_path_finds_its_values(path: str, found: list[Any]) -> None:
    assert find(DOCUMENT, path) == found


@pytest.mark.parametrize("path", [".spec[", ".a[?(@)(]", ".a[?(x==1)]", ".a[b]"])
def test_an_invalid_path_is_rejected(path: str) -> None:
    with pytest.raises(ValueError, match="invalid JSONPath"):
        compile_path(path)


def test_custom_columns_show_each_type_and_are_empty_for_other_types() -> None:
    columns = [
        PrinterColumn("Text", "string", ".spec.text"),
        PrinterColumn("Count", "integer", ".spec.count", priority=1),
        PrinterColumn("Flag", "boolean", ".spec.flag"),
        PrinterColumn("Ratio", "number", ".spec.ratio"),
        PrinterColumn("Age", "date", ".metadata.creationTimestamp"),
        PrinterColumn("Models", "string", ".spec.models[*]"),
        PrinterColumn("All", "string", ".spec.models"),
    ]
    resource = Resource.untyped("aim.silogen.ai", "v1alpha1", "Thing", "things")
    kind = ServedKind(
        resource=resource, schema=Schema.open(), columns=tuple(columns), crd_name="things.aim.silogen.ai"
    )
    full = {
        "metadata": {"name": "a", "creationTimestamp": ago(hours=3)},
        "spec": {"text": "x", "count": 3, "flag": False, "ratio": 0.5, "models": ["m", "n"]},
    }
    wrong = {"metadata": {"name": "b"}, "spec": {"text": 5, "count": "3", "flag": "yes", "ratio": True}}
    table = render_table(kind, [full, wrong], now=NOW)
    assert [(c["name"], c["type"], c["priority"]) for c in table["columnDefinitions"]][:3] == [
        ("Name", "string", 0),
        ("Text", "string", 0),
        ("Count", "integer", 1),
    ]
    assert [r["cells"] for r in table["rows"]] == [
        ["a", "x", 3, False, 0.5, "3h", "m", '["m","n"]'],
        ["b", "5", None, None, None, None, None, None],
    ]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert render_table(kind, [full], include="Object", now=NOW)["rows"][0]["object"] == full
    assert render_table(kind, [full], include="None", now=NOW)["rows"][0]["object"] is None


def test_a_kind_without_columns_shows_name_and_age() -> None:
    resource = Resource.untyped("x.y", "v1", "Thing", "things")
    kind = ServedKind(resource=resource, schema=Schema.open(), crd_name="things.x.y")
    table = render_table(kind, [{"metadata": {"name": "a", "creationTimestamp": ago(days=3)}}], now=NOW)
    assert [c["name"] for c in table["columnDefinitions"]] == ["Name", "Age"]
    assert table["rows"][0]["cells"] == ["a", "3d"]


def a_pod(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "creationTimestamp": ago(seconds=90)},
        "spec": {"containers": [{"name": "c"}], "nodeName": "n1"},
        "status": {"phase": "Pending", **status},
    }


def container(state: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [{"name": "c", "state": state, **more}]


@pytest.mark.parametrize(
    ("pod", "status", "ready"),
    [
        (a_pod(), "Pending", "0/1"),
        (a_pod(phase="Running", containerStatuses=container({"running": {}}, ready=True)), "Running", "1/1"),
        (a_pod(containerStatuses=container({"waiting": {"reason": "ImagePullBackOff"}})), "ImagePullBackOff", "0/1"),
        (a_pod(phase="Succeeded", containerStatuses=container({"terminated": {"reason": "Completed"}})), "Completed", "0/1"),
        (a_pod(phase="Failed", containerStatuses=container({"terminated": {"exitCode": 3}})), "ExitCode:3", "0/1"),
        (a_pod(phase="Failed", reason="Evicted"), "Evicted", "0/1"),
        ({**a_pod(phase="Running"), "metadata": {"name": "p", "deletionTimestamp": ago()}}, "Terminating", "0/1"),
    ],
)  # fmt: skip
def test_the_status_of_a_pod_shows_why_it_is_not_running(
    pod: dict[str, Any], status: str, ready: str
) -> None:
    found = row("", "Pod", pod)
    assert (found["Status"], found["Ready"]) == (status, ready)


def test_a_waiting_init_container_determines_the_status_of_the_pod() -> None:
    pod = a_pod(initContainerStatuses=[{"name": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}])
    pod["spec"]["initContainers"] = [{"name": "i"}]
    assert row("", "Pod", pod)["Status"] == "Init:ErrImagePull"
    pod["status"]["initContainerStatuses"][0]["state"] = {"running": {}}
    assert row("", "Pod", pod)["Status"] == "Init:0/1"


def test_restarts_show_the_time_since_the_last_one() -> None:
    ended = {"terminated": {"finishedAt": ago(minutes=3)}}
    pod = a_pod(containerStatuses=container({"running": {}}, restartCount=2, lastState=ended))
    assert row("", "Pod", pod)["Restarts"] == "2 (3m ago)"


def test_a_job_shows_state_completions_and_duration() -> None:
    job = {
        "metadata": {"name": "j", "creationTimestamp": ago(minutes=20)},
        "spec": {
            "completions": 1,
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}]}},
        },
        "status": {"startTime": ago(minutes=20), "active": 1},
    }
    assert row("batch", "Job", job) == {
        "Name": "j",
        "Status": "Running",
        "Completions": "0/1",
        "Duration": "20m",
        "Age": "20m",
        "Containers": "c",
        "Images": "i:1",
        "Selector": "a=b",
    }
    job["status"] = {
        "startTime": ago(minutes=20),
        "completionTime": ago(minutes=19),
        "succeeded": 1,
        "conditions": [{"type": "Complete", "status": "True"}],
    }
    done = row("batch", "Job", job)
    assert (done["Status"], done["Completions"], done["Duration"]) == ("Complete", "1/1", "60s")


def test_a_node_shows_readiness_roles_and_addresses() -> None:
    node = {
        "metadata": {
            "name": "n",
            "labels": {"node-role.kubernetes.io/gpu": "", "x": "y"},
            "creationTimestamp": ago(days=9),
        },
        "spec": {"unschedulable": True},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kubeletVersion": "v1.33.0", "osImage": "Linux"},
        },
    }
    found = row("", "Node", node)
    assert found["Status"] == "Ready,SchedulingDisabled"
    assert (found["Roles"], found["Internal-IP"], found["External-IP"]) == ("gpu", "10.0.0.1", "<none>")
    assert (found["Age"], found["Version"], found["Kernel-Version"]) == ("9d", "v1.33.0", "<unknown>")


def test_events_of_both_groups_have_the_same_cells() -> None:
    core = {
        "metadata": {"name": "e"},
        "type": "Warning",
        "reason": "Failed",
        "message": "no such image\n",
        "count": 3,
        "involvedObject": {"kind": "Pod", "name": "p"},
        "firstTimestamp": ago(minutes=9),
        "lastTimestamp": ago(minutes=1),
        "source": {"component": "kubelet", "host": "n1"},
    }
    new = {
        "metadata": {"name": "e"},
        "type": "Warning",
        "reason": "Failed",
        "note": "no such image",
        "regarding": {"kind": "Pod", "name": "p"},
        "deprecatedFirstTimestamp": ago(minutes=9),
        "deprecatedLastTimestamp": ago(minutes=1),
        "deprecatedSource": {"component": "kubelet", "host": "n1"},
        "deprecatedCount": 3,
    }
    assert row("", "Event", core) == row("events.k8s.io", "Event", new)
    assert row("", "Event", core)["Object"] == "pod/p"
    assert row("", "Event", core)["Last Seen"] == "60s"


@pytest.mark.parametrize("key", sorted(KINDS), ids="/".join)
def test_every_built_in_kind_has_a_row_even_for_an_empty_object(key: tuple[str, str]) -> None:
    table = render_table(KINDS[key], [{"metadata": {"name": "x"}}], now=NOW)
    assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
    assert "x" in table["rows"][0]["cells"]
