"""Label and field selectors.

Contract: :func:`parse_labels` and :func:`parse_fields` parse the query parameters ``labelSelector`` and
``fieldSelector`` with the grammar and semantics of Kubernetes: ``!=`` and ``notin`` also match a missing label.
:func:`from_object` reads the selectors of workloads.
Errors are :class:`SelectorError`, with the message of the real server where it is known.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

from aimctl.devcluster.apiserver.objects.names import label_value_errors, qualified_name_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from aimctl.devcluster.storage.records import Record

__all__ = [
    "EVERYTHING",
    "FieldSelector",
    "LabelSelector",
    "SelectorError",
    "Selectors",
    "from_object",
    "parse_fields",
    "parse_labels",
]


class SelectorError(ValueError):
    """The selector cannot be parsed, or has a field that the kind does not support."""


@final
@dataclass(frozen=True, slots=True)
class _Requirement:
    key: str
    operator: str  # in, notin, exists, missing, gt, lt
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "missing":
                return value is None
        if value is None or not _INTEGER.fullmatch(value):
            return False
        limit = int(self.values[0])
        return int(value) > limit if self.operator == "gt" else int(value) < limit


@final
@dataclass(frozen=True, slots=True)
class LabelSelector:
    """Matches if all requirements are met; without requirements it matches everything."""

    requirements: tuple[_Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is selected."""
        return all(requirement.matches(labels) for requirement in self.requirements)


_UNSET = {
    "spec.hostNetwork": "false",
    "spec.unschedulable": "false",
    "status.successful": "0",
    "status.replicas": "0",
}
"""The values of fields that are not set, of those that are not texts."""


@final
@dataclass(frozen=True, slots=True)
class FieldSelector:
    """Matches if all terms are true. A term is a field, a value, and whether they must be equal."""

    terms: tuple[tuple[str, str, bool], ...] = ()

    def matches(self, record: Record) -> bool:
        """Whether the record is selected."""
        for path, wanted, equal in self.terms:
            if path == "metadata.name":
                value = record.name
            elif path == "metadata.namespace":
                value = record.namespace
            else:
                value = record.fields.get(path) or _UNSET.get(path, "")
            if (value == wanted) is not equal:
                return False
        return True


@final
@dataclass(frozen=True, slots=True)
class Selectors:
    """The label and field selector of a request."""

    labels: LabelSelector = LabelSelector()
    fields: FieldSelector = FieldSelector()

    @property
    def everything(self) -> bool:
        """Whether every object is selected."""
        return not self.labels.requirements and not self.fields.terms

    def matches(self, record: Record) -> bool:
        """Whether the record is selected."""
        return self.labels.matches(record.labels) and self.fields.matches(record)


EVERYTHING = Selectors()

_INTEGER = re.compile(r"[-+]?\d+")
_TOKEN = re.compile(r"\s*(==|!=|=|!|\(|\)|,|<|>|[^\s=!(),<>]+)")
_SYMBOLS = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">"})
_AFTER_COMMA_WRONG = (_SYMBOLS - {"!"}) | {""}
_OPERATORS = "in, notin, =, ==, !=, gt, lt"


def parse_labels(text: str) -> LabelSelector:
    """Parse a label selector: ``a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1``.

    Raises:
        SelectorError: it cannot be parsed.
    """
    if not text.strip():
        return LabelSelector()
    parser = _LabelParser(text)
    requirements = [parser.requirement()]
    while parser.peek() == ",":
        parser.take()
        if parser.peek() in _AFTER_COMMA_WRONG:
            raise SelectorError(f"found '{parser.peek()}', expected: identifier after ','")
        requirements.append(parser.requirement())
    if parser.peek():
        raise SelectorError(f"found '{parser.peek()}', expected: ',' or 'end of string'")
    return LabelSelector(tuple(requirements))


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "missing"}


def from_object(selector: Mapping[str, Any]) -> LabelSelector:
    """The selector of a ``metav1.LabelSelector``, as workloads have it. Unknown operators are left out."""
    labels = (selector.get("matchLabels") or {}).items()
    found = [_Requirement(key, "in", (value,)) for key, value in labels]
    for item in selector.get("matchExpressions") or ():
        operator = _OBJECT_OPERATORS.get(item.get("operator"))
        if operator is not None:
            found.append(_Requirement(str(item.get("key")), operator, tuple(item.get("values") or ())))
    return LabelSelector(tuple(found))


