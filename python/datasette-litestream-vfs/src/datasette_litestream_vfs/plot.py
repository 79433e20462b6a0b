"""The plot of the lag, as SVG."""

from __future__ import annotations

import datetime
from typing import Iterator

from markupsafe import Markup

from .lag import Sample

WIDTH, HEIGHT = 720, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 28
STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)

PLOT = Markup(
    '<svg class="litestream-lag" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
    'aria-label="{label}" font-family="sans-serif" font-size="11">{content}</svg>'
)
GRID = Markup(
    '<line x1="{left}" x2="{right}" y1="{y}" y2="{y}" stroke="#ccc"/>'
    '<text x="{text_x}" y="{text_y}" text-anchor="end" fill="#444">{text}</text>'
)
LINE = Markup('<polyline points="{points}" fill="none" stroke="#276890" stroke-width="1.5"/>')
DOT = Markup('<circle cx="{x}" cy="{y}" r="2" fill="#276890"/>')
FAILURE = Markup('<rect x="{x}" y="{y}" width="3" height="8" fill="#b00"><title>{error}</title></rect>')
TIME = Markup('<text x="{x}" y="{y}" text-anchor="{anchor}" fill="#444">{text}</text>')


def lag_plot(samples: list[Sample], now: float) -> Markup:
    """Draws the lag from the first sample until now. Times without a state are gaps, and errors are red marks below the line."""
    start = samples[0].time if samples else now
    duration = max(now - start, 1.0)
    most = max((sample.lag for sample in samples if sample.lag is not None), default=0.0)
    top = next((step for step in STEPS if step >= most), most)

    def x(time: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * min((time - start) / duration, 1), 1)

    def y(lag: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * lag / top, 1)

    content = [_grid(y(top * part), _seconds(top * part)) for part in (0, 0.5, 1)]
    for run in _runs(samples):
        points = [(x(sample.time), y(sample.lag)) for sample in run]
        content.append(LINE.format(points=" ".join(f"{across},{up}" for across, up in points)))
        if len(points) == 1:
            content.append(DOT.format(x=points[0][0], y=points[0][1]))
    for sample in samples:
        if sample.error is not None:
            content.append(FAILURE.format(x=x(sample.time), y=HEIGHT - BOTTOM - 4, error=sample.error))
    for at, place, anchor in ((start, LEFT, "start"), (now, WIDTH - RIGHT, "end")):
        content.append(TIME.format(x=place, y=HEIGHT - 8, anchor=anchor, text=_clock(at)))
    label = f"Lag from {_clock(start)} to {_clock(now)}: at most {_seconds(most)}"
    return PLOT.format(width=WIDTH, height=HEIGHT, label=label, content=Markup("").join(content))


def _grid(y: float, text: str) -> Markup:
    return GRID.format(left=LEFT, right=WIDTH - RIGHT, y=y, text_x=LEFT - 6, text_y=y + 4, text=text)


def _runs(samples: list[Sample]) -> Iterator[list[Sample]]:
    """Yields the samples without gaps."""
    run: list[Sample] = []
    for sample in samples:
        if sample.lag is not None:
            run.append(sample)
        elif run:
            yield run
            run = []
    if run:
        yield run


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s"


def _clock(time: float) -> str:
    return datetime.datetime.fromtimestamp(time, datetime.timezone.utc).strftime("%H:%M:%S UTC")
