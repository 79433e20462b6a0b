"""The rows of the table: what is run, and for whom."""

import dataclasses
import pathlib

from contest import GO, LOCAL, THIS

QUERIES = pathlib.Path(__file__).with_name("analytic.sql")
TABLE = "orders"
IDLE_CONNECTIONS, IDLE_SECONDS = 50, 20
ONCE_FOR_GO = {LOCAL: 5, GO: 1, THIS: 5}


@dataclasses.dataclass
class Row:
    """A line of the table: results by competitor, and what is to be reached."""

    work: str
    results: dict
    aim: str
    is_time: bool = True  # or else how many requests, and how much memory


def all_rows(contest, lookups, cache):
    """Runs everything. Slow rows of the Go extension are run once."""
    yield warm_lookups(contest, lookups, cache, threads=1)
    yield warm_lookups(contest, lookups, cache, threads=8)
    for replica in ("once", "history"):
        yield opening(contest, replica)
    yield cold_lookups(contest)
    yield cold_scan(contest, contest.latency)
    yield warm_queries(contest, cache)
    yield cold_queries(contest)
    yield idle(contest)


def warm_lookups(contest, lookups, cache, threads):
    results = warm(contest, ["lookups", lookups, 2, threads], cache)
    work = f"{lookups:,} random lookups by key, warm, a transaction each"
    if threads > 1:
        work = f"the same by {threads} threads at once, with a connection each"
    return Row(work, results, "≤ 1 × local file")


def opening(contest, replica):
    files = len(contest.files[replica])
    runs = {GO: 5, THIS: 5}
    results = contest.in_turn(runs, ["open"], replica=replica)
    levels = sorted({level for level, *_ in contest.files[replica]})
    work = f"open, {files} files at levels {', '.join(map(str, levels))}"
    return Row(work, results, "≤ 5 round trips one after another")


def cold_lookups(contest):
    results = contest.in_turn(ONCE_FOR_GO, ["lookups", 200, 1, 1], replica="once")
    return Row("200 random lookups by key, cold", results, "≤ 0.8 s")


def cold_scan(contest, latency, runs=ONCE_FOR_GO):
    results = contest.in_turn(runs, ["scan", TABLE], replica="once", latency=latency)
    bound = limit(contest, results[THIS], latency)
    return Row(f"every row of {TABLE}, cold", results, f"≤ 2 × (bytes ÷ bandwidth + 4 round trips): {2 * bound:.2f} s")


def limit(contest, result, latency):
    """What the bytes that were fetched take by one connection, and four round trips."""
    return result.counts["bytes"] / (contest.bandwidth * 1e6) + 4 * latency / 1000


def warm_queries(contest, cache):
    results = warm(contest, ["queries", QUERIES, 2], cache)
    return Row("12 analytic queries, warm", results, "≤ 1.1 × local file")


def warm(contest, workload, cache):
    """A workload of two passes, over a directory."""
    return contest.in_turn(ONCE_FOR_GO, workload, replica="directory", cache=cache, warm=True)


def cold_queries(contest):
    results = contest.in_turn({LOCAL: 5, THIS: 5}, ["queries", QUERIES, 1], replica="once")
    download = contest.snapshot_bytes / (contest.bandwidth * 1e6) + contest.latency / 1000
    local = results[LOCAL].seconds
    aim = f"≤ downloading first: {download:.2f} s + {local:.2f} s"
    return Row("12 analytic queries, cold", results, aim)


def idle(contest):
    """The first second, with the opening, is measured apart and subtracted."""
    results = {}
    for who in (GO, THIS):
        start = contest.run(who, ["idle", IDLE_CONNECTIONS, 1], replica="once")
        whole = contest.run(who, ["idle", IDLE_CONNECTIONS, 1 + IDLE_SECONDS], replica="once")
        counts = {kind: max(whole.counts[kind] - start.counts[kind], 0) for kind in whole.counts}
        cpu = max(whole.cpu - start.cpu, 0)
        results[who] = dataclasses.replace(whole, seconds=IDLE_SECONDS, counts=counts, cpu=cpu)
    return Row(f"{IDLE_CONNECTIONS} idle connections for {IDLE_SECONDS} s", results, f"≤ {IDLE_SECONDS} requests, < 40 MB", is_time=False)
