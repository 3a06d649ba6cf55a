"""Every shell command of the documents exists, with its flags and kinds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

import aimctl.runtime
from aimctl.api.kinds import KINDS
from aimctl.cli.app import app
from support.pages import commands_of, pages, scripts_of

ROOT = Path(__file__).parents[3]
APP = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)) | {
    "install"
}
"""Of this repository, and of the project that `aimctl init` creates."""
PROGRAMS = {
    ".", "cat", "cd", "curl", "date", "docker", "export", "grep", "head", "helm",  "jq", "kill", "mkdir", "pip", "python", "python3", "rm", "sed", "sleep", "sort", "source", "tail", "uniq",
}  # fmt: skip
"""Programs whose arguments are not checked here."""
VERBS = {
    "annotate", "api-resources", "apply", "config", "create", "delete", "describe", "explain", "get", "label", "logs", "patch",
    "port-forward", "replace", "rollout", "scale", "set", "top", "wait",
}  # fmt: skip
WITH_VALUE = {
    "-n",
    "--namespace",
    "--kubeconfig",
    "--context",
    "-l",
    "-L",
    "-o",
    "-p",
    "-f",
    "-k",
    "--selector",
    "--type",
}
OWN = {
    word
    for kind in KINDS
    for names in [kind.crd()["spec"]["names"]]
    for word in (names["plural"], names["singular"], *names.get("shortNames", ()), "aim")
}
BUILT_IN = {
    word
    for resource in (getattr(aimctl.runtime, name) for name in aimctl.runtime.__all__)
    if isinstance(resource, aimctl.runtime.Resource)
    for word in (resource.plural, resource.kind.lower())
} | {"crds", "isvc", "pvc", "sc"}
OF_OTHERS = {
    "backup", "backups", "certificate", "certificaterequests", "certificates", "inferenceservices",
    "mutatingwebhookconfigurations", "validatingwebhookconfigurations",
}  # fmt: skip
"""Kinds of the tutorial, of KServe and of cert-manager, and those without a Resource in the library."""
ON_KINDS = {"annotate", "delete", "describe", "explain", "get", "label", "patch", "scale", "wait"}


def words_of(arguments):
    """The arguments that are neither flags nor the values of flags."""
    found, value = [], False
    for word in arguments:
        if value or word.startswith("-"):
            value = not value and word in WITH_VALUE
            continue
        found.append(word)
    return found


def functions_of(page):
    """The shell functions that a page defines."""
    scripts = "".join(script for _, script in scripts_of(ROOT / page))
    return frozenset(re.findall(r"^(\w+) ?\(\) *\{", scripts, re.MULTILINE))


def problem_of(words, functions=frozenset()):
    """What is wrong with a command; empty if nothing is."""
    if words[0] in functions:
        return ""
    program = words[0].rsplit("/", 1)[-1] if "/" in words[0] else words[0]
    if program == "aimctl":
        return problem_of_aimctl(words[1:])
    if program == "kubectl":
        return problem_of_kubectl(words_of(words[1:]))
    if program == "make":
        unknown = {word for word in words[1:] if "=" not in word} - TARGETS
        return f"make has no target {sorted(unknown)}" if unknown else ""
    return "" if program in PROGRAMS else f"{program} is not a known program"


def problem_of_aimctl(words):
    name = words[0] if words else ""
    command = APP.commands.get(name)
    if command is None:
        known = {flag for option in APP.params for flag in option.opts}
        return "" if name in known else f"aimctl has no command {name!r}"
    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)} | {
        "-h",
        "--help",
    }
    flags = {word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)}
    return f"aimctl {name} has no flag {sorted(flags - known)}" if flags - known else ""


def problem_of_kubectl(words):
    if not words or words[0] not in VERBS:
        return f"kubectl has no command {words[:1]}"
    if words[0] not in ON_KINDS or len(words) == 1:
        return ""
    kinds = {one.partition("/")[0].partition(".")[0] for one in words[1].split(",")}
    placeholders = {kind for kind in kinds if kind.isupper() or not kind}
    unknown = kinds - OWN - BUILT_IN - OF_OTHERS - placeholders
    return f"unknown kind {sorted(unknown)}" if unknown else ""


@pytest.mark.parametrize("page", pages())
def test_every_command_exists(page):
    problems = {
        f"{page}, block at line {line}: {' '.join(words)}": problem
        for line, script in scripts_of(ROOT / page)
        for words in commands_of(script)
        if (problem := problem_of(words, functions_of(page)))
    }
    assert problems == {}


def test_commands_are_found_in_many_pages():
    assert (
        sum(len(list(commands_of(script))) for page in pages() for _, script in scripts_of(ROOT / page)) > 200
    )


@pytest.mark.parametrize(
    ("script", "commands"),
    [
        ("a b | c && d; e\n", [["a", "b"], ["c"], ["d"], ["e"]]),
        ("until a > /dev/null; do sleep 5; done\n", [["a"], ["sleep", "5"]]),
        ("x=$(a b)\n", [["a", "b"]]),
        ("cat > f <<'END'\nno command\nEND\n", [["cat"]]),
        ("a \\\n  b # comment\n", [["a", "b"]]),
        ("a 'b c' {d}\n", [["a", "b c", "{d}"]]),
    ],
    ids=["operators", "loop", "substitution", "here document", "continuation", "quotes"],
)
def test_a_script_is_split_into_commands(script, commands):
    assert list(commands_of(script)) == commands


@pytest.mark.parametrize(
    "command",
    [
        "aimctl explode",
        "aimctl status --colour",
        "kubectl shout",
        "kubectl get aimsvcs-of-mine",
        "kubectl -n x get nonsense",
        "make sense",
        "rocket launch",
    ],
)
def test_a_command_that_does_not_exist_is_found(command):
    assert problem_of(command.split()) != ""
