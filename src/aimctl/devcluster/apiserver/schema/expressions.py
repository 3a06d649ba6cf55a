"""Expressions of the Common Expression Language in the dialect of the API server.

Contract: :func:`compile_expression` compiles a source, and the :class:`Expression` can be evaluated any number of
times. Optional field selection is added here; the additional functions of the dialect are in ``functions.py``.
:func:`may_be_bool` tells whether the outermost operation of an expression can return a bool.

Invariant: unknown names and functions are compile errors, so a misspelt rule fails when the CustomResourceDefinition is
created, not when an object is. The types of operands are not checked before evaluation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, final

import cel

from aimctl.devcluster.apiserver.schema.functions import OPTIONAL_SELECT, functions_for, is_known_function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from collections.abc import Set as AbstractSet

__all__ = [
    "CompileError",
    "EvaluationError",
    "Expression",
    "compile_expression",
    "may_be_bool",
    "no_value",
    "outside_strings",
    "point_at",
    "some_value",
]


class CompileError(ValueError):
    """The source is not a valid expression. The text has the format of the real compiler."""


class EvaluationError(ValueError):
    """The evaluation failed. The text is that of the real evaluator, such as ``no such key: x``."""


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
_TOKENS = re.compile(r"'[^']*'|\"[^\"]*\"|[A-Za-z_]\w*|\d[\w.]*|\.\?|&&|\|\||[=!<>]=|\S")
_WORD = re.compile(r"[A-Za-z_]\w*")
_TRUTH = frozenset({"||", "&&", "==", "!=", "<", ">", "<=", ">=", "in"})
_ARITHMETIC = frozenset("+-*/%")
_NO_BOOL_FUNCTIONS = frozenset(
    {
        *(
            "size",
            "map",
            "filter",
            "int",
            "uint",
            "double",
            "string",
            "bytes",
            "timestamp",
            "duration",
            "type",
        ),
        *("lowerAscii", "upperAscii", "trim", "replace", "split", "substring", "join", "charAt", "indexOf"),
        *("lastIndexOf", "find", "findAll", "sum", "url", "quantity", "sign", "compareTo", "asInteger"),
        *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours"),
        *("getMinutes", "getSeconds", "getMilliseconds"),
    }
)
"""Functions that return no bool, whatever their arguments are."""
_ERROR_POSITION = re.compile(r"ERROR: .*", re.DOTALL)


def outside_strings(source: str) -> str:
    """The source with the contents of string literals blanked. Positions do not change."""
    return _STRINGS.sub(lambda found: '"' + " " * (len(found.group()) - 2) + '"', source)


def point_at(source: str, position: int, text: str) -> str:
    """An error text with the source line and a caret, as from the real compiler."""
    line_number = source.count("\n", 0, position) + 1
    start = source.rfind("\n", 0, position) + 1
    end = source.find("\n", position)
    line = source[start : len(source) if end < 0 else end]
    column = position - start
    return f"ERROR: <input>:{line_number}:{column + 1}: {text}\n | {line}\n | {'.' * column}^"


def some_value(value: Any) -> Any:
    """An optional with a value, for rules with ``optionalOldSelf``."""
    return cel.OptionalValue.of(value)


def no_value() -> Any:
    """An optional without a value."""
    return cel.OptionalValue.none()


def compile_expression(
    source: str, variables: AbstractSet[str] = frozenset({"self", "oldSelf"})
) -> Expression:
    """Compile an expression over these variables.

    Raises:
        CompileError: a syntax error, or an unknown name or function.
    """
    blank = outside_strings(source)
    text = _write_optionals(source, blank)
    try:
        program = cel.compile(text)
    except ValueError as error:
        found = _ERROR_POSITION.search(str(error))
        raise CompileError(found.group().replace("\n|", "\n |") if found else str(error)) from error
    used = set(program.functions())
    names = set(program.variables())
    local = set(_LOCALS.findall(blank))
    for name in sorted(names - local - _TYPE_NAMES - _NAMESPACES - variables):
        raise CompileError(_undeclared(source, blank, name))
    for name in sorted(used):
        if not is_known_function(name):
            raise CompileError(_undeclared(source, blank, name))
    context = cel.Context(functions=functions_for(used, names))
    return Expression(program, context, uses_old_self="oldSelf" in names)


def _undeclared(source: str, blank: str, name: str) -> str:
    found = re.search(rf"\b{re.escape(name)}\b", blank)
    return point_at(
        source, found.start() if found else 0, f"undeclared reference to '{name}' (in container '')"
    )


def _write_optionals(source: str, blank: str) -> str:
    """Replace ``a.?b``, which the parser does not know, by a function call."""
    out: list[str] = []
    position = 0
    for found in _OPTIONAL.finditer(blank):
        out += [source[position : found.start()], f".{OPTIONAL_SELECT}('{found.group(1)}')"]
        position = found.end()
    return "".join(out) + source[position:]


@final
class Expression:
    """A compiled expression. ``uses_old_self`` tells whether ``oldSelf`` occurs in it.

    Its context is reused by each evaluation, which is safe because an evaluation never awaits.
    """

    __slots__ = ("_context", "_program", "uses_old_self")

    def __init__(self, program: Any, context: Any, *, uses_old_self: bool) -> None:
        self._program = program
        self._context = context
        self.uses_old_self = uses_old_self

    def evaluate(self, variables: Mapping[str, Any]) -> Any:
        """The value of the expression. Raises EvaluationError."""
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


def may_be_bool(source: str, type_of: Callable[[list[str]], str]) -> bool:
    """Whether an expression can return a bool. The real compiler knows more types, and rejects some that pass here.

    Args:
        source: an expression that compiles.
        type_of: the JSON schema type at a path such as ``["self", "spec", "paused"]``, or "" if it is not known.
    """
    return _may_be_bool(_TOKENS.findall(outside_strings(source)), type_of)


def _may_be_bool(tokens: list[str], type_of: Callable[[list[str]], str]) -> bool:  # noqa: PLR0911 - one per form
    depths = _depths(tokens)
    top = [index for index, depth in enumerate(depths) if depth == 0]
    choice = next((index for index in top if tokens[index] == "?"), None)
    if choice is not None:
        other = next((index for index in reversed(top) if tokens[index] == ":"), len(tokens))
        branches = (tokens[choice + 1 : other], tokens[other + 1 :])
        return any(_may_be_bool(branch, type_of) for branch in branches)
    if any(tokens[index] in _TRUTH for index in top) or tokens[:1] == ["!"]:
        return True
    if any(tokens[index] in _ARITHMETIC for index in top):
        return False
    first, last = tokens[0], tokens[-1]
    if len(tokens) == 1 and first != "self":
        return first in ("true", "false") or (_WORD.fullmatch(first) is not None and first != "null")
    if last in (")", "]", "}"):
        start = max(index for index in top if tokens[index] in ("(", "[", "{"))
        if start == 0:
            return first == "(" and _may_be_bool(tokens[1:-1], type_of)
        return last != "}" and (last != ")" or tokens[start - 1] not in _NO_BOOL_FUNCTIONS)
    if ".?" in tokens:
        return False
    names, dots = tokens[::2], tokens[1::2]
    if set(dots) <= {"."} and all(_WORD.fullmatch(name) for name in names):
        return type_of(names) in ("", "boolean")
    return True


def _depths(tokens: list[str]) -> list[int]:
    """The depth of brackets at each token, where a bracket has the depth of what is outside of it."""
    depth, depths = 0, []
    for token in tokens:
        depth -= token in (")", "]", "}")
        depths.append(depth)
        depth += token in ("(", "[", "{")
    return depths
