"""What a discovery container printed, read without trust.

Contract:
    * :func:`parse` takes any bytes and returns a whole :class:`DiscoveryResult` or a
      :class:`DiscoveryError`; it never raises and never returns half of something.
    * Output is a JSON array that begins a line, perhaps between log lines; the last valid one counts.
    * Time and memory are linear in the input, whatever the input: see the limits.

The first entry of the array is the answer: ``profile`` whole, ``models`` as sources with
``size_gb`` x 1024^3 bytes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn, final

from aimctl.domain.conditions import clip
from aimctl.domain.excerpts import excerpt, last_lines
from aimctl.domain.hashing import stored_size

__all__ = [
    "MAX_DEPTH",
    "MAX_OUTPUT_BYTES",
    "MAX_PROFILE_BYTES",
    "MAX_SIZE_GB",
    "MAX_SOURCES",
    "MAX_SOURCES_BYTES",
    "DiscoveryError",
    "DiscoveryResult",
    "Source",
    "parse",
]

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
"""Bytes of log that are taken; real output has a few kilobytes, the rest is room for log lines. Who reads the
log asks for one byte more, so that a longer one is seen to be too long."""

MAX_PROFILE_BYTES = 256 * 1024
"""Bytes of a profile as JSON; it is kept in status, and etcd refuses objects above 1.5 MiB."""

MAX_SOURCES_BYTES = 768 * 1024
"""Bytes of all sources as JSON; with the profile's they leave room for the rest of the object."""

MAX_DEPTH = 32
"""Nesting of a profile; real ones have 4 levels, and every reader of the status must walk it."""

MAX_SOURCES = 256
"""Sources of one template; the bound of ``status.modelSources`` in the CRD."""

MAX_SIZE_GB = 1024.0 * 1024.0
"""One PiB: larger sizes are mistakes, and bytes must fit an int64."""

MAX_NAME = 512
MAX_URI = 2048
"""Lengths that the CRD allows in ``status.modelSources``."""

_MAX_ATTEMPTS = 1000
_SCAN_BUDGET = 4 * MAX_OUTPUT_BYTES
"""Attempts to read an array, and characters they may cost together: hostile text cannot make them
quadratic."""

_DEEP_COST = 64 * 1024
"""What an attempt that hit the recursion limit is charged, since it does not say how far it came."""

_INT64 = 2**63
_URI = re.compile(r"(hf|s3)://[^ \t\r\n]+")
_START = re.compile(r"^[ \t]*\[(?=\s*[{\[\]])", re.MULTILINE)
"""A line that may begin a list of objects or lists, or an empty list; ``[INFO] ...`` and ``[2026-...`` do not."""
_MORE_ON_LINE = re.compile(r"[ \t\r]*[^ \t\r\n]")
_EXCERPT = 160


@final
@dataclass(frozen=True, slots=True)
class Source:
    """One model artifact."""

    name: str
    source: str
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """As ``status.modelSources`` carries it."""
        return {"name": self.name, "source": self.source, "sizeBytes": self.size_bytes}


@final
@dataclass(frozen=True, slots=True)
class DiscoveryResult:
    """What discovery found: at least one source, and the profile as it was printed."""

    sources: tuple[Source, ...]
    profile: dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class DiscoveryError:
    """Why the output is no discovery result, with the place and an excerpt."""

    message: str


class _Refused(Exception):  # noqa: N818 - never leaves this module
    pass


def parse(output: bytes) -> DiscoveryResult | DiscoveryError:
    """Read the container's log; see the module for what counts."""
    if len(output) > MAX_OUTPUT_BYTES:
        return DiscoveryError(
            f"the output has more than {MAX_OUTPUT_BYTES} bytes; print only the result and errors"
        )
    text = output.decode("utf-8", errors="replace")
    result: DiscoveryResult | None = None
    refused = ""
    position = cost = attempts = 0
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    while start := _START.search(text, position):
        attempts += 1
        if attempts > _MAX_ATTEMPTS or cost > _SCAN_BUDGET:
            refused = refused or "too many broken arrays to read through"
            break
        begin, position = start.end() - 1, start.end()
        try:
            value, end = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            cost += error.pos - begin
            near = excerpt(text[error.pos : error.pos + _EXCERPT])
            refused = f"the array is not valid JSON: {error.msg} at {near}"
            continue
        except RecursionError:
            cost += _DEEP_COST
            refused = f"the array is nested deeper than {MAX_DEPTH} levels"
            continue
        except ValueError as error:  # NaN, Infinity, and integers of thousands of digits
            cost += _DEEP_COST
            refused = f"the array is not valid JSON: {clip(str(error), _EXCERPT)}"
            continue
        cost += end - begin
        if _MORE_ON_LINE.match(text, end):
            continue
        position = end
        try:
            result = _result(value)
        except _Refused as error:
            refused = str(error)
    if result is not None:
        return result
    if refused:
        return DiscoveryError(clip(f"discovery output refused: {refused}", 1024))
    tail = last_lines(output)
    return DiscoveryError(
        "the container printed no JSON array of profiles; is its image an AIM image?"
        + (f" Last lines of the log: {tail}" if tail else " Its log is empty.")
    )


