"""What is shipped beside the sources: the image's recipe, and the extras by which it is installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from support.documents import load_yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]


def instructions(name: str) -> list[str]:
    """What the Dockerfile says to do under this instruction, line by line."""
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def container() -> tuple[dict, dict]:
    """The Deployment's pod and its one container."""
    text = (ROOT / "config/manager/manager.yaml").read_text(encoding="utf-8")
    pod = load_yaml(text)["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    return pod, only


def copied() -> list[str]:
    """What the image's build takes from the checkout."""
    words = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    return [source for line in words for source in line[:-1]]


def pinned() -> set[str]:
    """The packages that the lock names with version and hash."""
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==[^\\\n]+\\\n    --hash=sha256:", text, re.MULTILINE))


def name_of(requirement: str) -> str:
    match = re.match("[a-zA-Z0-9-]+", requirement)
    assert match is not None
    return match[0].lower()


def test_the_image_runs_as_the_user_of_the_deployment() -> None:
    pod, _ = container()
    (user,) = instructions("USER")
    assert user.split(":")[0] == str(pod["securityContext"]["runAsUser"])
    assert user.split(":")[0] != "0"


def test_the_image_runs_the_program_that_the_deployment_starts() -> None:
    _, only = container()
    assert instructions("ENTRYPOINT") == [f'["{only["command"][0]}"]']
    assert only["command"][0] in PROJECT["scripts"]


def test_what_the_image_is_made_of_is_there_and_not_ignored() -> None:
    assert {"requirements.lock", "pyproject.toml", "src"} <= set(copied())
    for source in copied():
        assert (ROOT / source).exists()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {line.removeprefix("!") for line in rules if line.startswith("!")} == set(copied())


def test_what_the_package_says_of_itself_is_copied_before_it_is_built() -> None:
    assert {PROJECT["readme"], *PROJECT["license-files"]} <= set(copied())


def test_the_image_holds_locked_versions_only() -> None:
    fetching, *others = [line for line in instructions("RUN") if re.search(" (install|wheel) ", line)]
    assert "--require-hashes" in fetching
    assert fetching.endswith("-r requirements.lock")
    assert len(others) == 2
    assert all("--no-index" in line for line in others)
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    wanted = {name_of(line) for line in (*PROJECT["dependencies"], *EXTRAS["uvloop"], *build)}
    assert wanted - pinned() == set()


def versions(lock: str) -> dict[str, str]:
    """The version of each package of a lock file."""
    text = (ROOT / lock).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\\n]+)", text, re.MULTILINE))


def test_the_tools_of_the_documentation_change_no_version_of_the_environment() -> None:
    environment, tools = versions("requirements.lock"), versions("requirements-docs.lock")
    assert "mkdocs-material" in tools
    assert {name: tools[name] for name in tools.keys() & environment.keys()} == {
        name: environment[name] for name in tools.keys() & environment.keys()
    }, "run `make lock`"


def test_both_stages_of_the_image_have_the_same_python_and_one_that_the_package_allows() -> None:
    bases = {line.removesuffix(" AS build") for line in instructions("FROM")}
    assert bases == {"${BASE}"}
    arguments = dict(line.split("=", 1) for line in instructions("ARG"))
    assert arguments["BASE"] == "python:${PYTHON_VERSION}-slim"
    version = arguments["PYTHON_VERSION"]
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_labels_of_the_image_have_the_version_and_the_license() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', text))
    assert labels["title"] == PROJECT["name"]
    assert labels["version"] == PROJECT["version"]
    assert labels["licenses"] == PROJECT["license"]


def test_the_extra_for_tests_of_others_is_part_of_that_for_our_own() -> None:
    assert "aimctl[testing]" in EXTRAS["test"]
    assert {name_of(line) for line in EXTRAS["testing"]} == {"pytest", "pytest-asyncio"}


@pytest.mark.proof
@pytest.mark.parametrize("absent", ["pytest", "pytest_asyncio"])
def test_virtual_time_needs_no_extra(absent: str) -> None:
    program = f"import sys; sys.modules[{absent!r}] = None; import aimctl.testing"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.proof
def test_the_plugin_without_its_extra_says_which_one_it_needs(tmp_path: Path) -> None:
    program = "import sys; sys.modules['pytest_asyncio'] = None; import aimctl.testing.plugin"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].endswith(
        "aimctl.testing.plugin needs pytest-asyncio: install aimctl with its extra 'testing'"
    )


def test_the_wheel_contains_every_file_of_the_package(tmp_path: Path) -> None:
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "wheel", *flags, "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=110)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("aimctl/")}
    present = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == present
    assert "aimctl/cli/programs/skeleton/dot_gitignore.tmpl" in packed
