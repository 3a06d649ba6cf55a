"""``aimctl init``: a project whose checks pass at once, and which joins the operator when it is installed."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aimctl.api.kinds import TEMPLATES
from aimctl.cli.programs.scaffold import Names, project_files
from aimctl.devcluster.apiserver.schema import Schema
from aimctl.runtime import (
    CRDS,
    JOBS,
    Client,
    HttpTransport,
    LoopClock,
    NotFound,
    Resource,
    from_kubeconfig,
    is_true,
)
from support.commands import RunningCommand, aimctl, aimctl_all, clean_environment
from support.documents import load_all_yaml, load_yaml
from support.served import ServedCluster
from support.waiting import eventually

BACKUPS = Resource.untyped("acme.example", "v1alpha1", "SiteBackup", "sitebackups")
OFF = ("--metrics-bind-address", "0", "--health-probe-bind-address", "0")
LONG = Names(
    "a-name-with-as-many-letters-as-can-be-40",
    "a-group.example.org",
    "AKindWithAsManyLettersAsAreAllowedIs40Xx",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init") / "site-backup"
    done = aimctl("init", "reconciler", "site-backup", "--group", "acme.example", "--output", folder)
    assert (done.code, done.err) == (0, "")
    return folder


@pytest.fixture(scope="module")
def installed(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, installed into a folder for PYTHONPATH, without a network."""
    site = tmp_path_factory.mktemp("installed") / "site"
    flags = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    run(project, "pip", "install", *flags, "--target", site, ".")
    return site


