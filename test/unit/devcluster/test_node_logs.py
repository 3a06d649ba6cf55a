import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimctl.devcluster.apiserver.logs import LogKey, LogOptions, NoSuchLog, NotStarted
from aimctl.devcluster.node.kubelet import log_options
from aimctl.devcluster.node.logs import ContainerLogs
from aimctl.testing.virtualtime import run_virtual, virtual_clock, virtual_time

KEY = LogKey("ns", "pod", "main")


@virtual_time
async def test_a_container_that_has_not_started_reports_the_reason():
    logs = ContainerLogs(clock=virtual_clock())
    logs.waiting(KEY, "u", "ImagePullBackOff")
    with pytest.raises(NotStarted, match="waiting to start: ImagePullBackOff"):
        logs.read(KEY, LogOptions())
    with pytest.raises(NoSuchLog):
        logs.read(LogKey("ns", "other", "main"), LogOptions())


@virtual_time
async def test_a_follower_gets_every_byte_once_and_ends_with_the_container():
    logs = ContainerLogs(clock=virtual_clock())
    logs.start(KEY, "u", b"first\n")
    got = []

    async def follow():
        got.extend([chunk async for chunk in logs.follow(KEY, LogOptions())])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow())
        await asyncio.sleep(1)
        logs.write(KEY, b"second\n")
        logs.write(KEY, b"third\n")
        await asyncio.sleep(1)
        logs.write(KEY, b"last\n")
        logs.end(KEY)
    assert b"".join(got) == b"first\nsecond\nthird\nlast\n"


@virtual_time
async def test_a_deleted_pod_ends_its_followers_and_loses_its_log():
    logs = ContainerLogs(clock=virtual_clock())
    logs.start(KEY, "u", b"x")
    async with asyncio.TaskGroup() as tasks:
        follower = tasks.create_task(anext(_drained(logs)))
        await asyncio.sleep(1)
        logs.forget("ns", "pod", "u")
    assert follower.result() == b"x"
    with pytest.raises(NoSuchLog):
        logs.read(KEY, LogOptions())


async def _drained(logs):
    yield b"".join([chunk async for chunk in logs.follow(KEY, LogOptions())])


@virtual_time
async def test_the_run_before_this_one_is_kept_as_previous():
    logs = ContainerLogs(clock=virtual_clock())
    logs.start(KEY, "u", b"one")
    with pytest.raises(NotStarted, match="previous terminated container"):
        logs.read(KEY, LogOptions(previous=True))
    logs.start(KEY, "u", b"two")
    assert logs.read(KEY, LogOptions(previous=True)) == b"one"
    assert logs.read(KEY, LogOptions()) == b"two"


@virtual_time
async def test_a_pod_of_another_uid_starts_a_new_log():
    logs = ContainerLogs(clock=virtual_clock())
    logs.start(KEY, "u", b"old")
    logs.waiting(KEY, "v", "ContainerCreating")
    with pytest.raises(NotStarted):
        logs.read(KEY, LogOptions())
    logs.forget("ns", "pod", "u")
    logs.start(KEY, "v", b"new")
    assert logs.read(KEY, LogOptions()) == b"new"


@virtual_time
async def test_since_and_timestamps_use_the_time_of_the_write():
    logs = ContainerLogs(clock=virtual_clock())
    logs.start(KEY, "u", b"old\n")
    await asyncio.sleep(10)
    logs.write(KEY, b"a\nb\n")
    assert logs.read(KEY, LogOptions(since_seconds=5)) == b"a\nb\n"
    stamp = b"2026-01-01T00:00:10.000000Z "
    assert logs.read(KEY, LogOptions(since_seconds=5, timestamps=True)) == stamp + b"a\n" + stamp + b"b\n"


@given(
    text=st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\n\n"]), max_size=20).map(b"".join),
    lines=st.integers(0, 6),
    limit=st.integers(0, 12),
)
def test_tail_counts_lines_from_the_end_and_the_limit_cuts_what_is_left(text, lines, limit):
    async def scenario():
        logs = ContainerLogs(clock=virtual_clock())
        logs.start(KEY, "u", text)
        return logs.read(KEY, LogOptions(tail_lines=lines, limit_bytes=limit))

    kept = text.splitlines(keepends=True)
    expected = b"".join(kept[len(kept) - lines :] if lines < len(kept) else kept)[:limit]
    assert run_virtual(scenario()) == expected


@pytest.mark.parametrize("query", [{"tailLines": "x"}, {"limitBytes": "-1"}, {"sinceTime": "yesterday"}])
def test_an_invalid_parameter_is_named_with_its_value(query):
    ((name, value),) = query.items()
    with pytest.raises(ValueError, match=name) as caught:
        log_options(query)
    assert repr(value) in str(caught.value)


@virtual_time
async def test_texts_for_later_times_are_added_at_their_time():
    clock = virtual_clock()
    logs = ContainerLogs(clock=clock)
    logs.start(KEY, "uid", b"one\n", [(clock.now() + timedelta(seconds=at), b"%d\n" % at) for at in (10, 20)])
    assert logs.read(KEY, LogOptions()) == b"one\n"
    await asyncio.sleep(10)
    assert logs.read(KEY, LogOptions()) == b"one\n10\n"
    logs.write(KEY, b"between\n")
    await asyncio.sleep(10)
    assert logs.read(KEY, LogOptions()) == b"one\n10\nbetween\n20\n"
    assert logs.read(KEY, LogOptions(since_seconds=5)) == b"20\n"


@virtual_time
async def test_texts_due_after_the_end_are_not_added():
    clock = virtual_clock()
    logs = ContainerLogs(clock=clock)
    logs.start(KEY, "uid", b"", [(clock.now() + timedelta(seconds=at), b"%d\n" % at) for at in (10, 20)])
    await asyncio.sleep(15)
    logs.end(KEY)
    await asyncio.sleep(15)
    assert logs.read(KEY, LogOptions()) == b"10\n"


@virtual_time
async def test_a_termination_message_has_at_most_80_lines_and_2048_bytes():
    logs = ContainerLogs(clock=virtual_clock())
    assert logs.termination_message(KEY) == ""
    logs.start(KEY, "uid", b"".join(b"%03d\n" % line for line in range(100)))
    assert logs.termination_message(KEY).splitlines() == [f"{line:03d}" for line in range(20, 100)]
    logs.start(KEY, "uid", b"x" * 3000 + b"end")
    assert logs.termination_message(KEY) == "x" * 2045 + "end"
