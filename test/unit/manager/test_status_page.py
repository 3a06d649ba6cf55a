"""The status page: which rows its sections show, what an answer costs, and the routes of the document and the data."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from contextlib import asynccontextmanager

import aiohttp
import pytest

from aimctl.runtime.clock import LoopClock
from aimctl.runtime.manager import Manager, ManagerOptions
from aimctl.runtime.manager.serving.debug import DebugPages
from aimctl.runtime.manager.serving.sections import MAX_TEXT, Table, words_of
from aimctl.runtime.manager.serving.status import FRESH_SECONDS, MAX_FILTER, SLICE, StatusPage, read_section
from support.leaseapi import LeaseApi, LeaseTransport

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def table_of(*rows, words="", **options) -> Table:
    table = Table("Things", words_of(words), **options)
    for row in rows:
        table.add(row)
    return table


def test_problems_come_first_and_the_order_is_kept_otherwise():
    rows = [{"name": name, "problem": name in "bd"} for name in "abcd"]
    shown = table_of(*rows).as_json()
    assert shown["columns"] == ["name"]
    assert shown["rows"] == [
        {"problem": True, "cells": ["b"]},
        {"problem": True, "cells": ["d"]},
        {"problem": False, "cells": ["a"]},
        {"problem": False, "cells": ["c"]},
    ]
    assert (shown["matching"], shown["problems"], shown["left_out"]) == (4, 2, 0)


def test_a_long_section_is_cut_and_says_how_many_rows_are_left_out():
    rows = [{"name": number, "problem": number >= 7} for number in range(10)]
    table = table_of(*rows, limit=4)
    assert [row["name"] for row in table.rows] == [7, 8, 9, 0]
    assert table.as_json()["left_out"] == 6
    cut = table_of(*rows, limit=2).as_json()
    assert [row["cells"] for row in cut["rows"]] == [[7], [8]]
    assert (cut["problems"], cut["left_out"]) == (3, 8)


def test_a_filter_finds_rows_that_contain_all_of_its_words():
    rows = [
        {"name": "Llama", "state": "Failed", "ready": False, "problem": True},
        {"name": "llama-2", "state": "Running", "ready": True},
        {"name": "qwen", "state": None},
    ]
    assert [row["name"] for row in table_of(*rows, words="LLAMA no").rows] == ["Llama"]
    assert table_of(*rows, words="llama").matching == 2
    assert table_of(*rows, words="true").matching == 0
    assert table_of(*rows, words="  ").matching == 3


def test_cells_are_texts_numbers_booleans_or_null():
    found = table_of({"a": HOSTILE, "b": ("x",), "c": "\ud800", "d": "y" * 10_000, "e": None, "f": 1.5})
    a, b, c, d, e, f = found.as_json()["rows"][0]["cells"]
    assert (a, b, c, e, f) == (HOSTILE, "('x',)", "?", None, 1.5)
    assert len(d) == MAX_TEXT
    assert d.endswith("…")


async def test_other_tasks_run_while_a_large_section_is_read():
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    table = Table("Things")
    await read_section(table, lambda: ({"n": number} for number in range(20 * SLICE)), LoopClock())
    counting.cancel()
    assert table.matching == 20 * SLICE
    assert turns >= 20


async def test_a_section_that_fails_shows_the_error_and_the_rows_before_it():
    def rows():
        yield {"n": 1}
        raise LookupError("no more")

    pages = DebugPages()
    page = StatusPage(pages)
    page.add("Broken", rows)
    page.add("Whole", lambda: {"n": 2})
    broken, whole = (await page.answer()).tables
    assert (broken.rows, broken.error) == ([{"n": 1}], "LookupError: no more")
    assert (whole.rows, whole.error) == ([{"n": 2}], "")


class HandClock(LoopClock):
    """A clock that only the test and sleeping tasks advance."""

    def __init__(self) -> None:
        self.time = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


async def test_all_clients_together_take_at_most_a_tenth_of_the_event_loop():
    clock, made = HandClock(), []
    page = StatusPage(DebugPages(), clock)

    def slow():
        clock.time += 0.5
        made.append(clock.time)
        return {"n": len(made)}

    page.add("Slow", slow)
    first = await page.answer()
    clock.time += 4.4
    assert await page.answer() is first
    assert clock.slept == [0.0]
    second, *others = await asyncio.gather(*(page.answer("n") for _ in range(10)))
    assert clock.slept == [0.0, pytest.approx(0.1)]
    assert all(one is second for one in others)
    assert len(made) == 2


async def test_nothing_is_read_for_a_client_that_has_gone_while_it_waited():
    clock, made = HandClock(), []
    page = StatusPage(DebugPages(), clock)
    page.add("Counted", lambda: made.append(1) or {"n": len(made)})
    assert (await page.answer("a", gone=lambda: True)).tables == []
    assert made == []
    assert len((await page.answer("a")).tables) == 1


async def test_clients_with_the_same_filter_get_the_same_answer_for_a_second():
    clock = HandClock()
    page = StatusPage(DebugPages(), clock)
    page.add("Quick", lambda: [{"name": "a"}, {"name": "b"}])
    everything, a = await page.answer(), await page.answer("a")
    assert [table.matching for table in (*everything.tables, *a.tables)] == [2, 1]
    clock.time += FRESH_SECONDS * 0.9
    assert await page.answer("a") is a
    clock.time += FRESH_SECONDS * 0.2
    assert await page.answer("a") is not a
    for number in range(100):
        await page.answer(str(number))
    assert len(page._answers) < 10


def test_a_title_is_unique_and_not_empty():
    page = StatusPage(DebugPages())
    page.add("Mine", dict)
    with pytest.raises(ValueError, match=r"'Mine'.*exists already: choose another title"):
        page.add("Mine", dict)
    with pytest.raises(ValueError, match="needs a title"):
        page.add(" ", dict)


async def test_the_page_of_several_clusters_has_the_sections_of_each():
    pages = DebugPages()
    page = StatusPage(pages)
    for name in ("east", "west"):
        of_cluster = DebugPages()
        of_cluster.standing = lambda name=name: "standby" if name == "west" else ""
        inner = StatusPage(of_cluster)
        inner.add("Queues", dict, last=True)
        inner.add("Services", dict)
        pages.include(name, of_cluster)
        page.include(name, inner)
    found = await page.answer()
    assert [table.title for table in found.tables] == [
        "east: Services",
        "east: Queues",
        "west: Services",
        "west: Queues",
    ]
    assert found.standing == "west: standby"


@asynccontextmanager
async def serving():
    options = ManagerOptions(metrics_bind_address="127.0.0.1:0")
    manager = Manager(LeaseTransport(LeaseApi()), clock=LoopClock(), options=options, identity=HOSTILE)
    manager.add_status_section("Mine", lambda: [{"name": HOSTILE}, {"name": "other", "problem": True}])
    stop = asyncio.Event()
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks, aiohttp.ClientSession() as session:
        tasks.create_task(manager.run(stop))
        await manager.elected.wait()

        async def get(path, **headers):
            url = f"http://127.0.0.1:{manager.metrics_port}{path}"
            async with session.get(url, headers=headers) as answer:
                return answer.status, await answer.text(), answer.headers

        try:
            yield get
        finally:
            stop.set()


async def test_a_browser_gets_a_document_without_data_whose_policy_allows_only_its_own_script():
    async with serving() as get:
        for path in ("/debug", "/debug/"):
            status, text, headers = await get(path, Accept="text/html,application/xhtml+xml,*/*;q=0.8")
            assert status == 200
            assert headers["Content-Type"] == "text/html; charset=utf-8"
        (script,) = re.findall("<script>(.*?)</script>", text, re.DOTALL)
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert policy["script-src"] == f"'sha256-{digest}'"
        assert (policy["default-src"], policy["connect-src"]) == ("'none'", "'self'")
        assert (policy["frame-ancestors"], policy["form-action"]) == ("'none'", "'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert HOSTILE not in text
        assert not re.findall(r"\bhttps?://|\bsrc=|\bon[a-z]+=|innerHTML|style=", text)


async def test_other_clients_get_the_list_of_pages_and_the_data_as_text_or_json():
    async with serving() as get:
        status, text, headers = await get("/debug")
        assert (status, "/debug/status\n" in text) == (200, True)
        status, text, headers = await get("/debug/status?format=json&filter=mine-not", Accept="text/html")
        assert headers["Content-Type"].startswith("application/json")
        assert all(not section["rows"] for section in json.loads(text)["sections"])
        _, text, headers = await get("/debug/status?format=json")
        sections = {section["title"]: section for section in json.loads(text)["sections"]}
        assert list(sections) == [
            "Leader election",
            "Mine",
            "Controllers",
            "Queues",
            "Caches of the manager",
        ]
        assert sections["Mine"]["rows"] == [
            {"problem": True, "cells": ["other"]},
            {"problem": False, "cells": [HOSTILE]},
        ]
        status, text, headers = await get("/debug/status")
        assert headers["Content-Type"].startswith("text/plain")
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "# Mine\nNAME\nother\n" in text
        assert (await get(f"/debug/status?filter={'x' * (MAX_FILTER + 1)}"))[0] == 400
