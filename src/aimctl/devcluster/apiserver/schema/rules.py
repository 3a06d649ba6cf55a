"""The CEL rules of a schema (``x-kubernetes-validations``).

Contract:
    * :class:`Rules` compiles all rules of a schema. All compile errors are reported, with the paths and messages of the
      API server.
    * A rule that uses ``oldSelf`` is a transition rule. It is checked only if there is an old value at the same
      place, or if it has ``optionalOldSelf``. It is not allowed for items of sets and atomic lists, which have no
      identity.
    * A rule whose evaluation fails is violated, and the text has the reason.
    * A violation of another rule is not reported if the value did not change.

Not implemented: the cost budget.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, final

import msgspec

from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError, GoStruct
from aimctl.devcluster.apiserver.schema.expressions import (
    CompileError,
    EvaluationError,
    compile_expression,
    may_be_bool,
    no_value,
    outside_strings,
    point_at,
    some_value,
)
from aimctl.devcluster.apiserver.schema.node import UNSET
from aimctl.devcluster.apiserver.schema.values import correlate, json_type, same
from aimctl.devcluster.apiserver.schema.walk import at_index, at_key

if TYPE_CHECKING:
    from aimctl.devcluster.apiserver.schema.errors import FieldErrorType
    from aimctl.devcluster.apiserver.schema.expressions import Expression
    from aimctl.devcluster.apiserver.schema.node import Node, Rule

__all__ = ["Rules"]

_REASONS: tuple[FieldErrorType, ...] = (
    "FieldValueInvalid",
    "FieldValueForbidden",
    "FieldValueRequired",
    "FieldValueDuplicate",
)
_CHAIN = re.compile(r"(?<![\w.])(self|oldSelf)((?:\s*\.\s*\??[A-Za-z_]\w*(?![\w(]))+)")
_STEP = re.compile(r"\.\s*(\??)([A-Za-z_]\w*)")
_SPECIAL = {"__underscores__": "__", "__dot__": ".", "__dash__": "-", "__slash__": "/"}
_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_LINE_BREAK = re.compile(r"[\n\r]")
_DURATION_PART = re.compile(r"(?<![\d.])(\d++(?:\.\d*+)?+|\.\d++)(ns|us|µs|ms|s|m|h)")
_DURATION_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PASSED_KEPT = 256


@final
@dataclass(frozen=True, slots=True)
class _Compiled:
    """A rule with its expressions.

    Attributes:
        rule: the source.
        expression: of the rule.
        message: of the message; None if there is none.
        passed: the encoded pairs of new and old value, for the latest of which the rule is true. A write of the status
            has the same ``spec`` as the write before it.
    """

    rule: Rule
    expression: Expression
    message: Expression | None
    passed: dict[tuple[bytes, bytes], None] = field(default_factory=dict)

    @property
    def error_text(self) -> str:
        return self.rule.message.strip() or f"failed rule: {self.rule.rule.strip()}"


@final
class Rules:
    """The rules of one schema.

    Args:
        root: the schema.
        path: the path of the schema in the CustomResourceDefinition.

    Attributes:
        errors: the compile errors. A schema that has any must not be served.
        any: whether there are rules.
    """

    __slots__ = ("_busy", "_compiled", "any", "errors")

    def __init__(self, root: Node, path: str) -> None:
        self._compiled: dict[Node, tuple[_Compiled, ...]] = {}
        self._busy: dict[Node, bool] = {}
        self.errors: list[FieldError] = []
        self.any = self._compile(root, path, "")

    def check(self, value: Any, node: Node, path: str, errors: list[FieldError], old: Any = UNSET) -> None:
        """Check a value and everything below it. Null is not checked."""
        if value is None or not self._busy.get(node):
            return
        for compiled in self._compiled.get(node, ()):
            error = _evaluate(compiled, value, node, path, old)
            if error is not None:
                errors.append(error)
        if isinstance(value, dict):
            before: dict[str, Any] = old if isinstance(old, dict) else {}
            for key, item in value.items():
                known = node.properties.get(key)
                if known is not None:
                    self.check(item, known, at_key(path, key), errors, before.get(key, UNSET))
                elif node.additional is not None:
                    self.check(item, node.additional, f"{path}[{key}]", errors, before.get(key, UNSET))
        elif isinstance(value, list) and node.items is not None:
            for index, (item, counterpart) in enumerate(zip(value, correlate(node, value, old), strict=True)):
                self.check(item, node.items, at_index(path, index), errors, counterpart)

    def _compile(self, node: Node, path: str, uncorrelatable: str) -> bool:
        """Compile the rules of a node and below it. Returns whether there are any."""
        if node in self._busy:
            return self._busy[node]
        compiled = []
        for index, rule in enumerate(node.rules):
            result = self._compile_rule(
                rule, node, f"{path}.x-kubernetes-validations[{index}]", uncorrelatable
            )
            if result is not None:
                compiled.append(result)
        self._compiled[node] = tuple(compiled)
        busy = bool(node.rules)
        for key, child in node.properties.items():
            busy |= self._compile(child, f"{path}.properties[{key}]", uncorrelatable)
        if node.additional is not None:
            busy |= self._compile(node.additional, f"{path}.additionalProperties", uncorrelatable)
        if node.items is not None:
            place = f"{path}.items"
            lost = uncorrelatable or ("" if node.list_type == "map" else place)
            busy |= self._compile(node.items, place, lost)
        self._busy[node] = busy
        return busy

    def _compile_rule(self, rule: Rule, node: Node, path: str, uncorrelatable: str) -> _Compiled | None:
        shown = GoStruct(
            Rule=rule.rule,
            Message=rule.message,
            MessageExpression=rule.message_expression,
            Reason=rule.reason or None,
            FieldPath=rule.field_path,
            OptionalOldSelf=rule.optional_old_self or None,
        )
        message = rule.message.strip()
        if not rule.rule.strip():
            self.errors.append(FieldError("FieldValueRequired", f"{path}.rule", "", "rule is not specified"))
            return None
        if rule.message and not message:
            text = "must be non-empty if specified"
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.message", rule.message, text))
        elif _LINE_BREAK.search(message):
            text = "must not contain line breaks"
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.message", rule.message, text))
        elif _LINE_BREAK.search(rule.rule.strip()) and not message:
            text = "message must be specified if rule contains line breaks"
            self.errors.append(FieldError("FieldValueRequired", f"{path}.message", "", text))
        if rule.reason and rule.reason not in _REASONS:
            words = ", ".join(f'"{word}"' for word in _REASONS)
            error = FieldError(
                "FieldValueNotSupported", f"{path}.reason", rule.reason, f"supported values: {words}"
            )
            self.errors.append(error)
        if rule.field_path and not _is_valid_field_path(rule.field_path, node):
            text = "fieldPath must be a valid path: does not refer to a valid field"
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.fieldPath", rule.field_path, text))
        try:
            _check_fields(rule.rule, node)
            expression = compile_expression(rule.rule)
        except CompileError as error:
            text = f"compilation failed: {error}"
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.rule", shown, text))
            return None
        if not may_be_bool(rule.rule, lambda path: _type_at(node, path)):
            text = "cel expression must evaluate to a bool"
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.rule", shown, text))
            return None
        if uncorrelatable and (expression.uses_old_self or rule.optional_old_self):
            text = (
                f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
            )
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.rule", rule.rule, text))
            return None
        return _Compiled(rule, expression, self._compile_message(rule, node, shown, path))

    def _compile_message(self, rule: Rule, node: Node, shown: dict[str, Any], path: str) -> Expression | None:
        if not rule.message_expression:
            return None
        try:
            _check_fields(rule.message_expression, node)
            return compile_expression(rule.message_expression)
        except CompileError as error:
            text = f"messageExpression compilation failed: {error}"
            self.errors.append(FieldError("FieldValueInvalid", f"{path}.messageExpression", shown, text))
            return None


def _evaluate(compiled: _Compiled, value: Any, node: Node, path: str, old: Any) -> FieldError | None:
    rule, expression = compiled.rule, compiled.expression
    known = old is not UNSET and old is not None
    if expression.uses_old_self and not known and not rule.optional_old_self:
        return None
    compared = known and (expression.uses_old_self or rule.optional_old_self)
    pair = (msgspec.json.encode(value), msgspec.json.encode(old) if compared else b"")
    if pair in compiled.passed:
        return None
    variables = {"self": to_cel(value, node)}
    if rule.optional_old_self:
        variables["oldSelf"] = some_value(to_cel(old, node)) if known else no_value()
    elif expression.uses_old_self:
        variables["oldSelf"] = to_cel(old, node)
    shown = node.type or json_type(value)
    try:
        if expression.evaluate(variables) is True:
            if len(compiled.passed) >= _PASSED_KEPT:
                del compiled.passed[next(iter(compiled.passed))]
            compiled.passed[pair] = None
            return None
    except EvaluationError as error:
        text = str(error)
        if text.startswith("no such overload"):
            text = (
                f"'{text}': call arguments did not match a supported operator, function or macro signature "
                f"for rule: {compiled.error_text}"
            )
        else:
            text = f"{text} evaluating rule: {compiled.error_text}"
        return FieldError("FieldValueInvalid", path or "<nil>", shown, text)
    if known and not expression.uses_old_self and same(value, old):
        return None
    return _failure(compiled, variables, OMITTED if shown in ("object", "array") else value, path)


def _failure(compiled: _Compiled, variables: dict[str, Any], shown: Any, path: str) -> FieldError:
    rule = compiled.rule
    message = compiled.error_text
    if compiled.message is not None:
        try:
            text = compiled.message.evaluate(variables)
        except EvaluationError:
            text = None
        if isinstance(text, str) and text.strip() and "\n" not in text.strip():
            message = text.strip()
    place = path + rule.field_path if path else rule.field_path.removeprefix(".")
    reason: FieldErrorType = next((known for known in _REASONS if known == rule.reason), "FieldValueInvalid")
    if reason == "FieldValueDuplicate":
        message = ""
    return FieldError(reason, place or "<nil>", shown, message)


def _is_valid_field_path(field_path: str, node: Node) -> bool:
    """Whether a rule's fieldPath (``.a.b``, ``.a['b']``) exists in the schema."""
    steps = re.findall(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]", field_path)
    if "".join(f".{name}" if name else f"['{key}']" for name, key in steps) != field_path:
        return False
    current: Node | None = node
    for name, key in steps:
        current = current.properties.get(name or key, current.additional) if current else None
    return current is not None


