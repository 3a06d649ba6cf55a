"""Views of a snapshot: live in a terminal of 80 by 24, as plain lines in a pipe, and as tables at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from demo_state import ObjectState, shown
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from demo_state import Snapshot

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


def live_view(snapshot: Snapshot, seconds: float, limit: int) -> Group:
    """Return the live view: slots and waiting templates, services, caches, models, progress. 23 lines at most."""
    slots = Table(
        title=f"discovery slots: {len(snapshot.running)} of {limit} in use",
        title_justify="left",
        title_style="bold",
        width=WIDTH,
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    waiting = snapshot.waiting
    slots.add_column("running", header_style="dim", width=HALF, no_wrap=True)
    slots.add_column(f"waiting ({len(waiting)})", header_style="dim", width=HALF, no_wrap=True)
    rows = min(limit, max(len(snapshot.running), len(waiting), 1))
    for row in range(rows):
        left = _fit(shown(snapshot.running[row]), HALF) if row < len(snapshot.running) else "-"
        right = _fit(shown(waiting[row]), HALF) if row < len(waiting) else ""
        if row == limit - 1 and len(waiting) > limit:
            right = f"... and {len(waiting) - limit + 1} more"
        slots.add_row(left, right)
    below = Table.grid(padding=(0, 2))
    below.add_row(_services(snapshot), Group(_caches(snapshot), _line("models", snapshot.counts(*MODELS))))
    progress = Table.grid(padding=(0, 1))
    progress.add_row(
        ProgressBar(total=len(snapshot.expected), completed=snapshot.matching, width=HALF),
        f"{snapshot.matching} of {len(snapshot.expected)} as expected, {seconds:.0f} s",
    )
    return Group(slots, Text(), below, _line("templates", snapshot.counts(*TEMPLATES)), progress)


def plain_line(snapshot: Snapshot, limit: int) -> str:
    """Return the live view as one line, for logs and pipes."""
    services = snapshot.counts(*SERVICES)
    caches = ", ".join(_percent(item) for _, item in snapshot.of_kinds(*CACHES))
    return (
        f"{snapshot.matching:2d} of {len(snapshot.expected)} done, slots {len(snapshot.running):2d}/{limit},"
        f" waiting {len(snapshot.waiting):2d}, serving {services['Running']}, caches {caches or '-'}"
    )


def final_view(snapshot: Snapshot) -> Group:
    """Return all objects by kind and state, and those that are not in their expected state."""
    table = Table.grid(padding=(0, 1))
    for width in COLUMNS:
        table.add_column(width=width, no_wrap=True)
    _add_groups(table, "templates", snapshot, TEMPLATES)
    _add_head(table, "services", "service", "template in use")
    for key, item in snapshot.of_kinds(*SERVICES):
        using = item.template or item.reason
        table.add_row(_state(item.state), _fit(shown(key), COLUMNS[1]), _fit(using, COLUMNS[2]))
    _add_groups(table, "caches", snapshot, CACHES)
    _add_groups(table, "model caches", snapshot, MODEL_CACHES)
    _add_groups(table, "models", snapshot, MODELS)
    return Group(table, Text(), *_wrong(snapshot))


def _services(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=HALF - 10, no_wrap=True)
    table.add_column(width=9, no_wrap=True)
    table.add_row(Text("services", style="bold"), "")
    for key, item in snapshot.of_kinds(*SERVICES):
        table.add_row(_fit(shown(key), HALF - 10), _state(item.state or "new"))
    return table


def _caches(snapshot: Snapshot) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=HALF - 17, no_wrap=True)
    table.add_column(width=10)
    table.add_column(width=5, justify="right")
    table.add_row(Text("caches", style="bold"), "", "")
    for key, item in snapshot.of_kinds(*CACHES):
        bar = ProgressBar(100, item.percent or 0, width=10)
        table.add_row(_fit(shown(key).rpartition("/")[2], HALF - 17), bar, _state(item.state, _percent(item)))
    return table


def _add_head(table: Table, *titles: str) -> None:
    if table.row_count:
        table.add_row()
    table.add_row(*(Text(title, style="bold") for title in titles))


def _add_groups(table: Table, title: str, snapshot: Snapshot, kinds: tuple[str, ...]) -> None:
    """Add a row for each state and reason, with the names of the objects."""
    _add_head(table, title, "reason", "which")
    groups: dict[tuple[str, str], list[str]] = {}
    for key, item in snapshot.of_kinds(*kinds):
        groups.setdefault(item.state_and_reason, []).append(shown(key))
    for (state, reason), names in sorted(groups.items(), key=lambda item: -len(item[1])):
        table.add_row(_state(state), reason, "\n".join(_ranges(names)))


def _wrong(snapshot: Snapshot) -> Iterable[Text]:
    for key in sorted({*snapshot.expected, *snapshot.objects}, key=shown):
        if not snapshot.matches(key):
            kind = key.partition(".")[0]
            is_ = " ".join(snapshot.objects.get(key, ObjectState()).state_and_reason).strip() or "absent"
            want = snapshot.expected.get(key)
            should = f"should be {' '.join(want)}" if want else "should not exist"
            yield Text(f"{kind} {shown(key)} is {is_}, and {should}", style="bold red")


def _ranges(names: list[str]) -> Iterable[str]:
    """Combine numbered names: ``qwen3-32b-00 to 29``."""
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


def _percent(item: ObjectState) -> str:
    return "failed" if item.state == "Failed" else f"{item.percent or 0}%"


def _state(state: str, text: str = "") -> Text:
    return Text(text or state or "new", style=COLOURS.get(state, "dim"))


def _fit(name: str, width: int) -> str:
    """Shorten a long name in the middle, because namespaces are at the start and numbers at the end."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 2
    return f"{name[: width - 1 - tail]}…{name[-tail:]}"