def run(folder: Path, module: str, *args: str | Path) -> str:
    """Run a tool in a folder and return its output; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, args)],
        cwd=folder,
        env=clean_environment(PIP_CONFIG_FILE="/dev/null", MYPYPATH=""),
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_command_lists_the_files_and_the_next_step(tmp_path: Path) -> None:
    done = aimctl("init", "reconciler", "night-watch", "--output", tmp_path / "x")
    *listed, empty, following = done.out.splitlines()
    assert {str(path) for path in (tmp_path / "x").rglob("*") if path.is_file()} == set(listed)
    assert (empty, following) == ("", f"next: cd {tmp_path / 'x'} && make install && make")
    assert {
        "Dockerfile",
        "Makefile",
        "README.md",
        "pyproject.toml",
        ".gitignore",
        ".github/workflows/ci.yaml",
        "src/night_watch/kinds.py",
        "tests/test_reconciler.py",
    } <= {Path(path).relative_to(tmp_path / "x").as_posix() for path in listed}


@pytest.mark.proof
def test_the_tests_of_a_new_project_pass(project: Path) -> None:
    assert "8 passed" in run(project, "pytest", "-p", "no:cacheprovider")


@pytest.mark.proof
def test_a_new_project_passes_the_type_checker(project: Path, tmp_path: Path) -> None:
    assert "no issues found" in run(project, "mypy", "--strict", "--cache-dir", tmp_path)


@pytest.mark.proof
def test_the_types_of_a_new_project_are_complete(project: Path) -> None:
    folders = {"PYTHONPATH": str(project / "src"), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    done = subprocess.run(
        ["pyright", "--verifytypes", "site_backup", "--ignoreexternal"],
        cwd=project,
        env={**clean_environment(), **folders},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert "Type completeness score: 100%" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("names", [Names("a1", "b.io", "Ab"), LONG], ids=lambda names: names.name)
def test_a_project_with_short_or_long_names_passes_the_linter(names: Names, tmp_path: Path) -> None:
    for path, text in project_files(names).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    run(tmp_path, "ruff", "check", "--no-cache", ".")
    run(tmp_path, "ruff", "format", "--no-cache", "--check", ".")
    left = {path: re.findall(r"@\w+@", text) for path, text in project_files(names).items()}
    assert {path for path, placeholders in left.items() if placeholders} == set()
    assert load_yaml((tmp_path / ".github/workflows/ci.yaml").read_text(encoding="utf-8"))["jobs"]


def test_existing_files_are_not_overwritten(project: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    again = aimctl("init", "reconciler", "site-backup", "--output", project)
    assert again.code == 1
    assert "exists already; nothing was written" in again.complaint
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before
    (tmp_path / "README.md").write_text("mine")
    partly = aimctl("init", "reconciler", "site-backup", "--output", tmp_path)
    assert f"{tmp_path / 'README.md'} exists already" in partly.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_folder_with_other_files_is_filled(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert aimctl("init", "reconciler", "site-backup", "--output", tmp_path).code == 0
    assert (tmp_path / "pyproject.toml").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("reconciler", "Site_Backup"), ["NAME", "'Site_Backup' is not a project name", "site-backup"]),
        (("reconciler", "../x"), ["NAME", "'../x' is not a project name"]),
        (("reconciler", "a" * 41), ["NAME", "up to 40 lower-case letters"]),
        (("reconciler", "class"), ["NAME", "cannot be named class", "my-class"]),
        (("reconciler", "json"), ["NAME", "cannot be named json", "my-json"]),
        (("reconciler", "templates"), ["NAME", "'templates' is the name of a controller of", "my-templates"]),
        (("reconciler", "unowned-templates"), ["NAME", "controller of the operator", "my-unowned-templates"]),
        (("reconciler", "x", "--kind", "site"), ["--kind", "'site' is not the name of a kind", "SiteBackup"]),
        (("reconciler", "x", "--kind", "DNS"), ["--kind", "'DNS' is not the name of a kind"]),
        (("reconciler", "x", "--kind", "Status"), ["--kind", "'Status' is a name of the generated code"]),
        (("reconciler", "xy", "--kind", "Xy", "--group", "acme"), ["--group", "group 'acme'", "example.org"]),
        (("reconciler", "xy", "--kind", "Xy", "--group", "a.k8s.io"), ["--group", "a domain of your own"]),
        (("controller", "x"), ["'controller' is not one of 'reconciler'"]),
    ],
    ids=" ".join,
)
def test_a_bad_name_is_one_line_with_the_remedy(
    args: tuple[str, ...], words: list[str], tmp_path: Path
) -> None:
    done = aimctl("init", *args, "--output", tmp_path / "x")
    assert done.code == 2
    assert [word for word in words if word not in done.complaint] == []
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_is_one_line() -> None:
    done = aimctl("init", "reconciler", "site-backup", "--output", "/dev/null/x")
    assert done.code == 1
    assert "--output" in done.complaint


def test_the_help_has_an_example() -> None:
    done = aimctl("init", "--help")
    assert "Example: aimctl init reconciler site-backup --group acme.example" in done.out


# ---- next to the operator


def test_the_manifests_contain_the_permissions_and_the_crd(installed: Path) -> None:
    environ = {"PYTHONPATH": str(installed)}
    done = aimctl_all(
        {
            "all": (("manifests",), environ),
            "only": (("manifests", "--only", "site-backup"), environ),
            "without": (("manifests", "--skip", "site-backup"), environ),
        }
    )
    for name in ("all", "only"):
        documents = list(load_all_yaml(done[name].out))
        (crd,) = [one for one in documents if one["metadata"]["name"] == "sitebackups.acme.example"]
        assert Schema.from_crd(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        role = "aimctl-manager" if name == "all" else "aimctl-site-backup"
        (granted,) = [
            one["rules"]
            for one in documents
            if one["kind"] == "ClusterRole" and one["metadata"]["name"] == role
        ]
        verbs = {
            (group, resource): set(rule["verbs"])
            for rule in granted
            for group in rule["apiGroups"]
            for resource in rule["resources"]
        }
        assert verbs["acme.example", "sitebackups"] == {"get", "list", "watch"}
        assert verbs["acme.example", "sitebackups/status"] == {"patch"}
        assert verbs["batch", "jobs"] >= {"get", "list", "watch", "create", "patch"}
        assert verbs["", "nodes"] == {"list", "watch"}
    assert "acme.example" not in done["without"].out


@pytest.mark.proof
def test_make_manifests_writes_the_crd_and_the_roles(project: Path, installed: Path) -> None:
    subprocess.run(
        ["make", "manifests", f"PYTHON={sys.executable}"],
        cwd=project,
        env=clean_environment(PYTHONPATH=str(installed)),
        check=True,
        capture_output=True,
        timeout=60,
    )
    written = {path.relative_to(project).as_posix() for path in (project / "config").rglob("*.yaml")}
    assert written == {"config/crd/acme.example_sitebackups.yaml", "config/rbac/aimctl-site-backup.yaml"}


def test_make_install_does_not_search_for_aimctl_on_a_package_index(project: Path) -> None:
    without = f"PYTHON={sys.executable} -I -S"
    done = subprocess.run(
        ["make", "install", without], cwd=project, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    assert "aimctl is not installed: use make install AIMCTL=<path or URL>" in done.stderr
    assert "pip" not in done.stdout


@pytest.mark.proof
def test_it_owns_jobs_and_watches_nodes_while_the_operator_runs(
    installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    environ = {"PYTHONPATH": str(installed)}
    only = aimctl("manifests", "crd", "--only", "site-backup", env=environ)
    with ServedCluster(tmp_path_factory.mktemp("served"), pace=0.05) as served:
        served.apply(only.out)
        served.ask(lambda client: client.get(CRDS, "sitebackups.acme.example"))
        command = RunningCommand("manager", "--kubeconfig", served.kubeconfig(), *OFF, **environ)
        with command:
            added = json.loads(command.wait_for("extension added"))
            assert (added["extension"], added["origin"]) == ("site-backup", "site-backup 0.1.0")
            command.wait_for("caches synced")
            model = {
                "apiVersion": "aim.silogen.ai/v1alpha1",
                "kind": "AIMServiceTemplate",
                "metadata": {"name": "t", "namespace": "default"},
                "spec": {"modelName": "missing"},
            }
            backup = {
                "apiVersion": "acme.example/v1alpha1",
                "kind": "SiteBackup",
                "metadata": {"name": "b", "namespace": "default"},
                "spec": {"image": "busybox", "command": ["true"], "podsPerNode": 2},
            }
            served.apply([model, backup])
            eventually(lambda: completed(served), 60, "the condition Complete")
            job = served.ask(lambda client: client.get(JOBS, "b", "default"))
            eventually(
                lambda: served.state(TEMPLATES, "t", "default") != "", 30, "the status of the operator"
            )
            assert command.stop() == 0
        assert job.view.spec.completions == 4  # two pods on each of the two nodes
        assert job.meta.controller is not None
        assert (job.meta.controller.kind, job.meta.controller.name) == ("SiteBackup", "b")


def test_it_runs_in_the_embedded_cluster_for_development(installed: Path, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    with RunningCommand("dev", "--kubeconfig-out", kubeconfig, PYTHONPATH=str(installed)) as command:
        command.wait_for("extensions   site-backup")
        command.wait_for("Ctrl-C stops it")

        async def backup() -> bool:
            clock = LoopClock()
            info = await from_kubeconfig(str(kubeconfig), clock=clock)
            async with HttpTransport(info, clock=clock) as transport:
                client = Client(transport, clock=clock)
                body = {"metadata": {"name": "b"}, "spec": {"image": "busybox"}}
                await client.create(BACKUPS, body, "default")
                while True:
                    found = await client.get(BACKUPS, "b", "default")
                    if is_true(found.view.get("status", {}).get("conditions"), "Complete"):
                        return True
                    await asyncio.sleep(0.1)

        assert asyncio.run(asyncio.wait_for(backup(), 60))
        assert command.stop() == 0


def completed(served: ServedCluster) -> bool:
    try:
        found = served.ask(lambda client: client.get(BACKUPS, "b", "default"))
    except NotFound:
        return False
    return is_true(found.view.get("status", {}).get("conditions"), "Complete")
