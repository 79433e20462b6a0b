"""`python -m litestream_vfs_rs`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest
from testing import MOMENT, Primary

VALUES = "SELECT 1 AS n, 'a,b' AS t, NULL AS missing, x'00ff' AS b, 2.5 AS r UNION ALL SELECT 23, 'ä', NULL, x'', 9e999"

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "litestream_vfs_rs", *arguments]
    environment = {**os.environ, "LITESTREAM_OPEN_TIMEOUT": "1s"}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def printed(*arguments: str) -> str:
    ended = command(*arguments)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "table",
            " n  t    missing  b          r\n--  ---  -------  -------  ---\n"
            " 1  a,b           X'00FF'  2.5\n23  ä             X''      inf\n",
        ),
        ("csv", "n,t,missing,b,r\n1,\"a,b\",,X'00FF',2.5\n23,ä,,X'',inf\n"),
        (
            "json",
            '[{"n": 1, "t": "a,b", "missing": null, "b": "X\'00FF\'", "r": 2.5},\n'
            ' {"n": 23, "t": "\\u00e4", "missing": null, "b": "X\'\'", "r": 9.0e+999}]\n',
        ),
    ],
)
def test_formats(shop: str, form: str, expected: str) -> None:
    assert printed(shop, VALUES, "--format", form) == expected
    assert form != "json" or json.loads(expected)[1]["r"] == float("inf")


def test_results_without_rows(shop: str) -> None:
    empty = "SELECT id, name FROM products WHERE id < 0"
    assert [printed(shop, empty, "--format", form) for form in ("table", "csv", "json")] == ["id  name\n--  ----\n", "id,name\n", "[]\n"]


def test_past_states(shop: str) -> None:
    count = "SELECT count(*) FROM orders"
    assert printed(shop, count, "--format", "csv") == "count(*)\n632\n"
    assert printed(shop, count, "--format", "csv", "--at", MOMENT) == "count(*)\n400\n"


def test_history_and_status(primary: Primary) -> None:
    primary.execute("CREATE TABLE t (x)")
    txids = [primary.sync()]
    primary.execute("INSERT INTO t VALUES (1)")
    txids.append(primary.sync())
    history = json.loads(printed(primary.url, "--history", "--format", "json"))
    assert [row["txid"] for row in history][:2] == [f"{txid:016x}" for txid in reversed(txids)]
    status = json.loads(printed(primary.url, "--status", "--format", "json"))
    assert (status["state"], status["txid"]) == ("following", f"{txids[1]:016x}")
    lines = dict(line.split(maxsplit=1) for line in printed(primary.url, "--status").splitlines() if len(line.split()) > 1)
    assert (lines["state"], lines["txid"]) == ("following", f"{txids[1]:016x}")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["s3://bucket/nothing", "SELECT 1"], "no backup is found at s3://bucket/nothing"),
        (["s3://bucket/app", "SELECT FROM"], 'near "FROM": syntax error'),
        (["s3://bucket/app", "DELETE FROM orders"], "attempt to write a readonly database"),
        (["s3://bucket/app", "SELECT 1", "--at", "soon"], "soon"),
    ],
)
def test_failures(shop: str, arguments: list[str], reason: str) -> None:
    ended = command(*arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    last = ended.stderr.splitlines()[-1]
    assert last.startswith("litestream_vfs_rs: ") and reason in last
    assert "Traceback" not in ended.stderr


def test_wrong_usage() -> None:
    for arguments in (
        [],
        ["s3://bucket/app"],
        ["s3://bucket/app", "SELECT 1", "--history"],
        ["s3://bucket/app", "SELECT 1", "--format", "xml"],
    ):
        ended = command(*arguments)
        assert ended.returncode == 2 and ended.stderr.startswith("usage: python -m litestream_vfs_rs")


def test_a_reader_that_closes_the_pipe_ends_it(shop: str) -> None:
    pipe = f'set -o pipefail; "{sys.executable}" -m litestream_vfs_rs {shop} "{ENDLESS}" --format csv | head -2'
    ended = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "x\n1\n", "")


def test_an_interrupt_ends_it_while_a_statement_runs(shop: str) -> None:
    # After the first row, sqlite3 looks for a third one, which does not exist.
    slow = f"SELECT x FROM ({ENDLESS}) WHERE x <= 2"
    arguments = [sys.executable, "-m", "litestream_vfs_rs", shop, slow, "--format", "csv"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)] == ["x\n", "1\n"]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == -signal.SIGINT
