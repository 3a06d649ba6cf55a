"""The types of CEL expressions, which the API server checks when a definition is created.

Contract: :func:`result_type` returns the type of an expression, or raises CompileError with the messages of the real
compiler. An expression that is not understood has the type None and is accepted. An expression that a real server
accepts is never rejected.

Types are described in ``signatures.py``. The names of objects in messages lack the random number of a real server.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast, final

from aimctl.devcluster.apiserver.schema.cel.signatures import Type, overloads
from aimctl.devcluster.apiserver.schema.cel.syntax import (
    Call,
    Expr,
    Ident,
    ListExpr,
    Literal,
    MapExpr,
    Select,
    UnknownSyntax,
    parse,
)
from aimctl.devcluster.apiserver.schema.expressions import CompileError, escape, point_at
from aimctl.devcluster.apiserver.schema.scalars.formats import is_go_duration, matches_format
from aimctl.devcluster.apiserver.schema.scalars.patterns import is_pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aimctl.devcluster.apiserver.schema.node import Node

__all__ = ["declared_type", "result_type"]

_SCALARS = {"boolean": "bool", "integer": "int", "number": "double"}
_TEXTS = {"byte": "bytes", "duration": "duration", "date": "timestamp", "date-time": "timestamp"}
_SIMPLE = frozenset({"bool", "int", "uint", "double", "string", "bytes"})
_TYPE_NAMES: Mapping[str, Type] = {
    **{name: name for name in (*_SIMPLE, "timestamp", "duration", "type")},
    "null_type": "null",
    "list": ("list", "dyn"),
    "map": ("map", "dyn", "dyn"),
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
}
_MACROS: Mapping[str, Mapping[int, int]] = {
    **{name: {2: 1, 3: 2} for name in ("all", "exists", "exists_one")},
    **{name: {3: 2, 4: 2} for name in ("transformList", "transformMap", "transformMapEntry")},
    "existsOne": {3: 2},
    "map": {2: 1, 3: 1},
    "filter": {2: 1},
    "sortBy": {2: 1},
}
"""The macros over lists and maps, with the number of their variables by the number of their arguments."""
_OPTIONAL_MACROS = frozenset({"optMap", "optFlatMap"})
_LITERAL_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "matches": is_pattern,
    "duration": is_go_duration,
    "timestamp": lambda text: matches_format(text, "date-time"),
}


@final
@dataclass(frozen=True, slots=True)
class _Object:
    """An object with the fields of a node."""

    node: Node
    name: str


@final
class _Variable:
    """A type that is not known yet, such as that of the items of an empty list."""


def declared_type(node: Node, name: str = "selfType") -> Type | None:
    """The type of the values of a node; None if expressions cannot use them."""
    if node.int_or_string:
        return "dyn"
    if node.type == "array":
        items = None if node.items is None else declared_type(node.items, f"{name}.@idx")
        return None if items is None else ("list", items)
    if node.type == "object":
        if node.additional is not None and not node.properties:
            values = declared_type(node.additional, f"{name}.@elem")
            if values is not None:
                return ("map", "string", values)
        return _Object(node, name)
    return _TEXTS.get(node.format, "string") if node.type == "string" else _SCALARS.get(node.type)


def result_type(source: str, variables: Mapping[str, Type]) -> Type | None:
    """The type of an expression over variables of these types.

    Raises:
        CompileError: the types of the operands do not fit.
    """
    checker = _Checker()
    try:
        found = checker.type_of(parse(source), variables)
    except (UnknownSyntax, RecursionError):
        return None
    errors = checker.errors or checker.late
    if errors:
        texts = dict.fromkeys(
            point_at(source, *error) for error in sorted(errors, key=lambda error: error[0])
        )
        raise CompileError("\n".join(texts))
    return checker.now(found)


@final
class _Checker:
    """Infers types, and collects positions and texts of errors. Those in ``late`` count if there are no others."""

    def __init__(self) -> None:
        self.errors: list[tuple[int, str]] = []
        self.late: list[tuple[int, str]] = []
        self._bound: dict[_Variable, Type] = {}

    def _fail(self, position: int, text: str) -> Type:
        self.errors.append((position, text))
        return "dyn"

    def type_of(self, expr: Expr, scope: Mapping[str, Type]) -> Type:
        """The type of an expression; "dyn" if it has an error."""
        if isinstance(expr, Literal):
            return expr.type
        if isinstance(expr, Ident):
            return self._name(expr.name, expr.position, scope)
        if isinstance(expr, Select):
            return self._select(expr, scope)
        if isinstance(expr, ListExpr):
            types = [self.type_of(item, scope) for item in expr.items]
            parts = [
                self._unwrapped(each) if optional else each
                for each, optional in zip(types, expr.optional, strict=True)
            ]
            return ("list", self._common(parts, expr.items))
        if isinstance(expr, MapExpr):
            keys = [self.type_of(key, scope) for key, _ in expr.entries]
            values = [self.type_of(value, scope) for _, value in expr.entries]
            values = [
                self._unwrapped(each) if optional else each
                for each, optional in zip(values, expr.optional, strict=True)
            ]
            return (
                "map",
                self._common(keys, [key for key, _ in expr.entries]),
                self._common(values, [value for _, value in expr.entries]),
            )
        return self._call(expr, scope)

    def _name(self, name: str, position: int, scope: Mapping[str, Type]) -> Type:
        if name in scope:
            return scope[name]
        if name in _TYPE_NAMES:
            return ("type", _TYPE_NAMES[name])
        return self._fail(position, f"undeclared reference to '{name}' (in container '')")

    def _common(self, types: Sequence[Type], places: Sequence[Expr]) -> Type:
        """The type of the items of a literal, which have to be equal."""
        if not types:
            return _Variable()
        first = types[0]
        for each, place in zip(types[1:], places[1:], strict=True):
            shown = self._show(first), self._show(each)
            if ("dyn" in shown) == (shown[0] == shown[1] == "dyn") and self.fits(first, each):
                continue
            text = f"expected type '{shown[0]}' but found '{shown[1]}'"
            self.late.append((place.position, text))
            first = "dyn"
            break
        return first

    def _select(self, expr: Select, scope: Mapping[str, Type]) -> Type:
        qualified = _qualified(expr)
        if qualified in _TYPE_NAMES and qualified.partition(".")[0] not in scope:
            return ("type", _TYPE_NAMES[qualified])
        found = self._field(self.type_of(expr.operand, scope), expr.field, expr.position)
        return ("optional_type", self._unwrapped(found)) if expr.optional else found

    def _field(self, operand: Type, name: str, position: int) -> Type:
        kind = self.now(operand)
        if isinstance(kind, tuple) and kind[0] == "optional_type":
            return ("optional_type", self._unwrapped(self._field(kind[1], name, position)))
        if kind == "dyn" or isinstance(kind, _Variable):
            return "dyn"
        if isinstance(kind, tuple) and kind[0] == "map":
            return cast("Type", kind[2])
        if not isinstance(kind, _Object):
            return self._fail(position, f"type '{self._show(kind)}' does not support field selection")
        fields = {"name", "generateName"} if kind.node.go_type == "v1.ObjectMeta" else kind.node.properties
        for key in fields:
            if name in (key, escape(key)):
                found = declared_type(kind.node.properties[key], f"{kind.name}.{key}")
                if found is not None:
                    return found
        return self._fail(position, f"undefined field '{name}'")

    def _unwrapped(self, kind: Type) -> Type:
        found = self.now(kind)
        return found[1] if isinstance(found, tuple) and found[0] == "optional_type" else found

    def _call(self, expr: Call, scope: Mapping[str, Type]) -> Type:
        if expr.target is not None:
            if len(expr.args) in _MACROS.get(expr.name, ()):
                return self._comprehension(expr, expr.target, scope)
            if expr.name in _OPTIONAL_MACROS and len(expr.args) == 2:
                return self._of_optional(expr, expr.target, scope)
        elif expr.name == "has" and len(expr.args) == 1:
            (arg,) = expr.args
            if not isinstance(arg, Select):
                return self._fail(arg.position, "invalid argument to has() macro")
            self._field(self.type_of(arg.operand, scope), arg.field, expr.position)
            return "bool"
        elif expr.name in ("_&&_", "_||_"):
            for arg in expr.args:
                self._expect("bool", self.type_of(arg, scope), arg)
            return "bool"
        return self._function(expr, scope)

    def _expect(self, wanted: Type, found: Type, place: Expr) -> None:
        if not self.fits(wanted, found):
            text = f"expected type '{self._show(wanted)}' but found '{self._show(found)}'"
            self._fail(place.position, text)

    def _function(self, expr: Call, scope: Mapping[str, Type]) -> Type:
        name, target = expr.name, expr.target
        if isinstance(target, Ident) and target.name not in scope and overloads(f"{target.name}.{name}"):
            name, target = f"{target.name}.{name}", None
        operand = None if target is None else self.type_of(target, scope)
        before = len(self.late)
        args = [self.type_of(arg, scope) for arg in expr.args]
        if name == "format":
            del self.late[before:]
        if not overloads(name):
            return self._fail(expr.position, f"undeclared reference to '{name}' (in container '')")
        self._check_literal(name, expr.args)
        return self._resolve(name, operand, args, expr.position)

    def _check_literal(self, name: str, args: Sequence[Expr]) -> None:
        check, last = _LITERAL_CHECKS.get(name), args[-1] if args else None
        if check is None or not isinstance(last, Literal) or last.type != "string":
            return
        try:
            text = ast.literal_eval(last.text)
        except (SyntaxError, ValueError):
            return
        if not check(text):
            self.late.append((last.position, f"invalid {name} argument"))

    def _resolve(self, name: str, target: Type | None, args: Sequence[Type], position: int) -> Type:
        results: list[Type] = []
        given = args if target is None else [target, *args]
        for overload in overloads(name):
            wanted = overload.args if overload.target is None else (overload.target, *overload.args)
            if (overload.target is None) != (target is None) or len(wanted) != len(given):
                continue
            fresh: dict[str, _Variable] = {}
            saved = dict(self._bound)
            if all(
                self.fits(_instance(each, fresh), found) for each, found in zip(wanted, given, strict=True)
            ):
                results.append(_instance(overload.result, fresh))
            else:
                self._bound = saved
        if not results:
            shown = f"({', '.join(self._show(each) for each in args)})"
            applied = shown if target is None else f"{self._show(target)}.{shown}"
            return self._fail(position, f"found no matching overload for '{name}' applied to '{applied}'")
        shown_results = {self._show(each) for each in results}
        return results[0] if len(shown_results) == 1 else "dyn"

    def _comprehension(self, expr: Call, target: Expr, scope: Mapping[str, Type]) -> Type:
        count = _MACROS[expr.name][len(expr.args)]
        names, parts = expr.args[:count], expr.args[count:]
        for each in names:
            if not isinstance(each, Ident):
                text = (
                    "argument is not an identifier"
                    if expr.name == "map"
                    else "argument must be a simple name"
                )
                return self._fail(each.position, text)
        operand = self.now(self.type_of(target, scope))
        first, second = self._members(operand, target)
        kinds = (first, second) if count == 2 else (first if _is(operand, "map") else second,)
        inner = {**scope, **{cast("Ident", each).name: kind for each, kind in zip(names, kinds, strict=True)}}
        found = [self.type_of(part, inner) for part in parts]
        if expr.name in ("all", "exists"):
            self._expect("bool", found[-1], parts[-1])
            return "bool"
        if expr.name in ("exists_one", "existsOne"):
            self._resolve("_?_:_", None, [found[-1], "int", "int"], expr.position)
            return "bool"
        if expr.name == "sortBy":
            return operand
        if expr.name == "filter":
            return self._resolve("_?_:_", None, [found[-1], *[("list", kinds[0])] * 2], expr.position)
        return self._transformed(expr, first, found)

    def _transformed(self, expr: Call, key: Type, found: Sequence[Type]) -> Type:
        """The type of the result of a macro with the types of an optional condition and of the new values."""
        *conditions, last = found
        result: Type = ("list", last)
        if expr.name == "transformMap":
            result = ("map", key, last)
        elif expr.name == "transformMapEntry":
            result = ("map", _Variable(), _Variable())
            if not self.fits(result, last):
                return self._resolve("cel.@mapInsert", None, [result, last], expr.position)
        for each in conditions:
            self._resolve("_?_:_", None, [each, result, result], expr.position)
        return result

    def _members(self, operand: Type, place: Expr) -> tuple[Type, Type]:
        """The types of the two variables of a comprehension."""
        if isinstance(operand, tuple) and operand[0] == "list":
            return "int", operand[1]
        if isinstance(operand, tuple) and operand[0] == "map":
            return operand[1], operand[2]
        if operand != "dyn" and not isinstance(operand, _Variable):
            text = (
                f"expression of type '{self._show(operand)}' cannot be range of a comprehension"
                " (must be list, map, or dynamic)"
            )
            self._fail(place.position, text)
        return "dyn", "dyn"

    def _of_optional(self, expr: Call, target: Expr, scope: Mapping[str, Type]) -> Type:
        variable, body = expr.args
        if not isinstance(variable, Ident):
            text = f"{expr.name}() variable name must be a simple identifier"
            return self._fail(variable.position, text)
        inner = {**scope, variable.name: self._unwrapped(self.type_of(target, scope))}
        found = self.type_of(body, inner)
        return ("optional_type", found) if expr.name == "optMap" else found

    def now(self, kind: Type) -> Type:
        """The type as far as it is known now."""
        while isinstance(kind, _Variable) and kind in self._bound:
            kind = self._bound[kind]
        return kind

    def fits(self, wanted: Type, given: Type) -> bool:
        """Whether a value of one type can be used as the other. Binds variables."""
        first, second = self.now(wanted), self.now(given)
        if first == second:
            return True
        for one, other in ((first, second), (second, first)):
            if isinstance(one, _Variable):
                if not self._occurs(one, other):
                    self._bound[one] = other
                return True
        if "dyn" in (first, second):
            if isinstance(wanted, _Variable):
                self._bound[wanted] = "dyn"
            return True
        if "null" in (first, second):
            other = second if first == "null" else first
            return not (other in _SIMPLE or _is(other, "list") or _is(other, "map") or _is(other, "type"))
        if not isinstance(first, tuple) or not isinstance(second, tuple) or len(first) != len(second):
            return False
        return first[0] == second[0] and (
            first[0] == "type" or all(self.fits(a, b) for a, b in zip(first[1:], second[1:], strict=True))
        )

    def _occurs(self, variable: _Variable, kind: Type) -> bool:
        found = self.now(kind)
        if isinstance(found, tuple):
            return any(self._occurs(variable, each) for each in found)
        return found is variable

    def _show(self, kind: Type) -> str:
        found = self.now(kind)
        if isinstance(found, _Variable):
            return "dyn"
        if isinstance(found, _Object):
            return found.name
        if isinstance(found, tuple):
            return f"{found[0]}({', '.join(self._show(each) for each in found[1:])})"
        return str(found)


def _is(kind: Type, name: str) -> bool:
    return isinstance(kind, tuple) and kind[0] == name


def _instance(kind: Type, fresh: dict[str, _Variable]) -> Type:
    """The type of an overload with variables instead of its letters."""
    if isinstance(kind, tuple):
        return (kind[0], *(_instance(each, fresh) for each in kind[1:]))
    if kind in ("A", "B"):
        return fresh.setdefault(str(kind), _Variable())
    return kind


def _qualified(expr: Expr) -> str:
    """The dotted name that an expression consists of; "" if it is another one."""
    if isinstance(expr, Ident):
        return expr.name
    if isinstance(expr, Select) and not expr.optional:
        operand = _qualified(expr.operand)
        return f"{operand}.{expr.field}" if operand else ""
    return ""
