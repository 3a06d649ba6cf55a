"""Project rules that no linter checks: injected time and randomness, no module state, owned tasks, small files."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

import aimctl

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(aimctl.__file__).parent
PACKAGES = ("runtime", "domain", "controllers")
FILES = sorted(path for package in PACKAGES for path in (SOURCES / package).rglob("*.py"))
GENERATED = SOURCES / "kubetypes" / "k8s"
MOST_LINES = 450

CLOCKS = {
    ("time", "time"),
    ("time", "monotonic"),
    ("time", "perf_counter"),
    ("time", "sleep"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
}
CHANCES = {
    "random",
    "randint",
    "randrange",
    "choice",
    "choices",
    "shuffle",
    "sample",
    "uniform",
    "seed",
    "getrandbits",
}
MUTABLE_CALLS = {
    "dict",
    "list",
    "set",
    "defaultdict",
    "Counter",
    "deque",
    "OrderedDict",
    "Event",
    "Lock",
    "Queue",
}
CREATORS = {"create_task", "ensure_future", "gather", "run_coroutine_threadsafe", "shield"}
READ_ONLY = {"Mapping", "Sequence", "frozenset", "Final", "TypeAlias"}


def shown(path: Path) -> str:
    return str(path.relative_to(SOURCES))


def calls(path: Path) -> Iterator[tuple[int, str, str, ast.Call]]:
    """Line, object, attribute and node of every call like ``object.attribute(...)``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name):
                yield node.lineno, owner.id, node.func.attr, node


def annotated_read_only(node: ast.AnnAssign) -> bool:
    head = node.annotation.value if isinstance(node.annotation, ast.Subscript) else node.annotation
    return isinstance(head, ast.Name) and head.id in READ_ONLY


def mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        function = value.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        return name in MUTABLE_CALLS
    return isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


def state_of(path: Path) -> list[str]:
    """Module-level names that hold something that could change."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and mutable(node.value):
            found += [name.id for name in node.targets if isinstance(name, ast.Name) and name.id != "__all__"]
        if isinstance(node, ast.AnnAssign) and mutable(node.value) and not annotated_read_only(node):
            found += [ast.unparse(node.target)]
        if isinstance(node, ast.Global):
            found.append("global")
    return found


def test_only_the_clock_reads_a_clock_or_waits() -> None:
    found = []
    for path in FILES:
        if shown(path) == "runtime/clock.py":
            continue
        for line, owner, name, call in calls(path):
            waits = (owner, name) == ("asyncio", "sleep") and ast.unparse(call.args[0]) != "0"
            if (owner, name) in CLOCKS or waits:
                found.append(f"{shown(path)}:{line} {owner}.{name}")
    assert found == []


def is_loop(owner: ast.expr) -> bool:
    """Whether an expression is an event loop, or the module that has the running one's functions."""
    name = owner.func if isinstance(owner, ast.Call) else owner
    last = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
    return last in {"asyncio", "loop", "_loop", "get_running_loop", "get_event_loop"}


def unowned_tasks(path: Path) -> list[str]:
    """Tasks that may outlive the code that creates them.

    A task is created on an ``asyncio.TaskGroup``, or awaited in the expression that creates it, or assigned to a
    variable that the same function passes to ``_unwind``, which cancels it and waits, or its class is itself a group:
    an async context manager that ends its tasks on exit.
    """
    source = path.read_text(encoding="utf-8")
    if not any(name in source for name in CREATORS):
        return []
    tree = ast.parse(source)
    unwound = [
        node.value
        for function in ast.walk(tree)
        if isinstance(function, ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and re.search(rf"_unwind\(.*\b{ast.unparse(node.targets[0])}\b", ast.unparse(function))
    ]
    awaited = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Await)}
    groups = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        and {"__aenter__", "__aexit__"} <= {getattr(item, "name", "") for item in node.body}
    ]
    owned = awaited | {id(node) for node in unwound}
    owned |= {id(node) for group in groups for node in ast.walk(group)}
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in CREATORS
        and is_loop(node.func.value)
        and id(node) not in owned
    ]
    return [
        f"{path.name}:{node.lineno} {ast.unparse(node.func)}"
        for node in sorted(found, key=lambda node: node.lineno)
    ]


