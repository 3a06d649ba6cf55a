"""Hashes that are the same on every machine and in every version: canonical JSON, then SHA-256.

Canonical means: keys sorted, no spaces, UTF-8, no NaN. Two values have one hash if and only if they are
equal JSON, except that 1 and 1.0 differ.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

__all__ = ["canonical_json", "digest", "stored_size"]


def canonical_json(value: Any) -> bytes:
    """The one way to write ``value`` as JSON.

    Raises:
        ValueError: NaN, infinity, a lone surrogate in a text, or a value that contains itself.
        TypeError: something that JSON does not have.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(value: Any) -> str:
    """SHA-256 over the canonical JSON, as 64 hex characters."""
    return sha256(canonical_json(value)).hexdigest()


def stored_size(value: Any) -> int:
    """Bytes of a value in etcd, where three characters of HTML take six bytes each: Go's encoder escapes them.

    Raises:
        ValueError, TypeError, RecursionError: as :func:`canonical_json`.
    """
    text = canonical_json(value)
    return len(text) + 5 * sum(map(text.count, (b"<", b">", b"&")))
