"""The command `python -m litestream_vfs_rs`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any, Callable

from . import __version__, connect, last_error
from ._format import WRITERS, Row
from ._library import OF_READING

EXAMPLES = """\
examples:
  python -m litestream_vfs_rs s3://bucket/app "SELECT * FROM orders LIMIT 10"
  python -m litestream_vfs_rs s3://bucket/app "SELECT count(*) FROM orders" --at "1 hour ago" --format json
  python -m litestream_vfs_rs s3://bucket/app --history
"""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m litestream_vfs_rs",
        description="Runs a statement on a Litestream replica and prints its rows.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", metavar="URL", help="the URL of the replica")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("sql", metavar="SQL", nargs="?", help="one statement")
    what.add_argument("--history", action="store_true", help="print the available states, newest first")
    what.add_argument("--status", action="store_true", help="print the status of the replica")
    parser.add_argument("--at", metavar="WHEN", help="read the state at this time, such as '1 hour ago' or 2026-01-31T12:00:00Z")
    parser.add_argument("--format", choices=sorted(WRITERS), default="table", help="how rows are printed (default: table)")
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command, and returns its exit code: 0, or 1 if the replica or the statement failed."""
    options = parser().parse_args(arguments)
    # A statement that waits for the network ends at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with closing(connect(options.url, time=options.at)) as connection:
            run(connection, options)
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader has what it wanted. Python would write to the closed pipe once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        if not is_database_error(error):
            raise
        print(f"litestream_vfs_rs: {explained(error)}", file=sys.stderr)
        return 1
    return 0


def run(connection: Any, options: argparse.Namespace) -> None:
    write = WRITERS[options.format]
    if options.status:
        (text,) = connection.execute("PRAGMA litestream_status").fetchone()
        write_status(json.loads(text), options.format, write)
        return
    columns, rows = query(connection, "SELECT * FROM litestream_history" if options.history else options.sql)
    write(sys.stdout, columns, rows)


def write_status(status: dict[str, Any], form: str, write: Callable[..., None]) -> None:
    """Prints the status: in JSON as it is, otherwise with a line for each name."""
    if form == "json":
        print(json.dumps(status, indent=2))
    else:
        write(sys.stdout, ["name", "value"], ((name, plain(value)) for name, value in status.items()))


def plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (bool, dict, list)) else value


def query(connection: Any, sql: str) -> tuple[list[str], Iterable[Row]]:
    """Runs a statement, and returns the names of its columns and its rows, which are read as they are needed."""
    cursor = connection.cursor()
    if isinstance(connection, sqlite3.Connection) or hasattr(connection, "text_factory"):
        cursor.execute(sql)
        return [column[0] for column in cursor.description or ()], cursor
    return apsw_query(cursor, sql)


def apsw_query(cursor: Any, sql: str) -> tuple[list[str], Iterator[Row]]:
    # apsw tells the columns only while the statement runs.
    columns: list[str] = []

    def started(cursor: Any, sql: str, bindings: Any) -> bool:
        columns[:] = [column[0] for column in cursor.get_description()]
        return True

    cursor.exec_trace = started
    return columns, iter(cursor.execute(sql))


def is_database_error(error: Exception) -> bool:
    """Whether this is an error of `sqlite3`, `pysqlite3` or `apsw`."""
    return isinstance(error, sqlite3.Error) or type(error).__module__.partition(".")[0] in {"apsw", "pysqlite3"}


def explained(error: Exception) -> str:
    """Returns the text of an error, with the reason if reading the replica failed."""
    reason = last_error() if str(error) in OF_READING else None
    return f"{error}: {reason}" if reason else str(error)


if __name__ == "__main__":
    sys.exit(main())
