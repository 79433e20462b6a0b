"""The table as Markdown."""

from contest import GO, LOCAL, THIS
from rows import SIZE, TIME, TRAFFIC

HEAD = (
    "| work | local file | Go extension | this extension | × local file | × Go extension | aim |\n"
    "|---|---|---|---|---|---|---|\n"
)
COSTS = (
    "| work | requests: Go | this | MB: Go | this | rounds: Go | this "
    "| CPU s: local | Go | this | peak MB: local | Go | this |\n" + "|---" * 13 + "|\n"
)


def times(rows):
    return HEAD + "".join(_times(row) for row in rows)


def costs(rows):
    return COSTS + "".join(_costs(row) for row in rows if row.kind != SIZE)


def _times(row):
    show = {TIME: _seconds, TRAFFIC: _traffic, SIZE: _megabytes}[row.kind]
    shown = [show(row.results[name]) if name in row.results else "–" for name in (LOCAL, GO, THIS)]
    cells = [row.work, *shown, _ratio(row, LOCAL), _ratio(row, GO), row.aim]
    return "| " + " | ".join(cells) + " |\n"


def _traffic(result):
    return f"{result.requests:,} requests, {result.memory / 1e6:.0f} MB"


def _megabytes(size):
    return f"{size / 1e6:.1f} MB"


def _seconds(result):
    conditions = [*(["once"] if result.runs == 1 else []), *(["hydration"] if result.hydrated else [])]
    seconds = f"{result.seconds:.3f} s" if result.seconds < 10 else f"{result.seconds:.1f} s"
    return f"{seconds} ({', '.join(conditions)})" if conditions else seconds


def _ratio(row, other):
    """The result of this extension, divided by that of another competitor."""
    if other not in row.results or row.kind == TRAFFIC:
        return "–"
    value = {TIME: lambda result: result.seconds, SIZE: float}[row.kind]
    ratio = value(row.results[THIS]) / value(row.results[other])
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.4f}"


def _costs(row):
    def by(show, *names):
        return [show(row.results[name]) if name in row.results else "–" for name in names]

    cells = [
        row.work,
        *by(lambda result: f"{result.requests:,}", GO, THIS),
        *by(lambda result: f"{result.counts['bytes'] / 1e6:.1f}", GO, THIS),
        *by(lambda result: str(result.counts["rounds"]), GO, THIS),
        *by(lambda result: f"{result.cpu:.2f}", LOCAL, GO, THIS),
        *by(lambda result: f"{result.memory / 1e6:.0f}", LOCAL, GO, THIS),
    ]
    return "| " + " | ".join(cells) + " |\n"