def _type_at(node: Node, path: list[str]) -> str:
    """The type of the value at a path of identifiers that starts with ``self``, or "" if it is not known."""
    current: Node | None = node if path[0] in ("self", "oldSelf") else None
    for name in path[1:]:
        if current is None or current.type != "object":
            return ""
        current = current.properties.get(unescape(name), current.additional)
    return "" if current is None or current.int_or_string else current.type


def _check_fields(source: str, node: Node) -> None:
    """Reject ``self.a.b`` if the schema has no such field.

    Raises:
        CompileError: with the position of the field.
    """
    blank = outside_strings(source)
    for chain in _CHAIN.finditer(blank):
        current: Node | None = node
        for step in _STEP.finditer(blank, chain.start(2), chain.end(2)):
            name = unescape(step.group(2))
            if current is None or current.type != "object" or current.additional is not None:
                break
            known = current.properties.get(name)
            if known is None:
                raise CompileError(point_at(source, step.start(), f"undefined field '{step.group(2)}'"))
            current = known


def escape(name: str) -> str:
    """A field name as an identifier, as specified in Kubernetes' documentation of validation rules."""
    if name in _RESERVED:
        return f"__{name}__"
    return (
        name.replace("__", "__underscores__")
        .replace(".", "__dot__")
        .replace("-", "__dash__")
        .replace("/", "__slash__")
    )


