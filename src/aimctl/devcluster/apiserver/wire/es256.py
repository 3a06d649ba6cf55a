"""Signatures with ES256: ECDSA with the curve P-256 and SHA-256, as in JSON Web Tokens.

It is for the tokens of a cluster that is used in tests, not for secrets: the arithmetic does not take constant time.

Contract: the signature of a text is always the same, because its secret number is derived from key and text.

Source: the domain parameters of P-256 in FIPS 186-4, and RFC 7518, section 3.4.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

__all__ = ["encoded", "public_point", "sign"]

Point = tuple[int, int] | None

_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_BYTES = 32


def encoded(data: bytes) -> str:
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def public_point(key: int) -> tuple[str, str]:
    """The coordinates of the public key, encoded as in a JSON Web Key. ``key`` is from 1 to the order of the curve."""
    point = _times(_in_range(key), _G)
    if point is None:
        raise ValueError("the key is a multiple of the order of the curve: use another one")
    return encoded(point[0].to_bytes(_BYTES, "big")), encoded(point[1].to_bytes(_BYTES, "big"))


def sign(key: int, text: bytes) -> str:
    """The encoded signature of a text."""
    key = _in_range(key)
    digest = hashlib.sha256(text).digest()
    number = int.from_bytes(digest, "big")
    attempt = 0
    while True:
        seed = hmac.new(key.to_bytes(_BYTES, "big"), digest + bytes([attempt]), hashlib.sha256).digest()
        nonce = _in_range(int.from_bytes(seed, "big"))
        point = _times(nonce, _G)
        first = 0 if point is None else point[0] % _N
        second = pow(nonce, -1, _N) * (number + first * key) % _N
        if first and second:
            return encoded(first.to_bytes(_BYTES, "big") + second.to_bytes(_BYTES, "big"))
        attempt += 1


def _in_range(number: int) -> int:
    return number % (_N - 1) + 1


def _times(factor: int, point: Point) -> Point:
    result: Point = None
    while factor:
        if factor & 1:
            result = _plus(result, point)
        point = _plus(point, point)
        factor >>= 1
    return result


def _plus(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return other if one is None else one
    if one[0] == other[0]:
        if (one[1] + other[1]) % _P == 0:
            return None
        slope = 3 * (one[0] * one[0] - 1) * pow(2 * one[1], -1, _P) % _P
    else:
        slope = (other[1] - one[1]) * pow(other[0] - one[0], -1, _P) % _P
    x = (slope * slope - one[0] - other[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P
