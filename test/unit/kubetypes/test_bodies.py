"""Request bodies: which models are accepted, and what becomes of their fields."""

from __future__ import annotations

import dataclasses
import enum
import subprocess
import sys
from collections import deque
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import kubernetes
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes_asyncio import client as asyncio_client
from pydantic.alias_generators import to_camel

from aimctl.kubetypes import EncodeError, MetadataOnly, Object, Resource, to_body
from aimctl.kubetypes.helpers.bodies import to_plain
from aimctl.kubetypes.quantity import parse_quantity

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


class Color(enum.Enum):
    RED = "red"


class Word(str):
    __slots__ = ()


class Spec(msgspec.Struct, frozen=True, rename="camel"):
    node_name: str
    size: int | None = None
    labels: dict[str, str | None] | None = None
    since: datetime | None = None
    absent: int | msgspec.UnsetType = msgspec.UNSET


class Omitting(
    msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, tag="omitting", tag_field="kind"
):
    ready_count: int = 0
    names: tuple[str, ...] = ()
    on: bool = False


@dataclasses.dataclass
class Rule:
    """As the dataclasses of lightkube-models: JSON names, or an explicit one for a Python keyword."""

    podSelector: dict[str, Any] | None = None
    from_: list[Any] | None = dataclasses.field(default=None, metadata={"json": "from"})


class Model(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(alias_generator=to_camel, populate_by_name=True)

    node_name: str
    made_at: datetime | None = None
    hidden: pydantic.SecretStr | None = None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (MappingProxyType({"a": (1, 2.5, None)}), {"a": [1, 2.5, None]}),
        ({"a": deque(["x"]), "b": {"z", "y"}}, {"a": ["x"], "b": ["y", "z"]}),
        ({"a": Color.RED, Color.RED: Word("w"), Word("k"): True}, {"a": "red", "red": "w", "k": True}),
        ({"a": UUID(int=1), "b": Decimal("1.50")}, {"a": "00000000-0000-0000-0000-000000000001", "b": "1.50"}),
        ({"cpu": parse_quantity("0.5")}, {"cpu": "500m"}),
        ({"data": {"key": b"text"}}, {"data": {"key": "dGV4dA=="}}),
        ({"raw": msgspec.Raw(b'{"a": 1}')}, {"raw": {"a": 1}}),
        ({"day": date(2026, 1, 2)}, {"day": "2026-01-02"}),
        ({"at": NOON}, {"at": "2026-01-02T12:00:00Z"}),
        ({"at": NOON + timedelta(microseconds=5)}, {"at": "2026-01-02T12:00:00.000005Z"}),
        ({"renewTime": NOON}, {"renewTime": "2026-01-02T12:00:00.000000Z"}),
        ({"at": datetime.fromisoformat("2026-01-02T14:00:00+02:00")}, {"at": "2026-01-02T12:00:00Z"}),
        (Spec("n"), {"nodeName": "n"}),
        (Spec("n", 0, {"gone": None}, NOON), {"nodeName": "n", "size": 0, "labels": {"gone": None}, "since": "2026-01-02T12:00:00Z"}),
        (Omitting(), {"kind": "omitting"}),
        (Omitting(1, ("a",), on=True), {"kind": "omitting", "readyCount": 1, "names": ["a"], "on": True}),
        (Rule(from_=[Rule(podSelector={})]), {"from": [{"podSelector": {}}]}),
        (Model(node_name="n", made_at=NOON), {"nodeName": "n", "madeAt": "2026-01-02T12:00:00Z"}),
        ({"spec": {"list": [Model(node_name="n"), Spec("m")]}}, {"spec": {"list": [{"nodeName": "n"}, {"nodeName": "m"}]}}),
    ],
)  # fmt: skip
def test_a_body_becomes_plain_json_values(value: Any, expected: Any) -> None:
    assert to_body(value) == expected


