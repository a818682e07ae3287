"""Draws the comparison: two columns of bar charts, for light and dark pages."""

from xml.sax.saxutils import escape

from contenders import BOUNDS
from plan import LOOPBACK, WAN
from report import HIGHER_IS_BETTER, number, summary

# The left column is loopback, the right column is WAN. Each entry is the beginning of the name of a work.
COLUMNS = {
    LOOPBACK: ["cold sequential", "read again", "opened again", "four readers", "peak memory"],
    WAN: ["open + first 64 KiB", "cold sequential", "four readers", "20 random", "8 random", "ffprobe", "grep"],
}
TITLES = {LOOPBACK: "Loopback", WAN: "WAN: 50 ms latency, 12.5 MB/s per connection"}

COLUMN, MARGIN = 450, 24
WIDTH = 2 * COLUMN + 3 * MARGIN
LABEL, VALUE = 165, 70
BAR, GAP, BETWEEN, TOP = 15, 4, 34, 84

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } .head { font-size: 13px; font-weight: 600 }
.work { font-weight: 600 } .faint, .foot { fill: #59636e } .foot { font-size: 11px }
.meetfs { fill: #0969da } .peer { fill: #afb8c1 } .bound { fill: none; stroke: #8c959f; stroke-dasharray: 3 2 }
.spread { stroke: #1f2328; stroke-opacity: .55 }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .faint, .foot { fill: #9198a1 } .meetfs { fill: #4493f8 } .peer { fill: #656c76 }
  .bound { stroke: #9198a1 } .spread { stroke: #f0f6fc }
}
"""


def draw(result: dict) -> str:
    """Returns the SVG."""
    groups = summary(result)
    body, lowest = [], 0
    for column, (profile, prefixes) in enumerate(COLUMNS.items()):
        left, top = MARGIN + column * (COLUMN + MARGIN), TOP
        body.append(_text(left, top - 14, TITLES[profile], "head"))
        for work, contenders in _chosen(groups, profile, prefixes):
            top = _chart(body, left, top + 8, work, contenders, result["contenders"])
        lowest = max(lowest, top)
    versions = result["versions"]
    peers = ", ".join(versions[name] for name in ("rclone", "mount-s3") if name in versions)
    method = f"medians of {result['rounds']} alternating rounds, lines from least to most"
    if result["quick"]:
        method = "a quick check of the benchmark, do not quote"
    subtitle = f"{versions['meetfs']} against {peers} · {method}"
    footer = f"{versions['processor']}, Linux {versions['kernel'].split('-')[0]}, {versions['nginx'].split()[-1]} · {result['began'][:10]}"
    body.append(_text(MARGIN, 26, "The same files from the same web server", "title"))
    body.append(_text(MARGIN, 44, subtitle, "faint"))
    body.append(_text(MARGIN, lowest + 22, f"{footer} · made by scripts/bench", "foot"))
    height = lowest + 36
    view = f'xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img"'
    title = "<title>meetfs compared with other programs</title>"
    return f"<svg {view}>{title}<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"


def _chosen(groups: dict, profile: str, prefixes: list[str]):
    for begin in prefixes:
        for (where, work), contenders in groups.items():
            if where == profile and work.startswith(begin) and not work.endswith("link known"):
                yield work, contenders


def _chart(body: list[str], left: int, top: int, work: str, contenders: dict, labels: dict) -> int:
    """Draws the bars of one work, and returns the y coordinate of the next work."""
    unit = next(iter(contenders.values()))["unit"]
    order = [*labels, *BOUNDS]
    shown = sorted(contenders, key=order.index)
    # Each work has its own scale. With a common scale, reads from the page cache would make the other bars invisible.
    longest = max(contenders[name]["most"] for name in shown)
    scale = (COLUMN - LABEL - VALUE) / longest
    direction = "more is better" if unit in HIGHER_IS_BETTER else "less is better"
    body.append(_text(left, top + 10, work, "work"))
    body.append(_text(left + COLUMN, top + 10, f"{unit}, {direction}", "faint", "end"))
    top += 18
    for name in shown:
        one = contenders[name]
        kind = "bound" if name in BOUNDS else "meetfs" if name.startswith("meetfs") else "peer"
        label = labels.get(name, name)
        at, width = left + LABEL, max(one["median"] * scale, 1)
        body.append(_text(at - 8, top + BAR - 3, label, "", "end"))
        body.append(f'<rect class="{kind}" x="{at}" y="{top}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        if one["samples"] > 1:
            middle = top + BAR / 2
            ends = f'x1="{at + one["least"] * scale:.1f}" x2="{at + one["most"] * scale:.1f}"'
            body.append(f'<line class="spread" {ends} y1="{middle}" y2="{middle}"/>')
        end = at + max(width, one["most"] * scale) + 6
        body.append(_text(round(end, 1), top + BAR - 3, number(one["median"])))
        top += BAR + GAP
    return top + BETWEEN - 18


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    attributes = (f' class="{kind}"' if kind else "") + ("" if anchor == "start" else f' text-anchor="{anchor}"')
    return f'<text x="{x}" y="{y}"{attributes}>{escape(text)}</text>'
