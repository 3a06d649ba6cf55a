"""`make docs-dashboard`: draw the panels of the Grafana dashboard from the data of the last `make test-observe`.

Contract: one picture for each row of the dashboard, in docs/images/dashboard. A panel shows the same queries, legends
and units as in Grafana. It shows the eight series with the largest values, or twenty if they are stacked. Dotted lines
mark the phases of the run.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from dashboard_page import picture_of
from matplotlib.ticker import FuncFormatter, MaxNLocator

from aimctl.api.dashboard import COLOURS
from aimctl.api.dashboard_panels import ROWS, Panel

ROOT = Path(__file__).parent.parent
DATA = ROOT / ".bench" / "observe.json"
FOLDER = ROOT / "docs" / "images" / "dashboard"

_COLUMNS = 24
_MOST_SERIES = 8
_WIDTH_INCHES, _PLOT_INCHES, _TITLE_INCHES, _TICKS_INCHES, _LEGEND_INCHES = 12.0, 1.8, 0.35, 0.45, 0.145
_LABEL_INCHES, _MARGIN_INCHES = 0.55, 0.15
_COLOURS = ("#2f6fb5", "#d9822b", "#3a9b5c", "#b8433f", "#7d5ba6", "#8a6d4b", "#c76bb0", "#5f6b76")
_MANY_COLOURS = tuple(mpl.colormaps["tab20"].colors)
_INK, _FAINT, _GRID = "#24292f", "#6e7781", "#e4e7eb"


def main() -> int:
    """Draw all rows."""
    if not DATA.exists():
        print(f"{DATA.relative_to(ROOT)} does not exist: run make test-observe first", file=sys.stderr)
        return 1
    data = json.loads(DATA.read_text(encoding="utf-8"))
    FOLDER.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update({"font.size": 8, "font.family": "DejaVu Sans", "text.color": _INK})
    for title, panels in ROWS.items():
        path = FOLDER / picture_of(title)
        _row(panels, data).savefig(path, dpi=100, metadata={"Software": None}, pil_kwargs={"optimize": True})
        plt.close("all")
        print(path.relative_to(ROOT))
    return 0


def _lines(panels: Any) -> list[list[Panel]]:
    """The panels in lines, as the dashboard places them."""
    lines: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(one.width for one in lines[-1]) + panel.width > _COLUMNS:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _row(panels: Any, data: dict[str, Any]) -> Any:
    """The figure of a row: every panel has a title above and its legend below, so the places are fixed in inches."""
    lines = _lines(panels)
    below = [
        _LEGEND_INCHES * max(_legend_lines(panel, data) for panel in line) + _TICKS_INCHES for line in lines
    ]
    height = sum(_TITLE_INCHES + _PLOT_INCHES + legend for legend in below)
    figure = plt.figure(figsize=(_WIDTH_INCHES, height))
    top = height
    for line, legend in zip(lines, below, strict=True):
        x = 0
        bottom = top - _TITLE_INCHES - _PLOT_INCHES
        for panel in line:
            column = _WIDTH_INCHES / _COLUMNS
            left, width = x * column + _LABEL_INCHES, panel.width * column - _LABEL_INCHES - _MARGIN_INCHES
            place = (left / _WIDTH_INCHES, bottom / height, width / _WIDTH_INCHES, _PLOT_INCHES / height)
            axes = figure.add_axes(place)
            series = _series(panel, data["panels"][panel.title])
            (_stat if panel.kind == "stat" else _draw)(axes, panel, series, data)
            axes.set_title(panel.title, loc="left", fontsize=9, fontweight="bold", color=_INK)
            x += panel.width
        top = bottom - legend
    return figure


def _series(panel: Panel, found: list[list[Any]]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Legend and points of the series to show."""
    named = [
        (_legend(legend, labels), points)
        for (_, legend), result in zip(panel.queries, found, strict=True)
        for labels, points in result
    ]
    most = len(_MANY_COLOURS) if panel.stacked else _MOST_SERIES
    largest = sorted(named, key=lambda item: -max(value for _, value in item[1]))[:most]
    return [item for item in named if item in largest]


def _legend(text: str, labels: dict[str, str]) -> str:
    """A legend with the values of the labels."""
    return re.sub(r"{{(\w+)}}", lambda key: labels.get(key[1], ""), text).strip()


def _legend_columns(panel: Panel, series: list[Any]) -> int:
    if panel.width <= 6 or max((len(name) for name, _ in series), default=0) > 32:
        return 1
    return 2 if panel.width <= 8 else 4


def _legend_lines(panel: Panel, data: dict[str, Any]) -> int:
    series = _series(panel, data["panels"][panel.title])
    return -(-len(series) // _legend_columns(panel, series))


def _draw(axes: Any, panel: Panel, series: list[Any], data: dict[str, Any]) -> None:
    began = data["began"]
    if panel.stacked:
        times = sorted({at for _, points in series for at, _ in points})
        values = [[dict(map(tuple, points)).get(at, 0.0) for at in times] for _, points in series]
        axes.stackplot(
            [at - began for at in times],
            values,
            labels=[name for name, _ in series],
            colors=_colours(series),
            alpha=0.75,
            linewidth=0,
        )
    else:
        for (name, points), colour in zip(series, _colours(series), strict=True):
            axes.plot(*zip(*_with_gaps(points, began), strict=True), label=name, color=colour, linewidth=1.3)
    for at, _ in data["marks"][1:]:
        axes.axvline(at - began, color=_FAINT, linewidth=0.6, linestyle=":")
    axes.set_xlim(0, data["ended"] - began)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _shown(value, panel.unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{int(value // 60)}:{int(value % 60):02}"))
    axes.grid(axis="y", color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_FAINT, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
        ncols=_legend_columns(panel, series),
        fontsize=6.5,
        frameon=False,
        handlelength=1.2,
    )


def _colours(series: list[Any]) -> list[Any]:
    """The colour of each series: that of its state, or the next of the others."""
    others = iter(_COLOURS if len(series) <= len(_COLOURS) else _MANY_COLOURS)
    return [COLOURS.get(name) or next(others) for name, _ in series]


def _with_gaps(points: list[tuple[float, float]], began: float) -> list[tuple[float, float]]:
    """The points from the start of the run, interrupted where samples are missing."""
    made: list[tuple[float, float]] = []
    for at, value in points:
        if made and at - began - made[-1][0] > 2.5:
            made.append((made[-1][0] + 1, float("nan")))
        made.append((at - began, value))
    return made


def _stat(axes: Any, panel: Panel, series: list[Any], data: dict[str, Any]) -> None:
    """The latest value of each series."""
    del panel, data
    axes.axis("off")
    for number, (name, points) in enumerate(series):
        y = (number + 0.6) / (len(series) + 0.2)
        axes.text(0.5, y, f"{points[-1][1]:g}", ha="center", va="center", fontsize=26, color=_COLOURS[2])
        axes.text(0.5, y - 0.22, name, ha="center", va="center", fontsize=8, color=_FAINT)


def _shown(value: float, unit: str) -> str:
    if unit == "s" and value >= 86400:
        return f"{value / 86400:.0f} d"
    if unit == "bytes":
        return f"{value / 2**20:.0f} MiB"
    if unit == "percentunit":
        return f"{value:.0%}"
    suffix = {"s": " s", "ops": "/s"}.get(unit, "")
    return f"{value:.3g}{suffix}"


if __name__ == "__main__":
    sys.exit(main())
