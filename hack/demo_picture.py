"""`make demo-picture`: run the demo, and write a recording of its terminal to `docs/images/demo.svg`.

Contract:
    * The frames are what `make demo` shows in a terminal of 80 by 24, at real moments of one run. The animation is
      faster than the run; the time in the last line of each frame is the real one.
    * The file is one SVG that loads nothing, not even a font. Where animations are switched off, it shows the last
      frame.
    * Nothing is written if the demo fails; the exit status is that of the demo.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import demo
from demo_views import live_view
from rich.console import Console
from rich.terminal_theme import MONOKAI

if TYPE_CHECKING:
    from demo_state import Snapshot

__all__ = ["animation", "frame_of", "main"]

TARGET = Path(__file__).resolve().parent.parent / "docs" / "images" / "demo.svg"
WIDTH, HEIGHT, ROWS = 80, 24, 23
"""Size of the terminal, and the lines of a frame: as many as the live view has at most."""
MOMENTS = 8
"""Frames before the last one."""
SECONDS, LAST_SECONDS = 1.5, 5.0
"""How long a frame is shown, and the last one."""
_FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)


def frame_of(snapshot: Snapshot, seconds: float, number: int) -> str:
    """One state of the demo as an SVG whose names have the number of the frame."""
    console = Console(width=WIDTH, height=HEIGHT, record=True, file=io.StringIO(), force_terminal=True)
    view = live_view(snapshot, seconds, demo.LIMIT)
    console.print(view)
    for _ in range(ROWS - len(console.render_lines(view))):
        console.print()
    svg = console.export_svg(title="make demo", theme=MONOKAI, unique_id=f"f{number}")
    return _FONT_FACE.sub("", svg).replace("Fira Code", "ui-monospace, Menlo, Consolas")


def chosen(frames: list[str]) -> list[str]:
    """The frames of the recording: some at equal distances, and the last one."""
    step = max(1, len(frames) // MOMENTS)
    return [*frames[:-1:step][:MOMENTS], frames[-1]]


def animation(frames: list[str]) -> str:
    """One SVG that shows the frames one after the other, and begins again."""
    whole = SECONDS * (len(frames) - 1) + LAST_SECONDS
    view = re.search(r'viewBox="([^"]+)"', frames[-1])
    rules = []
    for number in range(len(frames)):
        start = 100 * SECONDS * number / whole
        end = 100 * SECONDS * (number + 1) / whole
        hidden = "" if number == len(frames) - 1 else f" {end:.3f}% {{ visibility: hidden }}"
        first = "" if number == 0 else "0% { visibility: hidden } "
        rules.append(f"@keyframes show{number} {{ {first}{start:.3f}% {{ visibility: visible }}{hidden} }}")
        rules.append(
            f".show{number} {{ visibility: hidden; animation: show{number} {whole}s step-end infinite }}"
        )
    rules.append("@media (prefers-reduced-motion: reduce) {")
    rules += [f"  .show{number} {{ animation: none }}" for number in range(len(frames))]
    rules.append(f"  .show{len(frames) - 1} {{ visibility: visible }} }}")
    style = "\n".join(rules)
    parts = "\n".join(f'<g class="show{number}">\n{frame}\n</g>' for number, frame in enumerate(frames))
    box = view[1] if view else "0 0 100 100"
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">\n<style>\n{style}\n</style>\n{parts}\n</svg>\n'


async def main() -> int:
    """Run the demo, write the recording, and return the exit status."""
    frames: list[str] = []
    last = ""

    def on_frame(snapshot: Snapshot, seconds: float) -> None:
        nonlocal last
        text = f"{sorted(snapshot.objects.items())}"
        if text != last:
            frames.append(frame_of(snapshot, seconds, len(frames)))
        last = text

    console = Console(width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True)
    status = await demo.main(console, on_frame)
    if status == 0:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(animation(chosen(frames)), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
