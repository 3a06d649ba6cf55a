"""The public API of the packages: listed in ``__all__``, documented, and importable without optional dependencies."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from types import ModuleType

import pytest

import aimctl.runtime
import aimctl.testing

PACKAGES = (
    "aimctl.runtime.cache",
    "aimctl.runtime.controller",
    "aimctl.runtime.kube",
    "aimctl.runtime.manager",
    "aimctl.runtime.queue",
    "aimctl.testing",
)

MODULES = sorted(
    one.name
    for package in (aimctl.runtime, aimctl.testing)
    for one in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not one.ispkg
)

NOT_NEEDED = ("kubernetes_asyncio", "kubernetes", "pydantic", "yaml", "typer", "cel")
"""By a process in a cluster that only uses the runtime. (structlog imports rich where that is installed.)"""

UPSTAIRS = (
    "aimctl.api",
    "aimctl.domain",
    "aimctl.controllers",
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
    packages = [name for name in PACKAGES if name.startswith("aimctl.runtime")]
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