def unescape(identifier: str) -> str:
    """The field name of an identifier."""
    if identifier.startswith("__") and identifier.endswith("__") and identifier[2:-2] in _RESERVED:
        return identifier[2:-2]
    return re.sub("|".join(_SPECIAL), lambda found: _SPECIAL[found.group()], identifier)


def to_cel(value: Any, node: Node) -> Any:
    """A JSON value as expressions see it.

    Field names are escaped, dates, times and durations have their types, and numbers are doubles. Fields that the
    schema does not have are absent.
    """
    if isinstance(value, dict):
        return _object_to_cel(value, node)
    if isinstance(value, list):
        items = node.items
        return value if items is None else [to_cel(item, items) for item in value]
    if isinstance(value, str):
        return _from_text(value, node.format)
    if node.type == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return int(value) if node.type == "integer" and isinstance(value, float) else value


def _object_to_cel(value: dict[str, Any], node: Node) -> dict[str, Any]:
    additional = node.additional
    if additional is not None and not node.properties:
        return {key: to_cel(item, additional) for key, item in value.items()}
    if not node.properties and not node.type:
        return value
    return {escape(key): to_cel(value[key], child) for key, child in node.properties.items() if key in value}


def _from_text(text: str, name: str) -> Any:
    try:
        if name == "date-time":
            return datetime.fromisoformat(text.upper())
        if name == "date":
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        if name == "byte":
            return text.encode()
    except ValueError:
        return text
    if name == "duration":
        parts = _DURATION_PART.findall(text)
        seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
        return timedelta(seconds=-seconds if text.startswith("-") else seconds)
    return text
