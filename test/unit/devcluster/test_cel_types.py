"""Types in CEL rules: what the API server rejects when a definition is created."""

from __future__ import annotations

from typing import Any

import pytest

from aimctl.devcluster.apiserver.schema import InvalidSchema, Schema

PROPERTIES: dict[str, Any] = {
    "count": {"type": "integer"},
    "text": {"type": "string"},
    "ratio": {"type": "number"},
    "on": {"type": "boolean"},
    "size": {"x-kubernetes-int-or-string": True},
    "tags": {"type": "array", "items": {"type": "string"}},
    "ports": {"type": "array", "items": {"type": "object", "properties": {"port": {"type": "integer"}}}},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "when": {"type": "string", "format": "date-time"},
    "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
    "namespace": {"type": "string"},
}


def complaint(rule: str, **more: Any) -> str:
    """The first line of the error of a rule; "" if it is accepted."""
    spec = {
        "type": "object",
        "properties": PROPERTIES,
        "x-kubernetes-validations": [{"rule": rule, **more}],
    }
    try:
        Schema.from_crd({"type": "object", "properties": {"spec": spec}})
    except InvalidSchema as error:
        text = str(error.errors[0])
        return (
            text[text.rindex("<input>:") + len("<input>:") :].partition("\n")[0]
            if "<input>" in text
            else text
        )
    return ""


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("self.text > 5", "1:11: found no matching overload for '_>_' applied to '(string, int)'"),
        ("self.count == 'a'", "1:12: found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.ports.all(p, p.port == 'a')", "1:26: found no matching overload for '_==_' applied to '(int, string)'"),
        ("self.ports.all(p, p.name == 'a')", "1:20: undefined field 'name'"),
        ("self.tags.exists(t, t.size())", "1:27: expected type 'bool' but found 'int'"),
        ("self.on && self.count", "1:16: expected type 'bool' but found 'int'"),
        ("self.labels.a == 1", "1:15: found no matching overload for '_==_' applied to '(string, int)'"),
        ("self.open.a == 1", "1:10: undefined field 'a'"),
        ("has(self.any)", "1:4: undefined field 'any'"),
        ("self.when < 'x'", "1:11: found no matching overload for '_<_' applied to '(timestamp, string)'"),
        ("self.?count.orValue('a') == 1", "1:20: found no matching overload for 'orValue' applied to 'optional_type(int).(string)'"),
        ("self.count.startsWith('a')", "1:22: found no matching overload for 'startsWith' applied to 'int.(string)'"),
        ("self.text.matches('[')", "1:19: invalid matches argument"),
        ("math.abs(1) == 1", "1:9: undeclared reference to 'abs' (in container '')"),
        ("self.count in ['a', 'b']", "1:12: found no matching overload for '@in' applied to '(int, list(string))'"),
    ],
)  # fmt: skip
def test_operands_of_wrong_types_are_rejected(rule: str, expected: str) -> None:
    assert complaint(rule) == expected


@pytest.mark.parametrize(
    "rule",
    [
        "self.count < 1.5 && self.ratio > 1",
        "self.size == 1 || self.size == '10%' || type(self.size) == string && self.size.size() > 3",
        "self.tags == [] || self.tags[0] in self.labels",
        "self.ports.map(p, p.port).filter(p, p > 1024).size() == size(self.ports)",
        "(self.on ? self.tags : []).exists(tag, tag == self.labels[tag])",
        "self.?text.orValue('') == '' || !has(self.count)",
        "self.when - timestamp('2026-01-01T00:00:00Z') > duration('1h')",
        "oldSelf.count <= self.count && string(self.count) + 'x' != self.text",
        "dyn(self.count) == 'x' || dyn(self.text) > 1",
        "self.namespace == self.__namespace__",
        "[1, 2].all(x, [3].exists(x, x > 2))",
    ],
)
def test_operands_of_fitting_types_are_accepted(rule: str) -> None:
    assert complaint(rule) == ""


def test_a_message_expression_returns_a_text() -> None:
    assert complaint("true", messageExpression="self.text + 'x'") == ""
    assert "must evaluate to a string" in complaint("true", messageExpression="self.count")


def test_a_reserved_field_has_its_value_under_both_names() -> None:
    rules = [{"rule": "self.namespace == 'a' && self.__namespace__ == 'a'"}]
    spec = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": rules}
    schema = Schema.from_crd({"type": "object", "properties": {"spec": spec}})
    assert schema.validate({"spec": {"namespace": "a"}}, None) == []
    assert schema.validate({"spec": {"namespace": "b"}}, None) != []


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("(" * 20_000 + "1" + ")" * 20_000 + " > 0", "expression recursion limit exceeded: 250"),
        ("[" * 20_000 + "]" * 20_000 + " == []", "expression recursion limit exceeded: 250"),
        ("self.open" + ".a" * 20_000 + " == 1", "max recursion depth exceeded"),
        ("1" + " + 1" * 20_000 + " > 0", "max recursion depth exceeded"),
        ("dyn(self.tags)" + "[0]" * 20_000 + " == 1", "max recursion depth exceeded"),
    ],
    ids=["parentheses", "lists", "fields", "sums", "indexes"],
)
def test_a_deep_expression_is_an_error(rule: str, expected: str) -> None:
    assert complaint(rule).endswith(expected)


def test_a_long_expression_is_accepted() -> None:
    assert complaint("self.on" + " || self.text == 'a.b.c'" * 1_000) == ""


def test_a_macro_may_use_the_name_of_another_variable() -> None:
    rule = "self.tags.all(i, tag, self.tags.exists(i, i == tag) && self.tags.all(tag, tag != ''))"
    spec = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": [{"rule": rule}]}
    schema = Schema.from_crd({"type": "object", "properties": {"spec": spec}})
    assert schema.validate({"spec": {"tags": ["a", "b"]}}, None) == []
    assert schema.validate({"spec": {"tags": ["a", ""]}}, None) != []


def test_the_fields_of_an_optional_old_value_are_optionals() -> None:
    rule = {"rule": "oldSelf.optMap(old, old.count <= self.count).orValue(true)", "optionalOldSelf": True}
    spec = {"type": "object", "properties": PROPERTIES, "x-kubernetes-validations": [rule]}
    schema = Schema.from_crd({"type": "object", "properties": {"spec": spec}})
    assert schema.validate({"spec": {"count": 2}}, {"spec": {"count": 1}}) == []
    assert schema.validate({"spec": {"count": 2}}, None) == []
    assert schema.validate({"spec": {"count": 1}}, {"spec": {"count": 2}}) != []
