"""The rows of the table: which workload runs, and for which competitors."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import tempfile

from contest import GO, HYDRATED, LOCAL, RUNS, THIS

QUERIES = pathlib.Path(__file__).with_name("analytic.sql")
TABLE = "orders"
LOOKUPS, LOOKUPS_WORK = ["lookups", 200, 1, 1], "200 random lookups by key"
SCAN, SCAN_WORK = ["scan", TABLE], f"every row of {TABLE}"
ANALYSIS, QUERIES_WORK = ["queries", QUERIES, 1], "12 analytic queries"
IDLE_CONNECTIONS, IDLE_SECONDS = 50, 20
PROCESSES, EACH_LOOKUPS = 8, 2_000
# The Go extension takes minutes for some workloads, with and without hydration.
EACH = {LOCAL: RUNS, GO: 1, HYDRATED: 1, THIS: RUNS}
TIME, TRAFFIC, SIZE = "time", "traffic", "size"
# macOS keeps what other libraries need only with -x.
STRIP_FLAGS = ["-x"] if sys.platform == "darwin" else []


@dataclasses.dataclass
class Row:
    """A row of the table: the results by competitor, and the aim. The results of a size are bytes."""

    work: str
    results: dict
    aim: str
    kind: str = TIME


def all_rows(contest, lookups):
    """Runs everything."""
    yield warm_lookups(contest, lookups, threads=1)
    yield warm_lookups(contest, lookups, threads=8)
    for replica in ("once", "history"):
        yield opening(contest, replica)
    for name in contest.large:
        yield large_opening(contest, name)
    yield (lookups_row := cold_lookups(contest))
    yield (scan_row := cold_scan(contest, contest.latency))
    yield warm_queries(contest)
    yield (queries_row := cold_queries(contest))
    yield restored(contest, LOOKUPS, LOOKUPS_WORK, lookups_row)
    yield restored(contest, SCAN, SCAN_WORK, scan_row)
    yield restored(contest, ANALYSIS, QUERIES_WORK, queries_row)
    yield second_process(contest, lookups_row)
    yield from_directory(contest, lookups)
    yield many_processes(contest)
    yield hydration(contest)
    yield from differences(contest)
    yield idle(contest)
    yield library_size(contest)


def warm_lookups(contest, lookups, threads):
    results = warm(contest, ["lookups", lookups, 2, threads])
    work = f"{lookups:,} random lookups by key, warm, a transaction each"
    if threads > 1:
        work = f"the same by {threads} threads at once, with a connection each"
    return Row(work, results, "≤ 1 × local file")


def opening(contest, replica):
    files = len(contest.files[replica])
    results = contest.in_turn({GO: RUNS, HYDRATED: RUNS, THIS: RUNS}, ["open"], replica=replica)
    levels = sorted({level for level, *_ in contest.files[replica]})
    work = f"open, {files} files at levels {', '.join(map(str, levels))}"
    return Row(work, results, "≤ 5 round trips one after another")


def large_opening(contest, name):
    """The pages of these databases do not exist, except the first: the files are sparse."""
    options = {"replica": name, "database": contest.large[name]}
    results = contest.in_turn({LOCAL: RUNS, GO: 1, THIS: RUNS}, ["open"], **options)
    return Row(f"open a database of {name}", results, "≤ 5 round trips one after another")


def cold_lookups(contest):
    results = contest.in_turn(EACH, LOOKUPS, replica="once")
    return Row(f"{LOOKUPS_WORK}, cold", results, "≤ 0.8 s")


def cold_scan(contest, latency, runs=EACH):
    results = contest.in_turn(runs, SCAN, replica="once", latency=latency)
    bound = limit(contest, results[THIS], latency)
    return Row(f"{SCAN_WORK}, cold", results, f"≤ 2 × (bytes ÷ bandwidth + 4 round trips): {2 * bound:.2f} s")


def limit(contest, result, latency):
    """The seconds that the fetched bytes take over one connection, and four round trips."""
    return result.counts["bytes"] / (contest.bandwidth * 1e6) + 4 * latency / 1000


def warm_queries(contest):
    results = warm(contest, ["queries", QUERIES, 2])
    return Row(f"{QUERIES_WORK}, warm", results, "≤ 1.1 × local file")


def warm(contest, workload):
    """Runs a workload of two passes over a directory."""
    return contest.in_turn(EACH, workload, replica="directory", cache=contest.large_cache, warm=True)


def cold_queries(contest):
    """Without hydration, the Go extension takes hours for this."""
    results = contest.in_turn({LOCAL: RUNS, HYDRATED: RUNS, THIS: RUNS}, ANALYSIS, replica="once")
    download = contest.snapshot_bytes / (contest.bandwidth * 1e6) + contest.latency / 1000
    local = results[LOCAL].seconds
    aim = f"≤ downloading first: {download:.2f} s + {local:.2f} s"
    return Row(f"{QUERIES_WORK}, cold", results, aim)


def restored(contest, workload, work, cold):
    """A cold row once more, against `litestream restore` and the same workload over the restored file.

    All times include the open, as the time of the restore does.
    """
    runs = [contest.restore_and_run(workload, "once") for _ in range(RUNS)]
    results = {**cold.results, LOCAL: contest.median(runs)}
    return Row(f"restore, then ask the local file: {work}", with_open(results), "–")


def with_open(results):
    return {who: dataclasses.replace(result, seconds=result.open + result.seconds) for who, result in results.items()}


def cache_directory(contest):
    return tempfile.TemporaryDirectory(dir=contest.work, prefix="cache-")


def second_process(contest, cold):
    """The cold row once more, in a process that finds what an earlier one has fetched. All times include the open.

    The Go extension keeps nothing, so its second process is like its first.
    """
    with cache_directory(contest) as directory:
        _, *runs = [contest.run(THIS, LOOKUPS, replica="once", cache_dir=directory) for _ in range(1 + RUNS)]
    results = {**cold.results, THIS: contest.median(runs)}
    return Row(f"{LOOKUPS_WORK}, in a second process, with the open", with_open(results), "no byte of pages")


def from_directory(contest, lookups):
    """Both competitors read from the file cache of the system, in new processes."""
    workload = ["lookups", lookups, 1, 1]
    with cache_directory(contest) as directory:
        options = {"replica": "directory", "cache_dir": directory}
        contest.run(THIS, workload, **options)
        results = contest.in_turn({LOCAL: RUNS, THIS: RUNS}, workload, **options)
    return Row(f"{lookups:,} random lookups by key in a second process, from the cache directory", results, "≤ 1.3 × local file")


def many_processes(contest):
    workload = ["lookups", EACH_LOOKUPS, 1, 1]
    results = {GO: contest.run_together(PROCESSES, GO, workload, replica="once")}
    with cache_directory(contest) as directory:
        results[THIS] = contest.run_together(PROCESSES, THIS, workload, replica="once", cache_dir=directory)
    return Row(f"{PROCESSES} processes at once with {EACH_LOOKUPS:,} random lookups each, cold, one cache directory", results, "–")


def hydration(contest):
    """`litestream restore` is in the column of the local file."""
    restores, hydrations = [], []
    for _ in range(RUNS):
        with cache_directory(contest) as directory:
            restores.append(contest.restore("once", pathlib.Path(directory) / "restored.db"))
            hydrations.append(contest.hydrate("once", pathlib.Path(directory) / "cache"))
    results = {LOCAL: contest.median(restores), THIS: contest.median(hydrations)}
    return Row("the whole database: `litestream restore`, `litestream-query hydrate`", results, "≤ `litestream restore`")


def differences(contest):
    """What the last transactions changed. `litestream restore` of both states and `sqldiff` are in the column of the local file.

    Each competitor runs in turn, so that all run under the same load.
    """
    txids = sorted({last for level, _, last in contest.files["history"] if level == 0})
    count = min(40, len(txids) - 1)
    since = f"{txids[-1 - count]:016x}"
    with tempfile.TemporaryDirectory(dir=contest.work) as directory:
        query = pathlib.Path(directory) / "diff.sql"
        query.write_text(f"SELECT * FROM litestream_diff('{TABLE}', '{since}')")
        runs = {LOCAL: [], THIS: [], "query": []}
        for _ in range(RUNS):
            runs[LOCAL].append(contest.restore_and_compare(TABLE, "history", since))
            runs[THIS].append(contest.run(THIS, ["queries", query, 1], replica="history"))
            runs["query"].append(contest.compare(TABLE, "history", since))
    medians = {name: contest.median(results) for name, results in runs.items()}
    work = f"restore twice, then sqldiff: {5 * count} rows of {TABLE} that {count} transactions changed"
    table = with_open({name: medians[name] for name in (LOCAL, THIS)})
    yield Row(f"{work}; litestream_diff", table, "–")
    yield Row(f"{work}; `litestream-query diff`", {LOCAL: medians[LOCAL], THIS: medians["query"]}, "–")


def idle(contest):
    """The first second, with the opening, is measured apart and subtracted.

    Without hydration, which would only add requests to those of the Go extension.
    """
    results = {}
    for who in (GO, THIS):
        start = contest.run(who, ["idle", IDLE_CONNECTIONS, 1], replica="once")
        whole = contest.run(who, ["idle", IDLE_CONNECTIONS, 1 + IDLE_SECONDS], replica="once")
        counts = {kind: max(whole.counts[kind] - start.counts[kind], 0) for kind in whole.counts}
        cpu = max(whole.cpu - start.cpu, 0)
        results[who] = dataclasses.replace(whole, seconds=IDLE_SECONDS, counts=counts, cpu=cpu)
    work = f"{IDLE_CONNECTIONS} idle connections for {IDLE_SECONDS} s"
    return Row(work, results, f"≤ {IDLE_SECONDS} requests, < 40 MB", TRAFFIC)


def library_size(contest):
    """The size of each library without its symbols, which distributions strip."""
    sizes = {}
    for who in (GO, THIS):
        with tempfile.TemporaryDirectory(dir=contest.work) as directory:
            copy = shutil.copy(contest.libraries[who], directory)
            subprocess.run(["strip", *STRIP_FLAGS, copy], check=True)
            sizes[who] = pathlib.Path(copy).stat().st_size
    return Row("library size, stripped", sizes, "–", SIZE)
