"""Stable hashes: SHA-256 of canonical JSON, the same on every machine and in every version.

In canonical JSON keys are sorted; there are no spaces and no NaN; the encoding is UTF-8. Values that are equal as JSON
have the same hash, except that 1 and 1.0 differ.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

__all__ = ["canonical_json", "digest", "stored_size"]


_encoder = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """``value`` as canonical JSON.

    Raises:
        ValueError: NaN, infinity, a lone surrogate in a text, or a value that contains itself.
        TypeError: a value of a type that JSON does not have.
    """
    return _encoder.encode(value).encode()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return sha256(canonical_json(value)).hexdigest()


def stored_size(value: Any) -> int:
    """Size of a value in etcd, in bytes. Go's encoder escapes ``<``, ``>`` and ``&`` with six bytes each.

    Raises:
        ValueError, TypeError, RecursionError: as :func:`canonical_json`.
    """
    text = canonical_json(value)
    return len(text) + 5 * sum(map(text.count, (b"<", b">", b"&")))
