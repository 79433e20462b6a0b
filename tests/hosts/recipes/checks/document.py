"""docs/hosts.md: the table of hosts, and the code of each host."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
TEXT = (ROOT / "docs/hosts.md").read_text()
FENCE = re.compile(r"^```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = re.compile(r"^[ \t]*(?://|#) docs\n(.*?)^[ \t]*(?://|#) end\n", re.MULTILINE | re.DOTALL)
COLUMNS = ["loads", "uri", "name", "time", "interrupt"]


def table():
    """Returns the cells of each row: {host: {column: text}}."""
    rows = {}
    for line in TEXT.splitlines():
        match = re.fullmatch(r"\| \[([^]]+)]\(#[^)]+\) \|(.+)\|", line)
        if match:
            cells = [cell.strip() for cell in match[2].split("|")]
            rows[match[1]] = dict(zip(COLUMNS, cells, strict=True))
    return rows


def code(host):
    """Returns the code of a host's section."""
    section = TEXT.split(f"\n### {host}\n", 1)[1].split("\n### ", 1)[0]
    return FENCE.search(section)[1]


def shown(recipe):
    """Returns the lines of a recipe that the document shows, without their indentation."""
    return "".join(textwrap.dedent(part) for part in SHOWN.findall(recipe.read_text()))
