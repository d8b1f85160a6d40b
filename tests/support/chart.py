"""Panels over one axis of time, as one SVG file: plain enough for a page of Markdown, without a library or a script."""

from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import ceil, floor, log10

from msgspec import Struct

WIDTH, LEFT, RIGHT = 960, 74, 18
TOP, PANEL, BETWEEN, LANE, BOTTOM = 46, 64, 36, 12, 44
MOST_POINTS = 800
"""Of a line; of what is closer together the highest is drawn."""
COLORS = ("#1f5fa8", "#c4651a", "#3f7d3a")
INK, GREY, FAINT = "#1d1d1f", "#6a6a6e", "#e3e3e6"


class Line(Struct, frozen=True):
    """One curve. ``values``: one for each moment; None where nothing is known, which leaves a gap."""

    label: str
    values: Sequence[float | None]


class Panel(Struct, frozen=True):
    """Curves of one unit."""

    title: str
    unit: str
    lines: Sequence[Line]


class Lane(Struct, frozen=True):
    """Things that happened, each a tick; ``times`` in seconds."""

    label: str
    times: Sequence[float]


def draw(
    title: str, times: Sequence[float], panels: Sequence[Panel], lanes: Sequence[Lane] = (), note: str = ""
) -> str:
    """The figure. ``times``: the moments of all values, ascending, seconds since the start."""
    end = max([*times[-1:], *(moment for lane in lanes for moment in lane.times), 1.0])
    axis = _Axis(end)
    first = TOP + (LANE * len(lanes) + BETWEEN / 2 if lanes else 0) + BETWEEN / 2
    bottom = first + len(panels) * (PANEL + BETWEEN) - BETWEEN
    parts = [_text(LEFT, 20, title, size=15, weight="600"), _text(LEFT, 36, note, color=GREY)]
    for number, lane in enumerate(lanes):
        parts += _lane(lane, TOP + 4 + number * LANE, axis)
    for tick in _ticks(end, 9):
        x = axis.x(tick)
        parts.append(f'<path d="M{x:.1f} {first:.0f}V{bottom:.0f}" stroke="{FAINT}"/>')
        parts.append(_text(x, bottom + 16, f"{tick:g}", anchor="middle", color=GREY))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "seconds since the start", anchor="middle", color=GREY))
    for number, panel in enumerate(panels):
        parts += _panel(panel, first + number * (PANEL + BETWEEN), times, axis)
    height = bottom + BOTTOM
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}"'
    font = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="11"'
    paper = f'<rect width="{WIDTH}" height="{height:.0f}" fill="#ffffff"/>'
    return "\n".join([f'{head} {font} role="img">', f"<title>{escape(title)}</title>", paper, *parts, "</svg>\n"])


class _Axis(Struct, frozen=True):
    end: float

    def x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * seconds / self.end


def _panel(panel: Panel, top: float, times: Sequence[float], axis: _Axis) -> Iterator[str]:
    known = [value for line in panel.lines for value in line.values if value is not None]
    ticks = _ticks(max([*known, 0.0]) or 1.0, 3)
    ceiling = max(ticks[-1], *known, 1e-9) if known else ticks[-1]

    def y(value: float) -> float:
        return top + PANEL * (1 - value / ceiling)

    for tick in ticks:
        yield f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="{GREY if tick == 0 else FAINT}"/>'
        yield _text(LEFT - 7, y(tick) + 4, f"{tick:,g}", anchor="end", color=GREY)
    yield _text(LEFT, top - 9, f"{panel.title}, {panel.unit}", size=12, weight="600")
    for number, line in enumerate(panel.lines):
        color = COLORS[number % len(COLORS)]
        yield from _curve(line.values, times, axis, y, color)
    yield _legend(panel, top - 9)


def _legend(panel: Panel, y: float) -> str:
    """What the curves are, how high they came, and where they ended."""
    spans: list[str] = []
    for number, line in enumerate(panel.lines):
        known = [value for value in line.values if value is not None]
        said = f"most {_figure(max(known))}, at the end {_figure(known[-1])}" if known else "not known"
        gap = ' dx="16"' if number else ""
        spans.append(f'<tspan{gap} fill="{COLORS[number % len(COLORS)]}">{escape(line.label)}: {said}</tspan>')
    return f'<text x="{WIDTH - RIGHT}" y="{y:.1f}" text-anchor="end">{"".join(spans)}</text>'


def _curve(
    values: Sequence[float | None], times: Sequence[float], axis: _Axis, y: Callable[[float], float], color: str
) -> Iterator[str]:
    path, pen_up = "", True
    for moment, value in _thinned(times, values):
        if value is None:
            pen_up = True
            continue
        path += f"{'M' if pen_up else 'L'}{axis.x(moment):.1f} {y(value):.1f}"
        pen_up = False
    style = f'fill="none" stroke="{color}" stroke-width="1.4" stroke-linejoin="round" stroke-linecap="round"'
    yield f'<path d="{path}" {style}/>'


def _thinned(times: Sequence[float], values: Sequence[float | None]) -> Iterator[tuple[float, float | None]]:
    together = ceil(len(times) / MOST_POINTS) or 1
    for first in range(0, len(times), together):
        known = [value for value in values[first : first + together] if value is not None]
        yield times[first], max(known) if known else None


def _lane(lane: Lane, top: float, axis: _Axis) -> Iterator[str]:
    yield _text(LEFT - 7, top + 9, lane.label, anchor="end", color=GREY)
    path = "".join(f"M{axis.x(moment):.1f} {top + 1:.0f}v{LANE - 3}" for moment in lane.times)
    yield f'<path d="M{LEFT} {top + LANE - 1:.0f}H{WIDTH - RIGHT}" stroke="{FAINT}"/>'
    yield f'<path d="{path}" stroke="#b3261e" stroke-width="1.2"/>'


def _text(
    x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", weight: str = "400", color: str = INK
) -> str:
    style = f'font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" fill="{color}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _ticks(most: float, count: int) -> list[float]:
    """Round numbers from 0 up to ``most``, about ``count`` of them."""
    rough = most / count
    power = 10 ** floor(log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [number * step for number in range(floor(most / step * 1.001) + 1)]


def _figure(value: float) -> str:
    if value < 1:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"
