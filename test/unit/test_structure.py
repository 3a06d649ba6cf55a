"""The structure of the code: the size of packages, what packages must not contain, and one executor."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import aimctl

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


def outside_the_executor() -> list[Path]:
    """The modules of the operator that carry nothing out themselves."""
    return [path for path in sorted(CONTROLLERS.rglob("*.py")) if EXECUTION not in path.parents]


def statement_lines(function: ast.AsyncFunctionDef | ast.FunctionDef) -> int:
    """The lines of a function without its head and its docstring."""
    first = function.body[1 if ast.get_docstring(function) and len(function.body) > 1 else 0]
    return (function.end_lineno or 0) - first.lineno + 1


def violations(source: str) -> list[str]:
    """What only the executor may do."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.ExceptHandler(type=caught) if caught is not None and "Conflict" in ast.unparse(caught):
                found.append(f"line {node.lineno}: except {ast.unparse(caught)}")
            case ast.BinOp(op=ast.Pow()):
                found.append(f"line {node.lineno}: back-off arithmetic: {ast.unparse(node)}")
            case _:
                pass
    return found


def long_reconcile_methods(source: str) -> list[str]:
    """The ``reconcile`` methods with more than :data:`MOST_LINES` lines."""
    return [
        f"line {node.lineno}: reconcile has {lines} lines"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name == "reconcile"
        if (lines := statement_lines(node)) > MOST_LINES
    ]


def test_every_reconcile_method_is_short() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in sorted(CONTROLLERS.rglob("*.py"))}
    assert sum("def reconcile(" in source for source in sources.values()) >= 3
    found = {str(path): long_reconcile_methods(source) for path, source in sources.items()}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize("head", ["async def reconcile(self, request):\n", "def reconcile(self, request):\n"])
def test_the_search_for_long_reconcile_methods_finds_them(head: str) -> None:
    assert long_reconcile_methods(head + "    step()\n" * MOST_LINES) == []
    assert len(long_reconcile_methods(head + "    step()\n" * (MOST_LINES + 1))) == 1


@pytest.mark.parametrize("path", outside_the_executor(), ids=lambda path: str(path.relative_to(CONTROLLERS)))
def test_only_the_executor_handles_conflicts_and_back_off(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    write()\nexcept (NotFound, Conflict):\n    pass",
        "pause = first * 2.0 ** failures",
    ],
)
def test_the_search_for_violations_finds_them(source: str) -> None:
    assert len(violations(source)) == 1


def test_no_import_contract_has_exceptions() -> None:
    project = tomllib.loads((SOURCES.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    assert len(contracts) > 5
    for contract in contracts:
        assert not {key for key in contract if "ignore" in key or "unmatched" in key}, contract["name"]
