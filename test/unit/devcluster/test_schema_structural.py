"""Structural schemas, formats and patterns."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.devcluster.apiserver.schema import InvalidSchema, Schema
from aimctl.devcluster.apiserver.schema.scalars.formats import matches_format
from aimctl.devcluster.apiserver.schema.scalars.patterns import compile_pattern

ROOT = "spec.validation.openAPIV3Schema"


def complaints(**spec: Any) -> list[str]:
    try:
        Schema.from_crd({"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}})
    except InvalidSchema as error:
        return [str(item).removeprefix(f"{ROOT}.properties[spec].properties") for item in error.errors]
    return []


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({}, "[f].type: Required value: must not be empty for specified object fields"),
        ({"type": "array"}, "[f].items: Required value: must be specified"),
        ({"type": "array", "items": {}}, "[f].items.type: Required value: must not be empty for specified array items"),
        ({"type": "text"}, '[f].type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", "object", "string"'),
        (
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
            "[f].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            {"type": "string", "anyOf": [{"type": "string"}]},
            "[f].anyOf[0].type: Forbidden: must be empty to be structural",
        ),
        (
            {"type": "object", "x-kubernetes-embedded-resource": True},
            "[f].properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        ),
        (
            {"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
            "[f].x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is true",
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object"}},
            "[f].x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "properties": {"name": {"type": "string"}}},
            },
            ("[f].items.properties[name].default: Required value: this property is in x-kubernetes-list-map-keys, "
            "so it must have a default or be a required property"),
        ),
        ({"type": "integer", "default": "x"}, '[f].default: Invalid value: "string":  in body must be of type integer: "string"'),
        ({"type": "string", "pattern": "("}, "[f].pattern: Invalid value: \"(\": must be a valid regular expression, but isn't: error parsing regexp: missing closing ): `(`"),
    ],
)  # fmt: skip
def test_a_non_structural_schema_is_rejected(field: dict[str, Any], expected: str) -> None:
    assert complaints(f=field) == [expected]


def test_fields_in_a_junctor_must_be_specified_outside_of_it() -> None:
    spoken = {"properties": {"spec": {"properties": {"a": {"minLength": 1}}}}}
    with pytest.raises(InvalidSchema) as caught:
        Schema.from_crd({"type": "object", "properties": {"spec": {"type": "object"}}, "allOf": [spoken]})
    assert [str(error) for error in caught.value.errors] == [
        (
            f"{ROOT}.properties[spec].properties[a]: Required value: because it is defined in "
            f"{ROOT}.allOf[0].properties[spec].properties[a]"
        )
    ]


def test_int_or_string_may_have_any_of() -> None:
    either = [{"type": "integer"}, {"type": "string"}]
    assert complaints(a={"x-kubernetes-int-or-string": True, "anyOf": either}) == []
    assert (
        complaints(a={"x-kubernetes-int-or-string": True, "allOf": [{"anyOf": either}, {"pattern": "^1"}]})
        == []
    )


def test_metadata_may_restrict_only_names() -> None:
    named = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 5}}}
    schema = Schema.from_crd({"type": "object", "properties": {"metadata": named}})
    assert [str(e) for e in schema.validate({"metadata": {"name": "toolong"}}, None)] == [
        "metadata.name: Too long: may not be more than 5 bytes"
    ]
    named["properties"]["labels"] = {"type": "object"}  # type: ignore[index]
    with pytest.raises(InvalidSchema, match="must not specify anything other than name and generateName"):
        Schema.from_crd({"type": "object", "properties": {"metadata": named}})


def test_the_root_must_be_an_object_without_additional_properties() -> None:
    with pytest.raises(InvalidSchema, match="must not be empty at the root"):
        Schema.from_crd({})
    with pytest.raises(InvalidSchema, match="must be object at the root"):
        Schema.from_crd({"type": "string"})
    with pytest.raises(InvalidSchema, match="must not be used at the root"):
        Schema.from_crd({"type": "object", "additionalProperties": {"type": "string"}})


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05"),
        ("date-time", "2026-01-02T03:04:05.000001+01:00", "2026-13-02T03:04:05Z"),
        ("date", "2026-01-02", "20260102"),
        ("duration", "1h5m0.5s", "one hour"),
        ("byte", "aGk=", "a"),
        ("uri", "hf://a/b", "no uri"),
        ("hostname", "a.b-c.dev", "a.b-c.d"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid4", "6f1f9c4c-8f0a-4c0e-9f0a-0c0e9f0a6f1f", "6f1f9c4c-8f0a-1c0e-9f0a-0c0e9f0a6f1f"),
        ("mac", "00:11:22:33:44:55", "00:11"),
        ("email", "a@b.c", "a"),
        ("k8s-short-name", "abc", "a.b"),
        ("unheard-of", "anything", None),
    ],
)
def test_a_format_accepts_and_rejects_values(name: str, good: str, bad: str | None) -> None:
    assert matches_format(good, name)
    assert bad is None or not matches_format(bad, name)


@pytest.mark.parametrize("pattern", [r"(?=a)", r"(?<!a)b", r"(a)\1", r"(?>a)", "["])
def test_a_pattern_that_re2_does_not_support_is_rejected(pattern: str) -> None:
    with pytest.raises(ValueError, match="error parsing regexp"):
        compile_pattern(pattern)


def test_a_dollar_matches_only_the_end_of_the_text() -> None:
    assert compile_pattern("^a$").search("a")
    assert not compile_pattern("^a$").search("a\n")
    assert compile_pattern(r"^[$]\$[[:alpha:]]$").search("$$x")
    assert not compile_pattern(r"^\d$").search("٣")


@pytest.mark.parametrize("pattern", [r"^(?P<size>\d+)Gi$", r"^(?<size>\d+)Gi$"])
def test_a_group_can_be_named_in_both_ways_of_re2(pattern: str) -> None:
    assert compile_pattern(pattern).search("16Gi")
