"""Draws docs/house.svg, the floors of the house. Run it after a floor changes: python docs/draw_house.py."""

from pathlib import Path
from xml.sax.saxutils import escape

FLOORS = [
    ("cli", "one entry point, lazy imports", "#d9d2e9"),
    ("leaderboard | pretrain | (analysis)", "records -> tables; views -> weights", "#cfe2f3"),
    ("transfer", "tasks, features, kNN, linear, statistics -> records", "#d0e0e3"),
    ("models", "timm backbones, export and import of weights", "#d9ead3"),
    ("views", "int16 slice -> float views, windows", "#fff2cc"),
    ("shards", "codec, format, build, exact stream", "#fce5cd"),
    ("scans", "files -> Scan: HU, affine, keyed patient; phantom", "#f4cccc"),
    ("radnet/*.py", "errors, console, files, hashes, configs, records", "#eeeeee"),
]
WIDTH, HEIGHT, LEFT, TOP = 640, 54, 40, 46


def main() -> None:
    """One box a floor, bottom to top, with the way of the data on the right."""
    total = TOP + HEIGHT * len(FLOORS) + 30
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 {total}" font-family="sans-serif" font-size="15">',
        f'<rect width="820" height="{total}" fill="white"/>',
        f'<text x="{LEFT}" y="28" font-weight="bold">A package imports only from the floors below it.</text>',
    ]
    for number, (name, owns, colour) in enumerate(FLOORS):
        y = TOP + number * HEIGHT
        parts.append(
            f'<rect x="{LEFT}" y="{y}" width="{WIDTH}" height="{HEIGHT - 6}" rx="4" fill="{colour}" stroke="#666"/>'
            f'<text x="{LEFT + 14}" y="{y + 21}" font-weight="bold">{escape(name)}</text>'
            f'<text x="{LEFT + 14}" y="{y + 39}" font-size="13" fill="#333">{escape(owns)}</text>'
        )
    x, bottom, top = LEFT + WIDTH + 44, TOP + HEIGHT * (len(FLOORS) - 1) - 12, TOP + HEIGHT + 14
    parts.append(
        f'<path d="M{x} {bottom} V{top}" stroke="#444" stroke-width="3" fill="none"/>'
        f'<path d="M{x - 8} {top + 10} L{x} {top - 6} L{x + 8} {top + 10} Z" fill="#444"/>'
        f'<text x="{x + 14}" y="{bottom}" font-size="13">archive</text>'
        f'<text x="{x + 14}" y="{top + 6}" font-size="13">answer</text>'
    )
    Path(__file__).with_name("house.svg").write_text("\n".join([*parts, "</svg>", ""]))


if __name__ == "__main__":
    main()
