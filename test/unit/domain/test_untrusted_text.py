"""Text from outside is sanitised where it enters conditions, Events and the output of commands."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.kinds import KINDS
from aimctl.cli.rendering.screens import dumps
from aimctl.domain.conditions import condition, one_line
from aimctl.runtime.manager.events.recorder import _shortened

HOSTILE = {
    "an escape sequence": "a\x1b[2J\x1b]0;x\x07b",
    "line breaks": "one\r\ntwo\vthree",
    "a change of direction": "abc\N{RIGHT-TO-LEFT OVERRIDE}cba",
    "an isolate": "a\N{LEFT-TO-RIGHT ISOLATE}b\N{POP DIRECTIONAL ISOLATE}",
    "a C1 control": "a\x9b2Jb",
    "an invisible mark": "a\N{ZERO WIDTH SPACE}b",
    "a line separator": "a\N{LINE SEPARATOR}b",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_condition_contains_printable_characters_only(what):
    found = condition((), "Ready", "False", "Broken", HOSTILE[what], generation=1, now="2026-01-01T00:00:00Z")
    assert found["message"].isprintable()
    assert len(found["message"]) == len(HOSTILE[what])


@pytest.mark.parametrize("what", HOSTILE)
def test_an_event_contains_printable_characters_only(what):
    assert _shortened(HOSTILE[what]).isprintable()


@pytest.mark.parametrize("what", HOSTILE)
def test_json_output_has_escapes_and_the_same_value(what):
    text = dumps({"message": HOSTILE[what]}, indent=2)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == {"message": HOSTILE[what]}


@given(st.text())
def test_printable_text_stays_as_it_is(text):
    assert one_line(text).isprintable()
    assert one_line(one_line(text)) == one_line(text)
    if text.isprintable():
        assert one_line(text) == text


@pytest.mark.parametrize("what", HOSTILE)
def test_the_schema_rejects_images_with_such_characters(what):
    (kind,) = (kind for kind in KINDS if kind.name == "AIMModel")
    schema = kind.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    pattern = schema["properties"]["spec"]["properties"]["image"]["pattern"]
    assert re.search(pattern, "ghcr.io/silogen/aim-llama:1@sha256:0")
    assert not re.search(pattern, "ghcr.io/silogen/" + HOSTILE[what])
