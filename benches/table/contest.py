"""Runs workloads for those who compete: a local file, the Go extension, this extension."""

import dataclasses
import json
import os
import statistics
import subprocess
import time

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


class Contest:
    """The programs, the databases and the distance."""

    def __init__(self, host, extensions, database, replicas, store, latency, bandwidth, limit):
        self.host, self.extensions, self.database, self.replicas = host, extensions, database, replicas
        self.store, self.latency, self.bandwidth, self.limit = store, latency, bandwidth, limit

    def run(self, who, workload, replica="", cache=None, latency=None, passes=0):
        """One process. The first of several passes warms up, and is not counted."""
        environment = {**os.environ, **self.store.environment}
        environment.pop("AWS_CA_BUNDLE", None)
        extension, uri = "-", f"file:{self.database}"
        if who != LOCAL:
            extension, uri = self.extensions[who], "file:replica.db?vfs=litestream"
            environment["LITESTREAM_REPLICA_URL"] = self.replicas[replica]
            environment["LITESTREAM_LOG_LEVEL"] = "error"
            if cache:
                environment["LITESTREAM_CACHE_SIZE"] = str(cache)
        self.store.move(self.latency if latency is None else latency, self.bandwidth)
        self.store.counts()
        command = [self.host, extension, uri, *map(str, workload)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, errors = self._wait(process)
        except subprocess.TimeoutExpired:
            process.kill()
            raise SystemExit(f"{who} did not end {' '.join(command)} within {self.limit} s")
        if process.returncode != 0:
            raise SystemExit(f"{who}: {' '.join(command)}\n{errors}")
        told = json.loads(output.splitlines()[-1])
        seconds = told["seconds"][1:] if passes > 1 else told["seconds"]
        return Result(
            seconds=statistics.median(seconds) if seconds else 0.0,
            first=told["first"],
            open=told["open"],
            cpu=self.cpu,
            memory=told["memory"],
            rows=told["rows"],
            runs=max(len(seconds), 1),
            counts=self.store.counts(),
        )

    def _wait(self, process):
        before = os.times()
        output = process.communicate(timeout=self.limit)
        after = os.times()
        self.cpu = after.children_user + after.children_system - before.children_user - before.children_system
        return output

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

    def in_turn(self, who, runs, workload, **options):
        """Runs a workload for each in turn, `runs[name]` times, so that all meet the same weather."""
        results = {name: [] for name in who}
        for turn in range(max(runs[name] for name in who)):
            for name in who:
                if turn < runs[name]:
                    results[name].append(self.run(name, workload(name), **options))
                    time.sleep(0.05)
        medians = {name: self.median(of_one) for name, of_one in results.items()}
        if len({result.rows for result in medians.values()}) > 1:
            raise SystemExit(f"not the same rows: { {name: result.rows for name, result in medians.items()} }")
        return medians
