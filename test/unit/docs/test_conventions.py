"""The files at the root that tools and contributors rely on: pre-commit hooks, changelog, make targets."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from support.documents import load_yaml

ROOT = Path(__file__).parents[3]
HOOKS = load_yaml((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


MANNERED = re.compile(
    r"\b(nobody|somebody|whoever|whom|mend(s|ed|ing)?|strangers?|hopeless|is told|tells of|the house|kindly)\b|"
    r"\b(goes on|comes to|look again|none of ours|what it is with|all the same|in vain|any ?more)\b|"
    r"\b(that|which|it) (is|are) no (?!longer\b|more\b)\w",
    re.IGNORECASE,
)
"""Words and phrases that are not used, see the section on English in CONTRIBUTING.md."""
PROSE = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "hack").glob("*.*"),
    *(ROOT / "config").rglob("*.yaml"),
    *(ROOT / "src").rglob("*.py"),
    *(ROOT / "src").rglob("*.tmpl"),
    *(
        ROOT / name
        for name in ("Makefile", "Dockerfile", "pyproject.toml", ".ci/run", ".pre-commit-config.yaml")
    ),
]


@pytest.mark.parametrize("path", PROSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_and_scripts_use_plain_english(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    found = {number: match[0] for number, line in enumerate(lines, 1) if (match := MANNERED.search(line))}
    assert found == {}


def hooks():
    return [hook for repo in HOOKS["repos"] for hook in repo["hooks"]]


def test_pre_commit_downloads_nothing():
    assert [repo["repo"] for repo in HOOKS["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks()} == {"system"}
    assert all("additional_dependencies" not in hook for hook in hooks())


@pytest.mark.parametrize("hook", hooks(), ids=lambda hook: hook["id"])
def test_a_hook_runs_a_tool_of_the_environment_or_a_make_target(hook):
    program, first = hook["entry"].split()[0], hook["entry"].split()[1:2]
    if program == "make":
        assert set(first) <= TARGETS
    else:
        assert program.startswith(".venv/bin/")


def test_the_commit_message_is_checked_when_it_is_written():
    (hook,) = [hook for hook in hooks() if hook.get("stages") == ["commit-msg"]]
    assert (ROOT / hook["entry"].split()[1]).exists()
    assert "commit-msg" in HOOKS["default_install_hook_types"]


def test_every_make_target_in_contributing_exists():
    named = {word for text in re.findall(r"`(make [a-z -]+)", CONTRIBUTING) for word in text.split()[1:]}
    assert len(named) > 8
    assert named <= TARGETS


def test_every_dependency_is_explained_in_contributing():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    separate = re.findall(r"echo '([^']+)' \| .* -o requirements-[a-z-]+\.lock$", MAKEFILE, re.MULTILINE)
    of_extras = re.findall(
        r"--extra [a-z-]+ pyproject\.toml -o requirements-[a-z-]+\.lock$", MAKEFILE, re.MULTILINE
    )
    assert len(separate) + len(of_extras) == len(list(ROOT.glob("requirements-*.lock")))
    required = {
        re.split(r"[<>=\[]", text)[0]
        for group in (project["dependencies"], *extras.values(), separate)
        for text in group
    } - {project["name"]}
    table = CONTRIBUTING.split("## Dependencies")[1]
    cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    explained = {
        f"pytest{word}" if word.startswith("-") else word
        for cell in cells
        for word in re.sub(r"\(.*\)", "", cell).replace(",", " ").split()
    }
    assert required - explained == set()
    assert explained - required - {"package", "---"} == set()


def test_the_changelog_has_an_unreleased_section_above_the_released_versions():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}", heading) for heading in headings[1:])
