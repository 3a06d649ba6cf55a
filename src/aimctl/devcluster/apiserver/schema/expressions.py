"""Expressions of the Common Expression Language in the dialect of the API server.

Contract: :func:`compile_expression` compiles a source, and the :class:`Expression` can be evaluated any number of
times. Syntax that the evaluator does not have is replaced (``cel/rewriting.py``); the additional functions of the
dialect are in ``functions.py``, and the types of expressions in ``cel/checking.py``.

Invariant: unknown names and functions are compile errors, so a misspelt rule fails when the CustomResourceDefinition is
created, not when an object is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, final

import cel

from aimctl.devcluster.apiserver.schema.cel.rewriting import rewritten
from aimctl.devcluster.apiserver.schema.functions import functions_for, is_known_function

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

__all__ = [
    "RESERVED",
    "CompileError",
    "EvaluationError",
    "Expression",
    "compile_expression",
    "escape",
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
_NAMESPACES = frozenset({"math", "sets", "strings", "base64", "lists", "optional", "ip"})
RESERVED = frozenset(
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
_OWN_ERROR = re.compile(r"Python function call failed: \w+: (.*)\. Check function arguments", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*")
_NESTING = re.compile(r"&&|\|\||[=!<>]=|[-+*/%.,?:<>()\[\]{}]")
_LINKS = frozenset(("+", "-", "*", "/", "%", ".", "["))
"""The signs whose repetition makes an expression deep."""
_DEEPEST = 250
_ERROR_POSITION = re.compile(r"ERROR: .*", re.DOTALL)


def escape(name: str) -> str:
    """A field name as an identifier, as specified in Kubernetes' documentation of validation rules."""
    if name in RESERVED:
        return f"__{name}__"
    return (
        name.replace("__", "__underscores__")
        .replace(".", "__dot__")
        .replace("-", "__dash__")
        .replace("/", "__slash__")
    )


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
    deep = _depth_error(blank)
    if deep:
        raise CompileError(f"ERROR: <input>:-1:0: {deep}")
    text = rewritten(source, blank)
    try:
        program = cel.compile(text)
    except ValueError as error:
        found = _ERROR_POSITION.search(str(error))
        raise CompileError(found.group().replace("\n|", "\n |") if found else str(error)) from error
    used = set(program.functions())
    names = set(program.variables())
    local = set(_LOCALS.findall(outside_strings(text)))
    for name in sorted(names - local - _TYPE_NAMES - _NAMESPACES - variables):
        raise CompileError(_undeclared(source, blank, name))
    for name in sorted(used):
        if not is_known_function(name):
            raise CompileError(_undeclared(source, blank, name))
    context = cel.Context(functions=functions_for(used, names))
    return Expression(program, context, uses_old_self="oldSelf" in names)


def _depth_error(blank: str) -> str:
    """Why an expression is nested too deeply for the compiler, which would end the process; "" if it is not."""
    chains = [0]
    for found in _NESTING.finditer(_COMMENT.sub("", blank)):
        sign = found.group()
        if sign in _LINKS:
            chains[-1] += 1
        if sign in "([{":
            chains.append(0)
        elif sign in ")]}":
            chains = chains[:-1] or [0]
        elif sign not in _LINKS:
            chains[-1] = 0
        if len(chains) > _DEEPEST:
            return f"expression recursion limit exceeded: {_DEEPEST}"
        if chains[-1] > _DEEPEST:
            return "max recursion depth exceeded"
    return ""


def _undeclared(source: str, blank: str, name: str) -> str:
    found = re.search(rf"\b{re.escape(name)}\b", blank)
    return point_at(
        source, found.start() if found else 0, f"undeclared reference to '{name}' (in container '')"
    )


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
            found = _OWN_ERROR.search(str(error))
            raise EvaluationError(found[1] if found else str(error)) from error
