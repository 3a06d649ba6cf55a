"""A file that lets the cluster's state outlive its process.

Contract: every write is committed before the server answers it, so what a client saw acknowledged is there
after a kill of the process. (A crash of the whole machine may lose the last moments: the file is synced at
checkpoints.) Events are not kept: after a restart, watches from an older resourceVersion get 410 and their
clients list again.

Invariant: the stored resourceVersion is never below that of any stored object, and never goes back.
One process has the file at a time; a second one is told so by name.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, final

from aimctl.devcluster.storage.store import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aimctl.devcluster.storage.store import Change

__all__ = ["FileJournal", "JournalUnusable"]

_FORMAT = 1


class JournalUnusable(Exception):  # noqa: N818 - named for what is the matter
    """The data file cannot be used; the text names it, the reason and the remedy."""


@final
class FileJournal:
    """A journal in one SQLite file. ``load`` opens it (and creates it); ``close`` is idempotent."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def load(self) -> tuple[int, Iterable[JournalEntry]]:
        """Open the file and read everything.

        Raises:
            JournalUnusable: another process has it, it is no data file of ours, or it cannot be opened.
        """
        try:
            connection = sqlite3.connect(self._path, isolation_level=None, timeout=0)
        except sqlite3.Error as error:
            raise JournalUnusable(
                f"data file {self._path}: {error}; name a path that can be written"
            ) from error
        try:
            version, entries = self._open(connection)
        except sqlite3.OperationalError as error:
            connection.close()
            raise JournalUnusable(
                f"data file {self._path}: {error}; is another aimctl using it? Stop it, or name another file"
            ) from error
        except sqlite3.DatabaseError as error:
            connection.close()
            raise JournalUnusable(
                f"data file {self._path}: {error}; it was not written by aimctl: name another file"
            ) from error
        except JournalUnusable:
            connection.close()
            raise
        self._connection = connection
        return version, entries

    def _open(self, connection: sqlite3.Connection) -> tuple[int, list[JournalEntry]]:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN EXCLUSIVE")
        found = connection.execute("PRAGMA user_version").fetchone()[0]
        if found not in (0, _FORMAT):
            raise JournalUnusable(
                f"data file {self._path} has format {found}, this aimctl reads {_FORMAT}: name another file"
            )
        connection.execute("CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value INTEGER NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS objects (collection TEXT, key TEXT, version INTEGER NOT NULL,"
            " body BLOB NOT NULL, PRIMARY KEY (collection, key)) WITHOUT ROWID"
        )
        connection.execute(f"PRAGMA user_version={_FORMAT}")
        connection.execute("COMMIT")
        row = connection.execute("SELECT value FROM state WHERE name='version'").fetchone()
        rows = connection.execute(
            "SELECT collection, key, version, body FROM objects ORDER BY collection, key"
        )
        return (row[0] if row else 0), [JournalEntry(*each) for each in rows]

    def write(self, collection: str, change: Change) -> None:
        """Commit one change and the new resourceVersion together."""
        connection = self._connection
        if connection is None:
            raise JournalUnusable(f"data file {self._path} is not open: call load first")
        connection.execute("BEGIN")
        try:
            if change.type == "DELETED":
                connection.execute(
                    "DELETE FROM objects WHERE collection=? AND key=?", (collection, change.record.key)
                )
            else:
                connection.execute(
                    "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?)",
                    (collection, change.record.key, change.version, change.record.raw),
                )
            connection.execute("INSERT OR REPLACE INTO state VALUES ('version', ?)", (change.version,))
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
