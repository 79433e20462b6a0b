"""The table of commits."""

import dataclasses
import pathlib
import statistics
import tempfile

from contest import GO, LOCAL, THIS

#: This extension with a local journal.
JOURNAL = "this extension with a journal"
LATENCIES = (0, 5, 20)
#: The rows of each transaction, and how many transactions are committed.
SIZES = {1: 400, 10: 400, 1000: 100}
RUNS = 3
SETTINGS = {
    # The uploads of the Go extension are always in the background.
    GO: {"LITESTREAM_WRITE_ENABLED": "true"},
    THIS: {"LITESTREAM_WRITE_ENABLED": "true"},
    JOURNAL: {"LITESTREAM_WRITE_ENABLED": "true", "LITESTREAM_SYNC_INTERVAL": "1s"},
}
HEAD = (
    "| ms to the store | rows in a commit | local file | Go extension | this extension | this, with a journal | requests: Go | this | with a journal |\n"
    + "|---" * 9
    + "|\n"
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run: commits per second, with the time of the close, and the seconds of a commit."""

    rate: float
    median: float
    slow: float  # 99 of 100 are faster
    requests: float  # per commit


def table(contest):
    """Runs everything, and returns the table as Markdown."""
    return HEAD + "".join(_line(contest, latency, rows) for latency in LATENCIES for rows in SIZES)


def _line(contest, latency, rows):
    names = [name for name in (LOCAL, GO, THIS, JOURNAL) if name != LOCAL or latency == LATENCIES[0]]
    runs = {name: [] for name in names}
    for turn in range(RUNS):
        for name in names:
            runs[name].append(_run(contest, name, latency, rows, turn))
    cells = {name: sorted(cells, key=lambda cell: cell.rate)[RUNS // 2] for name, cells in runs.items()}
    times = [_time(cells[name]) if name in cells else "–" for name in (LOCAL, GO, THIS, JOURNAL)]
    requests = [f"{cells[name].requests:.2f}" for name in (GO, THIS, JOURNAL)]
    return f"| {latency} | {rows:,} | " + " | ".join(times + requests) + " |\n"


def _time(cell):
    return f"{cell.rate:,.0f}/s, {cell.median * 1e3:.1f} ms, {cell.slow * 1e3:.1f} ms"


def _run(contest, name, latency, rows, turn):
    """Commits to a new replica, or to a new local file."""
    replica = f"commits-{name.replace(' ', '-')}-{latency}-{rows}-{turn}"
    contest.replicas[replica] = contest.store.url(replica)
    count = SIZES[rows]
    with tempfile.TemporaryDirectory(dir=contest.work) as directory:
        buffer = {"LITESTREAM_BUFFER_PATH": str(pathlib.Path(directory) / "buffer")} if name in (GO, JOURNAL) else {}
        options = {"database": pathlib.Path(directory) / "local.db", "settings": {**SETTINGS.get(name, {}), **buffer}}
        who = THIS if name == JOURNAL else name
        result = contest.run(who, ["commits", count, rows], latency, replica=replica, **options)
    if result.rows != count * rows:
        raise SystemExit(f"{name}: {result.rows} rows, expected {count * rows}")
    return Cell(
        rate=count / result.seconds,
        median=statistics.median(result.commits),
        slow=statistics.quantiles(result.commits, n=100)[98],
        requests=result.requests / count,
    )
