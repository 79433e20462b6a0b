"""Every cell of the table in docs/hosts.md that says yes, in its host, with a replica that the real Litestream wrote."""

import os

import pytest
from document import COLUMNS, code, shown, table
from hosts import HOSTS, RECIPES

LEFT_OUT = [line.split(":")[0] for line in os.environ["RECIPES_LEFT_OUT"].splitlines()]
TESTED = [host for host in HOSTS if host.name.split()[0] not in LEFT_OUT]
# DuckDB reads copies only.
READERS = [host for host in TESTED if host.name != "DuckDB"]
TABLE = table()
CELLS = [(host, column) for host in TESTED for column in COLUMNS if TABLE[host.name][column] == "yes"]
ANSWERS = {"loads": "yes", "uri": "632", "name": "632", "time": "400 400"}


def names(value):
    return value if isinstance(value, str) else value.name


@pytest.mark.parametrize(("host", "column"), CELLS, ids=names)
def test_cell(runner, host, column):
    run = runner.run(host)
    answer = run.answers.get(column, "")
    if column == "interrupt":
        assert "interrupt" in answer.lower() or "deadline exceeded" in answer, run.transcript
    else:
        assert answer == ANSWERS[column], run.transcript


@pytest.mark.parametrize("host", READERS, ids=names)
def test_nothing_else_works(runner, host):
    run = runner.run(host)
    assert {column for column in COLUMNS if column in run.answers} == {column for tested, column in CELLS if tested is host}, run.transcript


@pytest.mark.parametrize("host", READERS, ids=names)
def test_host_learns_why_an_open_failed(runner, host):
    run = runner.run(host)
    assert "no backup is found at s3://bucket/nowhere" in run.answers.get("reason", ""), run.transcript


@pytest.mark.parametrize("host", HOSTS, ids=names)
def test_document_shows_the_recipe(host):
    assert code(host.name) == shown(host.path)


def test_every_recipe_is_in_the_table():
    recipes = {path.name for path in RECIPES.rglob("*") if path.suffix in {".c", ".go", ".java", ".php", ".pl", ".py", ".R", ".rb", ".rs"}}
    checks = {path.name for path in (RECIPES / "checks").iterdir()}
    assert recipes - checks == {host.path.name for host in HOSTS}
    assert {host.name for host in HOSTS} <= set(TABLE)


def test_duckdb_reads_copies(runner):
    run = runner.run(next(host for host in HOSTS if host.name == "DuckDB"))
    assert run.answers == {"copy": "632", "frame": "632"}, run.transcript
