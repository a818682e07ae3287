"""Medians, spread and cost as text."""

import statistics

from contenders import BOUNDS

HIGHER_IS_BETTER = {"MB/s"}


def summary(result: dict) -> dict:
    """(profile, work) → contender → median, minimum, maximum and the medians of the costs."""
    groups: dict = {}
    for sample in result["samples"]:
        if sample["error"] is None:
            work = groups.setdefault((sample["profile"], sample["work"]), {})
            work.setdefault(sample["contender"], []).append(sample)
    return {key: {name: _one(taken) for name, taken in work.items()} for key, work in groups.items()}


def _one(taken: list[dict]) -> dict:
    values = [sample["value"] for sample in taken]
    one = {
        "unit": taken[0]["unit"],
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "samples": len(values),
    }
    for name in ("requests", "bytes", "api", "web", "peak"):
        one[name] = _median([sample["origin"].get(name) for sample in taken])
    for name in ("slowest", "copied", "daemon_reads", "bytes"):
        one["read" if name == "bytes" else name] = _median([sample["extra"].get(name) for sample in taken])
    one["cpu_seconds"] = _median([sample["cpu_seconds"] for sample in taken])
    one["peak_bytes"] = _median([sample["peak_bytes"] for sample in taken])
    return one


def _median(values: list) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def best_peer(work: dict) -> str | None:
    """Returns the best contender other than meetfs."""
    peers = {name: one for name, one in work.items() if not name.startswith("meetfs") and name not in BOUNDS}
    if not peers:
        return None
    higher = next(iter(peers.values()))["unit"] in HIGHER_IS_BETTER
    return (max if higher else min)(peers, key=lambda name: peers[name]["median"])


def times_better(work: dict, name: str, peer: str) -> float:
    """Returns how many times better one is than another; below 1 it is worse."""
    one, other = work[name]["median"], work[peer]["median"]
    return one / other if work[name]["unit"] in HIGHER_IS_BETTER else other / one


def table(result: dict) -> str:
    """Returns everything, with a block for each work."""
    lines = [f"{name}: {value}" for name, value in result["versions"].items()]
    lines += [f"{result['rounds']} round(s), {result['took_seconds']} s" + (", quick: not to be quoted" if result["quick"] else "")]
    lines.append(f"load before: {result['load_before']:.1f}" + (", busy: not to be quoted" if result["load_before"] > 0.5 else ""))
    columns = "{:26} {:>9} {:>19}  {:>7} {:>6} {:>9} {:>5} {:>5} {:>7} {:>6}  {}"
    for (profile, work), contenders in summary(result).items():
        unit = next(iter(contenders.values()))["unit"]
        lines += ["", f"{profile}: {work} ({unit})"]
        lines.append(columns.format("", "median", "least – most", "×peer", "reqs", "MB", "peak", "api", "cpu s", "RSS", ""))
        peer = best_peer(contenders)
        for name, one in contenders.items():
            label = result["contenders"].get(name, name)
            ratio = f"{times_better(contenders, name, peer):.2f}" if peer and name not in BOUNDS else ""
            spread = f"{number(one['least'])} – {number(one['most'])}"
            asked = None if one["api"] is None else one["api"] + one["web"]
            origin_bytes = None if one["bytes"] is None else one["bytes"] / 1e6
            memory = None if one["peak_bytes"] is None else one["peak_bytes"] / 1e6
            costs = [number(one["requests"]), number(origin_bytes), number(one["peak"] or None), number(asked)]
            costs += ["" if one["cpu_seconds"] is None else f"{one['cpu_seconds']:.2f}", number(memory)]
            line = columns.format(label, number(one["median"]), spread, ratio, *costs, notes(work, one))
            lines.append(line.rstrip())
    for failure in failures(result):
        lines += ["", f"FAILED {failure}"]
    lines += ["", "×peer: times as good as the best other contender. reqs, MB, peak: file requests, bytes and most requests"]
    lines += ["at once at the origin. api: requests to the API and its download links. RSS: peak, MB."]
    return "\n".join(lines)


def notes(work: str, one: dict) -> str:
    said = []
    if work == "cold sequential" and one["cpu_seconds"] and one["read"]:
        said.append(f"{one['cpu_seconds'] * (1 << 30) / one['read']:.2f} cpu s/GiB")
    if work == "opened again, page cache warm" and one["daemon_reads"] is not None:
        said.append(f"{one['daemon_reads']:.0f} reads of the daemon")
    if one["slowest"]:
        said.append(f"slowest {number(one['slowest'])}")
    if one["copied"]:
        said.append(f"{one['copied']:.0f} files copied")
    return ", ".join(said)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"


def failures(result: dict) -> list[str]:
    """Returns one line for each work without a figure."""
    return [
        f"{sample['profile']} {sample['work']} {sample['contender']}: {sample['error']}"
        for sample in result["samples"]
        if sample["error"] is not None
    ]
