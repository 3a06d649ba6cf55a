"""The views of the demo fit a terminal of 80 by 24, and its plain lines have at most 80 characters."""

from __future__ import annotations

import importlib
import io
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from support.documents import load_yaml

ROOT = Path(__file__).parents[3]
LIMIT = 10


@pytest.fixture(scope="module")
def demo():
    """The modules in hack/, which is not a package."""
    sys.path.insert(0, str(ROOT / "hack"))
    try:
        yield importlib.import_module("demo_views"), importlib.import_module("demo_state")
    finally:
        sys.path.remove(str(ROOT / "hack"))


def expected():
    data = load_yaml((ROOT / "config/samples/expected.yaml").read_text(encoding="utf-8"))["data"]
    return {key: tuple(text.split()) for key, text in data.items()}


def finished(states):
    """A snapshot in which every object is in its expected state."""
    objects = {
        key: states.ObjectState(
            state, reason, template="auto-02f056889b-1x-mi300x-lat-fp16-e99d", percent=100
        )
        for key, (state, reason) in expected().items()
    }
    return states.Snapshot(expected(), objects, most_running=LIMIT, discovered=39)


def started(states):
    """A snapshot in which ten discoveries run and everything else waits."""
    objects = {key: states.ObjectState("Pending", "AwaitingDiscovery") for key in expected()}
    templates = [key for key in objects if "ServiceTemplate" in key]
    return states.Snapshot(expected(), objects, running=templates[-LIMIT:])


def rendered(view):
    console = Console(width=80, height=24, file=io.StringIO(), force_terminal=False)
    console.print(view)
    return console.file.getvalue().rstrip("\n").split("\n")


@pytest.mark.parametrize("snapshot_of", [started, finished])
def test_the_live_view_fits_80_by_24(demo, snapshot_of):
    views, states = demo
    lines = rendered(views.live_view(snapshot_of(states), 59.0, LIMIT))
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    assert "as expected, 59 s" in lines[-1]
    assert any(line.startswith("services") and "caches" in line for line in lines)


@pytest.mark.parametrize("snapshot_of", [started, finished])
def test_the_plain_line_fits_80_with_its_time(demo, snapshot_of):
    views, states = demo
    assert len(f"{59.9:5.1f} s  {views.plain_line(snapshot_of(states), LIMIT)}") <= 80


def test_the_final_view_names_every_object_and_no_deviation(demo):
    views, states = demo
    snapshot = finished(states)
    text = "\n".join(rendered(views.final_view(snapshot)))
    assert snapshot.complete
    assert "should" not in text
    assert "ml-batch/qwen3-32b-00 to 29" in text
    for key in expected():
        name = states.shown(key)
        if len(name) <= 26 and "qwen3-32b-" not in name:
            assert name in text


def test_the_final_view_names_deviating_missing_and_unexpected_objects(demo):
    views, states = demo
    snapshot = finished(states)
    del snapshot.objects["AIMService.ml-serving.chat"]
    snapshot.objects["AIMService.ml-serving.tutor"] = states.ObjectState("Failed", "Broken")
    snapshot.objects["AIMService.ml-serving.more"] = states.ObjectState("Running", "Running")
    assert not snapshot.complete
    text = " ".join(" ".join(rendered(views.final_view(snapshot))).split())
    assert "AIMService ml-serving/chat is absent, and should be Running Running" in text
    assert "AIMService ml-serving/tutor is Failed Broken, and should be Running Running" in text
    assert "AIMService ml-serving/more is Running Running, and should not exist" in text


def test_a_frame_of_the_recording_has_the_numbers_of_the_live_view_and_loads_nothing(demo):
    _, states = demo
    picture = importlib.import_module("demo_picture")
    frame = picture.frame_of(finished(states), 31.0, 7)
    assert (
        "".join(re.findall(r">([^<]*)</text>", frame))
        .replace("&#160;", " ")
        .count("62 of 62 as expected, 31 s")
        == 1
    )
    assert "url(http" not in frame
    assert "@font-face" not in frame


def test_the_recording_shows_every_frame_and_ends_with_the_last(demo):
    picture = importlib.import_module("demo_picture")
    frames = [f'<svg viewBox="0 0 1 1">frame {number}</svg>' for number in range(40)]
    chosen = picture.chosen(frames)
    assert len(chosen) == picture.MOMENTS + 1
    assert chosen[-1] == frames[-1]
    whole = picture.animation(chosen)
    assert [whole.count(one) for one in chosen] == [1] * len(chosen)
    assert f".show{picture.MOMENTS} {{ visibility: visible }} }}" in whole


def test_the_recording_in_the_repository_is_of_a_run_that_succeeded():
    text = (ROOT / "docs/images/demo.svg").read_text(encoding="utf-8").replace("&#160;", " ")
    assert "62 of 62 as expected" in text
    assert "url(http" not in text
