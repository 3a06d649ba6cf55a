"""Parsing references to container images."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aimctl.domain.images.reference import InvalidImage, is_host, parse_image

SHA = "sha256:" + "0a" * 32

MEANINGS = {
    "vllm": ("docker.io", "library/vllm", "latest", ""),
    "vllm:1": ("docker.io", "library/vllm", "1", ""),
    "org/vllm": ("docker.io", "org/vllm", "latest", ""),
    "docker.io/vllm": ("docker.io", "library/vllm", "latest", ""),
    "index.docker.io/org/vllm:2": ("docker.io", "org/vllm", "2", ""),
    "registry-1.docker.io/org/vllm": ("docker.io", "org/vllm", "latest", ""),
    "ghcr.io/silogen/aim-llama-3-8b:0.3": ("ghcr.io", "silogen/aim-llama-3-8b", "0.3", ""),
    "GHCR.io/silogen/x": ("ghcr.io", "silogen/x", "latest", ""),
    "REGISTRY/x": ("registry", "x", "latest", ""),
    "localhost/x": ("localhost", "x", "latest", ""),
    "localhost:5000/x:y": ("localhost:5000", "x", "y", ""),
    "registry:5000/a/b/c": ("registry:5000", "a/b/c", "latest", ""),
    "10.0.0.1/x": ("10.0.0.1", "x", "latest", ""),
    "[::1]:5000/x": ("[::1]:5000", "x", "latest", ""),
    f"ghcr.io/x@{SHA}": ("ghcr.io", "x", "", SHA),
    f"ghcr.io/x:1@{SHA}": ("ghcr.io", "x", "1", SHA),
    "a__b/c--d.e": ("docker.io", "a__b/c--d.e", "latest", ""),
}


@pytest.mark.parametrize("text", MEANINGS)
def test_a_reference_is_expanded_as_container_runtimes_do(text):
    found = parse_image(text)
    assert (found.host, found.repository, found.tag, found.digest) == MEANINGS[text]
    assert parse_image(str(found)) == found


WRONG = [
    "",
    "/",
    "x/",
    "/x",
    "UPPER",
    "ghcr.io/Upper/x",
    "ghcr.io/",
    "ghcr.io//x",
    "ghcr.io/x/../y",
    "ghcr.io/x?y",
    "ghcr.io/x#y",
    "ghcr.io/x%2e",
    "a b",
    "x:",
    "x:" + "t" * 129,
    "x:.tag",
    "x:a:b",
    "x@",
    "x@sha256:abc",
    "x@md5:" + "0" * 32,
    f"x@{SHA}@{SHA}",
    "ghcr.io:port/x",
    "ghcr.io:0/x",
    "ghcr.io:65536/x",
    "user@ghcr.io/x",
    "https://ghcr.io/x",
    "-host.io/x",
    "ho_st.io/x",
    "host..io/x",
    "x" * 256,
    "ghcr.io/" + "x/" * 128 + "x",
    "\u212aube/x",
    "x\n",
    "ghcr.io/x\n",
]


@pytest.mark.parametrize("text", WRONG)
def test_an_invalid_reference_is_rejected_with_its_text_and_a_reason(text):
    with pytest.raises(InvalidImage) as caught:
        parse_image(text)
    assert repr(text)[1:20] in str(caught.value)
    assert "is not an image reference: " in str(caught.value)


@given(st.text() | st.from_regex(r"[a-z./:@\[\]A-Z0-9-]{0,40}"))
@example("[" * 60)
@example("a." * 200 + "/x")
@example("a-" * 300)
def test_any_text_is_rejected_or_has_parts_that_need_no_escaping_in_a_url(text):
    try:
        found = parse_image(text)
    except InvalidImage:
        return
    assert is_host(found.host)
    assert re.fullmatch(r"[a-z0-9._/-]+", found.repository)
    assert "//" not in found.repository
    assert re.fullmatch(r"[A-Za-z0-9_.:-]+", found.name)
    assert parse_image(str(found)) == found
