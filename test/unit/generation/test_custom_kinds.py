"""Declarations of kinds: the CRD, the Resource, and the errors of a declaration."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from aimctl.devcluster import DevCluster
from aimctl.runtime import (
    AGE_COLUMN,
    CustomKind,
    KindVersion,
    Object,
    PrinterColumn,
    Scale,
    SchemaError,
)
from aimctl.testing import virtual_clock, virtual_time
from support.custom_kind_cases import check_custom_kind
from support.custom_kinds import BOTH, MSGSPEC_SITES, OLD_SITES, PYDANTIC_SITES


class Spec(msgspec.Struct, frozen=True):
    size: int = 1
    labels: dict[str, str] = {}


class Gadget(msgspec.Struct, frozen=True):
    spec: Spec = Spec()


def gadgets(**options: Any) -> CustomKind[Any]:
    return CustomKind(Gadget, **{"group": "acme.example", "version": "v1", **options})


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.view.__name__)
@virtual_time
async def test_the_embedded_api_server_accepts_and_enforces_a_generated_crd(kind: CustomKind[Any]) -> None:
    async with DevCluster(clock=virtual_clock()) as cluster:
        await check_custom_kind(cluster.client(), kind, "default")


def test_a_kind_has_names_scope_and_versions() -> None:
    spec = MSGSPEC_SITES.crd()["spec"]
    assert (spec["group"], spec["scope"]) == ("web.example.org", "Namespaced")
    assert spec["names"] == {
        "kind": "Site",
        "listKind": "SiteList",
        "plural": "sites",
        "singular": "site",
        "shortNames": ["st"],
        "categories": ["all", "web"],
    }
    new, old = spec["versions"]
    assert (new["name"], new["served"], new["storage"]) == ("v1", True, True)
    assert (old["name"], old["served"], old["storage"]) == ("v1alpha1", True, False)
    assert (old["deprecated"], old["deprecationWarning"]) == (True, "use web.example.org/v1")
    assert "subresources" not in old
    assert new["subresources"]["scale"]["labelSelectorPath"] == ".status.selector"


def test_names_are_derived_from_the_type() -> None:
    kind = gadgets(namespaced=False)
    crd = kind.crd()
    assert crd["metadata"] == {"name": "gadgets.acme.example"}
    assert crd["spec"]["scope"] == "Cluster"
    assert crd["spec"]["names"] == {
        "kind": "Gadget",
        "listKind": "GadgetList",
        "plural": "gadgets",
        "singular": "gadget",
    }
    (version,) = crd["spec"]["versions"]
    assert version.keys() == {"name", "served", "storage", "schema"}


@pytest.mark.parametrize(
    ("name", "plural"),
    [
        ("Policy", "policies"),
        ("Gateway", "gateways"),
        ("Box", "boxes"),
        ("Bus", "buses"),
        ("Batch", "batches"),
    ],
)
def test_the_plural_is_regular_english(name: str, plural: str) -> None:
    assert gadgets(name=name).plural == plural


def test_another_version_can_be_the_stored_one() -> None:
    kind = replace(MSGSPEC_SITES, storage="v1alpha1")
    assert [one["storage"] for one in kind.crd()["spec"]["versions"]] == [False, True]


def test_the_resource_is_one_object_and_decodes_to_the_type() -> None:
    kind = gadgets()
    assert kind.resource is kind.resource
    assert (kind.resource.api_version, kind.resource.group_resource) == (
        "acme.example/v1",
        "gadgets.acme.example",
    )
    found = Object.parse(kind.resource, b'{"metadata": {"name": "a"}, "spec": {"size": 3, "labels": null}}')
    assert found.view == Gadget(Spec(3))


@pytest.mark.parametrize("kind", BOTH, ids=lambda kind: kind.view.__name__)
def test_a_body_that_does_not_fit_is_an_error_with_the_field(kind: CustomKind[Any]) -> None:
    with pytest.raises(ValueError, match="replicas"):
        kind.decode(b'{"spec": {"domain": "a", "replicas": "many"}}')


class Mutable(msgspec.Struct):
    spec: Spec = Spec()


class MutableModel(BaseModel):
    pass


@dataclass
class MutableData:
    size: int


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "gadget"}, ("name 'gadget'", "CamelCase")),
        ({"group": "acme"}, ("group 'acme'", "a domain in lower case with a dot")),
        ({"group": "apps.k8s.io"}, ("group 'apps.k8s.io'", "a domain of your own")),
        ({"version": "1.0"}, ("version '1.0'", "v1beta1")),
        ({"plural": "Gadgets"}, ("plural 'Gadgets'", "lower-case")),
        ({"short_names": ("g_t",)}, ("short_names 'g_t'", "lower-case")),
        ({"categories": ("All",)}, ("categories 'All'", "lower-case")),
        ({"storage": "v2"}, ("storage 'v2'", "versions: v1")),
        ({"other_versions": (KindVersion("v1", Gadget),)}, ("version 'v1' is declared twice",)),
        (
            {"columns": (PrinterColumn("Size", "int", ".spec.size"),)},
            ("column 'Size', type 'int'", "integer"),
        ),
        ({"columns": (PrinterColumn("Size", "integer", "spec.size"),)}, ("path 'spec.size'", "a dot")),
        ({"scale": Scale("replicas")}, ("scale path 'replicas'", "below .spec or .status")),
    ],
    ids=str,
)
def test_a_wrong_declaration_is_an_error_with_the_value_and_the_remedy(
    options: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SchemaError) as caught:
        gadgets(**options)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("view", [Mutable, MutableModel, MutableData], ids=lambda view: view.__name__)
def test_types_that_can_be_changed_are_rejected(view: type[Any]) -> None:
    with pytest.raises(SchemaError, match=rf"{view.__name__} is not frozen.*declare it with frozen=True"):
        CustomKind(view, group="acme.example", version="v1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"columns": (PrinterColumn("Color", "string", ".spec.color"),)},
            ("column 'Color'", "no field 'color'", "fields: size, labels"),
        ),
        ({"scale": Scale(".spec.size", ".status.size")}, ("scale", "no field 'status'")),
    ],
    ids=["column", "scale"],
)
def test_a_path_to_a_field_that_does_not_exist_is_an_error(
    options: dict[str, Any], words: tuple[str, ...]
) -> None:
    with pytest.raises(SchemaError) as caught:
        gadgets(**options).crd()
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("path", [".spec.labels.app", ".metadata.name", '.spec.labels["a.b/c"]'])
def test_other_paths_are_accepted(path: str) -> None:
    assert gadgets(columns=(PrinterColumn("X", "string", path), AGE_COLUMN)).crd()


def test_the_generators_are_imported_when_they_are_used() -> None:
    program = (
        "import sys, aimctl.runtime as r\n"
        "r.Manager, r.Client\n"
        "assert not any(m.startswith('aimctl.generation') for m in sys.modules)\n"
        "r.CustomKind\n"
        "late = ('pydantic', 'yaml', 'aimctl.generation.structural', 'aimctl.generation.roles')\n"
        "print([m for m in late if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_both_declarations_name_the_same_resource() -> None:
    assert MSGSPEC_SITES.resource == PYDANTIC_SITES.resource
    assert OLD_SITES in MSGSPEC_SITES.versions
