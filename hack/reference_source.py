"""Read public definitions from the source: signatures, docstrings and members, without importing the package.

Contract:
    * A name is followed through ``from x import y`` of packages to the module that defines it.
    * Signatures, annotations and defaults are shown as they are written in the source.
    * A class has the members of its private base classes; those of public base classes are left to their own entries.
    * A member is public if its name has no underscore at its start.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Entry", "MissingNameError", "defining", "entry", "exported"]

SOURCE = Path(__file__).resolve().parent.parent / "src"
WIDTH = 96
"""Signatures that are longer than this number of characters have one parameter per line."""

MAX_LINES_OF_VALUE = 12

Function = ast.FunctionDef | ast.AsyncFunctionDef


class MissingNameError(LookupError):
    """A name is not defined where it is imported from."""


@dataclass(slots=True)
class Entry:
    """One public name or member.

    Attributes:
        name: with the class in front for members.
        module: that defines it.
        kind: class, function, method, property, fixture, constant or module.
        signature: Python code.
        doc: the docstring without indentation; empty if there is none.
        bases: base classes that are shown.
        fields: of a dataclass or Struct: name, annotation with default, and the docstring that follows.
        annotations: of the attributes that ``__init__`` sets.
        members: public methods and properties.
    """

    name: str
    module: str
    kind: str
    signature: str
    doc: str
    bases: list[str] = field(default_factory=list)
    fields: list[tuple[str, str, str]] = field(default_factory=list)
    annotations: dict[str, str] = field(default_factory=dict)
    members: list[Entry] = field(default_factory=list)


def path_of(module: str) -> Path:
    """The file of a module or package."""
    base = SOURCE.joinpath(*module.split("."))
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@functools.cache
def source(module: str) -> str:
    """The text of a module. A package that loads its names lazily is read from its type stub."""
    path = path_of(module)
    stub = path.with_suffix(".pyi")
    return (stub if stub.exists() else path).read_text(encoding="utf-8")


@functools.cache
def parsed(module: str) -> ast.Module:
    """The syntax tree of a module."""
    return ast.parse(source(module))


def exported(package: str) -> list[str]:
    """The names in ``__all__`` of a package."""
    for node in parsed(package).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            names: list[str] = ast.literal_eval(node.value)  # type: ignore[attr-defined]  # an Assign, see above
            return names
    raise MissingNameError(f"{package} has no __all__")


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module or class, also those inside of conditions such as TYPE_CHECKING."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from statements(node.body)
            yield from statements(node.orelse)


def named(node: ast.stmt) -> set[str]:
    """The names that a statement defines."""
    if isinstance(node, ast.ClassDef | Function):
        return {node.name}
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return {node.target.id}
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()


@functools.cache
def defining(module: str, name: str) -> tuple[str, ast.stmt]:
    """The module and the statement that define a name which a module has.

    Raises:
        MissingNameError: the module neither defines nor imports it.
    """
    imported = None
    for node in statements(parsed(module).body):
        if name in named(node):
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("aimctl"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    imported = (node.module, alias.name)
    if imported is None:
        raise MissingNameError(f"{module} does not define {name}")
    parent, original = imported
    if parent != module:
        with contextlib.suppress(MissingNameError):
            return defining(parent, original)
    submodule = f"{parent}.{original}"
    if not path_of(submodule).exists():
        raise MissingNameError(f"{parent} has no {original}")
    return submodule, parsed(submodule).body[0]


def docstring_after(body: list[ast.stmt], node: ast.stmt) -> str:
    """The string literal below an assignment."""
    index = body.index(node) + 1 if node in body else len(body)
    following = body[index] if index < len(body) else None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        text = following.value.value
        return inspect.cleandoc(text) if isinstance(text, str) else ""
    return ""


def wrapped(before: str, parameters: list[str], after: str) -> str:
    """A signature on one line if it is short enough, otherwise with one parameter per line."""
    line = f"{before}({', '.join(parameters)}){after}"
    if len(line) <= WIDTH or not parameters:
        return line
    return f"{before}(\n" + "".join(f"    {one},\n" for one in parameters) + f"){after}"


def parameters_of(node: Function, *, method: bool) -> list[str]:
    """The parameters as they are written, without ``self`` and ``cls``."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    pairs = list(zip(positional, defaults, strict=True))
    if method and not any("staticmethod" in ast.unparse(one) for one in node.decorator_list):
        pairs = pairs[1:]
    found = [parameter(one, default) for one, default in pairs]
    if arguments.posonlyargs and len(positional) > len(arguments.posonlyargs):
        found.insert(len(arguments.posonlyargs) - (1 if method else 0), "/")
    if arguments.vararg:
        found.append(f"*{parameter(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        found.append("*")
    found += [
        parameter(one, default)
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        found.append(f"**{parameter(arguments.kwarg, None)}")
    return found


def parameter(argument: ast.arg, default: ast.expr | None) -> str:
    """One parameter with annotation and default."""
    text = argument.arg + (f": {ast.unparse(argument.annotation)}" if argument.annotation else "")
    if default is None:
        return text
    return text + (" = " if argument.annotation else "=") + ast.unparse(default)


def function_entry(node: Function, module: str, owner: str = "") -> Entry:
    """A function or method."""
    decorators = [ast.unparse(one) for one in node.decorator_list]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    name = f"{owner}.{node.name}" if owner else node.name
    doc = ast.get_docstring(node) or ""
    if any(one in {"property", "cached_property", "functools.cached_property"} for one in decorators):
        return Entry(name, module, "property", f"{node.name}: {returns.removeprefix(' -> ')}", doc)
    lines = [f"@{one}" for one in decorators if one in {"classmethod", "staticmethod"} or "context" in one]
    start = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    lines.append(wrapped(start + node.name, parameters_of(node, method=bool(owner)), returns))
    if any("fixture" in one for one in decorators):
        return Entry(name, module, "fixture", "\n".join(lines), doc)
    return Entry(name, module, "method" if owner else "function", "\n".join(lines), doc)


def is_record(node: ast.ClassDef, module: str) -> bool:
    """Whether the constructor of a class takes its annotated fields."""
    if any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        return True
    return any(
        base in {"Struct", "msgspec.Struct", "NamedTuple", "BaseModel", "View", "pydantic.BaseModel"}
        or (found is not None and is_record(found[1], found[0]))
        for base, found in bases_of(node, module)
    )


def bases_of(node: ast.ClassDef, module: str) -> Iterator[tuple[str, tuple[str, ast.ClassDef] | None]]:
    """The base classes as they are written, with their definitions if they are in this package."""
    for base in node.bases:
        text = ast.unparse(base).split("[")[0]
        try:
            where, found = defining(module, text)
        except MissingNameError:
            yield text, None
        else:
            yield text, ((where, found) if isinstance(found, ast.ClassDef) else None)


def fields_of(node: ast.ClassDef, module: str) -> list[tuple[str, str, str]]:
    """The fields of a dataclass, Struct or protocol, those of base classes first."""
    found: dict[str, tuple[str, str, str]] = {}
    for _, base in bases_of(node, module):
        if base is not None:
            found.update({one[0]: one for one in fields_of(base[1], base[0])})
    for one in node.body:
        if not (isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)):
            continue
        name, annotation = one.target.id, ast.unparse(one.annotation)
        if name.startswith("_") or annotation.startswith("ClassVar"):
            continue
        default = default_of(one.value)
        found[name] = (name, annotation + default, docstring_after(node.body, one))
    return list(found.values())


def default_of(value: ast.expr | None) -> str:
    """The default of a field, also of one that ``field(...)`` declares; empty for none."""
    if isinstance(value, ast.Call) and ast.unparse(value.func).split(".")[-1] == "field":
        given = {one.arg: one.value for one in value.keywords}
        if "default_factory" in given:
            return f" = {ast.unparse(given['default_factory'])}()"
        value = given.get("default")
    return "" if value is None else f" = {ast.unparse(value)}"


def class_entry(node: ast.ClassDef, module: str, public: frozenset[str]) -> Entry:
    """A class with its public members."""
    record, fields = is_record(node, module), fields_of(node, module)
    parameters = [f"{name}: {annotation}" for name, annotation, _ in fields] if record else []
    keywords = ast.unparse(ast.Tuple([*node.decorator_list, *(k.value for k in node.keywords)], ast.Load()))
    keyword_names = {one.arg for one in node.keywords}
    if parameters and ("kw_only=True" in keywords or "kw_only" in keyword_names):
        parameters.insert(0, "*")
    made = Entry(node.name, module, "class", "", ast.get_docstring(node) or "", fields=fields)
    for text, base in bases_of(node, module):
        if base is None or text in public:
            if text not in {"object", "Generic", "Struct", "msgspec.Struct", "View"}:
                made.bases.append(text)
        else:
            inherited = class_entry(base[1], base[0], public)
            made.members += [
                Entry(f"{node.name}.{one.name.split('.')[-1]}", *parts(one)) for one in inherited.members
            ]
            made.annotations.update(inherited.annotations)
    own: dict[str, Entry] = {one.name: one for one in made.members}
    for one in statements(node.body):
        if not isinstance(one, Function):
            continue
        if one.name == "__init__":
            parameters = parameters_of(one, method=True)
            made.annotations.update(annotated(one))
        setter = any(ast.unparse(each).endswith(".setter") for each in one.decorator_list)
        if not one.name.startswith("_") and not setter:
            own[f"{node.name}.{one.name}"] = function_entry(one, module, node.name)
    made.members = list(own.values())
    start = f"class {node.name}"
    made.signature = wrapped(start, parameters, "") if parameters else start
    return made


def parts(entry: Entry) -> tuple[str, str, str, str]:
    """What an inherited member keeps."""
    return entry.module, entry.kind, entry.signature, entry.doc


def annotated(init: Function) -> dict[str, str]:
    """The annotations of the attributes that ``__init__`` sets; an attribute with the name of a parameter has its."""
    by_parameter = {
        one.arg: ast.unparse(one.annotation)
        for one in [*init.args.args, *init.args.kwonlyargs]
        if one.annotation
    }
    found = {}
    for node in ast.walk(init):
        target: ast.expr | None = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target = node.targets[0]
        if not (isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"):
            continue
        if isinstance(node, ast.AnnAssign):
            found[target.attr] = ast.unparse(node.annotation)
        elif isinstance(node, ast.Assign) and ast.unparse(node.value) in by_parameter:
            found[target.attr] = by_parameter[ast.unparse(node.value)]
    return found


def constant_entry(node: ast.stmt, module: str, name: str) -> Entry:
    """A constant or type alias as it is written, without its value if that takes more than a few lines."""
    annotation = f": {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ""
    value = (
        ast.get_source_segment(source(module), node.value)
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value
        else None
    )
    lines = f"{name}{annotation} = {value}".splitlines()
    short = value is not None and len(lines) <= MAX_LINES_OF_VALUE and max(map(len, lines)) <= WIDTH
    signature = name + annotation + (f" = {value}" if short else "")
    return Entry(
        name, module, "constant", signature, docstring_after(list(statements(parsed(module).body)), node)
    )


def entry(package: str, name: str, public: frozenset[str]) -> Entry:
    """The entry of a public name.

    Args:
        package: which exports it.
        name: the public name.
        public: all public names; members of these base classes are not repeated.

    Raises:
        MissingNameError: the package does not have the name.
    """
    module, node = defining(package, name)
    if isinstance(node, ast.ClassDef):
        return class_entry(node, module, public)
    if isinstance(node, Function):
        return function_entry(node, module)
    if named(node):
        return constant_entry(node, module, name)
    tree = ast.parse(path_of(module).read_text(encoding="utf-8"))
    return Entry(name, module, "module", f"from {package} import {name}", ast.get_docstring(tree) or "")
