"""Runs workloads for those who compete: a local file, the Go extension, this extension."""

import dataclasses
import json
import os
import pathlib
import statistics
import subprocess

from store import Store

LOCAL, GO, THIS = "local file", "Go extension", "this extension"


@dataclasses.dataclass(frozen=True)
class Result:
    """What runs of one workload took: medians, and the most memory."""

    seconds: float
    first: float
    open: float
    cpu: float
    memory: int
    rows: int
    runs: int
    counts: dict

    @property
    def requests(self):
        return sum(self.counts[kind] for kind in ("lists", "reads", "others"))


@dataclasses.dataclass(frozen=True)
class Contest:
    """The programs, the databases and the distance."""

    host: pathlib.Path
    extensions: dict  # by competitor
    database: pathlib.Path  # the local file
    replicas: dict  # their URLs, by name
    files: dict  # what lies in them: level, first and last TXID of each file
    snapshot_bytes: int
    store: Store
    latency: float  # ms
    bandwidth: float  # MB/s
    limit: float  # seconds until a run is given up

    @property
    def database_bytes(self):
        return self.database.stat().st_size

    def run(self, who, workload, replica="", cache=None, latency=None, warm=False):
        """One process. If it is to be warm, its first pass is not counted."""
        environment = {**os.environ, **self.store.environment}
        environment.pop("AWS_CA_BUNDLE", None)
        extension, uri = "-", f"file:{self.database}"
        if who != LOCAL:
            extension, uri = self.extensions[who], "file:replica.db?vfs=litestream"
            if cache:
                # In bytes. The Go extension reads it from the URI alone.
                uri += f"&cache_size={cache}"
            environment["LITESTREAM_REPLICA_URL"] = self.replicas[replica]
            environment["LITESTREAM_LOG_LEVEL"] = "error"
        self.store.move(self.latency if latency is None else latency, self.bandwidth)
        self.store.counts()
        command = [str(argument) for argument in (self.host, extension, uri, *workload)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        before = os.times()
        try:
            output, errors = process.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            process.kill()
            raise SystemExit(f"{who} did not end {' '.join(command)} within {self.limit} s") from None
        after = os.times()
        if process.returncode != 0:
            raise SystemExit(f"{who}: {' '.join(command)}\n{errors}")
        told = json.loads(output.splitlines()[-1])
        seconds = told["seconds"][1:] if warm else told["seconds"]
        return Result(
            seconds=statistics.median(seconds) if seconds else 0.0,
            first=told["first"],
            open=told["open"],
            cpu=after.children_user + after.children_system - before.children_user - before.children_system,
            memory=told["memory"],
            rows=told["rows"],
            runs=max(len(seconds), 1),
            counts=self.store.counts(),
        )

    def median(self, results):
        """Runs of the same workload as one."""
        if len({result.rows for result in results}) > 1:
            raise SystemExit("the same workload read other rows")
        middle = sorted(results, key=lambda result: result.seconds)[len(results) // 2]
        return dataclasses.replace(
            middle,
            cpu=statistics.median(result.cpu for result in results),
            memory=max(result.memory for result in results),
            runs=sum(result.runs for result in results),
        )

    def in_turn(self, runs, workload, **options):
        """Runs a workload for each in turn, `runs[name]` times, so that all meet the same weather."""
        results = {name: [] for name in runs}
        for turn in range(max(runs.values())):
            for name in (name for name in runs if turn < runs[name]):
                results[name].append(self.run(name, workload, **options))
        medians = {name: self.median(of_one) for name, of_one in results.items()}
        if len({result.rows for result in medians.values()}) > 1:
            raise SystemExit(f"not the same rows: { {name: result.rows for name, result in medians.items()} }")
        return medians
