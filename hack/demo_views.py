"""How the demo shows a scene: live in a terminal of 80 by 24, as plain lines in a pipe, and as tables at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_scene import Sight, shown
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from demo_scene import Scene

__all__ = ["COLOURS", "final_view", "live_view", "plain_line"]

COLOURS = {
    "Ready": "green",
    "Running": "green",
    "Available": "green",
    "Progressing": "cyan",
    "Starting": "cyan",
    "Pending": "yellow",
    "NotAvailable": "magenta",
    "Degraded": "dark_orange",
    "Failed": "red",
}
MODELS = ("AIMModel", "AIMClusterModel")
TEMPLATES = ("AIMServiceTemplate", "AIMClusterServiceTemplate")
SERVICES = ("AIMService",)
CACHES = ("AIMTemplateCache",)
MODEL_CACHES = ("AIMModelCache",)
WIDTH = 78
HALF = 38
COLUMNS = (12, 26, 40)


def live_view(scene: Scene, seconds: float, limit: int) -> Group:
    """Slots and who waits; services beside caches and models; how far it all is. 23 lines at most."""
    slots = Table(
        title=f"discovery slots: {len(scene.running)} of {limit} in use",
        title_justify="left",
        title_style="bold",
        width=WIDTH,
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    waiting = scene.waiting
    slots.add_column("running", header_style="dim", width=HALF, no_wrap=True)
    slots.add_column(f"waiting ({len(waiting)})", header_style="dim", width=HALF, no_wrap=True)
    rows = min(limit, max(len(scene.running), len(waiting), 1))
    for row in range(rows):
        left = _fit(shown(scene.running[row]), HALF) if row < len(scene.running) else "-"
        right = _fit(shown(waiting[row]), HALF) if row < len(waiting) else ""
        if row == limit - 1 and len(waiting) > limit:
            right = f"... and {len(waiting) - limit + 1} more"
        slots.add_row(left, right)
    below = Table.grid(padding=(0, 2))
    below.add_row(_services(scene), Group(_caches(scene), _line("models", scene.counts(*MODELS))))
    progress = Table.grid(padding=(0, 1))
    progress.add_row(
        ProgressBar(total=len(scene.expected), completed=scene.done, width=HALF),
        f"{scene.done} of {len(scene.expected)} as they should be, {seconds:.0f} s",
    )
    return Group(slots, Text(), below, _line("templates", scene.counts(*TEMPLATES)), progress)


def plain_line(scene: Scene, limit: int) -> str:
    """The same in one line, for logs and pipes."""
    services = scene.counts(*SERVICES)
    caches = " ".join(_percent(sight) for _, sight in scene.of(*CACHES))
    return (
        f"{scene.done:2d} of {len(scene.expected)} done, slots {len(scene.running):2d}/{limit},"
        f" waiting {len(scene.waiting):2d}, serving {services['Running']}, caches {caches or '-'}"
    )


def final_view(scene: Scene) -> Group:
    """Everything, by kind and state, and what is not as it should be."""
    table = Table.grid(padding=(0, 1))
    for width in COLUMNS:
        table.add_column(width=width, no_wrap=True)
    _add_groups(table, "templates", scene, TEMPLATES)
    _add_head(table, "services", "service", "template in use")
    for key, sight in scene.of(*SERVICES):
        using = sight.template or sight.reason
        table.add_row(_state(sight.state), _fit(shown(key), COLUMNS[1]), _fit(using, COLUMNS[2]))
    _add_groups(table, "caches", scene, CACHES)
    _add_groups(table, "model caches", scene, MODEL_CACHES)
    _add_groups(table, "models", scene, MODELS)
    return Group(table, Text(), *_wrong(scene))


def _services(scene: Scene) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=HALF - 10, no_wrap=True)
    table.add_column(width=9, no_wrap=True)
    table.add_row(Text("services", style="bold"), "")
    for key, sight in scene.of(*SERVICES):
        table.add_row(_fit(shown(key), HALF - 10), _state(sight.state or "new"))
    return table


def _caches(scene: Scene) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=HALF - 17, no_wrap=True)
    table.add_column(width=10)
    table.add_column(width=5, justify="right")
    table.add_row(Text("caches", style="bold"), "", "")
    for key, sight in scene.of(*CACHES):
        bar = ProgressBar(100, sight.percent or 0, width=10)
        table.add_row(
            _fit(shown(key).rpartition("/")[2], HALF - 17), bar, _state(sight.state, _percent(sight))
        )
    return table


def _add_head(table: Table, *titles: str) -> None:
    if table.row_count:
        table.add_row()
    table.add_row(*(Text(title, style="bold") for title in titles))


def _add_groups(table: Table, title: str, scene: Scene, kinds: tuple[str, ...]) -> None:
    """A row for each state and reason, with the names of all that are in it."""
    _add_head(table, title, "reason", "which")
    groups: dict[tuple[str, str], list[str]] = {}
    for key, sight in scene.of(*kinds):
        groups.setdefault(sight.short, []).append(shown(key))
    for (state, reason), names in sorted(groups.items(), key=lambda item: -len(item[1])):
        table.add_row(_state(state), reason, "\n".join(_ranges(names)))


def _wrong(scene: Scene) -> Iterable[Text]:
    for key in sorted({*scene.expected, *scene.sights}, key=shown):
        if not scene.right(key):
            kind = key.partition(".")[0]
            is_ = " ".join(scene.sights.get(key, Sight()).short).strip() or "absent"
            want = scene.expected.get(key)
            should = f"should be {' '.join(want)}" if want else "should not be there"
            yield Text(f"{kind} {shown(key)} is {is_}, and {should}", style="bold red")


def _ranges(names: list[str]) -> Iterable[str]:
    """Numbered names as one: ``qwen3-32b-00 to 29``."""
    stems: dict[str, list[str]] = {}
    for name in names:
        stems.setdefault(name.rstrip("0123456789"), []).append(name)
    for stem, alike in stems.items():
        many = len(alike) > 1
        yield _fit(f"{alike[0]} to {alike[-1].removeprefix(stem)}" if many else alike[0], COLUMNS[2])


def _line(title: str, counts: Counter[str]) -> Text:
    parts = (
        Text(f"{state} {count}", style=COLOURS.get(state, "dim")) for state, count in sorted(counts.items())
    )
    return Text(" ").join((Text(title, style="bold"), *parts))


def _percent(sight: Sight) -> str:
    return "fails" if sight.state == "Failed" else f"{sight.percent or 0}%"


def _state(state: str, text: str = "") -> Text:
    return Text(text or state or "new", style=COLOURS.get(state, "dim"))


def _fit(name: str, width: int) -> str:
    """The name, its middle left out if it is too long: beginnings say where, ends say which."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[-tail:]}"
