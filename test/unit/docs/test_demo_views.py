"""The demo's views fit a terminal of 80 by 24, and plain lines a pipe of 80, whatever goes on."""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

ROOT = Path(__file__).parents[3]
LIMIT = 10


@pytest.fixture(scope="module")
def demo():
    """The modules of hack/, which is no package."""
    sys.path.insert(0, str(ROOT / "hack"))
    try:
        yield importlib.import_module("demo_views"), importlib.import_module("demo_scene")
    finally:
        sys.path.remove(str(ROOT / "hack"))


def expected():
    data = yaml.safe_load((ROOT / "config/samples/expected.yaml").read_text(encoding="utf-8"))["data"]
    return {key: tuple(text.split()) for key, text in data.items()}


def at_the_end(scenes):
    """The scene in which all is as it should be."""
    sights = {
        key: scenes.Sight(state, reason, template="auto-02f056889b-1x-mi300x-lat-fp16-e99d", percent=100)
        for key, (state, reason) in expected().items()
    }
    return scenes.Scene(expected(), sights, most_running=LIMIT, discovered=39)


def at_the_beginning(scenes):
    """Everything waits, ten run, and none is as it should be."""
    sights = {key: scenes.Sight("Pending", "AwaitingDiscovery") for key in expected()}
    templates = [key for key in sights if "ServiceTemplate" in key]
    return scenes.Scene(expected(), sights, running=templates[-LIMIT:])


def rendered(view):
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
    console.print(view)
    return console.file.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize("scene_of", [at_the_beginning, at_the_end])
def test_the_live_view_fits_80_by_24(demo, scene_of):
    views, scenes = demo
    lines = rendered(views.live_view(scene_of(scenes), 59.0, LIMIT))
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert "as they should be, 59 s" in lines[-1]
    assert any(line.startswith("services") and "caches" in line for line in lines)


@pytest.mark.parametrize("scene_of", [at_the_beginning, at_the_end])
def test_the_plain_line_fits_80_with_its_time(demo, scene_of):
    views, scenes = demo
    assert len(f"{59.9:5.1f} s  {views.plain_line(scene_of(scenes), LIMIT)}") <= 80


def test_the_end_names_everything_and_nothing_wrong(demo):
    views, scenes = demo
    scene = at_the_end(scenes)
    text = "\n".join(rendered(views.final_view(scene)))
    assert scene.complete
    assert "should" not in text
    assert "ml-batch/qwen3-32b-00 to 29" in text
    for key in expected():
        name = scenes.shown(key)
        if len(name) <= 26 and "qwen3-32b-" not in name:
            assert name in text


def test_the_end_says_what_is_wrong_absent_or_too_much(demo):
    views, scenes = demo
    scene = at_the_end(scenes)
    del scene.sights["AIMService.ml-serving.chat"]
    scene.sights["AIMService.ml-serving.tutor"] = scenes.Sight("Failed", "Broken")
    scene.sights["AIMService.ml-serving.more"] = scenes.Sight("Running", "Running")
    assert not scene.complete
    text = " ".join(" ".join(rendered(views.final_view(scene))).split())
    assert "AIMService ml-serving/chat is absent, and should be Running Running" in text
    assert "AIMService ml-serving/tutor is Failed Broken, and should be Running Running" in text
    assert "AIMService ml-serving/more is Running Running, and should not be there" in text
