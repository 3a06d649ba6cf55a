"""The size of packages, and what the general packages must not contain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aimctl

SOURCES = Path(aimctl.__file__).parent
MOST_MODULES = 13
SPLIT_LATER = frozenset({"controllers", "domain/services"})
"""Packages that are still too large."""

PACKAGES = sorted(
    path.parent
    for path in SOURCES.rglob("__init__.py")
    if str(path.parent.relative_to(SOURCES)) not in SPLIT_LATER
)
AIM_WORDS = re.compile(
    r"\baim\b|aim\.silogen|silogen|kaiwo|kserve|inferenceservice|hugging|\bvllm\b|\bamd\b|amd\.com|nvidia",
    re.IGNORECASE,
)


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: str(path.relative_to(SOURCES)))
def test_a_package_has_few_modules(package: Path) -> None:
    assert len(list(package.glob("*.py"))) <= MOST_MODULES


@pytest.mark.parametrize("name", ["devcluster", "testing", "kubetypes", "runtime"])
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
