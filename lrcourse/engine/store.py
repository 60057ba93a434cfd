"""Finished runs on disk: one table from what made a run to its record.

A record is there whole or not at all, whatever stops the program, and two programs may share one
file.  Nothing is ever renamed or moved, so grids may grow, shrink and overlap freely.
"""

from __future__ import annotations

import io
import json
import sqlite3
import time
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrcourse.engine.signals import uninterrupted

STORE_VERSION = 2
WAIT_SECONDS = 60.0
#: States of runs under way are dropped after so many seconds: the code that made them has changed.
FORGET_SECONDS = 30 * 24 * 3600.0
TABLES = """
CREATE TABLE IF NOT EXISTS runs (made_by TEXT PRIMARY KEY, record BLOB NOT NULL, seconds REAL);
CREATE TABLE IF NOT EXISTS begun
    (made_by TEXT PRIMARY KEY, state BLOB NOT NULL, saved_at REAL NOT NULL);
"""

Variables = dict[str, tuple[tuple[str, ...], NDArray[Any]]]
Kept = tuple[Variables, dict[str, NDArray[Any]]]


class Store:
    """The records of finished runs, by the fingerprint of what made them.

    Parameters
    ----------
    path : str or Path
        An SQLite file; it is made if there is none.

    Raises
    ------
    ValueError
        When the file is something else, or cannot be written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
            with uninterrupted():
                found = self._base.execute("PRAGMA user_version").fetchone()[0]
                if found not in (0, STORE_VERSION):
                    raise ValueError(
                        f"resume: {self.path} is a store of version {found}, "
                        f"this lrcourse uses version {STORE_VERSION}; choose another file"
                    )
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    self._prepare()
                    self._base.execute("COMMIT")
                except BaseException:
                    self._base.execute("ROLLBACK")
                    raise
        except (sqlite3.Error, OSError) as error:
            if "not a database" in str(error):
                raise ValueError(
                    f"resume: {self.path} is no store of runs (an SQLite file); choose another file"
                ) from error
            raise ValueError(
                f"resume must be a file that can be written, was {str(self.path)!r}: {error}"
            ) from error
        self._told = False

    def _prepare(self) -> None:
        """Make the tables of an empty file; drop states that nobody has gone on from."""
        if self._base.execute("PRAGMA user_version").fetchone()[0] == 0:
            tables = self._base.execute("SELECT name FROM sqlite_master").fetchall()
            if tables:
                raise ValueError(
                    f"resume: {self.path} is another program's database, with {tables[0][0]!r} "
                    "in it; choose another file"
                )
        for table in filter(None, map(str.strip, TABLES.split(";"))):
            self._base.execute(table)
        self._base.execute(f"PRAGMA user_version = {STORE_VERSION}")
        last = time.time() - FORGET_SECONDS
        self._base.execute("DELETE FROM begun WHERE saved_at < ?", [last])

    def close(self) -> None:
        """Give the file back."""
        self._base.close()

    def find(self, made_by: Iterable[str]) -> dict[str, tuple[Kept, float]]:
        """Return the records that are there, with the seconds that each took."""
        wanted = list(made_by)
        found: dict[str, tuple[Kept, float]] = {}
        for i in range(0, len(wanted), 500):
            part = wanted[i : i + 500]
            marks = ",".join("?" * len(part))
            rows = self._base.execute(f"SELECT * FROM runs WHERE made_by IN ({marks})", part)
            found |= {name: (_decoded(record), seconds) for name, record, seconds in rows}
        return found

    def put(self, records: Mapping[str, Kept], seconds: float) -> None:
        """Keep records, all of them at once; a full disk is told once and costs no runs."""
        share = seconds / max(len(records), 1)
        rows = [(name, _encoded(record), share) for name, record in records.items()]
        self._write("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", rows)

    def checkpoint(self, made_by: str) -> Begun:
        """Return the place where the state of runs under way is kept."""
        return Begun(self, made_by)

    def _write(self, command: str, rows: list[tuple[Any, ...]]) -> None:
        try:
            with uninterrupted():
                self._base.execute("BEGIN IMMEDIATE")
                try:
                    self._base.executemany(command, rows)
                    self._base.execute("COMMIT")
                except BaseException:
                    self._base.execute("ROLLBACK")
                    raise
        except (sqlite3.Error, OSError) as error:
            if not self._told:
                warnings.warn(f"runs could not be kept in {self.path}: {error}", stacklevel=3)
            self._told = True


class Begun:
    """The state of runs that train together, until they have ended.

    Parameters
    ----------
    store : Store
    made_by : str
        The fingerprint of all of these runs.
    """

    def __init__(self, store: Store, made_by: str) -> None:
        self.store, self.made_by = store, made_by

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last, or None."""
        rows = self.store._base.execute("SELECT state FROM begun WHERE made_by = ?", [self.made_by])
        row = rows.fetchone()
        if row is None:
            return None
        state: dict[str, Any] = torch.load(io.BytesIO(row[0]), weights_only=True)
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Keep a flat dict of tensors and plain values in place of the last one."""
        buffer = io.BytesIO()
        with uninterrupted():
            torch.save(state, buffer)
        row = (self.made_by, buffer.getvalue(), time.time())
        self.store._write("INSERT OR REPLACE INTO begun VALUES (?, ?, ?)", [row])

    def drop(self) -> None:
        """Forget the state: the runs have ended."""
        self.store._write("DELETE FROM begun WHERE made_by = ?", [(self.made_by,)])


def _encoded(record: Kept) -> bytes:
    variables, coords = record
    head = {"dims": {name: dims for name, (dims, _) in variables.items()}, "coords": list(coords)}
    arrays = {f"v{i}": array for i, (_, array) in enumerate(variables.values())}
    arrays |= {f"c{i}": array for i, array in enumerate(coords.values())}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)
    return zlib.compress(buffer.getvalue(), 1)


def _decoded(blob: bytes) -> Kept:
    with np.load(io.BytesIO(zlib.decompress(blob)), allow_pickle=False) as file:
        head = json.loads(str(file["head"]))
        dims = enumerate(head["dims"].items())
        variables = {name: (tuple(over), file[f"v{i}"]) for i, (name, over) in dims}
        return variables, {name: file[f"c{i}"] for i, name in enumerate(head["coords"])}