def _result(value: list[Any]) -> DiscoveryResult:
    if not value:
        _refuse("the array is empty: the image offers no profile for this metric, precision and GPU")
    entry = _typed(value[0], dict, "[0]")
    profile = _typed(_member(entry, "profile", "[0]"), dict, "[0].profile")
    models = _typed(_member(entry, "models", "[0]"), list, "[0].models")
    if not models:
        _refuse("[0].models is empty: the image publishes no model sources")
    if len(models) > MAX_SOURCES:
        _refuse(f"[0].models has {len(models)} entries; at most {MAX_SOURCES} are kept")
    sources = tuple(_source(item, f"[0].models[{index}]") for index, item in enumerate(models))
    size = stored_size([source.to_json() for source in sources])
    if size > MAX_SOURCES_BYTES:
        _refuse(f"[0].models has {size} bytes; at most {MAX_SOURCES_BYTES} are kept")
    _check_depth(profile)
    try:
        size = stored_size(profile)
    except (ValueError, RecursionError) as error:
        _refuse(f"[0].profile cannot be kept: {error}")
    if size > MAX_PROFILE_BYTES:
        _refuse(f"[0].profile has {size} bytes; at most {MAX_PROFILE_BYTES} are kept")
    return DiscoveryResult(sources, profile)


def _source(item: Any, where: str) -> Source:
    fields = _typed(item, dict, where)
    name = _text(_member(fields, "name", where), f"{where}.name", MAX_NAME)
    source = _text(_member(fields, "source", where), f"{where}.source", MAX_URI)
    if not _URI.fullmatch(source):
        _refuse(f"{where}.source is {excerpt(source)}; only hf:// and s3:// sources can be downloaded")
    size = _member(fields, "size_gb", where)
    if isinstance(size, bool) or not isinstance(size, int | float):
        _refuse(f"{where}.size_gb is {excerpt(size)}; it must be a number of GiB")
    if not 0 <= size <= MAX_SIZE_GB:  # also refuses infinity
        _refuse(f"{where}.size_gb is {excerpt(size)}; it must be between 0 and {MAX_SIZE_GB:.0f}")
    return Source(name, source, math.ceil(size * 1024**3))


def _check_depth(profile: dict[str, Any]) -> None:
    """Refuse what is too deep, or holds a number that the API server could not keep."""
    level: list[Any] = [profile]
    for _ in range(MAX_DEPTH):
        children: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                children += value.values()
            elif isinstance(value, list):
                children += value
            elif (isinstance(value, float) and not math.isfinite(value)) or (
                isinstance(value, int) and not -_INT64 <= value < _INT64
            ):
                _refuse(f"[0].profile holds the number {excerpt(value)}, which JSON readers cannot keep")
        if not children:
            return
        level = children
    _refuse(f"[0].profile is nested deeper than {MAX_DEPTH} levels")


def _member(fields: dict[str, Any], key: str, where: str) -> Any:
    if key not in fields:
        _refuse(f"{where} has no {key!r}; it has {excerpt(sorted(fields)[:8])}")
    return fields[key]


def _typed(value: Any, wanted: type, where: str) -> Any:
    if not isinstance(value, wanted):
        noun = "an object" if wanted is dict else "a list"
        _refuse(f"{where} is {excerpt(value)}; it must be {noun}")
    return value


def _text(value: Any, where: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        _refuse(f"{where} is {excerpt(value)}; it must be a printable text")
    if len(value) > limit:
        _refuse(f"{where} has {len(value)} characters; at most {limit} are kept")
    return value


def _refuse(message: str) -> NoReturn:
    raise _Refused(message)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON number")
