"""Any output of a container gives a complete result or an error that shows what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.api.v1alpha1 import StatusModelSource
from aimctl.domain.templates.discovery_output import (
    MAX_DEPTH,
    MAX_OUTPUT_BYTES,
    MAX_PROFILE_BYTES,
    MAX_SOURCES,
    DiscoveryError,
    DiscoveryResult,
    parse,
)
from aimctl.domain.templates.log_forms import forms
from support.proofs import variants

PROFILE = {
    "model": "m/m",
    "metadata": {"engine": "vllm", "gpu_count": 1},
    "engine_args": {"a": 1.5},
    "env_vars": {},
}
MODELS = [
    {"name": "m", "source": "hf://m/m", "size_gb": 16.0},
    {"name": "t", "source": "s3://b/t", "size_gb": 0.5},
]
SOURCES = (
    StatusModelSource(name="m", source="hf://m/m", size_bytes=17179869184),
    StatusModelSource(name="t", source="s3://b/t", size_bytes=536870912),
)


def entry(**changed: Any) -> dict[str, Any]:
    return {"filename": "a.yaml", "profile": PROFILE, "models": MODELS} | changed


def output(*entries: Any) -> bytes:
    return json.dumps(list(entries)).encode()


def one(**changed: Any) -> bytes:
    return output(entry(models=[MODELS[0] | changed]))


def error(printed: bytes) -> str:
    found = parse(printed)
    assert isinstance(found, DiscoveryError), found
    return found.message


def test_the_first_entry_gives_profile_and_sources() -> None:
    other = entry(profile={"model": "other"}, models=[])
    assert parse(output(entry(), other)) == DiscoveryResult(SOURCES, PROFILE)


@pytest.mark.parametrize(
    "printed",
    [
        b"INFO loading\n" + output(entry()) + b"\nINFO done\n",
        b"\xff\xfe not utf-8\n  " + output(entry()) + b"  \r\n",
        json.dumps([entry()], indent=2).encode(),
        b"[2026-01-01] log line\n[INFO] [x]\n" + json.dumps([entry()], indent=4).encode() + b"\n[INFO] bye",
        b'[{"broken": \n' + output(entry()),
        output(entry(profile={"early": True})) + b"\n" + output(entry()),
        output(entry()) + b'\n[{"later": "but no result"}]\n[]\n',
        output(entry()) + b"\n" + output(entry(profile={"quoted": True})) + b" was an example\n",
    ],
)
def test_the_last_valid_array_among_log_lines_counts(printed: bytes) -> None:
    assert parse(printed) == DiscoveryResult(SOURCES, PROFILE)


def test_an_array_inside_the_result_is_not_taken_for_the_result() -> None:
    profile = {"nested": [[entry(profile={"inner": True})]]}
    found = parse(json.dumps([entry(profile=profile)], indent=1).encode())
    assert isinstance(found, DiscoveryResult)
    assert found.profile == profile


@pytest.mark.parametrize(("gigabytes", "size"), [(16, 16 * 2**30), (0, 0), (0.002, 2147484), (1e-12, 1)])
def test_sizes_become_bytes_rounded_up(gigabytes: float, size: int) -> None:
    found = parse(one(size_gb=gigabytes))
    assert isinstance(found, DiscoveryResult)
    assert found.sources[0].size_bytes == size


@pytest.mark.parametrize(
    ("printed", "words"),
    [
        (b"", ["no JSON array", "log is empty"]),
        (b"\n\n", ["no JSON array"]),
        (b"Traceback\nRuntimeError: no profiles", ["no JSON array", "RuntimeError: no profiles"]),
        (b'{"profile": {}, "models": []}', ["no JSON array", "AIM image"]),
        (b'[1, "two", null]', ["no JSON array"]),
        (b"[]", ["array is empty"]),
        (b'[{"filename": "a.yaml", "profile": {"mod', ["not valid JSON"]),
        (output(entry())[:-20], ["not valid JSON"]),
        (output([]), ["[0] is []", "an object"]),
        (output({"models": MODELS}), ["[0] has no 'profile'", "models"]),
        (output({"profile": {}}), ["[0] has no 'models'"]),
        (output(entry(profile=["x"])), ["[0].profile", "an object"]),
        (output(entry(models={"name": 1})), ["[0].models", "a list"]),
        (output(entry(models=[])), ["[0].models is empty"]),
        (output(entry(models=["m"])), ["[0].models[0]", "'m'"]),
        (output(entry(models=[MODELS[0]] * (MAX_SOURCES + 1))), [str(MAX_SOURCES + 1), str(MAX_SOURCES)]),
        (one(name=""), ["[0].models[0].name"]),
        (one(name=7), ["[0].models[0].name is 7"]),
        (one(name="a" * 513), ["513", "512"]),
        (one(name="a\x00b"), ["[0].models[0].name", "printable"]),
        (one(source=None), ["[0].models[0].source is null"]),
        (one(source="ftp://example.org/m"), ["ftp://example.org/m", "hf:// and s3://"]),
        (one(source="hf://with space"), ["hf://with space"]),
        (one(source="hf://"), ["'hf://'"]),
        (one(source="hf://" + "x" * 3000), ["3005", "2048"]),
        (one(size_gb="16"), ["size_gb is '16'", "GiB"]),
        (one(size_gb=True), ["size_gb is true"]),
        (one(size_gb=None), ["size_gb is null"]),
        (one(size_gb=-3), ["size_gb is -3"]),
        (one(size_gb=10**9), ["size_gb is 1000000000"]),
        (one(size_gb=0).replace(b'"size_gb": 0', b'"size_gb": NaN'), ["NaN"]),
        (one(size_gb=0).replace(b'"size_gb": 0', b'"size_gb": 1e400'), ["size_gb"]),
        (one(size_gb=0).replace(b'"size_gb": 0', b'"size_gb": ' + b"9" * 5000), ["not valid JSON"]),
        (output({"profile": PROFILE, "models": [{"name": "m", "source": "hf://m"}]}), ["no 'size_gb'"]),
        (output(entry(profile={"x": "a" * MAX_PROFILE_BYTES})), [str(MAX_PROFILE_BYTES)]),
        (output(entry(profile={"x": 2**63})), ["9223372036854775808"]),
        (output(entry(profile={"x": "\ud800"})), ["[0].profile cannot be stored"]),
        (b"[" * 100_000 + b"]" * 100_000, ["deeper than"]),
        (b'[{"a":' * 50_000, ["deeper than"]),
        (b"x" * (MAX_OUTPUT_BYTES + 1), [str(MAX_OUTPUT_BYTES)]),
    ],
)
def test_hostile_output_is_rejected_with_a_message_that_shows_what_is_wrong(
    printed: bytes, words: list[str]
) -> None:
    message = error(printed)
    assert all(word in message for word in words), message
    assert len(message) <= 1200


def test_a_profile_may_be_nested_up_to_the_limit() -> None:
    def nested(depth: int) -> dict[str, Any]:
        value: dict[str, Any] = {}
        for _ in range(depth - 1):
            value = {"a": value}
        return value

    assert isinstance(parse(output(entry(profile=nested(MAX_DEPTH)))), DiscoveryResult)
    assert f"deeper than {MAX_DEPTH}" in error(output(entry(profile=nested(MAX_DEPTH + 1))))


@pytest.mark.parametrize(
    "line",
    variants(
        [
            b"[{\n",
            b'[{"a": 1},\n',
            b"[[[[[[[[\n",
            b"[]x\n",
            b"[INFO] x\n",
            b'[{"a": "',
            b"[ \n",
            b'[{"a":NaN}]\n',
        ],
        quick=2,
    ),
)
def test_megabytes_of_invalid_arrays_are_an_error(line: bytes) -> None:
    """In quadratic time this test would exceed the time limit of the suite."""
    assert error((line * (MAX_OUTPUT_BYTES // len(line)))[:MAX_OUTPUT_BYTES])


@given(st.binary(max_size=300) | st.text(alphabet='[]{}",:0-9aeNI\\\n ', max_size=300).map(str.encode))
def test_parsing_never_raises(printed: bytes) -> None:
    assert isinstance(parse(printed), DiscoveryError)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON, st.sampled_from(["name", "source", "size_gb"]), JSON)
def test_any_json_in_any_field_gives_a_complete_result_or_an_error(
    profile: Any, models: Any, field: str, value: Any
) -> None:
    for printed in (entry(profile=profile), entry(models=models), entry(models=[MODELS[0] | {field: value}])):
        found = parse(output(printed))
        if isinstance(found, DiscoveryResult):
            assert found.sources
            assert all(0 <= source.size_bytes < 2**63 for source in found.sources)
            json.dumps(found.profile, allow_nan=False).encode()
        else:
            assert found.message


# ---- what terminals, container runtimes and log shippers make of the output

ONE = output(entry()).decode()
PRETTY = json.dumps([entry()], indent=2)
AT = "2026-05-04T12:00:00.123456789Z"


def each_line(text: str, prefix: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in text.split("\n"))


def cut(text: str, size: int = 40) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def runtime_parts(text: str) -> str:
    *first, last = cut(text)
    return "".join(f"{AT} stdout P {part}\n" for part in first) + f"{AT} stdout F {last}\n"


def docker(*logs: str, stream: str = "stdout") -> str:
    return "".join(json.dumps({"log": log, "stream": stream, "time": AT}) + "\n" for log in logs)


MODIFIED = {
    "byte order mark": f"\ufeff{ONE}",
    "colours": f"\x1b[1;32m{ONE}\x1b[0m\n",
    "colours inside": PRETTY.replace('"', '\x1b[33m"'),
    "colours of tput": PRETTY.replace('"', '\x1b(B\x1b[m"'),
    "terminal title": f"\x1b]0;title\x07{ONE}",
    "link": f"\x1b]8;;https://example.com/{'x' * 300}\x07log\x1b]8;;\x07{ONE}",
    "keypad mode": f"\x1b=\x1b7{ONE}\x1b8\x1b>",
    "progress bar": f"Fetching: 100%|##| 3/3\r{ONE}\n",
    "CR as line end": f"INFO x\r{ONE}\rINFO y\r",
    "CRLF": PRETTY.replace("\n", "\r\n"),
    "NUL": f"\0\0{ONE}\0",
    "text before it": f"INFO done: {ONE}\n",
    "text behind it": f"{ONE}WARNING: exit\n",
    "timestamps": each_line(PRETTY, f"{AT} "),
    "timestamps with an offset": each_line(PRETTY, "2026-05-04 12:00:00,123+02:00 "),
    "pod names": each_line(PRETTY, "[pod/discover-a-1/discovery] "),
    "pod names and timestamps": each_line(PRETTY, f"[pod/discover-a-1/discovery] {AT} "),
    "container names": each_line(PRETTY, "discovery-1  | "),
    "container runtime": each_line(PRETTY, f"{AT} stdout F "),
    "container runtime with parts": runtime_parts(ONE),
    "container runtime with errors in between": runtime_parts(ONE).replace(
        "\n", f"\n{AT} stderr F WARNING x\n", 3
    ),
    "split lines": "\n".join(cut(ONE)),
    "split lines with timestamps": each_line("\n".join(cut(ONE)), f"{AT} "),
    "docker": docker(f"{ONE}\n"),
    "docker with parts": docker(*cut(f"INFO x\n{ONE}\n")),
    "docker with errors": docker("INFO x\n") + docker("[]\n", stream="stderr") + docker(f"{ONE}\n"),
    "docker with lines": docker(*(f"{line}\r\n" for line in PRETTY.split("\n"))),
    "messages": "".join(json.dumps({"level": "info", "message": line}) + "\n" for line in PRETTY.split("\n")),
    "one message": json.dumps({"ts": 1, "msg": f"\x1b[1m{ONE}"}),
    "an array as message": json.dumps({"message": [entry()], "level": "info"}),
}


@pytest.mark.parametrize("printed", MODIFIED.values(), ids=MODIFIED)
def test_a_result_that_was_modified_on_its_way_is_accepted(printed: str) -> None:
    assert parse(printed.encode()) == DiscoveryResult(SOURCES, PROFILE)
    assert parse(f"INFO before\n{printed}\nINFO after\n".encode()) == DiscoveryResult(SOURCES, PROFILE)


@pytest.mark.parametrize("line", ['args: [{"a": 1}]\n', "loss [[0.1, 0.2]]\n", 'x [{"profile": []}] y\n'])
def test_arrays_in_log_lines_are_not_reported_as_invalid_results(line: str) -> None:
    found = parse(line.encode() * 3)
    assert isinstance(found, DiscoveryError)
    assert "no JSON array" in found.message


WRAPPED = [b"\x1b[", b"\x1b]", b"\0", b"\r", AT.encode() + b" stdout P ", AT.encode() + b" stdout P x\n", b"[pod/", b'{"log":"',
           b'{"log":"[{"}\n', b"{\n", b'[{"', b"a | ", b" |", b"[ \n", b'[{"a":[{"']  # fmt: skip


@pytest.mark.parametrize("unit", WRAPPED, ids=range(len(WRAPPED)))
def test_no_form_of_a_log_is_longer_than_the_log(unit: bytes) -> None:
    text = (unit * (64 * 1024 // len(unit))).decode()
    assert all(len(form) <= len(text) + 1 for form in forms(text))
    assert isinstance(parse(text.encode()), DiscoveryError)
