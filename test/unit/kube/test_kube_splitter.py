from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.runtime.kube.errors import WatchLineTooLong
from aimctl.runtime.kube.splitter import MAX_LINE_BYTES, LineSplitter


@given(
    data=st.binary(max_size=200).map(lambda raw: raw.replace(b"\x00", b"\n")),
    cuts=st.lists(st.integers(0, 200)),
)
def test_the_lines_do_not_depend_on_the_chunks(data: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    splitter = LineSplitter()
    lines = [line for start, end in itertools.pairwise(places) for line in splitter.feed(data[start:end])]
    assert b"\n".join([*lines, splitter.rest]) == data
    assert all(b"\n" not in line for line in lines)


def test_an_empty_chunk_changes_nothing() -> None:
    splitter = LineSplitter()
    assert list(splitter.feed(b"")) == []
    assert splitter.rest == b""


@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_line_of_exactly_the_limit_passes_and_one_byte_more_does_not(step: int) -> None:
    def run(size: int) -> list[bytes]:
        splitter = LineSplitter(limit_bytes=10)
        data = b"x" * size + b"\n"
        return [
            line for start in range(0, len(data), step) for line in splitter.feed(data[start : start + step])
        ]

    assert run(10) == [b"x" * 10]
    with pytest.raises(WatchLineTooLong) as caught:
        run(11)
    assert caught.value.limit_bytes == 10


def test_lines_before_the_one_that_is_too_long_are_returned_first() -> None:
    lines = LineSplitter(limit_bytes=4).feed(b"a\nbb\nccccc\nd\n")
    assert [next(lines), next(lines)] == [b"a", b"bb"]
    with pytest.raises(WatchLineTooLong):
        next(lines)


def test_a_line_without_end_raises_at_the_limit() -> None:
    splitter = LineSplitter(limit_bytes=10)
    assert list(splitter.feed(b"x" * 10)) == []
    with pytest.raises(WatchLineTooLong):
        list(splitter.feed(b"x"))
    assert splitter.rest == b""


def test_the_default_limit_is_16_mib() -> None:
    assert MAX_LINE_BYTES == 16 * 1024 * 1024
