"""Excerpts of untrusted values for messages: short, on one line, printable, credentials masked.

More people may read a status or an Event than may read logs. The masks cover the usual spellings of credentials. They
are an additional safeguard, not a guarantee: a program must not log its credentials.
"""

from __future__ import annotations

import json
import re
from typing import Any

from aimctl.domain.conditions import clip, ending

__all__ = ["excerpt", "last_lines", "masked", "printable", "without_control_sequences"]

MAX_EXCERPT = 160

# ECMA-35 and ECMA-48: sequences with parameters (colours), control strings up to their terminator (titles, links),
# designations of character sets (`tput sgr0` writes one), and sequences of two characters.
_SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"
    r"|\x1b[\]PX^_][^\x07\x1b\x9c\n]{0,2048}(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]{1,8}[0-~]"
    r"|\x1b[0-Z\\^-~]"
)

# The last word of the name of a credential. "tokenizer", counts of tokens and the special tokens of a model are not.
_WORD = (
    r"(?:(?<!bos_)(?<!eos_)(?<!pad_)(?<!unk_)token|secret|passw(?:or)?d|passphrase|credential|signature"
    r"|(?:api|access|secret|private)[_-]?key)"
)
_NAME = rf"(?<![\w-])[\w-]{{0,40}}{_WORD}"
_VALUE = r"[^\s'\"&,;|*\\]"
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    # In a URL: user:password@
    (re.compile(r"(?<=://)[^\s/]{1,512}@"), "***@"),
    # Tokens with a known prefix, such as JSON Web Tokens (RFC 7519).
    (
        re.compile(
            r"\b(hf_|gh[opsu]_|github_pat_|glpat-|nvapi-|xox[abp]-|sk-|AKIA|ASIA|eyJ)[A-Za-z0-9_.-]{8,}",
            re.ASCII,
        ),
        r"\1***",
    ),
    # The HTTP header Authorization.
    (
        re.compile(r"(\bauthorization['\"]?\s{0,2}[:=]\s{0,2}['\"]?\w{1,20}\s{1,2})[^\s'\"]+", re.IGNORECASE),
        r"\1***",
    ),
    (
        re.compile(r"\b(bearer|basic)\s+(?=\S*[\d=]|\S{16})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE | re.ASCII),
        r"\1 ***",
    ),
    # "password": "...", also within a string of JSON
    (
        re.compile(
            rf"((['\"])(?:[\w-]{{0,40}}{_WORD}|auth)\\?\2\s{{0,2}}:\s{{0,2}}\\?\2)[^'\"\\]+", re.IGNORECASE
        ),
        r"\1***",
    ),
    # Names with a quoted value, such as password="two words"
    (re.compile(rf"({_NAME}\s{{0,2}}[=:]\s{{0,2}})(['\"])(?:(?!\2).)+", re.IGNORECASE), r"\1\2***"),
    # HF_TOKEN=..., ?X-Amz-Signature=..., --token=...
    (re.compile(rf"({_NAME}=){_VALUE}+", re.IGNORECASE), r"\1***"),
    # --hf-token ...
    (re.compile(rf"((?<!-)--[\w-]{{0,40}}{_WORD}\s{{1,2}})(?!-){_VALUE}+", re.IGNORECASE), r"\1***"),
    # password: ..., aws_secret_access_key = ...; but not words of a sentence, addresses and paths
    (
        re.compile(
            rf"({_NAME}\s{{0,2}}[=:]\s{{1,2}})(?!\w{{1,10}}://|[/~.])(?={_VALUE}*\d|{_VALUE}{{16}}){_VALUE}{{4,}}",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
)


def excerpt(value: Any) -> str:
    """A value as JSON, or a text as a Python literal, cut to one line. It never raises."""
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = f"a deep {type(value).__name__}"
    return clip(printable(text[: 2 * MAX_EXCERPT]), MAX_EXCERPT)


def last_lines(output: bytes, lines: int = 5, limit: int = 600) -> str:
    """The end of a log: the last non-empty lines, joined by `` | ``, masked, printable and cut to ``limit``."""
    text = masked(output[-8 * limit :].decode("utf-8", errors="replace"))
    kept = [printable(line.strip()) for line in text.splitlines() if line.strip()][-lines:]
    joined = " | ".join(kept)
    return joined if len(joined) <= limit else f"...{ending(joined, limit - 3)}"


def masked(text: str) -> str:
    """``text`` without control sequences, with everything that looks like a credential replaced by ``***``."""
    text = without_control_sequences(text)
    for pattern, mask in _MASKS:
        text = pattern.sub(mask, text)
    return text


def without_control_sequences(text: str) -> str:
    """``text`` without control sequences of terminals. A colour before a word would hide where the word begins.

    A sequence that is cut at the end of the text remains.
    """
    return _SEQUENCE.sub("", text)


def printable(text: str) -> str:
    """``text`` with every unprintable character, such as a line break, replaced by U+FFFD."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
