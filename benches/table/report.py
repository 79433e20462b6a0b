"""The table as Markdown."""

from contest import GO, LOCAL, THIS

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
    return COSTS + "".join(_costs(row) for row in rows)


def _times(row):
    show = _seconds if row.is_time else _traffic
    shown = [show(row.results[name]) if name in row.results else "–" for name in (LOCAL, GO, THIS)]
    cells = [row.work, *shown, _ratio(row, LOCAL), _ratio(row, GO), row.aim]
    return "| " + " | ".join(cells) + " |\n"


def _traffic(result):
    return f"{result.requests:,} requests, {result.memory / 1e6:.0f} MB"


def _seconds(result):
    once = " (once)" if result.runs == 1 else ""
    return f"{result.seconds:.3f} s{once}" if result.seconds < 10 else f"{result.seconds:.1f} s{once}"


def _ratio(row, other):
    """How long this extension takes for a second of the other's."""
    if other not in row.results or not row.is_time:
        return "–"
    ratio = row.results[THIS].seconds / row.results[other].seconds
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
