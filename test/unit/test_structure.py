"""The structure of the code: the size of packages, what packages must not contain, and one executor."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import aimctl
import aimctl.runtime

SOURCES = Path(aimctl.__file__).parent
MOST_MODULES = 13
PACKAGES = sorted(path.parent for path in SOURCES.rglob("__init__.py"))
AIM_WORDS = re.compile(
    r"\baim\b|aim\.silogen|silogen|kaiwo|kserve|inferenceservice|hugging|\bvllm\b|\bamd\b|amd\.com|nvidia",
    re.IGNORECASE,
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_package_has_few_modules(package: Path) -> None:
    assert len(list(package.glob("*.py"))) <= MOST_MODULES


@pytest.mark.parametrize("name", ["devcluster", "generation", "testing", "kubetypes", "runtime"])
def test_a_general_package_does_not_mention_aim(name: str) -> None:
    found = [
        f"{path.relative_to(SOURCES)}:{number}: {line.strip()}"
        for path in sorted((SOURCES / name).rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if AIM_WORDS.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("line", ["the AIM kinds", "amd.com/gpu", "InferenceService", "kaiwo-system"])
def test_the_search_for_aim_words_finds_them(line: str) -> None:
    assert AIM_WORDS.search(line)


def test_the_search_for_aim_words_leaves_the_projects_name_alone() -> None:
    assert not AIM_WORDS.search('from aimctl.devcluster import DevCluster  # "aimctl" claims')


# ---- one executor

CONTROLLERS = SOURCES / "controllers"
EXECUTION = CONTROLLERS / "execution"
MOST_LINES = 15


ALLOWED = {
    "controllers/operator_context.py: ExponentialRateLimiter": "sets the longest delay of the library's work queues",
    "controllers/execution/pod_logs.py: ExponentialRateLimiter": "delays reads of logs that fail",
    "controllers/templates/admission.py: ExponentialRateLimiter": "delays slots for templates that fail with one",
    "controllers/execution/rejections.py: ExponentialRateLimiter": "delays rejected writes",
    "controllers/models/image_readings.py: exponential_delay": "delays reads from image registries that fail",
    "domain/caching/download_failure.py: exponential_delay": "the delay is stored in the status",
    "domain/jobs/retries.py: exponential_delay": "the pause is stored in the status",
    "domain/templates/discovery_outcome.py: exponential_delay": "the pause is stored in the status",
}
"""Uses of the library's back-off, with the reason for each."""

WRITE_METHODS = {"create", "update", "apply", "patch", "delete"}
COUNTS = re.compile(r"failure|attempt|retries|failed", re.IGNORECASE)
BACK_OFF_NAMES = re.compile(r"exponential_delay|\w+RateLimiter")


def operator_writes(source: str) -> list[str]:
    """What only the executor may do: write to the API server and handle its conflicts."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.alias(name="Conflict")
                | ast.Attribute(attr="Conflict" | "CONFLICT")
                | ast.Name(id="Conflict")
            ):
                found.append("Conflict")
            case ast.Constant(value="Conflict" | 409):
                found.append(f"tests for {node.value!r}")
            case ast.Call(func=ast.Name(id="Controller") | ast.Attribute(attr="Controller")):
                found.append("Controller()")
            case ast.Attribute(attr=method) if method in WRITE_METHODS and is_client(node.value):
                found.append(ast.unparse(node))
            case ast.Call(func=ast.Attribute(attr="raw"), args=[ast.Constant(value="GET"), *_]):
                pass
            case ast.Call(func=ast.Attribute(attr="raw")):
                found.append(ast.unparse(node))
            case ast.alias(name="create_or_apply" | "read_modify_write" | "retry_on_conflict"):
                found.append(node.name)
            case _:
                pass
    return found


def is_client(node: ast.expr) -> bool:
    """Whether the name of an expression is that of a client, such as ``self._client`` or ``client.with_(...)``."""
    return bool(re.search(r"client(\.with_\(.*\))?$", ast.unparse(node), re.IGNORECASE))


def back_off_arithmetic(source: str) -> list[str]:
    """The computation of delays that grow with each failure. Powers of constants, such as ``1024**3``, are allowed."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.BinOp(op=ast.Pow() | ast.LShift(), left=left, right=right) if not (
                isinstance(left, ast.Constant) and isinstance(right, ast.Constant)
            ):
                found.append(ast.unparse(node))
            case ast.BinOp(op=ast.Mult(), left=left, right=right) if any(
                COUNTS.search(ast.unparse(item)) for item in (left, right)
            ):
                found.append(ast.unparse(node))
            case ast.AugAssign(op=ast.Mult() | ast.Pow() | ast.LShift()):
                found.append(ast.unparse(node))
            case ast.Assign(targets=[target], value=value) if any(
                isinstance(item, ast.BinOp)
                and isinstance(item.op, ast.Mult)
                and ast.unparse(target) in {ast.unparse(item.left), ast.unparse(item.right)}
                for item in ast.walk(value)
            ):
                found.append(ast.unparse(node))
            case ast.Call(func=ast.Name(id="pow") | ast.Attribute(attr="pow" | "ldexp" | "exp2" | "exp")):
                found.append(ast.unparse(node))
            case ast.alias(name=name) | ast.Attribute(attr=name) if BACK_OFF_NAMES.fullmatch(name):
                found.append(name)
            case _:
                pass
    return found


