"""The figures of a run as a table for people, with each limit and the ratio to it, and how costs grow. Pure."""

import math
from collections.abc import Callable, Sequence

from rich.table import Table

from tests.benchmark.measurement import Figures, Scrapes
from tests.benchmark.outside import MIB

IN_A_SHARD = 50_000
"""Certificates of which one shard is to hold no more: the largest size that is measured."""
Row = tuple[str, Callable[[Figures], str], Callable[[Figures], str]]
"""What it is, our figure, and the limit with the ratio to it (or the mark that is aimed at)."""


def table(sizes: Sequence[Figures]) -> Table:
    """Lay out one column for each size, and one for its limits."""
    made = Table(title="certlag-exporter, measured from outside the process")
    made.add_column("figure")
    for size in sizes:
        made.add_column(f"{size.certificates:,} certificates, {size.pods:,} pods", justify="right")
        made.add_column("limit, ratio", justify="right")
    for name, ours, limit in ROWS:
        made.add_row(name, *(cell for size in sizes for cell in (ours(size), limit(size))))
    return made


def markdown(sizes: Sequence[Figures]) -> str:
    """Lay out the same for docs/performance.md."""
    titles = [f"{size.certificates:,} / {size.pods:,} | limit, ratio" for size in sizes]
    lines = ["| certificates / pods | " + " | ".join(titles) + " |", "| --- " * (1 + 2 * len(sizes)) + "|"]
    for name, ours, limit in ROWS:
        lines.append(f"| {name} | " + " | ".join(f"{ours(size)} | {limit(size)}" for size in sizes) + " |")
    grown = "; ".join(exponents(sizes))
    return "\n".join([*lines, "", f"Growth from the smallest to the largest, as powers of the size: {grown}."]) + "\n"


def shards(sizes: Sequence[Figures]) -> str:
    """Lay out what shards of a larger cluster take, on paper: from the slopes between the smallest and largest size."""
    first, last = min(sizes, key=_size), max(sizes, key=_size)
    if first is last:
        return ""
    more = last.certificates - first.certificates

    def each(cost: Callable[[Figures], int]) -> float:
        return (cost(last) - cost(first)) / more

    resident = each(lambda f: f.resident_after_scrapes)
    plain, gzipped = each(lambda f: f.scraping.plain.size), each(lambda f: f.scraping.gzip.size)
    sent = each(lambda f: f.bytes_at_start)
    said = (
        f"A certificate takes {resident / 1000:.1f} KB of memory and {plain / 1000:.2f} KB of exposition "
        f"({gzipped:.0f} bytes compressed), its share of the pods included (one for every "
        f"{more / (last.pods - first.pods):.0f}), and the API server sends {sent / 1000:.1f} KB of it at start."
    )
    lines = [
        said,
        "",
        "| certificates | shards | in each: certificates, memory, exposition | sent to all at start |",
        "| --- | --- | --- | --- |",
    ]
    for certificates in (50_000, 200_000, 1_000_000):
        count = certificates // IN_A_SHARD
        memory = first.resident_after_scrapes + resident * (IN_A_SHARD - first.certificates)
        lines.append(
            f"| {certificates:,} | {count} | {IN_A_SHARD:,}, {_mib(int(memory))}, {plain * IN_A_SHARD / 1e6:.0f} MB "
            f"({gzipped * IN_A_SHARD / 1e6:.1f} MB compressed) | {sent * certificates * count / 1e9:.1f} GB |"
        )
    return "\n".join(lines) + "\n"


def exponents(sizes: Sequence[Figures]) -> list[str]:
    """Say how each cost grows from the smallest to the largest size: with the size to the power of what."""
    first, last = min(sizes, key=_size), max(sizes, key=_size)
    if first is last:
        return []
    growth = math.log(_size(last) / _size(first))
    costs = ((name, cost(first), cost(last)) for name, cost in COSTS.items())
    return [f"{name}: {math.log(after / before) / growth:.2f}" for name, before, after in costs if before > 0 < after]


