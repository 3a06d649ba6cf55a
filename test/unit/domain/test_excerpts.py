"""Excerpts of logs in messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.domain.excerpts import last_lines, masked, without_control_sequences


@given(st.binary(max_size=2000))
def test_last_lines_are_short_and_printable(printed: bytes) -> None:
    text = last_lines(printed)
    assert len(text) <= 600
    assert text.isprintable()


def test_last_lines_skips_empty_lines() -> None:
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
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic ***"),
        ("got eyJhbGciOi.eyJzdWIi.c2ln", "got eyJ***"),
        ("git clone https://user:p@ss@host/x", "git clone https://***@host/x"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = ***"),
        ("password: hunter2", "password: ***"),
        ("AWS_SECRET_ACCESS_KEY: wJalrXUtnFEMIbPxRfiCY", "AWS_SECRET_ACCESS_KEY: ***"),
        ("X-Api-Key: a1b2c3d4", "X-Api-Key: ***"),
        ("run --token s3cr3t --port 1", "run --token *** --port 1"),
        ('body "{\\"token\\": \\"s3cr3t\\"}"', 'body "{\\"token\\": \\"***\\"}"'),
        ('password="two words" is wrong', 'password="***" is wrong'),
        ("private_key=abc passphrase=def", "private_key=*** passphrase=***"),
        ("{'auth': 'bWU6aHVudGVy'}", "{'auth': '***'}"),
        ("Invalid token \x1b[33mhf_abcdefghijklmnop\x1b[0m", "Invalid token hf_***"),
        ("Invalid token \x1b(Bhf_abcdefghijklmnop", "Invalid token hf_***"),
        ("\x1b[1mHF_TOKEN\x1b[0m=\x1b[33mabcdefg\x1b(B\x1b[m is not valid", "HF_TOKEN=*** is not valid"),
        ("\x1b]8;;https://me:hunter2@git.example.com\x07link\x1b]8;;\x07 failed", "link failed"),
    ],
)  # fmt: skip
def test_credentials_are_masked(said: str, told: str) -> None:
    assert last_lines(said.encode()) == told


@pytest.mark.parametrize(
    "said",
    [
        "401 Client Error: Unauthorized for url: https://huggingface.co/api/models/x",
        "Access to the token endpoint was refused: the token is missing",
        "OSError: [Errno 28] No space left on device: '/mnt/models/tokenizer.json'",
        "s3://bucket/prefix: NoCredentialsError: Unable to locate credentials",
        "basic usage: downloader SOURCE TARGET",
        "401 basic authentication required",
        "bearer authentication failed",
        "ValueError: max_num_batched_tokens=2048 is smaller than max_model_len=4096",
        "tokenizer='meta-llama/Llama-3-8B', max_tokens=16, eos_token='</s>', token_file=/run/token",
        "SECRET_NAME=hf-token is not set",
        "Invalid token: unauthorized",
        "no credential: https://huggingface.co/settings/tokens tells how to get one",
        "password: required",
    ],
)
def test_text_that_explains_a_failure_is_not_masked(said: str) -> None:
    assert masked(said) == said


def test_a_credential_across_the_cut_is_masked() -> None:
    assert "hunter" not in last_lines(b"x" * 100 + b" HF_TOKEN=" + b"hunter" * 99 + b" end")


@given(st.text(alphabet="token-_=secret:/@ eyJ.'\"", max_size=500))
def test_masking_is_idempotent(text: str) -> None:
    once = masked(text)
    assert masked(once) == once


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[1;32m", "\x1b[38;2;255;0;0m", "\x1b[2K", "\x1b[?25h", "\x1b[1 q", "\x9b31m",
        "\x1b]0;title\x07", "\x1b]8;;https://example.com/" + "x" * 900 + "\x1b\\", "\x1bP1$r0m\x1b\\", "\x1b_x\x9c",
        "\x1b(B", "\x1b)0", "\x1b%G", "\x1b#8", "\x1b=", "\x1b>", "\x1b7", "\x1b8", "\x1bM", "\x1bc",
    ],
    ids=ascii,
)  # fmt: skip
def test_control_sequences_are_removed(sequence: str) -> None:
    assert without_control_sequences(f"{sequence}one{sequence} two{sequence}") == "one two"


def test_a_control_string_without_an_end_hides_no_other_line() -> None:
    assert without_control_sequences("\x1b]0;title\none\x07") == "\x1b]0;title\none\x07"