def modules_of(*packages: str) -> list[str]:
    return [
        str(path.relative_to(SOURCES)) for name in packages for path in sorted((SOURCES / name).rglob("*.py"))
    ]


def test_only_the_executor_writes_and_handles_conflicts() -> None:
    paths = [SOURCES / module for module in modules_of("controllers", "domain")]
    others = [path for path in paths if not path.is_relative_to(EXECUTION)]
    assert 50 < len(others) < len(paths) - 1
    found = {str(path): operator_writes(path.read_text(encoding="utf-8")) for path in others}
    assert {path: writes for path, writes in found.items() if writes} == {}


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    write()\nexcept (NotFound, Conflict):\n    pass",
        "from aimctl.runtime.kube import Conflict as Stale",
        "try:\n    write()\nexcept kube.Conflict:\n    pass",
        "if error.status == 409:\n    pass",
        "if error.reason == 'Conflict':\n    pass",
        "controller = Controller(reconciler)",
        "await client.create(JOBS, manifest)",
        "await self._client.apply(JOBS, manifest)",
        "await manager.client.patch(JOBS, 'a', body)",
        "await client.with_(field_manager='a').delete(JOBS, 'a')",
        "write = self._client.update",
        "await client.raw('DELETE', '/api/v1/pods/a')",
        "from aimctl.runtime.writing import retry_on_conflict",
    ],
)
def test_the_search_for_writes_finds_them(source: str) -> None:
    assert len(operator_writes(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "Create(SECRETS, manifest)",
        "await client.raw('GET', '/version')",
        "await client.get(JOBS, 'a')",
        "jobs.create(a)",
        "manager.controller('a', r)",
    ],
)
def test_the_search_for_writes_leaves_plans_and_reads_alone(source: str) -> None:
    assert operator_writes(source) == []


def test_back_off_is_left_to_the_library() -> None:
    found = {
        f"{module}: {what}"
        for module in modules_of("controllers", "domain")
        for what in back_off_arithmetic((SOURCES / module).read_text(encoding="utf-8"))
    }
    assert found == ALLOWED.keys()


@pytest.mark.parametrize(
    "source",
    [
        "pause = first * 2.0 ** failures",
        "pause = FIRST * (1 << min(count, 16))",
        "pause *= 2",
        "pause <<= 1",
        "self._pause = min(self._pause * 2, 60.0)",
        "pause = 5.0 * self.failures",
        "pause = math.ldexp(first, count)",
        "pause = first * pow(2, count)",
        "from aimctl.runtime.queue import exponential_delay as delay",
        "limiter = queue.ExponentialRateLimiter()",
    ],
)
def test_the_search_for_back_off_arithmetic_finds_it(source: str) -> None:
    assert back_off_arithmetic(source)


@pytest.mark.parametrize(
    "source", ["size = 3 * 1024**3", "f(*args, **options)", "total = count * size", "failures += 1"]
)
def test_the_search_for_back_off_arithmetic_leaves_other_arithmetic_alone(source: str) -> None:
    assert back_off_arithmetic(source) == []