def test_no_task_outlives_the_code_that_creates_it() -> None:
    assert [found for path in FILES for found in unowned_tasks(path)] == []


def test_the_search_for_unowned_tasks_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "class Group:\n    async def __aenter__(self): pass\n    async def __aexit__(self, *_): pass\n"
        "    def start(self): asyncio.get_running_loop().create_task(f())\n"
        "class Half:\n    async def __aenter__(self): asyncio.create_task(f())\n"
        "async def g():\n    await asyncio.create_task(f())\n    x = asyncio.create_task(f())\n"
        "    asyncio.gather(f(), f())\n    loop.create_task(f())\n    asyncio.ensure_future(f())\n"
        "    async with asyncio.TaskGroup() as tasks:\n        tasks.create_task(f())\n"
    )
    assert unowned_tasks(file) == [
        f"x.py:{line}"
        for line in (
            "6 asyncio.create_task",
            "9 asyncio.create_task",
            "10 asyncio.gather",
            "11 loop.create_task",
            "12 asyncio.ensure_future",
        )
    ]


def test_chance_comes_from_an_injected_source() -> None:
    found = [
        f"{shown(path)}:{line} random.{name}"
        for path in FILES
        for line, owner, name, _ in calls(path)
        if owner == "random" and name in CHANCES
    ]
    assert found == []


def scans(path: Path) -> list[str]:
    """Reads of a whole cache, whose cost grows with objects that do not concern the reconciler.

    Allowed are ``cache.get``, ``cache.by_index`` and, where a kind may not be served, ``informer.store.get``.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    fetched = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "get"
    }
    return [
        f"{path.name}:{node.lineno} {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and ((node.attr == "store" and id(node) not in fetched) or ast.unparse(node).endswith("cache.list"))
    ]


def test_a_reconciler_finds_objects_by_key_or_index_only() -> None:
    # The status page shows all objects, in slices between which reconcilers run.
    shows_all = SOURCES / "controllers" / "status_sections.py"
    files = [path for path in FILES if SOURCES / "controllers" in path.parents and path != shows_all]
    assert [found for path in files for found in scans(path)] == []


def test_a_module_has_no_state() -> None:
    assert [f"{shown(path)}: {name}" for path in FILES for name in state_of(path)] == []


def test_a_file_is_short_and_starts_with_its_contract() -> None:
    files = [path for path in sorted(SOURCES.rglob("*.py")) if GENERATED not in path.parents]
    assert len(files) > len(FILES)
    texts = {shown(path): path.read_text(encoding="utf-8") for path in files}
    assert [name for name, text in texts.items() if text.count("\n") > MOST_LINES] == []
    assert [
        name for name, text in texts.items() if text.strip() and not ast.get_docstring(ast.parse(text))
    ] == []


def test_the_search_for_state_finds_it(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "A = {}\nB: dict[str, int] = {}\nC: Mapping[str, int] = {}\nD = (1, 2)\nE = asyncio.Event()\n"
        "F = [1]\n__all__ = ['A']\nG = frozenset({1})\ndef f():\n    x = {}\n"
    )
    assert state_of(file) == ["A", "B", "E", "F"]


def test_the_search_for_scans_finds_them(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text(
        "self._cache.list(PODS)\nfor item in informer.store: pass\nstore = informer.store\n"
        "informer.store.get(key)\nself.cache.by_index(PODS, 'owner', uid)\ncache.get(PODS, 'a')\n"
    )
    assert sorted(scans(file)) == [
        "x.py:1 self._cache.list",
        "x.py:2 informer.store",
        "x.py:3 informer.store",
    ]
