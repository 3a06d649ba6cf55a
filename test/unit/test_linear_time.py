"""Text from outside costs linear time: every pattern and parser is measured in operations with adversarial texts.

A pattern with quadratic time lets one response of a registry, or one line of a log, stop the event loop, and with it
the renewal of the Lease.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import re
import sys
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aimctl
from aimctl.domain.excerpts import excerpt, last_lines, masked, printable
from aimctl.domain.images.manifest import choose_platform, error_codes
from aimctl.domain.images.metadata import read_metadata
from aimctl.domain.images.reference import InvalidImage, parse_image
from aimctl.domain.images.registry_auth import (
    MAX_CHALLENGE_CHARACTERS,
    MAX_CHALLENGES,
    PullSecretError,
    parse_challenges,
    read_pull_secret,
)
from aimctl.domain.labels import fits
from aimctl.domain.templates.discovery_output import parse
from aimctl.runtime.cache.selectors import LabelSelector
from aimctl.runtime.clock import LoopClock
from aimctl.runtime.kube.answers import parse_retry_after
from support.regexsteps import TooManySteps, adversarial, spans, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = (
    "api",
    "cli",
    "controllers",
    "devcluster",
    "domain",
    "generation",
    "kubetypes",
    "runtime",
    "simulation",
)
SEARCHES = ("search", "sub", "subn", "split", "finditer", "findall")
MAX_STEPS_PER_CHARACTER = 40
"""Steps that a pattern may take for each character even if they grow faster than the text: those of bounded loops."""


# ---- patterns


def modules() -> Iterator[Any]:
    for package in PACKAGES:
        root = importlib.import_module(f"{aimctl.__name__}.{package}")
        yield root
        for info in pkgutil.walk_packages(root.__path__, f"{root.__name__}."):
            if not info.name.endswith("__main__"):
                yield importlib.import_module(info.name)


@cache
def patterns() -> dict[str, tuple[re.Pattern[str], bool]]:
    """All patterns by place, with whether they are searched for, and not matched at one position."""
    found: dict[str, tuple[re.Pattern[str], bool]] = {}
    for module in modules():
        where, source = module.__name__.removeprefix("aimctl."), inspect.getsource(module)
        for name, value in vars(module).items():
            if f"{name} " not in source and f"{name}:" not in source:
                continue  # imported
            if isinstance(value, re.Pattern):
                searched = any(f"{name}.{verb}(" in source for verb in SEARCHES)
                found[f"{where}.{name}"] = value, searched
            elif isinstance(value, tuple):
                for number, item in enumerate(value):
                    if isinstance(item, tuple) and item and isinstance(item[0], re.Pattern):
                        found[f"{where}.{name}[{number}]"] = item[0], True
        for node in ast.walk(ast.parse(source)):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="re"), attr=verb),
                    args=[ast.Constant(value=str() as text), *_],
                ) if verb != "compile":
                    found[f"{where}:{node.lineno}"] = re.compile(text), verb in SEARCHES
    return found


def grows_too_fast(pattern: re.Pattern[str], *, search: bool, length: int) -> str | None:
    """A text for which the steps grow faster than the text, if there is one."""
    short, long = adversarial(pattern, length), adversarial(pattern, 3 * length)
    for one, three in zip(short, long, strict=True):
        try:
            before = steps(pattern, one, search=search, limit=400 * len(one))
            after = steps(pattern, three, search=search, limit=400 * len(three))
        except TooManySteps:
            return three
        if after > MAX_STEPS_PER_CHARACTER * len(three) and after / before > 1.3 * len(three) / len(one):
            return three
    return None


@pytest.mark.proof
@pytest.mark.timeout(600)
def test_every_pattern_takes_linear_time():
    found = patterns()
    assert len(found) > 40
    assert {
        place: text[:60]
        for place, (pattern, search) in found.items()
        if (text := grows_too_fast(pattern, search=search, length=300)) is not None
    } == {}


@pytest.mark.proof
def test_patterns_for_registries_take_linear_time():
    found = {place: value for place, value in patterns().items() if place.startswith("domain.images.")}
    assert len(found) > 5
    assert {
        place: text[:60]
        for place, (pattern, search) in found.items()
        if (text := grows_too_fast(pattern, search=search, length=90)) is not None
    } == {}


@pytest.mark.parametrize(
    ("pattern", "search"),
    [(r"\s*,?\s*([A-Za-z][A-Za-z0-9!]*)(?:\s+|$)", False), (r"(?:a|a)+$", False), (r"[a-z]+x", True)],
    ids=["two adjacent loops", "an ambiguous loop", "a search from each position"],
)
def test_the_measurement_recognises_patterns_that_backtrack(pattern, search):
    assert grows_too_fast(re.compile(pattern), search=search, length=90) is not None


@pytest.mark.proof
@settings(max_examples=25)
@given(st.text(alphabet="ab=\"', \\:/@-_tokenhf\n1", max_size=40))
def test_the_measurement_matches_as_re_does(text):
    for pattern, _ in (value for key, value in patterns().items() if key.startswith("domain.excerpts.")):
        assert spans(pattern, text) == [found.span() for found in pattern.finditer(text)]


# ---- parsers


def lines_of(function: Callable[[], object]) -> int:
    """The lines of this project that a call executes."""
    count = 0

    def trace(frame: Any, event: str, _: object) -> Any:
        nonlocal count
        if "/aimctl/" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except (InvalidImage, PullSecretError, ValueError):
        pass
    finally:
        sys.settrace(before)
    return count


def auths(number: int) -> dict[str, bytes]:
    return {
        ".dockerconfigjson": json.dumps(
            {"auths": {f"h{i}": {"auth": "eDp5"} for i in range(number)}}
        ).encode()
    }


def deployments(number: int) -> dict[str, str]:
    return {"com.amd.aim.model.recommendedDeployments": json.dumps([{"gpuModel": 5}] * number)}


def clock_at() -> Any:
    class Fixed(LoopClock):
        def now(self) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC)

    return Fixed()


PARSERS: dict[str, tuple[Callable[[int], Any], Callable[[Any], object]]] = {
    "challenges of no-break spaces": (lambda n: ["\N{NO-BREAK SPACE}" * n] * 100, parse_challenges),
    "many challenges": (lambda n: ["a " * n], parse_challenges),
    "many headers": (lambda n: ["Basic"] * n, parse_challenges),
    "an open quotation": (lambda n: ['x y="' + "\\" * n], parse_challenges),
    "a long image": (lambda n: "a/" * n + "-", parse_image),
    "a long host": (lambda n: "a." * n + "/x", parse_image),
    "a large pull secret": (auths, read_pull_secret),
    "many deployments": (deployments, read_metadata),
    "a pattern of stars": (lambda n: ("a" * n, "*a" * n + "b"), lambda pair: fits(*pair)),
    "brackets": (lambda n: b"[[" * n, parse),
    "lines of brackets": (lambda n: b"[{\n" * n, parse),
    "numbers": (lambda n: b"[[" + b"9" * n + b"]]", parse),
    "quotes": (lambda n: "password='" * n, masked),
    "dashes": (lambda n: b"-" * n, last_lines),
    "nested lists": (lambda n: json.loads("[" * 50 + "]" * 50) * n, excerpt),
    "control characters": (lambda n: "\x1b[2J" * n, printable),
    "errors": (lambda n: json.dumps({"errors": [{"code": "A" * n}] * n}).encode(), error_codes),
    "platforms": (
        lambda n: {"manifests": [{"digest": f"sha256:{i:064x}"} for i in range(n)]},
        choose_platform,
    ),
    "a selector of blanks": (lambda n: "a" + " " * n + "!", LabelSelector.parse),
    "many terms": (lambda n: "a=b," * n, LabelSelector.parse),
    "digits": (lambda n: "9" * n, lambda text: parse_retry_after(text, clock=clock_at())),
}


@pytest.mark.parametrize("what", PARSERS)
def test_a_parser_executes_linearly_many_lines(what):
    make, run = PARSERS[what]
    once, thrice = (lines_of(lambda size=size: run(make(size))) for size in (100, 300))  # type: ignore[misc]
    assert 0 < thrice <= 4 * once + 300  # nine times for quadratic time


def test_challenges_are_limited_over_all_headers_of_a_response():
    assert len(parse_challenges(["Basic x=y"] * 100)) == MAX_CHALLENGES
    read = parse_challenges(["x" * MAX_CHALLENGE_CHARACTERS, "Basic x=y"])
    assert [item.scheme for item in read] == ["x" * MAX_CHALLENGE_CHARACTERS]


@pytest.mark.parametrize("blank", ["\N{NO-BREAK SPACE}", "\N{EM SPACE}", "\v", "\f"], ids=ascii)
def test_only_blanks_of_http_separate_challenges(blank):
    assert parse_challenges([f"Basic{blank}realm=x"]) == ()


@pytest.mark.parametrize(
    "value",
    [
        "9" * 8000,
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 99999999999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "\N{SUPERSCRIPT TWO}",
        "x" * 8000,
    ],
    ids=lambda value: ascii(value[:24]),
)
def test_any_retry_after_is_a_bounded_wait_or_none(value):
    found = parse_retry_after(value, clock=clock_at())
    assert found is None or 0 <= found <= 300