def statement_lines(function: ast.AsyncFunctionDef | ast.FunctionDef) -> int:
    """The lines of a function without its head and its docstring."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or 0) - first.lineno + 1


def long_reconcile_methods(source: str) -> list[str]:
    """The ``reconcile`` methods with more than :data:`MOST_LINES` lines."""
    return [
        f"line {node.lineno}: reconcile has {lines} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name == "reconcile"
        if (lines := statement_lines(node)) > MOST_LINES
    ]


def test_every_reconcile_method_is_short() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCES.rglob("*.py"))}
    assert sum("def reconcile(" in source for source in sources.values()) >= 8
    found = {
        str(path): long_reconcile_methods(source)
        for path, source in sources.items()
        if "def reconcile(" in source
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize("head", ["async def reconcile(self, request):\n", "def reconcile(self, request):\n"])
def test_the_search_for_long_reconcile_methods_finds_them(head: str) -> None:
    assert long_reconcile_methods(head + "    step()\n" * MOST_LINES) == []
    assert len(long_reconcile_methods(head + "    step()\n" * (MOST_LINES + 1))) == 1


def bodies_read(source: str) -> list[str]:
    """The uses of the bytes of an object. Its typed view is decoded once and cached."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr == "raw" and not is_client(node.value)
    ]


def test_the_operator_reads_objects_through_their_views() -> None:
    found = {
        module: bodies_read((SOURCES / module).read_text(encoding="utf-8"))
        for module in modules_of("controllers", "domain")
    }
    writer = "controllers/execution/status_writer.py"
    assert {module: uses for module, uses in found.items() if uses} == {writer: ["obj.raw"]}, (
        "the writer compares the JSON of a status, which may have fields that the type does not have"
    )


# ---- types of options


def untyped_options(source: str) -> list[str]:
    """The functions that take keyword arguments of any name and type, so a misspelt one is not found."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
        and node.args.kwarg is not None
        and (
            node.args.kwarg.annotation is None or ast.unparse(node.args.kwarg.annotation) in {"Any", "object"}
        )
    ]


def test_keyword_arguments_are_typed() -> None:
    found = {
        str(path.relative_to(SOURCES)): names
        for path in sorted(SOURCES.rglob("*.py*"))
        if path.suffix in {".py", ".pyi"}
        if "**" in (source := path.read_text(encoding="utf-8")) and (names := untyped_options(source))
    }
    assert found == {"cli/flags.py": ["called"]}, "typer calls it with the flags of the command that it wraps"


@pytest.mark.parametrize("options", ["**options: Any", "**options: object", "**options"])
def test_the_search_for_untyped_options_finds_them(options: str) -> None:
    assert untyped_options(f"class A:\n    async def f(self, {options}): ...") == ["f"]
    assert untyped_options("def f(**counts: int): ...") == []


# ---- imports


def import_contracts() -> list[dict[str, Any]]:
    project = tomllib.loads((SOURCES.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    contracts: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return contracts


def test_no_import_contract_has_exceptions() -> None:
    contracts = import_contracts()
    assert len(contracts) > 5
    for contract in contracts:
        assert not {key for key in contract if "ignore" in key or "unmatched" in key}, contract["name"]


def imported_packages(source: str) -> set[str]:
    """The top-level packages that a module imports, also inside of functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.partition(".")[0])
            case _:
                pass
    return found


@pytest.mark.parametrize(("package", "allowed"), [("kubetypes", {"msgspec"}), ("downloader", set())])
def test_the_contract_of_a_package_lists_every_other_package_that_is_imported(
    package: str, allowed: set[str]
) -> None:
    imported = set().union(*(imported_packages(path.read_text("utf-8")) for path in SOURCES.rglob("*.py")))
    others = imported - sys.stdlib_module_names - {"aimctl", *allowed}
    (contract,) = (
        each
        for each in import_contracts()
        if each["name"].endswith("the standard library") and each["source_modules"] == [f"aimctl.{package}"]
    )
    assert set(contract["forbidden_modules"]) == others


def test_every_package_has_a_layer() -> None:
    (contract,) = (each for each in import_contracts() if each["name"] == "Packages")
    assert contract["containers"] == ["aimctl"]
    assert contract["exhaustive"]


def test_imports_inside_of_functions_are_found() -> None:
    source = "import a.b\nfrom . import c\ndef f():\n    from d.e import g\n    import h as i, j\n"
    assert imported_packages(source) == {"a", "d", "h", "j"}