@final
class _LabelParser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def requirement(self) -> _Requirement:
        if self.peek() == "!":
            self.take()
            if self.peek() in _SYMBOLS:
                raise SelectorError(
                    f"unable to parse requirement: found '{self.peek()}', expected: identifier"
                )
            return _Requirement(self._key(), "missing")
        key = self._key()
        match self.peek():
            case "" | ",":
                return _Requirement(key, "exists")
            case "=" | "==":
                self.take()
                return _Requirement(key, "in", (self._exact(key),))
            case "!=":
                self.take()
                return _Requirement(key, "notin", (self._exact(key),))
            case "in" | "notin":
                return _Requirement(key, self.take(), self._set(key))
            case ">" | "<":
                operator = "gt" if self.take() == ">" else "lt"
                value = self.take()
                if not _INTEGER.fullmatch(value):
                    raise SelectorError(
                        f'unable to parse requirement: values[0]: Invalid value: "{value}":'
                        " for 'Gt', 'Lt' operators, the value must be an integer"
                    )
                return _Requirement(key, operator, (value,))
            case found:
                raise SelectorError(f"unable to parse requirement: found '{found}', expected: {_OPERATORS}")

    def _key(self) -> str:
        key = self.take()
        if not key or key in _SYMBOLS:
            raise SelectorError(f"found '{key}', expected: !, identifier, or 'end of string'")
        if errors := qualified_name_errors(key):
            raise SelectorError(
                f'unable to parse requirement: <nil>: Invalid value: "{key}": {"; ".join(errors)}'
            )
        return key

    def _exact(self, key: str) -> str:
        if self.peek() in ("", ","):
            return ""
        return self._checked(key, self.take())

    def _checked(self, key: str, value: str) -> str:
        if value in _SYMBOLS:
            raise SelectorError(f"unable to parse requirement: found '{value}', expected: identifier")
        if errors := label_value_errors(value):
            raise SelectorError(
                f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}": {"; ".join(errors)}'
            )
        return value

    def _set(self, key: str) -> tuple[str, ...]:
        if self.peek() != "(":
            raise SelectorError(f"unable to parse requirement: found '{self.peek()}' expected: '('")
        self.take()
        values: list[str] = []
        while True:
            values.append("" if self.peek() in (",", ")") else self._checked(key, self.take()))
            match self.take():
                case ")":
                    return tuple(values)
                case ",":
                    continue
                case found:
                    raise SelectorError(f"unable to parse requirement: found '{found}', expected: ',' or ')'")


_ESCAPED = re.compile(r"\\(.)")
_TERM = re.compile(r"((?:[^\\,]|\\.)*?)(==|!=|=)((?:[^\\,]|\\.|\\$)*)")
_SPLIT = re.compile(r"(?:[^\\,]|\\.|\\$)+")


def parse_fields(text: str, known: Collection[str]) -> FieldSelector:
    r"""Parse a field selector: ``metadata.name=a,status.phase!=Failed``, with the escapes ``\,`` and ``\=``.

    Args:
        text: the selector.
        known: the fields of this kind in addition to ``metadata.name`` and ``metadata.namespace``.

    Raises:
        SelectorError: it cannot be parsed, or a field is not supported.
    """
    terms = []
    for part in _SPLIT.findall(text):
        match = _TERM.fullmatch(part.strip())
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = match.groups()
        if path not in ("metadata.name", "metadata.namespace") and path not in known:
            raise SelectorError(f"field label not supported: {path}")
        if value.endswith("\\") and not re.search(r"(?<!\\)(\\\\)+$", value):
            raise SelectorError("invalid field selector: invalid escape sequence: \\")
        if re.search(r"(?<!\\)=", value):
            raise SelectorError("invalid field selector: unescaped character in value: 61")
        terms.append((path, _ESCAPED.sub(r"\1", value), operator != "!="))
    return FieldSelector(tuple(terms))
