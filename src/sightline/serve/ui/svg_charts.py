"""Line charts as SVG that follow the page's colours, dark or light. No library, no script."""

from collections.abc import Mapping, Sequence
from html import escape

from markupsafe import Markup

from sightline.serve.ui.ask_tab import PARTS

Points = Sequence[tuple[float, float]]
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 520, 240, 46, 16, 14, 34


def lines(series: Mapping[str, Points], across: str, up: str, diagonal: bool = False) -> str:
    """A chart of named lines. `across`, `up`: what the axes show; `diagonal`: also the line y = x."""
    points = [point for points_of in series.values() for point in points_of]
    x0, x1 = _range([x for x, _ in points])
    y0, y1 = _range([y for _, y in points])
    if diagonal:
        x0 = y0 = min(x0, y0)
        x1 = y1 = max(x1, y1)

    def position(x: float, y: float) -> str:
        right = LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return f"{right:.1f},{down:.1f}"

    parts = []
    for step in range(5):
        y, x = y0 + step / 4 * (y1 - y0), x0 + step / 4 * (x1 - x0)
        down, right = position(x0, y).split(",")[1], position(x, y0).split(",")[0]
        parts.append(f'<path class="grid" d="M{LEFT},{down}H{WIDTH - RIGHT}"/>')
        height, label = f"{float(down) + 4:.1f}", _short(y, y1 - y0)
        parts.append(f'<text x="{LEFT - 7}" y="{height}" text-anchor="end">{label}</text>')
        parts.append(f'<text x="{right}" y="{HEIGHT - 14}" text-anchor="middle">{_short(x, x1 - x0)}</text>')
    if diagonal:
        parts.append(f'<path class="ideal" d="M{position(x0, x0)}L{position(x1, x1)}"/>')
    for number, points_of in enumerate(series.values()):
        path = "L".join(position(x, y) for x, y in points_of)
        parts.append(f'<path class="line s{number}" d="M{path}"/>')
        if len(points_of) <= 20:
            dots = (position(x, y).split(",") for x, y in points_of)
            parts += [f'<circle class="dot s{number}" cx="{x}" cy="{y}" r="3"/>' for x, y in dots]
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 1}" text-anchor="end">{escape(across)}</text>')
    return PARTS.chart(up, across, list(series), (WIDTH, HEIGHT), Markup("".join(parts)))


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(value: float, span: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:.0f}k"
    return f"{value:.{0 if span >= 8 else 1 if span >= 0.8 else 2}f}"
