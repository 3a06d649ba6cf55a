"""Suggested commands can be copied: they repeat the flags that the user has typed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import aimctl.cli
from aimctl.cli.suggestions import Typed, command, typed

CLUSTER = ("--kubeconfig", "/a b/config", "--context", "east")
END = "--kubeconfig '/a b/config' --context east"


@pytest.mark.parametrize(
    ("text", "options", "expected"),
    [
        ("kubectl get namespaces", {}, f"kubectl get namespaces {END}"),
        ("aimctl rediscover llama -n team", {}, f"aimctl rediscover llama -n team {END}"),
        ("aimctl queue", {}, f"aimctl queue --operator-namespace ops {END}"),
        (
            "aimctl logs aimclst a --operator-namespace other",
            {},
            f"aimctl logs aimclst a --operator-namespace other {END}",
        ),
        (
            "aimctl explain aimst NAME",
            {"namespaced": True},
            f"aimctl explain aimst NAME -n mine --operator-namespace ops {END}",
        ),
    ],
)
def test_a_command_repeats_what_was_typed(text, options, expected):
    with typed(Typed(CLUSTER, "mine", "ops")):
        assert command(text, **options) == expected
    assert command(text, **options) == text


_COMMAND = re.compile(r"\b(kubectl|aimctl) [a-z]")
_FOR_OTHERS = {
    "rights.py": "an administrator has another kubeconfig",
    "manifests.py": "it asks no cluster",
    "development.py": "its kubeconfig is exported",
    "scaffold.py": "it asks no cluster",
    "runbook.py": "it asks no cluster",
}


def _texts(tree):
    """Every string that a user may see, outside of docstrings, help texts and calls of ``command``."""
    for node in ast.iter_child_nodes(tree):
        name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if name == "command" or (isinstance(node, ast.keyword) and node.arg == "help"):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "_COMMANDS":
            continue  # what the table holds is passed to ``command``
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        yield from _texts(node)


def test_every_suggested_command_is_built_by_the_one_function():
    found = {
        f"{path.name}: {text}"
        for path in Path(aimctl.cli.__file__).parent.rglob("*.py")
        if path.name not in _FOR_OTHERS
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        if _COMMAND.search(text)
    }
    assert found == set()
