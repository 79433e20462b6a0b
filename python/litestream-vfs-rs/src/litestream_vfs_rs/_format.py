"""The formats in which the command prints rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any, Callable, TextIO

Row = Sequence[Any]
Writer = Callable[[TextIO, Sequence[str], Iterable[Row]], None]

# The widths of a table's columns are those of the first rows, so that a large result can be printed while it is read.
MEASURED = 1000


def write_table(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes aligned columns, numbers to the right. Later rows that need more width than the first 1000 are not aligned."""
    if not columns:
        return
    rows = iter(rows)
    first = list(islice(rows, MEASURED))
    widths = [max(map(len, cells)) for cells in zip(columns, *(map(cell, row) for row in first))]
    numbers = [bool(values) and all(value is None or is_number(value) for value in values) for values in transposed(first, len(columns))]

    def line(cells: Iterable[str]) -> str:
        aligned = (text.rjust(width) if number else text.ljust(width) for text, width, number in zip(cells, widths, numbers))
        return "  ".join(aligned).rstrip() + "\n"

    out.write(line(columns))
    out.write("  ".join("-" * width for width in widths) + "\n")
    for row in chain(first, rows):
        out.write(line(map(cell, row)))


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes CSV with a header. NULL is an empty field."""
    writer = csv.writer(out, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    writer.writerows(map(cell, row) for row in rows)


def write_json(out: TextIO, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """Writes an array with an object for each row, one per line."""
    separator = "["
    for row in rows:
        members = (f"{json.dumps(name)}: {json_value(value)}" for name, value in zip(columns, row))
        out.write(f"{separator}{{{', '.join(members)}}}")
        separator = ",\n "
    out.write("[]\n" if separator == "[" else "]\n")


WRITERS: dict[str, Writer] = {"csv": write_csv, "json": write_json, "table": write_table}


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def transposed(rows: Sequence[Row], columns: int) -> list[list[Any]]:
    return [[row[column] for row in rows] for column in range(columns)]


def cell(value: Any) -> str:
    """Returns a value as text: NULL is empty, and a BLOB is written as in SQL."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"X'{value.hex().upper()}'"
    return str(value)


def json_value(value: Any) -> str:
    # JSON has no infinite numbers. Those of SQLite's shell are read as infinite everywhere.
    if value in (float("inf"), float("-inf")):
        return "9.0e+999" if value > 0 else "-9.0e+999"
    return json.dumps(cell(value) if isinstance(value, bytes) else value)
