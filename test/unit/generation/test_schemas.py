"""Schemas of kinds: what is generated from types, and the errors for what a schema cannot express."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest
from msgspec import Meta
from pydantic import BaseModel, ConfigDict, Field

from aimctl.devcluster.apiserver.schema import Schema
from aimctl.runtime import (
    INT_OR_STRING,
    LIST_SET,
    Condition,
    SchemaError,
    list_map,
    schema_keywords,
    structural_schema,
)
from support.custom_kinds import MSGSPEC_SITES, PYDANTIC_SITES, MsgspecSite


class Struct(msgspec.Struct, frozen=True):
    pass


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)


def of_msgspec(type_: Any, **default: Any) -> dict[str, Any]:
    """The schema of the field ``x`` of a spec, declared with msgspec."""
    field = ("x", type_, *default.values())
    spec = msgspec.defstruct("Spec", [field], frozen=True)
    return _field(msgspec.defstruct("Thing", [("spec", spec)], frozen=True))


def of_pydantic(type_: Any, **default: Any) -> dict[str, Any]:
    """The same, declared with pydantic."""
    fields: dict[str, Any] = {"__annotations__": {"x": type_}, "model_config": Model.model_config}
    if default:
        fields["x"] = default["default"]
    spec = type("Spec", (BaseModel,), {**fields, "__module__": __name__})
    return _field(type("Thing", (BaseModel,), {"__annotations__": {"spec": spec}, "__module__": __name__}))


def _field(view: type) -> dict[str, Any]:
    schema = structural_schema(view)
    assert Schema.from_crd(schema), "the embedded API server accepts it"
    field: dict[str, Any] = schema["properties"]["spec"]["properties"]["x"]
    return field


DECLARED = [pytest.param(of_msgspec, id="msgspec"), pytest.param(of_pydantic, id="pydantic")]


def test_msgspec_and_pydantic_types_with_the_same_content_have_the_same_schema() -> None:
    assert MSGSPEC_SITES.crd() == PYDANTIC_SITES.crd()


def test_a_complete_kind_is_described_by_docstrings_and_fields() -> None:
    spec = structural_schema(MsgspecSite)["properties"]["spec"]
    assert spec["description"] == "The desired state."
    assert spec["properties"]["replicas"]["description"] == "number of pods."
    port = spec["properties"]["ports"]["items"]
    assert port["description"] == "A port of a site."
    assert port["properties"]["target"]["description"] == "number of the port, or its name in the container."
    assert spec["properties"]["scaling"]["properties"]["minReplicas"]["description"] == "Lower limit."


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(Enum):
    SMALL = 1
    LARGE = 2


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize(
    ("type_", "schema"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (float, {"type": "number"}),
        (bytes, {"type": "string"}),
        (int | float, {"type": "number"}),
        (dt.datetime, {"type": "string", "format": "date-time"}),
        (dt.date, {"type": "string", "format": "date"}),
        (dt.time, {"type": "string"}),
        (int | str, {"x-kubernetes-int-or-string": True}),
        (int | str | None, {"x-kubernetes-int-or-string": True, "nullable": True}),
        (str | None, {"type": "string", "nullable": True}),
        (Color, {"type": "string", "enum": ["red", "blue"]}),
        (Size, {"type": "integer", "enum": [1, 2]}),
        (Color | None, {"type": "string", "enum": ["red", "blue"], "nullable": True}),
        (Literal["a"], {"type": "string", "enum": ["a"]}),
        (Literal["a"] | None, {"type": "string", "enum": ["a"], "nullable": True}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[str | None], {"type": "array", "items": {"type": "string", "nullable": True}}),
        (set[str], {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"}),
        (list[list[str]], {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}),
        (list[Any], {"type": "array", "items": {"x-kubernetes-preserve-unknown-fields": True}}),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict[str, Any], {"type": "object", "x-kubernetes-preserve-unknown-fields": True}),
        (Any, {"x-kubernetes-preserve-unknown-fields": True}),
    ],
    ids=str,
)
def test_the_schema_of_a_type(declared: Any, type_: Any, schema: dict[str, Any]) -> None:
    found = declared(type_)
    found.pop("format", None) if type_ is bytes else None
    assert {key: value for key, value in found.items() if key != "description"} == schema


@pytest.mark.parametrize("declared", DECLARED)
@pytest.mark.parametrize(
    ("type_", "default", "written"),
    [
        (int, 3, 3),
        (int, 0, 0),
        (bool, False, False),
        (float, 0.5, 0.5),
        (str, "a", "a"),
        (str, "", None),
        (str | None, None, None),
        (Color, Color.RED, "red"),
        (tuple[int, ...], (1, 2), [1, 2]),
        (tuple[int, ...], (), None),
    ],
    ids=str,
)
def test_a_default_is_written_if_it_is_not_empty(
    declared: Any, type_: Any, default: Any, written: Any
) -> None:
    assert declared(type_, default=default).get("default") == written


def test_an_optional_field_with_a_default_is_not_nullable() -> None:
    assert of_msgspec(str | None, default=None) == {"type": "string"}
    assert of_pydantic(str | None, default=None) == {"type": "string"}


class Inner(Struct, frozen=True):
    a: int = 1


class DefaultSpec(Struct, frozen=True):
    inner: Inner = Inner(2)


class DefaultStatus(Struct, frozen=True):
    count: int = 5


class Defaults(Struct, frozen=True):
    spec: DefaultSpec = DefaultSpec()
    status: DefaultStatus = DefaultStatus()


def test_defaults_of_a_status_and_default_objects_are_not_written() -> None:
    properties = structural_schema(Defaults)["properties"]
    assert "default" not in properties["spec"]
    assert "default" not in properties["spec"]["properties"]["inner"]
    assert properties["spec"]["properties"]["inner"]["properties"]["a"]["default"] == 1
    assert properties["status"]["properties"]["count"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("meta", "field"),
    [
        (Meta(ge=1, le=5), Field(ge=1, le=5)),
        (Meta(gt=1, lt=5), Field(gt=1, lt=5)),
        (Meta(multiple_of=3), Field(multiple_of=3)),
        (Meta(extra_json_schema={"format": "int32"}), Field(json_schema_extra={"format": "int32"})),
        (Meta(extra_json_schema={"format": "quantity"}), Field(json_schema_extra={"format": "quantity"})),
        (Meta(title="T", examples=[1]), Field(title="T", examples=[1])),
    ],
)
def test_constraints_of_numbers_are_the_same_from_both(meta: Any, field: Any) -> None:
    assert of_msgspec(Annotated[int, meta]) == of_pydantic(Annotated[int, field])


def test_bounds_that_are_exclusive_have_the_form_of_openapi_3_0() -> None:
    assert of_msgspec(Annotated[int, Meta(gt=1, le=5)]) == {
        "type": "integer",
        "minimum": 1,
        "exclusiveMinimum": True,
        "maximum": 5,
    }


def test_unknown_formats_and_annotations_are_removed() -> None:
    extra = {"format": "quantity", "examples": ["1"], "deprecated": True}
    assert of_msgspec(Annotated[str, Meta(extra_json_schema=extra)]) == {"type": "string"}


def test_validation_with_branches_is_kept() -> None:
    one = {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}

    class Inner(Struct, frozen=True):
        a: int | None = None
        b: int | None = None

    found = of_msgspec(Annotated[Inner, Meta(extra_json_schema=one)])
    assert found["oneOf"] == one["oneOf"]
    assert found["type"] == "object"


class Point(TypedDict):
    x: int


@dataclass(frozen=True)
class Line:
    length: int


def test_a_typed_dict_is_an_object() -> None:
    found = of_msgspec(Point)
    assert (found["type"], found["required"], found["properties"]) == (
        "object",
        ["x"],
        {"x": {"type": "integer"}},
    )


@pytest.mark.parametrize("declared", DECLARED)
def test_a_dataclass_is_an_object_without_its_generated_docstring(declared: Any) -> None:
    assert declared(Line) == {
        "type": "object",
        "required": ["length"],
        "properties": {"length": {"type": "integer"}},
    }


class Named(Struct, frozen=True):
    name: str = ""


class WithMetadata(Struct, frozen=True):
    kind: str
    metadata: Named
    spec: dict[str, str] = {}


def test_metadata_of_the_type_is_replaced_by_the_standard_one() -> None:
    schema = structural_schema(WithMetadata)
    assert schema["properties"]["metadata"] == {"type": "object"}
    assert "required" not in schema


def test_enums_in_a_union_are_one_enum() -> None:
    found = of_pydantic(Literal["a", "b"] | Color)
    assert found == {"enum": ["a", "b", "red", "blue"], "type": "string"}


def test_a_tagged_struct_has_its_tag() -> None:
    class Circle(Struct, frozen=True, tag="circle", tag_field="shape"):
        radius: int

    assert of_msgspec(Circle)["properties"]["shape"] == {"enum": ["circle"], "type": "string"}


def test_keywords_of_a_class_are_not_inherited() -> None:
    @schema_keywords({"minProperties": 1})
    class Base(Struct, frozen=True):
        a: int = 0

    class Derived(Base, frozen=True):
        pass

    assert of_msgspec(Base)["minProperties"] == 1
    assert "minProperties" not in of_msgspec(Derived)


# ---- errors


class Pair(NamedTuple):
    a: int
    b: str


class Item(Struct, frozen=True):
    name: str | None = None


class Port(Struct, frozen=True):
    name: str
    protocol: str = "TCP"


class Row(Struct, frozen=True, array_like=True):
    a: int


class Tree(Struct, frozen=True):
    children: tuple[Tree, ...] = ()


class Branch(Model):
    children: tuple[Branch, ...] = ()


class A(Struct, frozen=True, tag=True):
    a: int


class B(Struct, frozen=True, tag=True):
    b: int


class C(Model):
    kind: Literal["c"]


class D(Model):
    kind: Literal["d"]


@pytest.mark.parametrize(
    ("declared", "type_", "words"),
    [
        (of_msgspec, str | list[str], ("Thing.spec.x", "union of 2 types (string, array of string)")),
        (of_pydantic, str | list[str], ("Thing.spec.x", "union of 2 types (string, array of string)")),
        (of_msgspec, A | B, ("Thing.spec.x", "union", "an optional field of its own")),
        (of_pydantic, C | D, ("Thing.spec.x", "union of 2 types (C, D)")),
        (of_pydantic, Annotated[C | D, Field(discriminator="kind")], ("Thing.spec.x", "(C, D)")),
        (of_msgspec, dict[str, list[int | bool]], ("Thing.spec.x{}[]", "(integer, boolean)")),
        (of_msgspec, tuple[int, str], ("Thing.spec.x", "named fields")),
        (of_pydantic, tuple[int, str], ("Thing.spec.x", "named fields")),
        (of_msgspec, Pair, ("Thing.spec.x", "named tuple")),
        (of_msgspec, Row, ("Thing.spec.x", "array_like")),
        (of_msgspec, dt.timedelta, ("Thing.spec.x", "an int of seconds")),
        (of_pydantic, dt.timedelta, ("Thing", "an int of seconds")),
        (of_msgspec, Tree, ("Thing.spec.x.children[]", "Tree contains itself", "use Any")),
        (of_pydantic, Branch, ("Thing.spec.x.children[]", "Branch contains itself", "use Any")),
        (of_msgspec, dict[int, str], ("Thing.spec.x", "keys of a mapping", "dict[str, ...]")),
        (of_pydantic, dict[Color, str], ("Thing.spec.x", "keys of a mapping", "dict[str, ...]")),
        (of_msgspec, complex, ("Thing", "complex")),
        (of_pydantic, memoryview, ("Thing", "use another type")),
        (of_msgspec, None, ("Thing.spec.x", "always null")),
        (of_msgspec, Literal["a", 1], ("Thing.spec.x", "different types")),
        (of_msgspec, Annotated[str, Meta(pattern="^(?!a)")], ("Thing.spec.x", "pattern", "RE2")),
        (
            of_msgspec,
            Annotated[dict[str, str], Meta(extra_json_schema={"propertyNames": {}})],
            ("Thing.spec.x", "propertyNames", "CEL rule"),
        ),
        (
            of_msgspec,
            Annotated[str, Meta(extra_json_schema={"maxlength": 3})],
            ("Thing.spec.x", "maxlength", "no such keyword"),
        ),
        (
            of_msgspec,
            Annotated[Item, Meta(extra_json_schema={"oneOf": [{"type": "object"}]})],
            ("Thing.spec.x", "oneOf contains type"),
        ),
        (
            of_msgspec,
            Annotated[list[Item], Meta(extra_json_schema=list_map("id"))],
            ("Thing.spec.x", "list map key 'id'", "fields: name"),
        ),
        (
            of_msgspec,
            Annotated[list[Item], Meta(extra_json_schema=LIST_SET)],
            ("Thing.spec.x", "set of objects", "list_map"),
        ),
        (of_msgspec, Annotated[str, Meta(extra_json_schema=LIST_SET)], ("Thing.spec.x", "not a list")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else getattr(value, "__name__", "type"),
)
def test_what_a_schema_cannot_express_is_an_error_with_path_and_remedy(
    declared: Any, type_: Any, words: tuple[str, ...]
) -> None:
    with pytest.raises(SchemaError) as caught:
        declared(type_)
    message = str(caught.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message


@pytest.mark.parametrize("view", [int, list, Tree.__annotations__, Color])
def test_the_type_of_a_kind_is_an_object(view: Any) -> None:
    with pytest.raises(SchemaError, match=r"is an object|is not a class"):
        structural_schema(view)


def test_an_int_or_string_with_a_pattern_keeps_it() -> None:
    found = of_msgspec(
        Annotated[int | str, Meta(extra_json_schema={**INT_OR_STRING, "pattern": "^[0-9]+%$"})]
    )
    assert found == {"x-kubernetes-int-or-string": True, "pattern": "^[0-9]+%$"}


def test_the_keys_of_a_list_map_are_required_unless_they_have_a_default() -> None:
    found = of_msgspec(Annotated[tuple[Condition, ...], Meta(extra_json_schema=list_map("type"))])
    assert found["items"]["required"] == ["type"]
    assert "observedGeneration" in found["items"]["properties"]
    port = of_msgspec(Annotated[tuple[Port, ...], Meta(extra_json_schema=list_map("name", "protocol"))])
    assert port["items"]["required"] == ["name"]


def test_list_map_needs_a_key() -> None:
    with pytest.raises(ValueError, match="name the fields"):
        list_map()
