#!/usr/bin/env python3
"""growth.py FILE.tsv FILE.svg - draws what tests/bench/growth measured: one panel per column.

The horizontal axis is the number of keys, logarithmic; the vertical axis begins at 0, so that what
stays flat looks flat. `--check` draws a made-up table and looks at the result.
"""
import math
import sys
import xml.etree.ElementTree as ET

PANELS = {
    "put_us": "put, one by one: µs",
    "get_us": "get: µs",
    "list_us": "list a directory of 100: µs",
    "rename_us": "rename a directory of a tenth of all: µs",
    "rename_frames": "frames that this rename dirties",
    "bytes_per_key": "bytes on disk per key, without the log",
}
WIDTH, HEIGHT, COLUMNS = 300, 190, 3
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 30, 28
STYLE = "text{font:11px sans-serif;fill:#333}.t{font-weight:bold}.g{stroke:#ddd}.l{stroke:#1668b0;stroke-width:2;fill:none}.p{fill:#1668b0}"


def read(lines):
    """Rows as dictionaries of numbers; a sentence and the end for anything else."""
    rows = [line.split("\t") for line in (raw.rstrip("\n") for raw in lines) if line and line[0] != "#"]
    if len(rows) < 2 or rows[0][0] != "keys":
        sys.exit("growth.py: no table: it begins with a line of names, the first of them 'keys'")
    names = rows[0]
    if any(len(row) != len(names) for row in rows):
        sys.exit("growth.py: a line has more or fewer columns than names")
    try:
        return [dict(zip(names, map(float, row))) for row in rows[1:]]
    except ValueError as error:
        sys.exit(f"growth.py: {error}")


def round_up(value):
    """The next of 1, 2, 5, 10, ... that is not less."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9))


def short(n):
    return f"{n / 1e6:g}M" if n >= 1e6 else f"{n / 1e3:g}k" if n >= 1e3 else f"{n:g}"


def panel(title, points, at_x, at_y):
    most = round_up(max(y for _, y in points))
    low, high = math.log10(points[0][0]), math.log10(points[-1][0])
    wide, tall = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x, y):
        part = (math.log10(x) - low) / (high - low) if high > low else 0.5
        return at_x + LEFT + wide * part, at_y + TOP + tall * (1 - y / most)

    out = [f'<text class="t" x="{at_x + LEFT}" y="{at_y + 16}">{title}</text>']
    for part in (0, 0.5, 1):
        y = place(points[0][0], most * part)[1]
        out.append(f'<line class="g" x1="{at_x + LEFT}" x2="{at_x + LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{at_x + LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * part:g}</text>')
    placed = [place(x, y) for x, y in points]
    for (keys, _), (x, _) in zip(points, placed):
        out.append(f'<text x="{x:.1f}" y="{at_y + HEIGHT - 10}" text-anchor="middle">{short(keys)}</text>')
    out.append('<polyline class="l" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in placed) + '"/>')
    out += [f'<circle class="p" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
    return "\n".join(out)


def draw(rows):
    shown = [name for name in PANELS if name in rows[0]]
    high = -(-len(shown) // COLUMNS) * HEIGHT
    wide = COLUMNS * WIDTH
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{high}" viewBox="0 0 {wide} {high}">',
           f"<style>{STYLE}</style>", f'<rect width="{wide}" height="{high}" fill="#fff"/>']
    for i, name in enumerate(shown):
        points = [(row["keys"], row[name]) for row in rows]
        out.append(panel(PANELS[name], points, i % COLUMNS * WIDTH, i // COLUMNS * HEIGHT))
    return "\n".join(out + ["</svg>", ""])


def check():
    sizes = [10 ** k for k in range(3, 8)]
    lines = ["# a note\n", "keys\t" + "\t".join(PANELS) + "\n"]
    lines += ["\t".join(map(str, [n] + [n % 7 + i + 0.5 for i in range(len(PANELS))])) + "\n" for n in sizes]
    root = ET.fromstring(draw(read(lines)))
    svg = "{http://www.w3.org/2000/svg}"
    dots = root.findall(svg + "circle")
    assert len(root.findall(svg + "polyline")) == len(PANELS)
    assert len(dots) == len(PANELS) * len(sizes)
    assert all(0 <= float(d.get("cx")) <= COLUMNS * WIDTH for d in dots)
    assert [round_up(v) for v in (0, 0.3, 1, 1.01, 7, 10, 430)] == [1.0, 0.5, 1, 2, 10, 10, 500]
    flat = ET.fromstring(draw(read(["keys\tget_us\n", "1000\t5\n", "10000\t5\n"]))).findall(svg + "circle")
    assert flat[0].get("cy") == flat[1].get("cy") and flat[0].get("cx") != flat[1].get("cx")
    for bad in (["keys\tget_us\n"], ["no\n", "1\n"], ["keys\tget_us\n", "1000\n"], ["keys\tget_us\n", "1000\tx\n"]):
        try:
            read(bad)
        except SystemExit:
            continue
        raise AssertionError(bad)
    print("ok growth_plot")


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    elif len(sys.argv) == 3:
        with open(sys.argv[1], encoding="utf-8") as table:
            picture = draw(read(table))
        with open(sys.argv[2], "w", encoding="utf-8") as out:
            out.write(picture)
    else:
        sys.exit("usage: growth.py FILE.tsv FILE.svg | --check")
