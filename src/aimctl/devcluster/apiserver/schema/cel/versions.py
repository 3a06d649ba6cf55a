"""The functions of CEL for semantic versions.

Contract: :data:`FUNCTIONS` has them by name, without the comparisons, for which :func:`compare` is used. A version is a
map with one private key, because the evaluator does not pass Python objects through.

Source: Kubernetes' documentation of CEL, and answers of a 1.36 server.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["FUNCTIONS", "compare", "is_version"]

_VERSION = "semver@"
_NUMBER = r"(0|[1-9][0-9]*)"
_FORM = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


def is_version(value: Any) -> bool:
    """Whether a value is one of ``semver()``."""
    return isinstance(value, dict) and _VERSION in value


def compare(first: Any, second: Any) -> int:
    """-1, 0 or 1, as in the specification of semantic versions."""
    left, right = _key(first[_VERSION]), _key(second[_VERSION])
    return int(left > right) - int(left < right)


def _key(text: str) -> tuple[int, int, int, bool, list[tuple[int, int, str]]]:
    major, minor, patch, pre = _parts(text)
    labels = [(0, int(label), "") if label.isdigit() else (1, 0, label) for label in pre.split(".") if label]
    return major, minor, patch, not labels, labels


def _parts(text: str) -> tuple[int, int, int, str]:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(_fault(text))
    labels = (found[4] or "").split(".")
    if any(label.isdigit() and label != str(int(label)) for label in labels):
        raise ValueError(f'Numeric PreRelease version must not contain leading zeroes "{found[4]}"')
    return int(found[1]), int(found[2]), int(found[3]), found[4] or ""


def _fault(text: str) -> str:
    """Why a text is no version."""
    numbers = re.split(r"[-+]", text, maxsplit=1)[0].split(".", 2)
    if len(numbers) < 3:
        return "No Major.Minor.Patch elements found" if text else "Version string empty"
    for name, number in zip(("Major", "Minor", "Patch"), numbers, strict=True):
        if not number.isascii() or not number.isdigit():
            return f'Invalid character(s) found in {name.lower()} number "{number}"'
        if len(number) > 1 and number.startswith("0"):
            return f'{name} number must not contain leading zeroes "{number}"'
    return "Invalid character(s) found in prerelease"


def _normal(text: str) -> str:
    """The text without a leading "v" and leading zeros, and with all three numbers."""
    core, sign, rest = re.split(r"([-+]|$)", text.removeprefix("v"), maxsplit=1)
    numbers = [part.lstrip("0") or "0" if part.isdigit() else part for part in core.split(".")]
    if len(numbers) < 3 and sign:
        raise ValueError("Short version cannot contain PreRelease/Build meta data")
    return ".".join([*numbers, *["0"] * (3 - len(numbers))]) + sign + rest


def _version(text: str, *normalize: bool) -> dict[str, str]:
    plain = _normal(text) if any(normalize) else text
    _parts(plain)
    return {_VERSION: plain}


def _is_semver(text: str, *normalize: bool) -> bool:
    try:
        _version(text, *normalize)
    except ValueError:
        return False
    return True


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "semver": _version,
    "isSemver": _is_semver,
    "major": lambda value: _parts(value[_VERSION])[0],
    "minor": lambda value: _parts(value[_VERSION])[1],
    "patch": lambda value: _parts(value[_VERSION])[2],
}
