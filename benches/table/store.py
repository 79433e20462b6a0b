"""Controls the S3 server of the benchmark, see benches/store."""

import json
import subprocess


class Store:
    """A running server over a directory, with a latency and a bandwidth that can be changed."""

    def __init__(self, program, root):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([program, root], stdin=pipe, stdout=pipe, text=True)
        self.endpoint = self.process.stdout.readline().strip()
        self.environment = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "benchmark")
        self.environment["AWS_REGION"] = "us-east-1"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def url(self, path):
        return f"s3://bucket/{path}?endpoint={self.endpoint}"

    def move(self, milliseconds, megabytes_per_second):
        """Sets the time to the first byte and the bandwidth of each connection; 0 means no limit."""
        self._say(f"distance {milliseconds} {megabytes_per_second}")

    def counts(self):
        """Returns the counts since the last call: lists, reads, other requests, bytes, and sequential round trips."""
        return json.loads(self._say("counts"))

    def _say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()
