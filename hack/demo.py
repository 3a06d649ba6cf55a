"""`make demo`: the embedded cluster, the operator, the samples, and a live view of what happens.

It applies `config/samples` as `kubectl apply --server-side` would, watches templates and Jobs until every template is
in the state that `config/samples/expected.yaml` names, and ends with a table of all of them. Exit code 0 only if each
is in the state it should be in and never more than ten discovery Jobs were unfinished at once.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from aimctl.cli.dev import DevSettings, dev_cluster
from aimctl.controllers.kinds import CLUSTER_TEMPLATES, TEMPLATES
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube import Client, ConnectionInfo, HttpTransport
from aimctl.runtime.kube.builtin import JOBS
from aimctl.runtime.kube.discovery import discover
from aimctl.runtime.manager import configure_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aimctl.runtime.kube import Object

SAMPLES = Path(__file__).resolve().parent.parent / "config" / "samples"
LIMIT = 10
PATIENCE_SECONDS = 90.0
COLOURS = {
    "Ready": "green",
    "Progressing": "cyan",
    "Pending": "yellow",
    "NotAvailable": "magenta",
    "Degraded": "dark_orange",
    "Failed": "red",
}


@dataclass
class Scene:
    """What is seen at one moment; keys are `kind.namespace.name`, as in expected.yaml."""

    states: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)
    most_running: int = 0
    discovered: int = 0


def documents() -> Iterator[dict[str, Any]]:
    """Every sample, in the order of the files' names."""
    for path in sorted(SAMPLES.glob("*.yaml")):
        yield from (item for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item)


def expectations() -> dict[str, tuple[str, str]]:
    """Key -> state and reason."""
    data = yaml.safe_load((SAMPLES / "expected.yaml").read_text(encoding="utf-8"))["data"]
    return {key: tuple(text.split()) for key, text in data.items()}


async def look(client: Client, scene: Scene) -> None:
    """Read templates and Jobs anew."""
    for resource in (TEMPLATES, CLUSTER_TEMPLATES):
        for item in (await client.list(resource)).items:
            key = ".".join(filter(None, (resource.kind, item.meta.namespace, item.meta.name)))
            status = item.view.status
            ready = next((one for one in status.conditions if one.type == "Ready"), None)
            scene.states[key] = (status.status, ready.reason if ready else "", ready.message if ready else "")
    jobs = (await client.list(JOBS)).items
    scene.running = sorted(
        _template_of(job)
        for job in jobs
        if not any(
            one.type in {"Complete", "Failed"} and one.status == "True"
            for one in job.view.status.conditions or ()
        )
    )
    scene.discovered = len(jobs) - len(scene.running)
    scene.most_running = max(scene.most_running, len(scene.running))


def _template_of(job: Object[Any]) -> str:
    """The key of the template that a discovery Job is for."""
    owner = job.meta.owners[0]
    namespace = job.meta.namespace if owner.kind == TEMPLATES.kind else ""
    return ".".join(filter(None, (owner.kind, namespace, owner.name)))


def _shown(key: str) -> str:
    """A key as people write it: ``namespace/name``, or the name of a cluster template."""
    kind, _, name = key.partition(".")
    return name if kind == CLUSTER_TEMPLATES.kind else name.replace(".", "/", 1)


def live_view(scene: Scene, expected: dict[str, tuple[str, str]], began: float) -> Group:
    """Slots, who waits, how far it is."""
    counts = Counter(state or "new" for state, _, _ in scene.states.values())
    done = sum(scene.states.get(key, ("", "", ""))[:2] == want for key, want in expected.items())
    waiting = _waiting(scene)
    slots = Table(
        title=f"discovery slots: {len(scene.running)} of {LIMIT} in use", title_justify="left", width=78
    )
    slots.add_column("running", width=38, no_wrap=True)
    slots.add_column(f"waiting ({len(waiting)})", width=36, no_wrap=True)
    for row in range(LIMIT):
        left = _shown(scene.running[row]) if row < len(scene.running) else "-"
        right = _shown(waiting[row]) if row < len(waiting) else ""
        if row == LIMIT - 1 and len(waiting) > LIMIT:
            right = f"... and {len(waiting) - LIMIT + 1} more"
        slots.add_row(left, right)
    line = Text("  ").join(
        Text(f"{state} {count}", style=COLOURS.get(state, "dim")) for state, count in sorted(counts.items())
    )
    progress = Table.grid(padding=(0, 1))
    progress.add_row(
        ProgressBar(total=len(expected), completed=done, width=36),
        f"{done} of {len(expected)} as they should be, {time.monotonic() - began:.0f} s",
    )
    return Group(slots, line, progress)


