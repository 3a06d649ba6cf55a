"""What of a log stands in a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.excerpts import last_lines, masked


@given(st.binary(max_size=2000))
def test_last_lines_are_short_and_printable(printed: bytes) -> None:
    text = last_lines(printed)
    assert len(text) <= 600
    assert text.isprintable()


def test_last_lines_are_the_last_that_say_something() -> None:
    assert last_lines(b"1\n2\n3\n\n4\n5\n6\n\n", lines=3) == "4 | 5 | 6"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("cannot clone https://me:hunter2@git.example.com/x", "cannot clone https://***@git.example.com/x"),
        ("Invalid token hf_abcdefghijklmnop", "Invalid token hf_***"),
        ("HF_TOKEN=abcdefg is not valid", "HF_TOKEN=*** is not valid"),
        ("export AWS_SECRET_ACCESS_KEY='q1w2/e3'", "export AWS_SECRET_ACCESS_KEY='***'"),
        ("403 for s3.example.com/m?part=1&X-Amz-Signature=0a1b&x=2", "403 for s3.example.com/m?part=1&X-Amz-Signature=***&x=2"),
        ('{"password": "hunter2", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("Authorization: Bearer abc.def-123456", "Authorization: Bearer ***"),
        ("got eyJhbGciOi.eyJzdWIi.c2ln", "got eyJ***"),
    ],
)  # fmt: skip
def test_what_looks_like_a_password_is_not_told(said: str, told: str) -> None:
    assert last_lines(said.encode()) == told


@pytest.mark.parametrize(
    "said",
    [
        "401 Client Error: Unauthorized for url: https://huggingface.co/api/models/x",
        "Access to the token endpoint was refused: the token is missing",
        "OSError: [Errno 28] No space left on device: '/mnt/models/tokenizer.json'",
        "s3://bucket/prefix: NoCredentialsError: Unable to locate credentials",
        "basic usage: downloader SOURCE TARGET",
    ],
)
def test_what_tells_the_cause_stays(said: str) -> None:
    assert masked(said) == said


def test_a_password_across_the_cut_is_masked_too() -> None:
    assert "hunter" not in last_lines(b"x" * 100 + b" HF_TOKEN=" + b"hunter" * 99 + b" end")


@given(st.text(alphabet="token-_=secret:/@ eyJ.'\"", max_size=500))
def test_masking_twice_is_masking_once(text: str) -> None:
    once = masked(text)
    assert masked(once) == once
