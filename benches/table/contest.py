"""Runs workloads for the competitors: a local file, the Go extension, this extension."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from store import Store

LOCAL, GO, THIS = "local file", "Go extension", "this extension"
# The Go extension, which downloads the whole database to a local file in the background.
HYDRATED = "Go extension with hydration"
RUNS = 5
MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Failed(SystemExit):
    """A run that failed or did not end."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What the runs of one workload took: medians, and the peak memory."""

    seconds: float
    first: float
    open: float
    cpu: float
    memory: int
    rows: int
    runs: int
    counts: dict
    hydrated: bool = False
    commits: list = dataclasses.field(default_factory=list)  # seconds of each

    @property
    def requests(self):
        return sum(self.counts[kind] for kind in ("lists", "reads", "others"))


@dataclasses.dataclass(frozen=True)
class Contest:
    """The programs, the databases, and the distance of the server."""

    host: pathlib.Path
    litestream: pathlib.Path
    query: pathlib.Path  # litestream-query
    sqldiff: pathlib.Path
    libraries: dict  # by competitor
    database: pathlib.Path  # the local file
    replicas: dict  # their URLs, by name
    large: dict  # local files with the sizes of large replicas, by name
    files: dict  # level, first and last TXID of each file of a replica, by name
    snapshot_bytes: int
    work: pathlib.Path  # for temporary files
    store: Store
    latency: float  # ms
    bandwidth: float  # MB/s
    limit: float  # seconds until a run is given up
    notes: list = dataclasses.field(default_factory=list)

    @property
    def database_bytes(self):
        return self.database.stat().st_size

    @property
    def large_cache(self):
        """A cache size that holds the database, in bytes."""
        return 2 * self.database_bytes

    def run(self, who, workload, latency=None, **options):
        """Runs one process; see `_run_host`."""
        self._move(latency)
        return dataclasses.replace(self._run_host(who, workload, **options), counts=self.store.counts())

    def run_together(self, processes, who, workload, **options):
        """Runs several processes at the same time. Their time is that of the slowest, with its open; their memory is added."""
        self._move(None)
        with concurrent.futures.ThreadPoolExecutor(processes) as pool:
            running = [pool.submit(self._run_host, who, workload, **options) for _ in range(processes)]
            results = [process.result() for process in running]
        slowest = max(results, key=lambda result: result.open + result.seconds)
        return dataclasses.replace(
            slowest,
            seconds=slowest.open + slowest.seconds,
            cpu=sum(result.cpu for result in results),
            memory=sum(result.memory for result in results),
            counts=self.store.counts(),
        )

    def _run_host(self, who, workload, replica="", database=None, cache=None, cache_dir=None, warm=False, settings=None):
        """Runs one process. The first pass of a warm workload is not counted. The result has no counts."""
        environment = {**self._environment(), **(settings or {})}
        extension, uri = "-", f"file:{database or self.database}"
        if who != LOCAL:
            extension, uri = self.libraries[GO if who == HYDRATED else who], "file:replica.db?vfs=litestream"
            # The Go extension always gets the cache that serves it best. It reads the size from the URI only.
            cache = cache if who == THIS else self.large_cache
            uri += f"&cache_size={cache}" if cache else ""
            uri += f"&cache_dir={cache_dir}" if cache_dir else ""
            environment["LITESTREAM_REPLICA_URL"] = self.replicas[replica]
            environment["LITESTREAM_LOG_LEVEL"] = "error"
        command = [str(argument) for argument in (self.host, extension, uri, *workload)]
        with contextlib.ExitStack() as stack:
            if who == HYDRATED:
                environment["LITESTREAM_HYDRATION_ENABLED"] = "true"
                # The file is left behind if the process exits with open connections.
                environment["TMPDIR"] = stack.enter_context(tempfile.TemporaryDirectory(dir=self.work))
            output, _, cpu, _ = self._run_program(who, command, environment)
        printed = json.loads(output.splitlines()[-1])
        seconds = printed["seconds"][1:] if warm else printed["seconds"]
        return Result(
            seconds=statistics.median(seconds) if seconds else 0.0,
            first=printed["first"],
            open=printed["open"],
            cpu=cpu,
            memory=printed["memory"],
            rows=printed["rows"],
            runs=max(len(seconds), 1),
            counts={},
            hydrated=who == HYDRATED,
            commits=printed["commits"],
        )

    def restore_and_run(self, workload, replica):
        """Restores the replica with Litestream, then runs the workload over the restored file."""
        with tempfile.TemporaryDirectory(dir=self.work) as directory:
            restored = pathlib.Path(directory) / "restored.db"
            restore = self.restore(replica, restored)
            local = self.run(LOCAL, workload, database=restored)
        return dataclasses.replace(
            local,
            seconds=restore.seconds + local.seconds,
            cpu=restore.cpu + local.cpu,
            memory=max(restore.memory, local.memory),
            counts=restore.counts,
        )

    def restore(self, replica, file, txid=None):
        """Restores the replica with Litestream, in the newest state or another."""
        state = ["-txid", txid] if txid else []
        return self._run_command("litestream restore", self.litestream, "restore", *state, "-o", file, self.replicas[replica])

    def restore_and_compare(self, table, replica, since):
        """Restores the state of a TXID and the newest state with Litestream, and compares a table with sqldiff."""
        with tempfile.TemporaryDirectory(dir=self.work) as directory:
            then, now = pathlib.Path(directory) / "then.db", pathlib.Path(directory) / "now.db"
            steps = [
                self.restore(replica, then, since),
                self.restore(replica, now),
                self._run_command("sqldiff", self.sqldiff, "--table", table, then, now),
            ]
        return dataclasses.replace(
            steps[0],
            seconds=sum(step.seconds for step in steps),
            cpu=sum(step.cpu for step in steps),
            memory=max(step.memory for step in steps),
            counts={kind: sum(step.counts[kind] for step in steps) for kind in steps[0].counts},
        )

    def compare(self, table, replica, since):
        """Compares the same with `litestream-query diff`."""
        return self._run_command("diff", self.query, "diff", self.replicas[replica], "--table", table, "--since", since)

    def hydrate(self, replica, directory):
        """Fetches the replica into a cache directory."""
        return self._run_command("hydrate", self.query, "hydrate", self.replicas[replica], "--cache", directory)

    def _run_command(self, who, *command):
        """Runs a program that reads a replica and prints nothing of interest."""
        self._move(None)
        command = [str(argument) for argument in command]
        _, seconds, cpu, memory = self._run_program(who, command, self._environment())
        counts = self.store.counts()
        return Result(seconds=seconds, first=0, open=0, cpu=cpu, memory=memory, rows=0, runs=1, counts=counts)

    def _environment(self):
        environment = {**os.environ, **self.store.environment}
        environment.pop("AWS_CA_BUNDLE", None)
        return environment

    def _move(self, latency):
        """Sets the distance of the server, and its counts to zero."""
        self.store.move(self.latency if latency is None else latency, self.bandwidth)
        self.store.counts()

    def _run_program(self, who, command, environment):
        """Runs a program to its end. Returns what it printed, its seconds, its CPU seconds, and its peak memory in bytes."""
        with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
            started = time.monotonic()
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=errors)
            try:
                usage = self._wait(process, started)
            except TimeoutError:
                raise Failed(f"{who}: {' '.join(command)} did not end within {self.limit:g} s") from None
            seconds = time.monotonic() - started
            output.seek(0)
            errors.seek(0)
            if process.returncode != 0:
                raise Failed(f"{who}: {' '.join(command)}\n{errors.read()}")
            return output.read(), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * MAXRSS_UNIT

    def _wait(self, process, started):
        """Waits for the end of a process, and returns its resource usage."""
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return usage
            if time.monotonic() - started > self.limit:
                process.kill()
                process.wait()
                raise TimeoutError
            time.sleep(0.002)

    def median(self, results):
        """Returns the median of runs of the same workload."""
        if len({result.rows for result in results}) > 1:
            raise SystemExit("the runs of one workload read different rows")
        middle = sorted(results, key=lambda result: result.seconds)[len(results) // 2]
        return dataclasses.replace(
            middle,
            cpu=statistics.median(result.cpu for result in results),
            memory=max(result.memory for result in results),
            runs=sum(result.runs for result in results),
        )

    def in_turn(self, runs, workload, **options):
        """Runs a workload `runs[name]` times for each competitor, in turn, so that all run under the same load.

        The result of the Go extension is the better one of those with and without hydration.
        """
        results = {name: [] for name in runs}
        for turn in range(max(runs.values())):
            for name in [name for name in results if turn < runs[name]]:
                try:
                    results[name].append(self.run(name, workload, **options))
                except Failed as failure:
                    if name != HYDRATED:
                        raise
                    del results[name]
                    self._note(workload, failure)
        medians = {name: self.median(of_one) for name, of_one in results.items()}
        rows = {result.rows for name, result in medians.items() if name != HYDRATED}
        if len(rows) > 1:
            raise SystemExit(f"not the same rows: { {name: result.rows for name, result in medians.items()} }")
        hydrated = medians.pop(HYDRATED, None)
        if hydrated and hydrated.rows not in rows:
            self._note(workload, "it read different rows")
        elif hydrated and (GO not in medians or hydrated.seconds < medians[GO].seconds):
            medians[GO] = hydrated
        return medians

    def _note(self, workload, failure):
        """Records that hydration does not work for a workload."""
        name = " ".join(pathlib.Path(str(argument)).name for argument in workload)
        reason = str(failure).strip().splitlines()[-1]
        self.notes.append(f"With hydration, the Go extension failed `{name}`: {reason}")
