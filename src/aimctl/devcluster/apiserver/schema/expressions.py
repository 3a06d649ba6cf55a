"""Expressions of the Common Expression Language, behind a protocol.

Contract: an :class:`ExpressionCompiler` turns source into an :class:`Expression` once; the expression is
then evaluated any number of times. What the server's dialect adds to the language (optional field
selection, lists, quantities, URLs, ``find``) is added here; the functions themselves are in ``functions.py``.

Invariant: compiling refuses names and functions that do not exist, so a rule with a slip of the pen fails
when the definition is created and not when an object is. Types are not checked before evaluation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, final

import cel

from aimctl.devcluster.apiserver.schema.functions import OPTIONAL_SELECT, functions_for, is_known_function

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CelCompiler",
    "CompileError",
    "EvaluationError",
    "Expression",
    "ExpressionCompiler",
    "no_value",
    "outside_strings",
    "point_at",
    "some_value",
]


class CompileError(ValueError):
    """The source is no expression; the text is laid out as the real compiler's."""


class EvaluationError(ValueError):
    """Evaluation came to no value; the text is the real evaluator's (``no such key: x``)."""


class Expression(Protocol):
    """A compiled expression."""

    @property
    def uses_old_self(self) -> bool:
        """Whether ``oldSelf`` occurs in it."""
        ...

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value. Raises EvaluationError."""
        ...


class ExpressionCompiler(Protocol):
    """Makes expressions."""

    def compile(self, source: str) -> Expression:
        """Compile over the variables ``self`` and ``oldSelf``. Raises CompileError."""
        ...


_STRINGS = re.compile(
    r"[rRbB]{0,2}(?:'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"|'(?:[^'\\\n]|\\.)*'|\"(?:[^\"\\\n]|\\.)*\")",
    re.DOTALL,
)
_OPTIONAL = re.compile(r"\.\?([A-Za-z_]\w*)")
_LOCALS = re.compile(r"\.(?:all|exists|exists_one|existsOne|map|filter)\(\s*([A-Za-z_]\w*)\s*,")
_TYPE_NAMES = frozenset(
    {
        "int",
        "uint",
        "double",
        "bool",
        "string",
        "bytes",
        "list",
        "map",
        "null_type",
        "type",
        "timestamp",
        "duration",
    }
)
_NAMESPACES = frozenset({"math", "sets", "strings", "base64", "lists", "optional"})
_PLACE = re.compile(r"ERROR: .*", re.DOTALL)


def outside_strings(source: str) -> str:
    """The source with every string literal's content blanked, so that positions stay the same."""
    return _STRINGS.sub(lambda found: '"' + " " * (len(found.group()) - 2) + '"', source)


def point_at(source: str, position: int, text: str) -> str:
    """An error text with the line and a caret, as the real compiler lays it out."""
    line_number = source.count("\n", 0, position) + 1
    start = source.rfind("\n", 0, position) + 1
    end = source.find("\n", position)
    line = source[start : len(source) if end < 0 else end]
    column = position - start
    return f"ERROR: <input>:{line_number}:{column + 1}: {text}\n | {line}\n | {'.' * column}^"


def some_value(value: Any) -> Any:
    """An optional that holds a value, as rules with ``optionalOldSelf`` see it."""
    return cel.OptionalValue.of(value)


def no_value() -> Any:
    """An optional that holds none."""
    return cel.OptionalValue.none()


@final
class CelCompiler:
    """Expressions by the ``common-expression-language`` package."""

    __slots__ = ()

    def compile(self, source: str) -> Expression:
        """See :class:`ExpressionCompiler`."""
        blank = outside_strings(source)
        text = _write_optionals(source, blank)
        try:
            program = cel.compile(text)
        except ValueError as error:
            found = _PLACE.search(str(error))
            raise CompileError(found.group().replace("\n|", "\n |") if found else str(error)) from error
        used = set(program.functions())
        names = set(program.variables())
        local = set(_LOCALS.findall(blank))
        for name in sorted(names - local - _TYPE_NAMES - _NAMESPACES - {"self", "oldSelf"}):
            raise CompileError(_undeclared(source, blank, name))
        for name in sorted(used):
            if not is_known_function(name):
                raise CompileError(_undeclared(source, blank, name))
        context = cel.Context(functions=functions_for(used, names))
        return _Program(program, context, uses_old_self="oldSelf" in names)


def _undeclared(source: str, blank: str, name: str) -> str:
    found = re.search(rf"\b{re.escape(name)}\b", blank)
    return point_at(
        source, found.start() if found else 0, f"undeclared reference to '{name}' (in container '')"
    )


def _write_optionals(source: str, blank: str) -> str:
    """``a.?b`` as a call, which is what the language's parser lacks."""
    out: list[str] = []
    position = 0
    for found in _OPTIONAL.finditer(blank):
        out += [source[position : found.start()], f".{OPTIONAL_SELECT}('{found.group(1)}')"]
        position = found.end()
    return "".join(out) + source[position:]


@final
class _Program:
    """One compiled expression with the context it alone uses; evaluation never awaits, so reuse is safe."""

    __slots__ = ("_context", "_program", "uses_old_self")

    def __init__(self, program: Any, context: Any, *, uses_old_self: bool) -> None:
        self._program = program
        self._context = context
        self.uses_old_self = uses_old_self

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        for name, value in variables.items():
            self._context.add_variable(name, value)
        try:
            return self._program.execute(self._context)
        except KeyError as error:
            raise EvaluationError(f"no such key: {error.args[0]}") from error
        except ZeroDivisionError as error:
            raise EvaluationError("division by zero") from error
        except TypeError as error:
            raise EvaluationError("no such overload") from error
        except (IndexError, OverflowError, ValueError, RuntimeError) as error:
            raise EvaluationError(str(error)) from error