def _waiting(scene: Scene) -> list[str]:
    """Templates without a slot. One that has just got its Job may still say that it waits: that is not meant."""
    return [
        key
        for key, (_, reason, _) in scene.states.items()
        if reason == "AwaitingDiscovery" and key not in scene.running
    ]


def plain_line(scene: Scene, expected: dict[str, tuple[str, str]], began: float) -> str:
    """The same in one line, for logs and pipes."""
    done = sum(scene.states.get(key, ("", "", ""))[:2] == want for key, want in expected.items())
    return (
        f"{time.monotonic() - began:5.1f} s  {done:2d} of {len(expected)} done, "
        f"{len(scene.running):2d} running (at most {LIMIT}), {len(_waiting(scene)):2d} waiting"
    )


def final_table(scene: Scene, expected: dict[str, tuple[str, str]]) -> Table:
    """Every template, its state and reason, and whether that is as it should be.

    Numbered templates in the same state share a row, so that the table fits a small terminal.
    """
    table = Table(title="every template", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("template", "status", "reason", "right"):
        table.add_column(name, no_wrap=True)
    rows: dict[tuple[str, str, str, str], list[str]] = {}
    for key in sorted(set(scene.states) | set(expected), key=_shown):
        state, reason, _ = scene.states.get(key, ("absent", "", ""))
        want = expected.get(key, ("nothing",))
        right = "yes" if want == (state, reason) else f"NO: {' '.join(want)}"
        rows.setdefault((_shown(key).rstrip("0123456789"), state, reason, right), []).append(_shown(key))
    for (stem, state, reason, right), names in rows.items():
        many = f"{names[0]} to {names[-1].removeprefix(stem)}"
        table.add_row(
            many if len(names) > 1 else names[0],
            Text(state, style=COLOURS.get(state, "red")),
            reason,
            right if right == "yes" else Text(right, style="bold red"),
        )
    return table


async def play(client: Client, console: Console, began: float) -> bool:
    """Apply, watch, judge."""
    expected, scene = expectations(), Scene()
    served = await discover(client)
    for document in documents():
        group, _, version = document["apiVersion"].rpartition("/")
        kind = served.find(group, document["kind"], version)
        if kind is None:
            raise SystemExit(f"the cluster does not serve {document['apiVersion']} {document['kind']}")
        await client.apply(kind.resource, document)
    console.print(f"applied {SAMPLES.name}: {len(expected)} templates, and what they need")

    def complete() -> bool:
        return all(scene.states.get(key, ("", "", ""))[:2] == want for key, want in expected.items())

    end = time.monotonic() + PATIENCE_SECONDS
    if console.is_terminal:
        with Live(console=console, refresh_per_second=8, transient=True) as live:
            while not complete() and time.monotonic() < end:
                await look(client, scene)
                live.update(live_view(scene, expected, began))
                await asyncio.sleep(0.1)
    else:
        last = ""
        while not complete() and time.monotonic() < end:
            await look(client, scene)
            line = plain_line(scene, expected, began)
            if line[7:] != last:
                console.print(line, highlight=False)
                last = line[7:]
            await asyncio.sleep(0.5)
    console.print(final_table(scene, expected))
    right, held = complete(), scene.most_running <= LIMIT
    console.print(
        f"{scene.discovered} discoveries ran, never more than {scene.most_running} at once (limit {LIMIT}); "
        f"{time.monotonic() - began:.0f} s in all",
        highlight=False,
    )
    if right:
        console.print(
            "Not all are meant to be Ready: one has an image that nobody pushed, one needs\n"
            "a GPU that no node has, one a model that nobody made, and each status says so."
        )
    else:
        console.print("[bold red]not every template is in the state it should be in[/]")
    if not held:
        console.print("[bold red]the limit on discovery Jobs was broken[/]")
    return right and held


async def main() -> int:
    """Run the demo; 0 when all is as it should be."""
    configure_logging("error", "console")
    console, began = Console(), time.monotonic()
    console.print("starting an embedded Kubernetes cluster and the AIM operator in this process ...")
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        settings = DevSettings(kubeconfig_out=Path(folder) / "kubeconfig", discovery_limit=LIMIT)
        async with dev_cluster(settings) as running:
            console.print("look around meanwhile, from another terminal:")
            console.print(
                f"kubectl --kubeconfig {running.kubeconfig} get aimst,aimclst -A",
                soft_wrap=True,
                highlight=False,
            )
            clock = LoopClock()
            async with HttpTransport(ConnectionInfo(running.url), clock=clock) as transport:
                good = await play(Client(transport, clock=clock, field_manager="demo"), console, began)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
