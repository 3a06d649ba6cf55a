"""The syntax of the Common Expression Language.

Contract: :func:`parse` returns the tree of an expression. Positions are those to which the messages of the real
compiler point: the operator of an operation, the parenthesis of a call, and the dot of a selection.

The evaluator has a parser of its own, which explains what is wrong with an invalid expression. This one only has to
understand what that one accepts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Call", "Expr", "Ident", "ListExpr", "Literal", "MapExpr", "Select", "UnknownSyntax", "parse"]

_TOKEN = re.compile(
    r"(?P<skip>[ \t\r\n\f]+|//[^\n]*)"
    r"|(?P<string>[rRbB]{0,2}(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\""
    r"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\"))"
    r"|(?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<int>(?:0[xX][0-9a-fA-F]+|\d+)[uU]?)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])",
    re.DOTALL | re.ASCII,
)
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)
"""The binary operators from the weakest to the strongest."""
_CONSTANTS = {"true": "bool", "false": "bool", "null": "null"}


class UnknownSyntax(ValueError):  # noqa: N818 - the expression may be valid
    """The expression is not understood."""


@final
@dataclass(frozen=True, slots=True)
class Literal:
    """A literal: its type and its source."""

    type: str
    text: str
    position: int


@final
@dataclass(frozen=True, slots=True)
class Ident:
    """A name."""

    name: str
    position: int


@final
@dataclass(frozen=True, slots=True)
class Select:
    """``operand.field``, or ``operand.?field`` if it is optional."""

    operand: Expr
    field: str
    optional: bool
    position: int


@final
@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator such as ``_+_``. The target of functions and operators is None."""

    name: str
    target: Expr | None
    args: tuple[Expr, ...]
    position: int


@final
@dataclass(frozen=True, slots=True)
class ListExpr:
    """A list. Of an optional item, the value is added if there is one."""

    items: tuple[Expr, ...]
    optional: tuple[bool, ...]
    position: int


@final
@dataclass(frozen=True, slots=True)
class MapExpr:
    """A map, with optional entries as in a list."""

    entries: tuple[tuple[Expr, Expr], ...]
    optional: tuple[bool, ...]
    position: int


Expr = Literal | Ident | Select | Call | ListExpr | MapExpr


@final
@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(source: str) -> Expr:
    """The tree of an expression.

    Raises:
        UnknownSyntax: it is not valid, or has messages or other rare syntax.
    """
    parser = _Parser(_tokens(source))
    try:
        result = parser.choice()
    except RecursionError as error:
        raise UnknownSyntax("too deep") from error
    parser.expect("")
    return result


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None or found.lastgroup is None:
            raise UnknownSyntax(f"unexpected character at {position}")
        if found.lastgroup != "skip":
            tokens.append(_Token(found.lastgroup, found.group(), position))
        position = found.end()
    return [*tokens, _Token("end", "", position)]


@final
class _Parser:
    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _skip(self, text: str) -> bool:
        token = self._peek()
        if token.text != text or token.kind not in ("sign", "end"):
            return False
        self._next += 1
        return True

    def expect(self, text: str) -> None:
        """Take this sign; the end is ""."""
        if not self._skip(text):
            raise UnknownSyntax(f"expected {text!r} at {self._peek().position}")

    def choice(self) -> Expr:
        """An expression."""
        condition = self._binary(0)
        position = self._peek().position
        if not self._skip("?"):
            return condition
        first = self._binary(0)
        self.expect(":")
        return Call("_?_:_", None, (condition, first, self.choice()), position)

    def _binary(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek().kind in ("sign", "name") and self._peek().text in _LEVELS[level]:
            token = self._take()
            name = "@in" if token.text == "in" else f"_{token.text}_"
            left = Call(name, None, (left, self._binary(level + 1)), token.position)
        return left

    def _unary(self) -> Expr:
        token = self._peek()
        if token.kind == "sign" and token.text in ("!", "-"):
            self._take()
            operand = self._unary()
            if token.text == "-" and isinstance(operand, Literal) and operand.type in ("int", "double"):
                return Literal(operand.type, f"-{operand.text}", token.position)
            return Call(f"{token.text}_", None, (operand,), token.position)
        return self._member(self._primary())

    def _member(self, operand: Expr) -> Expr:
        while True:
            token = self._peek()
            if self._skip("."):
                optional = self._skip("?")
                field = self._name()
                if self._peek().text == "(" and not optional:
                    operand = Call(field.text, operand, *self._arguments())
                else:
                    operand = Select(operand, field.text, optional, token.position)
            elif self._skip("["):
                name = "_[?_]" if self._skip("?") else "_[_]"
                index = self.choice()
                self.expect("]")
                operand = Call(name, None, (operand, index), token.position)
            else:
                return operand

    def _name(self) -> _Token:
        token = self._take()
        if token.kind != "name":
            raise UnknownSyntax(f"expected a name at {token.position}")
        return token

    def _arguments(self) -> tuple[tuple[Expr, ...], int]:
        position = self._peek().position
        self.expect("(")
        args: list[Expr] = []
        while not self._skip(")"):
            args.append(self.choice())
            if not self._skip(","):
                self.expect(")")
                break
        return tuple(args), position

    def _primary(self) -> Expr:
        token = self._take()
        if token.kind == "name" and token.text not in _CONSTANTS:
            if self._peek().text == "(":
                return Call(token.text, None, *self._arguments())
            return Ident(token.text, token.position)
        if token.kind != "sign":
            return Literal(_literal_type(token), token.text, token.position)
        if token.text == "[":
            return self._list(token.position)
        if token.text == "{":
            return self._map(token.position)
        if token.text != "(":
            raise UnknownSyntax(f"unexpected {token.text!r} at {token.position}")
        inner = self.choice()
        self.expect(")")
        return inner

    def _list(self, position: int) -> Expr:
        items: list[Expr] = []
        optional: list[bool] = []
        while not self._skip("]"):
            optional.append(self._skip("?"))
            items.append(self.choice())
            if not self._skip(","):
                self.expect("]")
                break
        return ListExpr(tuple(items), tuple(optional), position)

    def _map(self, position: int) -> Expr:
        entries: list[tuple[Expr, Expr]] = []
        optional: list[bool] = []
        while not self._skip("}"):
            optional.append(self._skip("?"))
            key = self.choice()
            self.expect(":")
            entries.append((key, self.choice()))
            if not self._skip(","):
                self.expect("}")
                break
        return MapExpr(tuple(entries), tuple(optional), position)


def _literal_type(token: _Token) -> str:
    if token.kind == "string":
        prefix = token.text[: token.text.find(token.text[-1])]
        return "bytes" if "b" in prefix.lower() else "string"
    if token.kind == "int":
        return "uint" if token.text[-1] in "uU" else "int"
    if token.kind == "float":
        return "double"
    if token.kind == "end":
        raise UnknownSyntax("unexpected end")
    return _CONSTANTS[token.text]
