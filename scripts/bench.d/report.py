"""Formats medians, spread and costs as text."""

import statistics

from contenders import BOUNDS

HIGHER_IS_BETTER = {"MB/s"}


def summary(result: dict) -> dict:
    """Returns the median, minimum, maximum and the medians of the costs, by (profile, work) and then by contender."""
    groups: dict = {}
    for sample in result["samples"]:
        if sample["error"] is None:
            work = groups.setdefault((sample["profile"], sample["work"]), {})
            work.setdefault(sample["contender"], []).append(sample)
    return {key: {name: _summarize(samples) for name, samples in work.items()} for key, work in groups.items()}


def _summarize(samples: list[dict]) -> dict:
    values = [sample["value"] for sample in samples]
    one = {
        "unit": samples[0]["unit"],
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "samples": len(values),
    }
    for name in ("requests", "bytes", "api", "web", "peak"):
        one[name] = _median([sample["origin"].get(name) for sample in samples])
    for name in ("slowest", "copied", "daemon_reads", "bytes"):
        one["read" if name == "bytes" else name] = _median([sample["extra"].get(name) for sample in samples])
    one["cpu_seconds"] = _median([sample["cpu_seconds"] for sample in samples])
    one["peak_bytes"] = _median([sample["peak_bytes"] for sample in samples])
    return one


def _median(values: list) -> float | None:
    present_values = [value for value in values if value is not None]
    return statistics.median(present_values) if present_values else None


def best_peer(work: dict) -> str | None:
    """Returns the name of the best contender other than meetfs."""
    peers = {name: one for name, one in work.items() if not name.startswith("meetfs") and name not in BOUNDS}
    if not peers:
        return None
    is_higher_better = next(iter(peers.values()))["unit"] in HIGHER_IS_BETTER
    return (max if is_higher_better else min)(peers, key=lambda name: peers[name]["median"])


def times_better(work: dict, name: str, peer: str) -> float:
    """Returns how many times better `name` is than `peer`. A value below 1 means worse."""
    one, other = work[name]["median"], work[peer]["median"]
    return one / other if work[name]["unit"] in HIGHER_IS_BETTER else other / one


def table(result: dict) -> str:
    """Returns the whole report, with a section for each work."""
    lines = [f"{name}: {value}" for name, value in result["versions"].items()]
    lines += [f"{result['rounds']} round(s), {result['took_seconds']} s" + (", quick: do not quote" if result["quick"] else "")]
    lines.append(f"load before: {result['load_before']:.1f}" + (", busy: do not quote" if result["load_before"] > 0.5 else ""))
    columns = "{:26} {:>9} {:>19}  {:>7} {:>6} {:>9} {:>5} {:>5} {:>7} {:>6}  {}"
    for (profile, work), contenders in summary(result).items():
        unit = next(iter(contenders.values()))["unit"]
        lines += ["", f"{profile}: {work} ({unit})"]
        lines.append(columns.format("", "median", "min – max", "×peer", "reqs", "MB", "peak", "api", "cpu s", "RSS", ""))
        peer = best_peer(contenders)
        for name, one in contenders.items():
            label = result["contenders"].get(name, name)
            ratio = f"{times_better(contenders, name, peer):.2f}" if peer and name not in BOUNDS else ""
            spread = f"{number(one['least'])} – {number(one['most'])}"
            api_requests = None if one["api"] is None else one["api"] + one["web"]
            origin_bytes = None if one["bytes"] is None else one["bytes"] / 1e6
            memory = None if one["peak_bytes"] is None else one["peak_bytes"] / 1e6
            costs = [number(one["requests"]), number(origin_bytes), number(one["peak"] or None), number(api_requests)]
            costs += ["" if one["cpu_seconds"] is None else f"{one['cpu_seconds']:.2f}", number(memory)]
            line = columns.format(label, number(one["median"]), spread, ratio, *costs, notes(work, one))
            lines.append(line.rstrip())
    for failure in failures(result):
        lines += ["", f"FAILED {failure}"]
    lines += ["", "×peer: times as good as the best other contender. reqs, MB, peak: file requests, bytes and maximum number of"]
    lines += ["concurrent requests to the origin. api: requests to the API and its download URLs. RSS: peak memory in MB."]
    return "\n".join(lines)


def notes(work: str, one: dict) -> str:
    parts = []
    if work == "cold sequential" and one["cpu_seconds"] and one["read"]:
        parts.append(f"{one['cpu_seconds'] * (1 << 30) / one['read']:.2f} cpu s/GiB")
    if work == "opened again, page cache warm" and one["daemon_reads"] is not None:
        parts.append(f"{one['daemon_reads']:.0f} reads of the daemon")
    if one["read"] and one["unit"] == "ms":
        parts.append(f"reads {number(one['read'] / 1e6)} MB")
    if one["slowest"]:
        parts.append(f"slowest {number(one['slowest'])}")
    if one["copied"]:
        parts.append(f"{one['copied']:.0f} files copied")
    return ", ".join(parts)


def number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.1f}"


def failures(result: dict) -> list[str]:
    """Returns one line for each work without a result."""
    return [
        f"{sample['profile']} {sample['work']} {sample['contender']}: {sample['error']}"
        for sample in result["samples"]
        if sample["error"] is not None
    ]
