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

from aimctl.devcluster.apiserver.schema.cel.checking import declared_type, result_type
from aimctl.devcluster.apiserver.schema.errors import OMITTED, FieldError, GoStruct
from aimctl.devcluster.apiserver.schema.expressions import (
    RESERVED,
    CompileError,
    EvaluationError,
    compile_expression,
    escape,
    no_value,
    some_value,
)
from aimctl.devcluster.apiserver.schema.node import UNSET
from aimctl.devcluster.apiserver.schema.scalars.formats import duration_seconds
from aimctl.devcluster.apiserver.schema.values import correlate, json_type, same
from aimctl.devcluster.apiserver.schema.walk import at_index, at_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aimctl.devcluster.apiserver.schema.cel.signatures import Type
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
_NO_TYPE = (
    "internal error: failed to construct type information for x-kubernetes-validations rules:"
    " unable to convert structural schema to CEL declarations"
)
_LINE_BREAK = re.compile(r"[\n\r]")
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

    __slots__ = ("_busy", "_compiled", "_unreadable", "any", "errors")

    def __init__(self, root: Node, path: str) -> None:
        self._compiled: dict[Node, tuple[_Compiled, ...]] = {}
        self._busy: dict[Node, bool] = {}
        self._unreadable = 0
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
        before = self._unreadable
        self._compiled[node] = ()
        busy = bool(node.rules)
        for key, child in node.properties.items():
            busy |= self._compile(child, f"{path}.properties[{key}]", uncorrelatable)
        if node.additional is not None:
            busy |= self._compile(node.additional, f"{path}.additionalProperties", uncorrelatable)
        if node.items is not None:
            lost = uncorrelatable or ("" if node.list_type == "map" else path)
            busy |= self._compile(node.items, f"{path}.items", lost)
        self._busy[node] = busy
        if node.rules:
            found = len(self.errors)
            place = f"{path}.x-kubernetes-validations"
            for index, rule in enumerate(node.rules):
                self._check_texts(rule, node, f"{place}[{index}]")
            self._unreadable += len(self.errors) - found
            if self._unreadable == before:
                self._compiled[node] = self._compile_rules(node, place, uncorrelatable)
        return busy

    def _compile_rules(self, node: Node, path: str, uncorrelatable: str) -> tuple[_Compiled, ...]:
        """Compile the rules of a node, if nothing else is wrong with it and below it."""
        own = declared_type(node)
        if own is None:
            self.errors.append(FieldError("InternalError", path, OMITTED, _NO_TYPE))
            return ()
        found = (
            self._compile_rule(rule, own, f"{path}[{index}]", uncorrelatable)
            for index, rule in enumerate(node.rules)
        )
        return tuple(each for each in found if each is not None)

    def _check_texts(self, rule: Rule, node: Node, path: str) -> None:
        """Report everything that is wrong with a rule except its expressions."""
        message = rule.message.strip()
        if not rule.rule.strip():
            self.errors.append(FieldError("FieldValueRequired", f"{path}.rule", "", "rule is not specified"))
            return
        if rule.message and not message:
            self._invalid(f"{path}.message", rule.message, "must be non-empty if specified")
        elif _LINE_BREAK.search(message):
            self._invalid(f"{path}.message", rule.message, "must not contain line breaks")
        elif _LINE_BREAK.search(rule.rule.strip()) and not message:
            text = "message must be specified if rule contains line breaks"
            self.errors.append(FieldError("FieldValueRequired", f"{path}.message", "", text))
        if rule.reason and rule.reason not in _REASONS:
            words = ", ".join(f'"{word}"' for word in sorted(_REASONS))
            error = FieldError(
                "FieldValueNotSupported", f"{path}.reason", rule.reason, f"supported values: {words}"
            )
            self.errors.append(error)
        if rule.field_path and not _is_valid_field_path(rule.field_path, node):
            self._invalid(f"{path}.fieldPath", rule.field_path, "must be a valid path")

    def _invalid(self, path: str, value: Any, text: str) -> None:
        self.errors.append(FieldError("FieldValueInvalid", path, value, text))

    def _compile_rule(self, rule: Rule, own: Type, path: str, uncorrelatable: str) -> _Compiled | None:
        given = rule.raw.get("optionalOldSelf")
        shown = GoStruct(
            Rule=rule.rule,
            Message=rule.message,
            MessageExpression=rule.message_expression,
            Reason=rule.reason or None,
            FieldPath=rule.field_path,
            OptionalOldSelf=given,
        )
        old: Type = ("optional_type", own) if rule.optional_old_self else own
        types = {"self": own, "oldSelf": old}
        expression = self._compile_expression(rule.rule, "bool", types, f"{path}.rule", shown)
        uses_old = expression is not None and expression.uses_old_self
        if given is not None and not uses_old:
            self._invalid(f"{path}.optionalOldSelf", given, "may not be set if oldSelf is not used in rule")
        if uncorrelatable and uses_old:
            text = (
                f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelatable}"
            )
            self._invalid(f"{path}.rule", rule.rule, text)
        if expression is None:
            return None
        message = None
        if rule.message_expression:
            place = f"{path}.messageExpression"
            message = self._compile_expression(rule.message_expression, "string", types, place, shown)
        return _Compiled(rule, expression, message)

    def _compile_expression(
        self, source: str, wanted: str, types: Mapping[str, Type], path: str, shown: Any
    ) -> Expression | None:
        """An expression whose result has a type; None if there are errors."""
        name, prefix = (
            ("messageExpression", "messageExpression ") if wanted == "string" else ("cel expression", "")
        )
        try:
            found = result_type(source, types)
            expression = compile_expression(source)
        except CompileError as error:
            self._invalid(path, shown, f"{prefix}compilation failed: {error}")
            return None
        if found not in (None, wanted):
            self._invalid(path, shown, f"{name} must evaluate to a {wanted}")
            return None
        return expression


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


def to_cel(value: Any, node: Node) -> Any:
    """A JSON value as expressions see it.

    Field names are escaped, and reserved ones also present as they are. Dates, times and durations have their types,
    and numbers are doubles. Fields that the schema does not have are absent.
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
    fields = {key: to_cel(value[key], child) for key, child in node.properties.items() if key in value}
    escaped = {escape(key): item for key, item in fields.items()}
    return escaped | {key: fields[key] for key in fields.keys() & RESERVED}


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
        return timedelta(seconds=duration_seconds(text) or 0)
    return text
