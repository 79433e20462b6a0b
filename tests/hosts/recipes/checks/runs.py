"""Runs recipes."""

import os
import re
import signal
import subprocess
import threading
from dataclasses import dataclass

# In seconds. A build compiles the dependencies the first time.
LIMIT = 300
BUILD_LIMIT = 1500
# Opening a replica that does not exist must not wait for its first backup.
ENVIRONMENT = {"LITESTREAM_OPEN_TIMEOUT": "0"}


@dataclass
class Run:
    """What a recipe printed: `uri 632` is the answer 632 to `uri`."""

    answers: dict[str, str]
    transcript: str


class Runner:
    """Runs each recipe once. The S3 server does not answer after a recipe has printed `ready`, until the recipe ends."""

    def __init__(self, directory, store):
        self.directory = directory
        self.store = store
        self.runs = {}

    def run(self, host):
        if host.name not in self.runs:
            built = self._build(host)
            self.runs[host.name] = built or self._run(host)
        return self.runs[host.name]

    def _build(self, host):
        """Builds a recipe. Returns None, or a run without answers if it cannot be built."""
        if not host.build:
            return None
        ended = subprocess.run(
            host.build,
            cwd=self.directory,
            env=os.environ | host.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BUILD_LIMIT,
        )
        return Run({}, ended.stdout) if ended.returncode else None

    def _run(self, host):
        with (self.directory / "stderr").open("w+") as stderr:
            process = subprocess.Popen(
                host.run,
                cwd=self.directory,
                env=os.environ | self.store.environment | host.environment | ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
            limit = threading.Timer(LIMIT, process.kill)
            limit.start()
            try:
                lines = self._converse(process)
            finally:
                self.store.process.send_signal(signal.SIGCONT)
                limit.cancel()
            stderr.seek(0)
            transcript = f"{''.join(lines)}{stderr.read()}exit status {process.returncode}"
        answers = dict(re.findall(r"^(\w+) (.*?) *$", "".join(lines), re.MULTILINE))
        return Run(answers if process.returncode == 0 else {}, transcript)

    def _converse(self, process):
        """Returns the lines that a recipe prints until it ends."""
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "ready\n":
                self.store.process.send_signal(signal.SIGSTOP)
                process.stdin.write("\n")
                process.stdin.flush()
        process.wait()
        process.stdin.close()
        process.stdout.close()
        return lines
