"""Validation of values, with the messages of the API server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.schema import Schema, invalid_status
from aimctl.devcluster.apiserver.schema.errors import FieldError
from aimctl.devcluster.apiserver.schema.values import validate_lists, validate_value
from support.merge_strategy import merge_strategy

SPEC: dict[str, Any] = {
    "type": "object",
    "required": ["modelName"],
    "properties": {
        "modelName": {"type": "string", "minLength": 1, "maxLength": 63},
        "metric": {"type": "string", "enum": ["latency", "throughput"]},
        "uri": {"type": "string", "pattern": "^(hf|s3)://.+$"},
        "runtimeConfigName": {"type": "string", "default": "default"},
        "when": {"type": "string", "format": "date-time"},
        "replicas": {"type": "integer", "format": "int32", "minimum": 0, "default": 1},
        "ratio": {"type": "number", "exclusiveMinimum": True, "minimum": 0, "maximum": 1},
        "size": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "gpuSelector": {
            "type": "object",
            "required": ["count"],
            "properties": {
                "count": {"type": "integer", "minimum": 1, "default": 1},
                "model": {"type": "string", "nullable": True},
            },
        },
        "sources": {
            "type": "array",
            "maxItems": 2,
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "kind": {"type": "string", "default": "hf"}},
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "labels": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "string"}},
        "engine": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "template": {
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "x-kubernetes-preserve-unknown-fields": True,
        },
    },
}
CRD = {"type": "object", "properties": {"spec": SPEC, "status": {"type": "object", "properties": {}}}}
SCHEMA = Schema.from_crd(CRD)


def an_object(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "aim.silogen.ai/v1alpha1",
        "kind": "AIMServiceTemplate",
        "metadata": {"name": "t", "namespace": "ml"},
        "spec": {"modelName": "llama", **spec},
    }


def texts(obj: dict[str, Any], old: dict[str, Any] | None = None) -> list[str]:
    return [str(error) for error in SCHEMA.validate(obj, old)]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"metric": "fast"}, ['spec.metric: Unsupported value: "fast": supported values: "latency", "throughput"']),
        (
            {"uri": "http://x"},
            ["spec.uri: Invalid value: \"http://x\": spec.uri in body should match '^(hf|s3)://.+$'"],
        ),
        (
            {"gpuSelector": {"count": "four"}},
            [
                'spec.gpuSelector.count: Invalid value: "string": spec.gpuSelector.count in body must be of type integer: "string"',
            ],
        ),
        (
            {"gpuSelector": {"count": 0}},
            [
                "spec.gpuSelector.count: Invalid value: 0: spec.gpuSelector.count in body should be greater than or equal to 1",
            ],
        ),
        ({"gpuSelector": {}}, ["spec.gpuSelector.count: Required value"]),
        ({"modelName": "x" * 64}, ["spec.modelName: Too long: may not be more than 63 bytes"]),
        (
            {"modelName": ""},
            ['spec.modelName: Invalid value: "": spec.modelName in body should be at least 1 chars long'],
        ),
        ({"ratio": 0}, ["spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"]),
        ({"ratio": 1.5}, ["spec.ratio: Invalid value: 1.5: spec.ratio in body should be less than or equal to 1"]),
        (
            {"when": "tomorrow"},
            ['spec.when: Invalid value: "tomorrow": spec.when in body must be of type date-time: "tomorrow"'],
        ),
        (
            {"sources": [{"name": "a"}, {"name": "b"}, {"name": "c"}]},
            ["spec.sources: Too many: 3: must have at most 2 items"],
        ),
        ({"sources": []}, ["spec.sources: Invalid value: 0: spec.sources in body should have at least 1 items"]),
        ({"sources": [{"name": "a"}, {"name": "a"}]}, ['spec.sources[1]: Duplicate value: {"name":"a"}']),
        (
            {"sources": [{"name": 5}]},
            ['spec.sources[0].name: Invalid value: "integer": spec.sources[0].name in body must be of type string: "integer"'],
        ),
        ({"tags": ["a", "b", "a", "a"]}, ['spec.tags[2]: Duplicate value: "a"']),
        ({"labels": {"a": 1}}, ['spec.labels.a: Invalid value: "integer": spec.labels.a in body must be of type string: "integer"']),
        ({"labels": {"a": "", "b": "", "c": ""}}, ["spec.labels: Too many: 3: must have at most 2 items"]),
        (
            {"size": True},
            [
                'spec.size: Invalid value: "boolean": spec.size in body must be of type integer,string: "boolean"',
                '<nil>: Invalid value: "": "spec.size" must validate at least one schema (anyOf)',
                'spec.size: Invalid value: "boolean": spec.size in body must be of type integer: "boolean"',
            ],
        ),
        ({"replicas": None}, ['spec.replicas: Invalid value: "null": spec.replicas in body must be of type integer: "null"']),
    ],
)  # fmt: skip
def test_an_invalid_value_is_rejected_with_the_messages_of_the_server(
    spec: dict[str, Any], expected: list[str]
) -> None:
    assert texts(an_object(**spec)) == expected


@pytest.mark.parametrize(
    "spec",
    [
        {"size": 4},
        {"size": "4Gi"},
        {"replicas": 2.0},
        {"gpuSelector": {"count": 1, "model": None}},
        {"engine": {"deep": [{"er": 1}]}},
        {"when": "2026-01-02T03:04:05.123Z"},
        {"ratio": 1},
    ],
)
def test_a_valid_value_is_accepted(spec: dict[str, Any]) -> None:
    assert texts(an_object(**spec)) == []


def test_a_missing_required_field_is_named() -> None:
    obj = an_object()
    del obj["spec"]["modelName"]
    assert texts(obj) == ["spec.modelName: Required value"]


def test_unknown_fields_are_dropped_and_their_paths_returned() -> None:
    obj = an_object(foo=1, gpuSelector={"count": 1, "colour": "red"}, sources=[{"name": "a", "x": {}}])
    pruned, unknown = SCHEMA.prune({**obj, "extra": True, "metadata": {"name": "t", "labelz": {}}})
    assert unknown == ["metadata.labelz", "spec.foo", "spec.gpuSelector.colour", "spec.sources[0].x", "extra"]
    assert pruned["spec"] == {"modelName": "llama", "gpuSelector": {"count": 1}, "sources": [{"name": "a"}]}


def test_no_field_is_unknown_below_preserve_unknown_fields() -> None:
    obj = an_object(
        engine={"a": {"b": [1]}},
        template={"kind": "Pod", "metadata": {"name": "x", "oops": 1}, "spec": {"c": 1}},
    )
    pruned, unknown = SCHEMA.prune(obj)
    assert unknown == ["spec.template.metadata.oops"]
    assert pruned["spec"]["engine"] == {"a": {"b": [1]}}
    assert pruned["spec"]["template"]["spec"] == {"c": 1}


def test_defaults_replace_absent_and_forbidden_null_values_at_every_depth() -> None:
    filled = SCHEMA.default(
        an_object(replicas=None, gpuSelector={"model": None}, sources=[{"name": "a"}], metric=None)
    )
    assert filled["spec"] == {
        "modelName": "llama",
        "replicas": 1,
        "gpuSelector": {"model": None, "count": 1},
        "sources": [{"name": "a", "kind": "hf"}],
        "runtimeConfigName": "default",
    }


def test_an_unchanged_invalid_value_does_not_block_another_change() -> None:
    old = an_object(metric="fast", tags=["a"])
    assert texts({**old, "status": {}}, old) == []
    assert texts(an_object(metric="fast", tags=["b"]), old) == []
    assert len(texts(an_object(metric="faster"), old)) == 1


def test_junctors_are_checked_beside_the_type() -> None:
    schema = Schema.from_crd(
        {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "properties": {"ref": {"type": "string"}, "image": {"type": "string"}},
                    "oneOf": [{"required": ["ref"]}, {"required": ["image"]}],
                    "not": {"properties": {"ref": {"enum": ["bad"]}}, "required": ["ref"]},
                }
            },
        }
    )
    both = [str(e) for e in schema.validate({"spec": {"ref": "a", "image": "b"}}, None)]
    assert both == [
        '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    ]
    none = [str(e) for e in schema.validate({"spec": {}}, None)]
    assert (
        none[0]
        == '<nil>: Invalid value: "": "spec" must validate one and only one schema (oneOf). Found none valid'
    )
    bad = [str(e) for e in schema.validate({"spec": {"ref": "bad"}}, None)]
    assert bad == ['<nil>: Invalid value: "": "spec" must not validate the schema (not)']
    assert schema.validate({"spec": {"ref": "a"}}, None) == []


def test_the_status_of_one_error_and_of_several() -> None:
    one = SCHEMA.validate(an_object(metric="x"), None)
    status = invalid_status("AIMServiceTemplate", "aim.silogen.ai", "t", one)
    assert status["message"] == (
        'AIMServiceTemplate.aim.silogen.ai "t" is invalid: spec.metric: Unsupported value: "x": '
        'supported values: "latency", "throughput"'
    )
    assert status["code"] == 422
    assert status["details"]["causes"] == [
        {
            "reason": "FieldValueNotSupported",
            "message": 'Unsupported value: "x": supported values: "latency", "throughput"',
            "field": "spec.metric",
        }
    ]
    two = invalid_status("Pod", "", "p", [*one, *one, *SCHEMA.validate(an_object(gpuSelector={}), None)])
    assert two["message"] == (
        'Pod "p" is invalid: [spec.metric: Unsupported value: "x": supported values: "latency", "throughput", '
        "spec.gpuSelector.count: Required value]"
    )


def test_the_schema_has_the_merge_strategy_of_lists() -> None:
    assert merge_strategy(SCHEMA, "spec", "sources") == ("map", ("name",))
    assert merge_strategy(SCHEMA, "spec", "tags") == ("set", ())
    assert merge_strategy(SCHEMA, "spec", "gpuSelector") == ("granular", ())
    assert merge_strategy(SCHEMA, "spec", "metric") == ("scalar", ())
    assert merge_strategy(SCHEMA, "metadata", "ownerReferences") == ("map", ("uid",))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "kind", "count", "model", "x", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)
specs = st.dictionaries(st.sampled_from([*SPEC["properties"], "foo"]), json_values, max_size=6)


SOURCE = st.fixed_dictionaries({"name": st.sampled_from("abc"), "kind": st.just("hf")})
VALID: dict[str, st.SearchStrategy[Any]] = {
    "metric": st.sampled_from(["latency", "slow"]),
    "uri": st.sampled_from(["hf://a", "http://a"]),
    "when": st.sampled_from(["2026-01-02T03:04:05Z", "now"]),
    "ratio": st.sampled_from([0, 0.5, 1, 2]),
    "replicas": st.sampled_from([0, 1, -1, 1 << 31]),
    "size": st.sampled_from([1, "1", None, []]),
    "gpuSelector": st.fixed_dictionaries(
        {"count": st.integers(0, 2)}, optional={"model": st.none() | st.text()}
    ),
    "sources": st.lists(SOURCE, max_size=3),
    "tags": st.lists(st.sampled_from("abc"), max_size=2),
    "labels": st.dictionaries(st.sampled_from("abc"), st.text(max_size=1)),
    "engine": json_values,
}
"""Values that are often valid, unlike those of ``specs``."""


@given(specs)
def test_pruning_is_idempotent(spec: dict[str, Any]) -> None:
    obj = an_object(**spec)
    before = json.dumps(obj)
    once, _ = SCHEMA.prune(obj)
    twice, unknown = SCHEMA.prune(once)
    assert twice == once
    assert unknown == []
    assert json.dumps(obj) == before


@given(specs)
def test_defaulting_is_idempotent(spec: dict[str, Any]) -> None:
    obj = an_object(**spec)
    before = json.dumps(obj)
    once = SCHEMA.default(obj)
    assert SCHEMA.default(once) == once
    assert json.dumps(obj) == before


@given(specs)
def test_validation_never_raises_and_an_unchanged_object_is_valid(spec: dict[str, Any]) -> None:
    obj = an_object(**spec)
    SCHEMA.validate(obj, None)
    # Duplicates in lists are checked even when nothing changed, as on the real server.
    assert all(
        error.type == "FieldValueDuplicate" or "list-type map" in error.message
        for error in SCHEMA.validate(obj, obj)
    )


def errors_of(obj: dict[str, Any]) -> list[FieldError]:
    """The errors of the values and of the lists of an object."""
    errors: list[FieldError] = []
    validate_value(obj, SCHEMA.root, "", errors)
    validate_lists(obj, SCHEMA.root, "", errors)
    return errors


@given(specs | st.fixed_dictionaries({}, optional=VALID))
def test_an_object_is_accepted_exactly_if_it_has_its_final_form(spec: dict[str, Any]) -> None:
    obj = an_object(**spec)
    before = json.dumps(obj)
    filled = SCHEMA.default(SCHEMA.prune(obj)[0])
    assert SCHEMA.accepts(filled) == (not errors_of(filled))
    assert SCHEMA.accepts(obj) == (obj == filled and not errors_of(obj))
    assert json.dumps(obj) == before


@pytest.mark.parametrize(
    "values",
    [{"replicas": 2.0}, {"tags": ["a", "a"]}, {"sources": [{"name": "a"}, {"name": "a"}]}, {"size": True}],
    ids=str,
)
def test_a_form_that_only_the_slow_steps_understand_is_not_accepted(values: dict[str, Any]) -> None:
    assert not SCHEMA.accepts(SCHEMA.default(an_object(**values)))


def test_an_open_schema_prunes_only_metadata() -> None:
    schema = Schema.open()
    pruned, unknown = schema.prune({"anything": {"goes": 1}, "metadata": {"name": "x", "odd": 1}})
    assert unknown == ["metadata.odd"]
    assert pruned == {"anything": {"goes": 1}, "metadata": {"name": "x"}}
    assert schema.is_open
    assert not SCHEMA.is_open
