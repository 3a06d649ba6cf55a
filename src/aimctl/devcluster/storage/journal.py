"""The data file, which keeps the objects when the process ends.

Contract:
    * A write is committed before the server answers it, so an acknowledged write survives a kill of the process. If the
      whole machine crashes, the last writes may be lost, because the file is synced only at checkpoints.
    * History is not stored. After a restart, watches from an older resourceVersion get 410, and clients list again.
    * Only one process can use the file at a time. A second one gets an error that says so.

Invariant: the stored resourceVersion is at least that of every stored object, and never decreases.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, final

from aimctl.devcluster.storage.store import JournalEntry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from aimctl.devcluster.storage.records import Change

__all__ = ["FileJournal", "JournalUnusable"]

_FORMAT = 1


class JournalUnusable(Exception):  # noqa: N818 - part of the public API
    """The data file cannot be used. The text has its path, the reason and the remedy."""


@final
class FileJournal:
    """A journal in one SQLite file.

    Args:
        path: the file, which :meth:`load` opens, and creates if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def load(self) -> tuple[int, Iterable[JournalEntry]]:
        """Open the file and read all objects.

        Raises:
            JournalUnusable: another process uses it, it is not a data file of this format, or it cannot be opened.
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
        """Commit one change together with the new resourceVersion."""
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
        """Release the file. May be called more than once."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
