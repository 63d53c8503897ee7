"""Draw bars by cell and detector, and lines over counts, as SVG; equal numbers give equal bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#1d6fb8", "#b9c2cc", "#e0a458")
ROW, BAR, LEFT, LONG, TOP = 46, 12, 150, 520, 40


def bars_svg(rows: Sequence[tuple[str, Mapping[str, float]]], title: str) -> str:
    """Return the SVG of rows: a name, and a value of 0 to 1 for each series."""
    names = list(rows[0][1])
    height = TOP + ROW * len(rows) + 30
    parts = [_text(LEFT, 20, title, size=15), *_scale(height)]
    parts += [_key(number, name) for number, name in enumerate(names)]
    for at, (name, values) in enumerate(rows):
        y = TOP + ROW * at + 6
        parts.append(_text(LEFT - 8, y + 22, name, anchor="end"))
        parts += [_bar(y + BAR * n, values[series], n) for n, series in enumerate(names)]
    size = f'width="{LEFT + LONG + 60}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12" fill="#24292f"'
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{paper}\n{body}\n</svg>\n'


def lines_svg(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], axis: str) -> str:
    """Return the SVG of panels side by side: by title, points (x, y) of each series, from 0 on."""
    wide, high = 380, 240
    parts = [
        f'<g transform="translate({70 + n * (wide + 90)} {TOP})">{_panel(title, lines, wide, high)}'
        f"{_text(wide / 2, high + 40, axis, anchor='middle')}</g>"
        for n, (title, lines) in enumerate(panels.items())
    ]
    size = f'width="{len(panels) * (wide + 90) + 20}" height="{TOP + high + 56}"'
    style = 'font-family="sans-serif" font-size="12" fill="#24292f"'
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    body = "\n".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{paper}\n{body}\n</svg>\n'


def _panel(
    title: str, lines: Mapping[str, Sequence[tuple[float, float]]], wide: int, high: int
) -> str:
    """Return axes, lines with a dot for each point, and their names."""
    right = max(x for points in lines.values() for x, _ in points)
    top = 1.1 * max(y for points in lines.values() for _, y in points)
    parts = [_text(0, -14, title, size=15), f'<path d="M0 0V{high}H{wide}" {_STROKE}="#57606a"/>']
    for share in (0.25, 0.5, 0.75, 1.0):
        y, x = high - high * share, wide * share
        parts.append(f'<path d="M0 {y}H{wide}" {_STROKE}="#d0d7de"/>')
        parts.append(_text(-6, y + 4, f"{top * share:,.0f}", anchor="end"))
        parts.append(_text(x, high + 18, f"{right * share:,.0f}", anchor="middle"))
    for number, (name, points) in enumerate(lines.items()):
        places = [(wide * x / right, high - high * y / top) for x, y in points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        parts.append(f'<path d="M{path}" {_STROKE}="{COLOURS[number]}" stroke-width="2"/>')
        dots = (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
        parts.append(f'<g fill="{COLOURS[number]}">{"".join(dots)}</g>')
        box = f'<rect x="10" y="{4 + 18 * number}" width="10" height="10"'
        parts.append(f'{box} fill="{COLOURS[number]}"/>{_text(26, 13 + 18 * number, name)}')
    return "\n".join(parts)


_STROKE = 'fill="none" stroke'


def _bar(y: int, value: float, number: int) -> str:
    long = round(LONG * value)
    shape = f'<rect x="{LEFT}" y="{y}" width="{long}" height="{BAR - 2}"'
    return f'{shape} fill="{COLOURS[number]}"/>{_text(LEFT + long + 4, y + 9, f"{value:.2f}", 9)}'


def _scale(height: int) -> list[str]:
    lines = []
    for share in (0.0, 0.5, 1.0):
        x = LEFT + LONG * share
        lines.append(
            f'<path d="M{x} {TOP}V{height - 26}" stroke="#d0d7de"/>'
            f"{_text(x, height - 10, f'{share}', anchor='middle')}"
        )
    return lines


def _key(number: int, name: str) -> str:
    x = LEFT + 300 + 90 * number
    box = f'<rect x="{x}" y="11" width="10" height="10" fill="{COLOURS[number]}"/>'
    return box + _text(x + 14, 20, name)


def _text(x: float, y: float, text: str, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'
