"""CEL expressions without the syntax and the macros that the evaluator does not have.

Contract: :func:`rewritten` returns an expression with the same value, which calls the functions of this module's names
instead. An expression that has nothing to replace is returned as it is, so that positions in messages stay the same.

A macro with two variables becomes one over the pairs of :data:`ENTRIES`; its variables become the parts of a pair.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, final

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

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENTRIES", "FIRST", "INDEX", "MAP", "MERGED", "ONLY", "SELECT", "SORTED", "VALUES", "rewritten"]

SELECT = "selectOptional_"
"""``a.?b`` is ``a.selectOptional_('b')``."""
INDEX = "indexOptional_"
"""``a[?b]`` is ``a.indexOptional_(b)``."""
ENTRIES = "entries_"
"""The pairs of index and item of a list, or of key and value of a map."""
MAP = "mapOf_"
"""The map of a list of pairs."""
MERGED = "merged_"
"""The map of the entries of a list of maps."""
VALUES = "values_"
"""The list of the value of an optional, which is empty if there is none."""
FIRST = "firstOf_"
"""The optional of the only item of a list."""
ONLY = "onlyOf_"
"""The optional of the only item of a list of lists."""
SORTED = "sortedBy_"
"""A list in the order of a list of keys."""

_TWO_VARIABLES = r"(?:all|exists|exists_one|existsOne)\(\s*[A-Za-z_]\w*\s*,\s*[A-Za-z_]\w*\s*,"
_NEEDED = re.compile(
    rf"\.\s*\?|\[\s*\?|\b(?:{_TWO_VARIABLES}|transformList\(|transformMap\(|transformMapEntry\("
    r"|optMap\(|optFlatMap\(|sortBy\()"
)
_ONE_VARIABLE = frozenset({"all", "exists", "exists_one", "map", "filter"})
_TESTS = {"all": "all", "exists": "exists", "exists_one": "exists_one", "existsOne": "exists_one"}
_TRANSFORMS = frozenset({"transformList", "transformMap", "transformMapEntry"})


def rewritten(source: str, blank: str) -> str:
    """The expression to evaluate. ``blank`` is the source without the contents of its texts."""
    if not _NEEDED.search(blank):
        return source
    try:
        return _Writer().text(parse(source), {})
    except (UnknownSyntax, RecursionError):
        return source


@final
class _Writer:
    """Writes expressions. ``names`` has what replaces the variables in scope."""

    def __init__(self) -> None:
        self._pairs = 0

    def text(self, expr: Expr, names: Mapping[str, str]) -> str:  # noqa: PLR0911 - one per form
        """The source of an expression."""
        if isinstance(expr, Literal):
            return expr.text
        if isinstance(expr, Ident):
            return names.get(expr.name, expr.name)
        if isinstance(expr, Select):
            operand = self.text(expr.operand, names)
            return f"{operand}.{SELECT}('{expr.field}')" if _is_optional(expr) else f"{operand}.{expr.field}"
        if isinstance(expr, ListExpr | MapExpr):
            return self._literal(expr, names)
        if expr.target is not None:
            return self._method(expr, expr.target, names)
        args = [self.text(arg, names) for arg in expr.args]
        if expr.name in ("_[_]", "_[?_]"):
            optional = expr.name == "_[?_]" or _is_optional(expr.args[0])
            return f"{args[0]}.{INDEX}({args[1]})" if optional else f"{args[0]}[{args[1]}]"
        if expr.name == "_?_:_":
            return f"({args[0]} ? {args[1]} : {args[2]})"
        if len(args) == 2 and expr.name[0] in "_@":
            return f"({args[0]} {expr.name.strip('_@')} {args[1]})"
        if expr.name in ("!_", "-_"):
            return f"{expr.name[0]}({args[0]})"
        return f"{expr.name}({', '.join(args)})"

    def _literal(self, expr: ListExpr | MapExpr, names: Mapping[str, str]) -> str:
        if any(expr.optional):
            raise UnknownSyntax("optional items")
        if isinstance(expr, ListExpr):
            return f"[{', '.join(self.text(item, names) for item in expr.items)}]"
        entries = (f"{self.text(key, names)}: {self.text(value, names)}" for key, value in expr.entries)
        return f"{{{', '.join(entries)}}}"

    def _method(self, expr: Call, target: Expr, names: Mapping[str, str]) -> str:
        operand, name, args = self.text(target, names), expr.name, expr.args
        if name in ("optMap", "optFlatMap") and len(args) == 2:
            return self._of_optional(expr, operand, names)
        if name == "sortBy" and len(args) == 2:
            return f"{SORTED}({operand}, {operand}.map({self._one(args[0], args[1], names)}))"
        if name in _TRANSFORMS or (name in _TESTS and len(args) == 3):
            return self._two(name, operand, args, names)
        if name in _ONE_VARIABLE and len(args) >= 2 and isinstance(args[0], Ident):
            inner = {key: text for key, text in names.items() if key != args[0].name}
            return (
                f"{operand}.{name}({', '.join([args[0].name, *(self.text(arg, inner) for arg in args[1:])])})"
            )
        return f"{operand}.{name}({', '.join(self.text(arg, names) for arg in args)})"

    def _of_optional(self, expr: Call, operand: str, names: Mapping[str, str]) -> str:
        """``optMap`` and ``optFlatMap``, by the list of the value."""
        variable, body = self._one(expr.args[0], expr.args[1], names).split(", ", 1)
        if expr.name == "optMap":
            return f"{FIRST}({VALUES}({operand}).map({variable}, {body}))"
        return f"{ONLY}({VALUES}({operand}).map({variable}, {VALUES}({body})))"

    def _one(self, variable: Expr, body: Expr, names: Mapping[str, str]) -> str:
        name = self.text(variable, {})
        return f"{name}, {self.text(body, {key: text for key, text in names.items() if key != name})}"

    def _two(self, name: str, operand: str, args: tuple[Expr, ...], names: Mapping[str, str]) -> str:
        self._pairs += 1
        pair = f"pair{self._pairs}_"
        key, value = (self.text(arg, {}) for arg in args[:2])
        *conditions, body = (
            self.text(arg, {**names, key: f"{pair}[0]", value: f"{pair}[1]"}) for arg in args[2:]
        )
        items = f"{ENTRIES}({operand})"
        if name in _TESTS:
            return f"{items}.{_TESTS[name]}({pair}, {body})"
        for condition in conditions:
            items = f"{items}.filter({pair}, {condition})"
        if name == "transformMap":
            return f"{MAP}({items}.map({pair}, [{pair}[0], {body}]))"
        result = f"{items}.map({pair}, {body})"
        return f"{MERGED}({result})" if name == "transformMapEntry" else result


def _is_optional(expr: Expr) -> bool:
    """Whether the value of a selection or an index is an optional."""
    if isinstance(expr, Select):
        return expr.optional or _is_optional(expr.operand)
    return isinstance(expr, Call) and (
        expr.name == "_[?_]" or (expr.name == "_[_]" and _is_optional(expr.args[0]))
    )