def hidden_imports(source: str) -> list[str]:
    """The imports whose targets import-linter does not see: names that ``aimctl.runtime`` loads when they are used."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=module, level=level, names=names):
                package = module == "aimctl" and any(alias.name in {"runtime", "*"} for alias in names)
                if package or module == "aimctl.runtime" or level:
                    found.append(ast.unparse(node))
            case ast.Import(names=names) if any(f"{a.name}.".startswith("aimctl.runtime.") for a in names):
                found.append(ast.unparse(node))
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module")
            ):
                found.append(ast.unparse(node))
            case _:
                pass
    return found


LOADERS = {
    "cli/app.py": "loads the module of a command when it is called",
    "runtime/program/extensions.py": "loads the modules that the user names",
    "controllers/permissions.py": "loads the modules that declare permissions",
    "downloader/program.py": "loads what the image of the download pod has",
    "kubetypes/k8s/__init__.py": "loads the modules of the package",
    "runtime/__init__.py": "loads the modules of the package",
}
"""What loads modules by name, with the reason."""


def test_every_import_names_the_module_that_defines_what_it_imports() -> None:
    """Otherwise the import contracts would not apply: a low layer could use the manager by its public name."""
    sources = {str(path.relative_to(SOURCES)): path.read_text("utf-8") for path in SOURCES.rglob("*.py")}
    found = {path: hidden_imports(source) for path, source in sources.items()}
    assert {path: imports for path, imports in found.items() if imports and path not in LOADERS} == {}
    assert all(found[path] for path in LOADERS)


@pytest.mark.parametrize(
    "source",
    [
        "from aimctl.runtime import Manager",
        "from aimctl import runtime",
        "import aimctl.runtime",
        "import aimctl.runtime.kube.client as client",
        "from ..manager import Manager",
        "import_module('aimctl.runtime')",
        "def f():\n    from aimctl.runtime import Manager as M",
    ],
)
def test_the_search_for_hidden_imports_finds_them(source: str) -> None:
    assert len(hidden_imports(source)) == 1


@pytest.mark.parametrize(
    "source", ["from aimctl import __version__", "from aimctl.runtime.kube import Client", "import asyncio"]
)
def test_the_search_for_hidden_imports_leaves_others_alone(source: str) -> None:
    assert hidden_imports(source) == []


def clock_reads(source: str) -> list[str]:
    """The calls that an import contract cannot forbid, because their modules are needed for other purposes."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and re.search(r"\b(datetime\.(now|utcnow)|date(time)?\.today|uuid[14])$", ast.unparse(node.func))
    ]


def test_types_generators_and_decisions_do_not_read_the_clock() -> None:
    modules = modules_of("kubetypes", "generation", "api", "domain")
    found = {module: clock_reads((SOURCES / module).read_text(encoding="utf-8")) for module in modules}
    assert {module: calls for module, calls in found.items() if calls} == {}


@pytest.mark.parametrize(
    "source", ["datetime.now(UTC)", "datetime.datetime.utcnow()", "date.today()", "uuid4()"]
)
def test_the_search_for_clock_reads_finds_them(source: str) -> None:
    assert clock_reads(source) == [source]


def internal_imports(source: str) -> list[str]:
    """The imports from the library of anything else than its public names."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ImportFrom(module=str(module), names=names) if f"{module}.".startswith(
                "aimctl.runtime."
            ):
                library = importlib.import_module(module)
                found += [
                    f"{module}.{alias.name}"
                    for alias in names
                    if alias.name not in aimctl.runtime.__all__
                    or getattr(library, alias.name) is not getattr(aimctl.runtime, alias.name)
                ]
            case ast.ImportFrom(module="aimctl", names=names):
                found += [f"aimctl.{alias.name}" for alias in names if alias.name == "runtime"]
            case ast.Import(names=names):
                found += [alias.name for alias in names if f"{alias.name}.".startswith("aimctl.runtime.")]
            case _:
                pass
    return found


def test_the_operator_uses_the_public_api_of_the_library() -> None:
    found = {
        f"{module}: {name}"
        for module in modules_of("controllers")
        for name in internal_imports((SOURCES / module).read_text(encoding="utf-8"))
    }
    assert found == set()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("from aimctl.runtime.kube.errors import bounded_wait", "aimctl.runtime.kube.errors.bounded_wait"),
        ("from aimctl.runtime.manager import events", "aimctl.runtime.manager.events"),
        ("from aimctl.runtime import queue", "aimctl.runtime.queue"),
        ("from aimctl import runtime", "aimctl.runtime"),
        ("def f():\n    import aimctl.runtime.kube.http as http", "aimctl.runtime.kube.http"),
    ],
)
def test_the_search_for_internal_imports_finds_them(source: str, name: str) -> None:
    assert internal_imports(source) == [name]


@pytest.mark.parametrize(
    "source", ["from aimctl.runtime import Manager", "from aimctl.runtime.kube import Client"]
)
def test_the_search_for_internal_imports_leaves_public_names_alone(source: str) -> None:
    assert internal_imports(source) == []
