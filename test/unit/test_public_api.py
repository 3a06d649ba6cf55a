"""The public API of the packages: listed in ``__all__``, documented, and importable without optional dependencies."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import aimctl.generation
import aimctl.runtime
import aimctl.testing

PACKAGES = (
    "aimctl.generation",
    "aimctl.runtime.cache",
    "aimctl.runtime.controller",
    "aimctl.runtime.kube",
    "aimctl.runtime.manager",
    "aimctl.runtime.program",
    "aimctl.runtime.queue",
    "aimctl.testing",
)

NAMES = Path(__file__).with_name("public_names.txt")
DOCUMENTS = Path(__file__).parents[2]

MODULES = sorted(
    one.name
    for package in (aimctl.generation, aimctl.runtime, aimctl.testing)
    for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not one.ispkg
)

NOT_NEEDED = ("kubernetes_asyncio", "kubernetes", "pydantic", "yaml", "typer", "cel")
"""By a process in a cluster that only uses the runtime. (structlog imports rich where that is installed.)"""

UPSTAIRS = (
    "aimctl.api",
    "aimctl.domain",
    "aimctl.controllers",
    "aimctl.operator",
    "aimctl.devcluster",
    "aimctl.simulation",
    "aimctl.cli",
    "aimctl.testing",
)


def public(module: ModuleType) -> set[str]:
    """The names without an underscore, except modules and ``annotations`` from ``__future__``."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and name != "annotations" and not isinstance(value, ModuleType)
    }


def defined(module: ModuleType) -> set[str]:
    """The public classes and functions that the module itself defines."""
    return {
        name
        for name in public(module)
        if getattr(vars(module)[name], "__module__", "") == module.__name__
        and (inspect.isclass(vars(module)[name]) or inspect.isfunction(vars(module)[name]))
    }


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_lists_exactly_what_it_exports(name: str) -> None:
    package = importlib.import_module(name)
    assert sorted(package.__all__) == sorted(public(package))
    assert len(set(package.__all__)) == len(package.__all__)


@pytest.mark.parametrize("name", PACKAGES)
def test_everything_a_package_exports_is_explained(name: str) -> None:
    package = importlib.import_module(name)
    silent = [
        one
        for one in package.__all__
        if (inspect.isclass(getattr(package, one)) or inspect.isfunction(getattr(package, one)))
        and not (getattr(package, one).__doc__ or "").strip()
    ]
    assert silent == []
    assert (package.__doc__ or "").strip()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_lists_the_classes_and_functions_it_defines(name: str) -> None:
    module = importlib.import_module(name)
    listed = set(module.__all__)
    assert defined(module) - listed == set()
    assert {one for one in listed if not hasattr(module, one)} == set()
    assert {one for one in listed if one.startswith("_")} == set()


@pytest.mark.parametrize("name", PACKAGES)
def test_public_methods_of_what_a_package_exports_are_explained(name: str) -> None:
    package = importlib.import_module(name)
    silent = [
        f"{one}.{attribute}"
        for one in package.__all__
        if inspect.isclass(getattr(package, one))
        for attribute, value in vars(getattr(package, one)).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod))
        and not (getattr(value, "__doc__", None) or "").strip()
    ]
    assert silent == []


def test_the_runtime_imports_nothing_it_does_not_need_and_warns_of_nothing() -> None:
    """Runs in a separate process, because this one has imported everything already."""
    packages = [name for name in PACKAGES if name != "aimctl.testing"]
    program = (
        f"import sys, {', '.join(packages)}\n"
        f"unwanted = {NOT_NEEDED + UPSTAIRS!r}\n"
        "print(sorted(m for m in sys.modules if m in unwanted or m.startswith(tuple(u + '.' for u in unwanted))))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout.strip()) == (0, "", "[]")


# ---- one package for users


def stubs() -> ast.Module:
    """What type checkers read of aimctl.runtime."""
    return ast.parse(Path(aimctl.runtime.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))


def test_the_public_names_are_those_of_the_list() -> None:
    """Adding or removing a public name is a decision: it changes the list."""
    assert list(aimctl.runtime.__all__) == NAMES.read_text(encoding="utf-8").split()


def test_every_public_name_can_be_imported_from_the_runtime() -> None:
    missing = object()
    assert [one for one in aimctl.runtime.__all__ if getattr(aimctl.runtime, one, missing) is missing] == []
    assert set(aimctl.runtime.__all__) <= set(dir(aimctl.runtime))


@pytest.mark.parametrize("name", [name for name in PACKAGES if name != "aimctl.testing"])
def test_the_runtime_exports_every_name_of_its_packages(name: str) -> None:
    package = importlib.import_module(name)
    others = [
        one for one in package.__all__ if getattr(aimctl.runtime, one, None) is not getattr(package, one)
    ]
    assert others == []


def test_type_checkers_see_the_same_names_from_the_same_modules() -> None:
    imported = {
        name.asname: node.module
        for node in stubs().body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert imported == aimctl.runtime._MODULES
    (listed,) = (node.value for node in stubs().body if isinstance(node, ast.Assign))
    assert sorted(ast.literal_eval(listed)) == sorted(imported)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Managr'"):
        aimctl.runtime.__getattr__("Managr")


@pytest.mark.parametrize(
    "path",
    [
        *DOCUMENTS.glob("*.md"),
        *(DOCUMENTS / "docs").rglob("*.md"),
        *(DOCUMENTS / "docs").rglob("*.py"),
    ],
    ids=lambda path: str(path.relative_to(DOCUMENTS)),
)
def test_documents_and_examples_import_from_the_public_package_only(path: Path) -> None:
    deeper = r"^\s*(?:from|import) (aimctl\.(?:runtime\.|kubetypes|generation)\S*)"
    assert re.findall(deeper, path.read_text(encoding="utf-8"), re.MULTILINE) == []


def test_the_package_itself_imports_nothing() -> None:
    program = "import sys, aimctl.runtime\nprint([m for m in sys.modules if m.startswith('aimctl.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['aimctl.runtime']"


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of the memory from /proc")
def test_an_idle_manager_takes_at_most_sixty_megabytes() -> None:
    program = (
        "from aimctl.runtime import HttpTransport, LoopClock, Manager, configure_logging, load_connection\n"
        "print(open('/proc/self/status').read())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", done.stdout)
    assert int(peak) < 60_000
