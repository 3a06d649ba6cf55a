"""The examples in the documents work: Python is run, YAML is applied, links and names lead somewhere."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

from aimctl.api.kinds import OPERATOR_KINDS, SERVICES
from aimctl.devcluster import DevCluster
from aimctl.runtime.controller import RetryAfter, TerminalError, classify
from aimctl.runtime.kube import NotFound
from aimctl.runtime.manager import Manager
from aimctl.simulation import Catalogue
from aimctl.testing import virtual_clock, virtual_time
from support.documents import load_all_yaml
from support.operator import world

ROOT = Path(__file__).parents[3]
DOCS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(name, language="python"):
    text = (ROOT / name).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


CONCEPTS = (
    "kinds",
    "reconciliation",
    "writes",
    "cache",
    "controllers",
    "queue",
    "outcomes",
    "running",
    "leader-election",
    "extension",
    "testing",
)
"""The concept pages in the order in which their code continues one example."""


def module_of(names):
    """The Python blocks of documents, run in order as one module."""
    module = types.ModuleType("snippets")
    sys.modules[module.__name__] = module  # msgspec looks annotations up there
    for name in names:
        for block in blocks(name):
            source = f"from __future__ import annotations\n{block}"
            exec(compile(source, f"{name} (block)", "exec"), module.__dict__)
    return module


LIBRARY = module_of(f"docs/concepts/{name}.md" for name in CONCEPTS)


def examples_in(module):
    return [value for name, value in vars(module).items() if name.startswith("test_")]


@pytest.mark.parametrize("test", examples_in(LIBRARY), ids=lambda test: test.__name__)
def test_the_tests_on_the_concept_pages_pass(test):
    outcome = test()
    if asyncio.iscoroutine(outcome):
        asyncio.run(outcome)


@pytest.mark.proof
def test_the_tests_in_the_guide_to_the_embedded_cluster_pass(tmp_path):
    (block,) = blocks("docs/embedded-cluster.md")
    (tmp_path / "test_example.py").write_text(block)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["aimctl.testing.plugin"]\n')
    (settings,) = blocks("docs/embedded-cluster.md", "toml")
    (tmp_path / "pyproject.toml").write_text(settings)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_every_test_on_the_concept_pages_is_run():
    assert len(examples_in(LIBRARY)) == 5


def test_every_concept_page_is_run_and_listed():
    folder = ROOT / "docs" / "concepts"
    assert sorted(path.stem for path in folder.glob("*.md")) == sorted(CONCEPTS)
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\(concepts/([\w-]+)\.md\)", index)) == sorted(CONCEPTS)


@virtual_time
async def test_the_cache_page_finds_workers_by_their_zone():
    async with DevCluster(clock=virtual_clock()) as cluster:
        manager, stop = Manager(cluster.transport(), clock=cluster.clock), asyncio.Event()
        LIBRARY.declare_nodes(manager)
        labels = {"topology.kubernetes.io/zone": "a"}
        for name, more in (("one", {"node-role.kubernetes.io/worker": ""}), ("two", {})):
            await cluster.client().create(
                LIBRARY.NODES, {"metadata": {"name": name, "labels": {**labels, **more}}}
            )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            await asyncio.sleep(1)
            assert LIBRARY.workers_in(manager, "a") == ["one"]
            stop.set()


async def test_the_queue_page_adds_a_controller_with_a_rate_limiter():
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    LIBRARY.add_slow_teams(manager)
    assert list(manager.controllers) == ["slow-teams"]


@virtual_time
async def test_each_source_of_the_controllers_page_causes_a_reconcile():
    async with DevCluster(clock=virtual_clock(), crds=[LIBRARY.TEAM.crd()]) as cluster:
        client, stop = cluster.client(), asyncio.Event()
        manager = Manager(cluster.transport(), clock=cluster.clock)
        requeue = LIBRARY.add_teams_by_region(manager)
        runs = manager.metrics.reconciles.labels("teams", "success")
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            spec = {"members": ["x"], "region": "eu"}
            body = {"metadata": {"name": "a", "namespace": "default"}, "spec": spec}
            team = await client.create(LIBRARY.TEAMS, body, "default")
            await asyncio.sleep(1)
            roster = await client.get(LIBRARY.CONFIG_MAPS, "a-roster", "default")
            assert roster.view.data == {"members": "x"}
            before = runs.value
            requeue.send(team.key)
            await asyncio.sleep(1)
            assert runs.value == before + 1
            for cause in (
                client.create(LIBRARY.CONFIG_MAPS, {"metadata": {"name": "region-eu"}}, "default"),
                client.delete(LIBRARY.CONFIG_MAPS, "a-roster", "default"),
            ):
                before = runs.value
                await cause
                await asyncio.sleep(1)
                assert runs.value > before
            stop.set()


@virtual_time
async def test_the_reconciler_with_a_finalizer_of_the_writes_page_works():
    async with DevCluster(clock=virtual_clock(), crds=[LIBRARY.TEAM.crd()]) as cluster:
        client, stop = cluster.client(), asyncio.Event()
        manager = Manager(cluster.transport(), clock=cluster.clock)
        reconciler = LIBRARY.TeamWithCleanup(manager)
        manager.controller("teams", reconciler, for_=LIBRARY.TEAMS, owns=[LIBRARY.CONFIG_MAPS])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(manager.run(stop))
            body = {"metadata": {"name": "a", "namespace": "default"}, "spec": {"members": ["x"]}}
            await client.create(LIBRARY.TEAMS, body)
            await asyncio.sleep(1)
            await LIBRARY.add_member(client, await client.get(LIBRARY.TEAMS, "a", "default"), "y")
            await asyncio.sleep(1)
            roster = await client.get(LIBRARY.CONFIG_MAPS, "a-roster", "default")
            assert roster.view.data == {"members": "x,y"}
            before = cluster.server.storage.version
            await asyncio.sleep(3600)
            assert cluster.server.storage.version == before
            await client.delete(LIBRARY.TEAMS, "a", "default")
            await asyncio.sleep(1)
            for kind, name in ((LIBRARY.TEAMS, "a"), (LIBRARY.CONFIG_MAPS, "a-roster")):
                with pytest.raises(NotFound):
                    await client.get(kind, name, "default")
            stop.set()


@pytest.mark.parametrize(
    ("name", "label"), [("test-a", "error"), ("early", "requeue_after"), ("other", "requeue_after")]
)
async def test_the_outcomes_of_the_outcomes_page_are_correct(name, label):
    result = error = None
    try:
        result = await LIBRARY.careful(LIBRARY.Request("ns", name))
    except (TerminalError, RetryAfter) as raised:
        error = raised
    assert classify(result, error).label == label


@virtual_time
async def test_the_service_of_the_quick_start_runs():
    text, _ = blocks("docs/quickstart.md", "yaml")
    async with world(kserve=True) as w:
        w.start()
        for body in load_all_yaml(text):
            resource = next(kind for kind in OPERATOR_KINDS if kind.kind == body["kind"])
            await w.client.apply(resource, body)
        await asyncio.sleep(60)
        assert w.state("llama-3-8b-latency", "default") == "Ready"
        assert (await w.client.get(SERVICES, "chat", "default")).view.status.status == "Running"


async def test_the_program_on_the_home_page_adds_a_controller():
    (block,) = blocks("docs/README.md")
    manager = Manager(DevCluster(clock=virtual_clock()).transport(), clock=virtual_clock())
    names = {"__name__": "greeter"}
    exec(compile(block, "docs/README.md (block)", "exec"), names)
    names["add_greeter"](manager)
    assert list(manager.controllers) == ["greeter"]


def test_the_catalogue_in_the_guide_is_valid():
    (text,) = blocks("docs/embedded-cluster.md", "yaml")
    catalogue = Catalogue.parse(text)
    assert catalogue.entry("registry.example.com/aim-llama-8b:0.4", ("dry-run",)) is not None
    assert catalogue.entry("tool:1", ("check", "all")) is not None
    assert catalogue.entry("tool:1", ("other",)) is None


def anchors(path):
    """The anchors of a document's headings, as GitHub forms them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_between_the_documents_leads_somewhere(path):
    for target, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        linked = path.parent / target if target else path
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("path", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_and_module_in_the_documents_exists(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:src|test|hack|config|docs)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"`(aimctl(?:\.\w+)+)(?![\w/])", text):
        assert exists(name), name


