"""The output of a discovery container, which is not trusted.

Contract:
    * :func:`parse` accepts any bytes and returns a complete :class:`DiscoveryResult` or a :class:`DiscoveryError`. It
      never raises.
    * The output is a JSON array. There may be log lines before and after it, and other text on its lines. The last
      valid array counts. What terminals, container runtimes and log shippers add is removed, see
      :mod:`aimctl.domain.templates.log_forms`.
    * Time and memory are linear in the size of any input, because of the limits below.

The first entry of the array is the result: the whole ``profile``, and ``models`` as sources of ``size_gb`` x 1024^3
bytes.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn, final

from aimctl.api.v1alpha1 import StatusModelSource
from aimctl.domain.conditions import abridge, clip
from aimctl.domain.excerpts import excerpt, last_lines
from aimctl.domain.hashing import stored_size
from aimctl.domain.templates.log_forms import forms

__all__ = [
    "MAX_DEPTH",
    "MAX_OUTPUT_BYTES",
    "MAX_PROFILE_BYTES",
    "MAX_SIZE_GB",
    "MAX_SOURCES",
    "MAX_SOURCES_BYTES",
    "DiscoveryError",
    "DiscoveryResult",
    "parse",
]

MAX_OUTPUT_BYTES = 4 * 1024 * 1024
"""Bytes of a log that are accepted. Real output has a few kilobytes; the rest allows for log lines. One byte more is
requested when a log is read, so that a longer one is recognised."""

MAX_PROFILE_BYTES = 256 * 1024
"""Bytes of a profile as JSON. It is stored in the status, and etcd rejects objects above 1.5 MiB."""

MAX_SOURCES_BYTES = 768 * 1024
"""Bytes of all sources as JSON. Together with the profile they leave space for the rest of the object."""

MAX_DEPTH = 32
"""Nesting of a profile. Real ones have 4 levels, and every reader of the status has to process it."""

MAX_SOURCES = 256
"""Sources of one template; the limit of ``status.modelSources`` in the CRD."""

MAX_SIZE_GB = 1024.0 * 1024.0
"""One PiB. Larger sizes are mistakes, and the number of bytes must be an int64."""

MAX_NAME = 512
MAX_URI = 2048
"""Limits of the CRD for ``status.modelSources``."""

_MAX_ATTEMPTS = 1000
_SCAN_BUDGET = 4 * MAX_OUTPUT_BYTES
"""Attempts to read an array, and characters that they may read together. Without these limits, hostile output could
cause quadratic time."""

_DEEP_COST = 64 * 1024
"""Characters counted for an attempt that ended at the recursion limit, because it does not report its position."""

_INT64 = 2**63
_URI = re.compile(r"(hf|s3)://[^ \t\r\n]+")
_START = re.compile(r"^[ \t]*+\[(?=\s*+[{\[\]])|(\[(?=\s*+\{\s*+\"))", re.MULTILINE)
"""The start of a line with a list of objects or lists, or an empty list; not ``[INFO] ...`` or ``[2026-...``. Elsewhere
in a line, which is the group, only a list of objects."""
_MORE_ON_LINE = re.compile(r"[ \t\r]*[^ \t\r\n]")
_EXCERPT = 160


@final
@dataclass(frozen=True, slots=True)
class DiscoveryResult:
    """The result of a discovery: at least one source, and the profile as it was printed."""

    sources: tuple[StatusModelSource, ...]
    profile: dict[str, Any]


@final
@dataclass(frozen=True, slots=True)
class DiscoveryError:
    """Why the output is not a discovery result, with the location and an excerpt."""

    message: str


class _Rejected(Exception):  # noqa: N818 - never leaves this module
    pass


def parse(output: bytes) -> DiscoveryResult | DiscoveryError:
    """The result in the log of a container."""
    if len(output) > MAX_OUTPUT_BYTES:
        return DiscoveryError(
            f"the output has more than {MAX_OUTPUT_BYTES} bytes; print only the result and errors"
        )
    rejected = ""
    for text in forms(output.decode("utf-8", errors="replace")):
        found = _search(text)
        if isinstance(found, DiscoveryResult):
            return found
        rejected = rejected or found
    if rejected:
        return DiscoveryError(abridge(f"invalid discovery output: {rejected}"))
    tail = last_lines(output)
    return DiscoveryError(
        "the container printed no JSON array of profiles; is its image an AIM image?"
        + (f" Last lines of the log: {tail}" if tail else " Its log is empty.")
    )


def _search(text: str) -> DiscoveryResult | str:
    """The last valid array in a text, otherwise why the last one is invalid; "" if there is none.

    An array with other text on its lines counts only if it is valid and no other is alone on its lines, because log
    lines have arrays as well.
    """
    results: dict[bool, DiscoveryResult] = {}
    rejected = ""
    position = cost = attempts = 0
    decoder = json.JSONDecoder(parse_constant=_no_constant)
    while start := _START.search(text, position):
        attempts += 1
        if attempts > _MAX_ATTEMPTS or cost > _SCAN_BUDGET:
            rejected = rejected or "it has too many invalid arrays"
            break
        begin, position = start.end() - 1, start.end()
        alone, why, end = start[1] is None, "", begin
        try:
            value, end = decoder.raw_decode(text, begin)
        except json.JSONDecodeError as error:
            cost += error.pos - begin
            why = f"the array is not valid JSON: {error.msg} at {excerpt(text[error.pos : error.pos + _EXCERPT])}"
        except RecursionError:
            cost += _DEEP_COST
            why = f"the array is nested deeper than {MAX_DEPTH} levels"
        except ValueError as error:  # NaN, Infinity, or an integer of thousands of digits
            cost += _DEEP_COST
            why = f"the array is not valid JSON: {clip(str(error), _EXCERPT)}"
        else:
            cost += end - begin
            position = end
            alone = alone and not _MORE_ON_LINE.match(text, end)
            try:
                found = _result(value)
            except _Rejected as error:
                why = str(error)
            else:
                results[alone] = found
        if why and alone:
            rejected = why
    return results.get(True) or results.get(False) or rejected


def _result(value: list[Any]) -> DiscoveryResult:
    if not value:
        _reject("the array is empty: the image offers no profile for this metric, precision and GPU")
    entry = _typed(value[0], dict, "[0]")
    profile = _typed(_member(entry, "profile", "[0]"), dict, "[0].profile")
    models = _typed(_member(entry, "models", "[0]"), list, "[0].models")
    if not models:
        _reject("[0].models is empty: the image publishes no model sources")
    if len(models) > MAX_SOURCES:
        _reject(f"[0].models has {len(models)} entries; at most {MAX_SOURCES} are allowed")
    sources = tuple(_source(item, f"[0].models[{index}]") for index, item in enumerate(models))
    size = stored_size([source.to_json() for source in sources])
    if size > MAX_SOURCES_BYTES:
        _reject(f"[0].models has {size} bytes; at most {MAX_SOURCES_BYTES} are allowed")
    _check_depth(profile)
    try:
        size = stored_size(profile)
    except (ValueError, RecursionError) as error:
        _reject(f"[0].profile cannot be stored: {error}")
    if size > MAX_PROFILE_BYTES:
        _reject(f"[0].profile has {size} bytes; at most {MAX_PROFILE_BYTES} are allowed")
    return DiscoveryResult(sources, profile)


def _source(item: Any, where: str) -> StatusModelSource:
    fields = _typed(item, dict, where)
    name = _text(_member(fields, "name", where), f"{where}.name", MAX_NAME)
    source = _text(_member(fields, "source", where), f"{where}.source", MAX_URI)
    if not _URI.fullmatch(source):
        _reject(f"{where}.source is {excerpt(source)}; only hf:// and s3:// sources can be downloaded")
    size = _member(fields, "size_gb", where)
    if isinstance(size, bool) or not isinstance(size, int | float):
        _reject(f"{where}.size_gb is {excerpt(size)}; it must be a number of GiB")
    if not 0 <= size <= MAX_SIZE_GB:  # also refuses infinity
        _reject(f"{where}.size_gb is {excerpt(size)}; it must be between 0 and {MAX_SIZE_GB:.0f}")
    return StatusModelSource(name=name, source=source, size_bytes=math.ceil(size * 1024**3))


def _check_depth(profile: dict[str, Any]) -> None:
    """Reject a profile that is too deep, or has a number that the API server cannot store."""
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
                _reject(f"[0].profile has the number {excerpt(value)}, which the API server cannot store")
        if not children:
            return
        level = children
    _reject(f"[0].profile is nested deeper than {MAX_DEPTH} levels")


def _member(fields: dict[str, Any], key: str, where: str) -> Any:
    if key not in fields:
        _reject(f"{where} has no {key!r}; it has {excerpt(sorted(fields)[:8])}")
    return fields[key]


def _typed(value: Any, wanted: type, where: str) -> Any:
    if not isinstance(value, wanted):
        noun = "an object" if wanted is dict else "a list"
        _reject(f"{where} is {excerpt(value)}; it must be {noun}")
    return value


def _text(value: Any, where: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        _reject(f"{where} is {excerpt(value)}; it must be a printable text")
    if len(value) > limit:
        _reject(f"{where} has {len(value)} characters; at most {limit} are allowed")
    return value


def _reject(message: str) -> NoReturn:
    raise _Rejected(message)


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a JSON number")
