"""A line chart as SVG."""

import math

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 720, 420, 70, 50, 190, 60
COLOURS = {"Go extension": "#b3541e", "this extension": "#1a6b8f", "limit": "#777777"}


def draw(title, x_title, y_title, lines):
    """Draws `lines`: (name, [(x, y)…], dashed). Both axes are logarithmic."""
    xs = sorted({x for _, points, _ in lines for x, _ in points})
    ys = [y for _, points, _ in lines for _, y in points]
    low, high = 10 ** math.floor(math.log10(min(ys))), 10 ** math.ceil(math.log10(max(ys)))
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x, y):
        across = math.log(x / xs[0]) / math.log(xs[-1] / xs[0])
        up = math.log(y / low) / math.log(high / low)
        return LEFT + across * width, TOP + (1 - up) * height

    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="26" font-size="16">{title}</text>',
        f'<text x="{LEFT + width / 2}" y="{HEIGHT - 16}" text-anchor="middle">{x_title}</text>',
        f'<text transform="translate(20 {TOP + height / 2}) rotate(-90)" text-anchor="middle">{y_title}</text>',
    ]
    for x in xs:
        across, down = at(x, low)
        svg.append(f'<path d="M{across:.1f} {TOP}V{down:.1f}" stroke="#eee"/>')
        svg.append(f'<text x="{across:.1f}" y="{down + 18:.1f}" text-anchor="middle">{x:g}</text>')
    y = low
    while y <= high * 1.001:
        across, down = at(xs[0], y)
        svg.append(f'<path d="M{across:.1f} {down:.1f}H{LEFT + width}" stroke="#ddd"/>')
        svg.append(f'<text x="{across - 8:.1f}" y="{down + 4:.1f}" text-anchor="end">{y:g}</text>')
        y *= 10
    for name, points, dashed in lines:
        colour, dashes = COLOURS[name], ' stroke-dasharray="6 4"' if dashed else ""
        path = "L".join(f"{across:.1f} {down:.1f}" for across, down in (at(x, y) for x, y in points))
        svg.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.5"{dashes}/>')
        if not dashed:
            svg += [f'<circle cx="{at(x, y)[0]:.1f}" cy="{at(x, y)[1]:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        across, down = at(*points[-1])
        svg.append(f'<text x="{across + 10:.1f}" y="{down + (18 if dashed else 4):.1f}" fill="{colour}">{name}, {points[-1][1]:.2g} s</text>')
    return "\n".join([*svg, "</svg>", ""])