def exists(name):
    """Whether a dotted name is a module of the package, or is mentioned in the module that it starts with."""
    folder, parts = ROOT / "src", name.split(".")
    while parts and (folder / parts[0]).is_dir():
        folder /= parts.pop(0)
    module = folder / "__init__.py"
    if parts and (folder / f"{parts[0]}.py").exists():
        module = folder / f"{parts.pop(0)}.py"
    return not parts or parts[0] in module.read_text(encoding="utf-8")


GUIDES = [
    ROOT / "README.md",
    *(
        ROOT / "docs" / name
        for name in (
            *(
                "README.md",
                "quickstart.md",
                "faq.md",
                "upgrades.md",
                "fields.md",
                "commands.md",
                "metrics.md",
            ),
            *("tutorial.md", "coming-from.md", "limits.md", "embedded-cluster.md"),
        )
    ),
    *(
        path
        for folder in ("aim", "concepts", "howto", "reference")
        for path in sorted((ROOT / "docs" / folder).glob("*.md"))
    ),
]
PUBLIC_MODULES = {"aimctl.testing.plugin"}
"""Modules below the public packages that users name: the pytest plugin."""


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_for_users_names_a_module_below_the_public_packages(path):
    text = path.read_text(encoding="utf-8").replace("src/aimctl/", "")
    deeper = r"\baimctl\.(?:(?:runtime|devcluster|testing|simulation|controllers)\.[a-z_]+\b|kubetypes|generation|domain|cli)"
    assert set(re.findall(deeper, text)) - PUBLIC_MODULES == set()
