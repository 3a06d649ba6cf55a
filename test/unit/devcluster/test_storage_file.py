"""The data file, which keeps state across restarts."""

from __future__ import annotations

import random
import sqlite3

import pytest

from aimctl.devcluster import ApiServer, FileJournal, JournalUnusable
from aimctl.testing.virtualtime import virtual_clock, virtual_time
from support.apiserver import CONFIG_MAPS, CRDS, WIDGETS, Api, config_map, crd, widget


def started(path) -> Api:
    server = ApiServer(clock=virtual_clock(), rng=random.Random(2), journal=FileJournal(path))
    server.start()
    return Api(server)


@virtual_time
async def restart(path) -> None:
    api = started(path)
    await api.ok("POST", CONFIG_MAPS, config_map("kept", a="1"))
    await api.ok("POST", CONFIG_MAPS, config_map("gone"))
    await api.ok("DELETE", f"{CONFIG_MAPS}/gone")
    await api.ok("POST", CRDS, crd())
    made = await api.ok("POST", WIDGETS, widget("w", size="small"))
    before = api.server.storage.version
    api.server.close()

    api = started(path)
    assert api.server.storage.version == before
    assert (await api.ok("GET", f"{CONFIG_MAPS}/kept"))["data"] == {"a": "1"}
    assert (await api("GET", f"{CONFIG_MAPS}/gone")).status == 404
    assert await api.ok("GET", f"{WIDGETS}/w") == made
    old = await api.ok("GET", CONFIG_MAPS)
    async with api.watch(CONFIG_MAPS, {"resourceVersion": str(before - 1)}) as lines:
        assert (await lines.next())["object"]["reason"] == "Expired"
    async with api.watch(CONFIG_MAPS, {"resourceVersion": old["metadata"]["resourceVersion"]}) as lines:
        new = await api.ok("POST", CONFIG_MAPS, config_map("new"))
        assert int(new["metadata"]["resourceVersion"]) > before
        assert await lines.seen(1) == [("ADDED", "new")]
    api.server.close()


def test_a_restart_keeps_objects_kinds_and_the_resource_version_but_not_history(tmp_path) -> None:
    restart(tmp_path / "data.db")


def test_a_write_is_in_the_file_before_its_response(tmp_path) -> None:
    path = tmp_path / "data.db"

    @virtual_time
    async def killed() -> None:
        api = started(path)
        await api.ok("POST", CONFIG_MAPS, config_map("kept"))
        # The process ended without close, and with it the lock.
        connection = api.server.storage._journal._connection
        rows = connection.execute("SELECT key FROM objects WHERE collection='configmaps'").fetchall()
        assert rows == [("default/kept",)]
        assert not connection.in_transaction
        api.server.close()

    killed()


def test_a_file_in_use_is_reported_with_the_remedy(tmp_path) -> None:
    first = FileJournal(tmp_path / "data.db")
    first.load()
    second = FileJournal(tmp_path / "data.db")
    with pytest.raises(JournalUnusable, match=r"data\.db: .*another aimctl"):
        second.load()
    first.close()
    assert second.load() == (0, [])
    second.close()


def test_a_file_of_another_program_is_not_changed(tmp_path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be looked at as one by its header" * 20)
    with pytest.raises(JournalUnusable, match="not written by aimctl"):
        FileJournal(path).load()
    assert path.read_text().startswith("not a database")


def test_a_file_with_a_newer_format_is_rejected(tmp_path) -> None:
    path = tmp_path / "data.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=9")
    connection.close()
    with pytest.raises(JournalUnusable, match="format 9"):
        FileJournal(path).load()


def test_a_missing_folder_is_named(tmp_path) -> None:
    with pytest.raises(JournalUnusable, match="missing"):
        FileJournal(tmp_path / "missing" / "data.db").load()