@pytest.mark.parametrize(
    "client", [asyncio_client, kubernetes.client], ids=["kubernetes-asyncio", "kubernetes"]
)
def test_the_models_of_the_clients_have_their_json_names(client: Any) -> None:
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="p", labels={"snake_case": "kept"}, deletion_timestamp=NOON),
        spec=client.V1PodSpec(
            host_ipc=True,
            node_selector={"kubernetes.io/os": "linux"},
            containers=[
                client.V1Container(
                    name="main",
                    image_pull_policy="Always",
                    ports=[client.V1ContainerPort(container_port=80, host_ip="127.0.0.1")],
                    resources=client.V1ResourceRequirements(limits={"cpu": "500m"}),
                )
            ],
        ),
    )
    expected = {
        "metadata": {
            "name": "p",
            "labels": {"snake_case": "kept"},
            "deletionTimestamp": "2026-01-02T12:00:00Z",
        },
        "spec": {
            "hostIPC": True,
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "containers": [
                {
                    "name": "main",
                    "imagePullPolicy": "Always",
                    "ports": [{"containerPort": 80, "hostIP": "127.0.0.1"}],
                    "resources": {"limits": {"cpu": "500m"}},
                }
            ],
        },
    }
    assert to_body(pod) == expected
    assert to_body({"spec": pod.spec}) == {"spec": expected["spec"]}
    lease = client.V1Lease(spec=client.V1LeaseSpec(renew_time=NOON))
    assert to_body(lease) == {"spec": {"renewTime": "2026-01-02T12:00:00.000000Z"}}
    rule = client.V1NetworkPolicyIngressRule(_from=[client.V1NetworkPolicyPeer(pod_selector={})])
    assert to_body(rule) == {"from": [{"podSelector": {}}]}


def test_an_object_becomes_its_whole_body() -> None:
    things = Resource.untyped("example.org", "v1", "Thing", "things")
    obj = Object.parse(things, b'{"metadata": {"name": "a", "managedFields": []}, "spec": {"unknown": 1}}')
    assert to_body(obj) == {"metadata": {"name": "a"}, "spec": {"unknown": 1}}
    assert to_body({"spec": obj.view["spec"]}) == {"spec": {"unknown": 1}}
    with pytest.raises(MetadataOnly):
        to_body(obj.without_body())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"spec": {"items": [1, object()]}}, r"^spec\.items\[1\]: a value of type builtins\.object cannot be encoded"),
        ({"spec": {"when": datetime(2026, 1, 1)}}, r"^spec\.when: the time has no time zone; use .*now\(UTC\)"),  # noqa: DTZ001
        ({"spec": {"ratio": float("nan")}}, r"^spec\.ratio: nan is not a JSON number"),
        ({"spec": {"wait": timedelta(1)}}, r"^spec\.wait: a value of type datetime\.timedelta"),
        ({"data": {1: "x"}}, r"^data: it has a key of type int; the keys of JSON objects are texts"),
        ({"spec": Spec("n", labels={"a": object()})}, r"^spec\.labels\.a: a value of type"),  # type: ignore[dict-item]  # the mistake
        (Rule(from_=[{"x": object()}]), r"^from\[0\]\.x: a value of type"),
        (Model(node_name="n", hidden=pydantic.SecretStr("hunter2")), r"^hidden: a value of type pydantic\.types\.SecretStr"),
        (asyncio_client.V1Pod(spec=asyncio_client.V1PodSpec(containers=[object()])), r"^spec\.containers\[0\]: a value"),
        ({"spec": Spec}, r"^spec: a value of type msgspec"),
        ({"spec": (one for one in ())}, r"^spec: a value of type builtins\.generator"),
        (object(), r"^the body: a value of type builtins\.object"),
        (["a"], r"^the body is a list, not an object: pass a mapping"),
        ("text", r"^the body is a str, not an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_encoded_is_an_error_that_names_the_field(value: Any, message: str) -> None:
    with pytest.raises(EncodeError, match=message) as raised:
        to_body(value)
    assert "hunter2" not in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(json_values)
def test_json_values_are_copied_unchanged(value: Any) -> None:
    copy = to_plain(value)
    assert copy == value
    assert msgspec.json.decode(msgspec.json.encode(copy)) == msgspec.json.decode(msgspec.json.encode(value))
    if isinstance(value, dict | list):
        assert copy is not value


def test_no_client_is_imported_to_recognize_its_models() -> None:
    program = (
        "import sys\nfrom aimctl.kubetypes import to_body\nto_body({'a': 1})\n"
        "print([one for one in ('kubernetes', 'kubernetes_asyncio', 'pydantic') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