def _size(figures: Figures) -> int:
    return figures.certificates


def _scrape(name: str, ours: Callable[[Figures], Scrapes], of_nginx: Callable[[Figures], Scrapes]) -> Row:
    def own(figures: Figures) -> str:
        return f"{_ms(ours(figures).median)} / {_ms(ours(figures).p99)}"

    def limit(figures: Figures) -> str:
        own, nginx = ours(figures), of_nginx(figures)
        return f"nginx {_ms(nginx.median)} / {_ms(nginx.p99)}, {own.p99 / nginx.p99:.2f}x"

    return (f"scrape, {name}: median / p99", own, limit)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _mib(size: int) -> str:
    return f"{size / MIB:.0f} MiB"


def _mark(text: str) -> Callable[[Figures], str]:
    return lambda _: text


ROWS: tuple[Row, ...] = (
    ("series", lambda f: f"{f.series:,}", _mark("")),
    ("all certificates in a scrape after", lambda f: f"{f.certificates_after:.2f} s", _mark("")),
    (
        "and every pod probed after",
        lambda f: f"{f.complete_after:.2f} s",
        lambda f: f"bare list and decode {f.list_and_decode:.2f} s",
    ),
    (
        "resident at first, after scrapes one by one, after those of 16 at once",
        lambda f: f"{_mib(f.resident)}, {_mib(f.resident_after_scrapes)}, {_mib(f.resident_after_crowd)}",
        _mark(""),
    ),
    ("peak", lambda f: _mib(f.peak), _mark("")),
    _scrape("plain", lambda f: f.scraping.plain, lambda f: f.nginx.plain),
    _scrape("gzip", lambda f: f.scraping.gzip, lambda f: f.nginx.gzip),
    _scrape("plain, 16 at once", lambda f: f.crowd.plain, lambda f: f.nginx_crowd.plain),
    _scrape("gzip, 16 at once", lambda f: f.crowd.gzip, lambda f: f.nginx_crowd.gzip),
    ("bytes, plain and gzip", lambda f: f"{f.scraping.plain.size:,}, {f.scraping.gzip.size:,}", _mark("")),
    ("one core in a quiet minute", lambda f: f"{f.quiet_processor:.2%}", _mark("")),
    (
        "beyond the handshakes' own",
        lambda f: f"{f.quiet_processor_beyond_handshakes:.2%}",
        lambda f: f"a bare handshake {_ms(f.processor_per_handshake)}",
    ),
    (
        "quiet: write to scrape, median / p99",
        lambda f: f"{_ms(f.quiet_event_median)} / {_ms(f.quiet_event_p99)}",
        _mark(""),
    ),
    ("all renewed at once: shown after", lambda f: f"{f.burst_seconds:.2f} s", _mark("")),
    ("events applied", lambda f: f"{f.burst_events_per_second:,.0f}/s", _mark("")),
    (
        "burst: write to scrape, median / p99",
        lambda f: f"{_ms(f.burst_event_median)} / {_ms(f.burst_event_p99)}",
        _mark(""),
    ),
    (
        "probes",
        lambda f: f"{f.probes_per_second:,.0f}/s",
        lambda f: f"bare {f.handshakes_per_second:,.0f}/s, {f.probes_per_second / f.handshakes_per_second:.2f}x",
    ),
    (
        "asked of the API server: at start, in a quiet minute",
        lambda f: f"{f.requests_at_start} requests, {_mib(f.bytes_at_start)}; {f.requests_in_quiet}",
        _mark(""),
    ),
)

COSTS: dict[str, Callable[[Figures], float]] = {
    "start": lambda f: f.certificates_after,
    "resident": lambda f: f.resident,
    "scrape, gzip, median": lambda f: f.scraping.gzip.median,
    "scrape, plain, median": lambda f: f.scraping.plain.median,
    "bytes": lambda f: f.scraping.plain.size,
    "burst": lambda f: f.burst_seconds,
}
"""What may grow no faster than the size: an exponent of 1."""
