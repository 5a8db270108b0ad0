"""How our expressions are put together: over which labels, who has a say, and how a value outlives its series. Pure."""

from dataclasses import dataclass

from alerts.settings import CONTACT_SECONDS, MEMORY

EXPORTER = "job, instance"
"""The labels of one exporter."""
USE = "namespace, workload, workload_type, certificate, target"
"""The labels of a workload's use of a certificate."""
RUN = "namespace, workload, workload_type, target"
"""The labels of a target and its run."""
CERTIFICATE = "namespace, certificate"
TARGET = "target, namespace"
WATCH = "resource, watch_namespace, name"


@dataclass(frozen=True)
class Recording:
    """A recording rule; marks in `expr` stand for settings."""

    record: str
    expr: str


_CONTACT = "certlag_watch_last_contact_timestamp_seconds"
LOST_CONTACT = Recording(
    "exporter:certlag_watch_lost_contact:group",
    f"""group by ({EXPORTER}, resource, namespace) (label_replace(
  timestamp({_CONTACT}) - {_CONTACT} > {CONTACT_SECONDS} or certlag_watch_synced == 0,
  "namespace", "$1", "watch_namespace", "(.+)"
))""",
)
"""Which exporter hears nothing of which resources, and where; `*` is everywhere. Age is that at the time of the
scrape."""


def with_contact(expression: str, watches: tuple[str, ...]) -> str:
    """Return an expression without the exporters that have lost contact with one of these resources."""
    lost = f'{LOST_CONTACT.record}{{resource=~"{"|".join(watches)}"'
    return (
        f'{expression}\n  unless on ({EXPORTER}) {lost}, namespace="*"}}\n  unless on ({EXPORTER}, namespace) {lost}}}'
    )


def held(record: str) -> str:
    """Return the last value of a recorded series within the memory: what is recorded now, if anything is.

    The exporter's own series would not do: after a restart it has another `instance`, and what the old one last said
    would stand beside what the new one says.
    """
    return f"last_over_time({record}[{MEMORY}])"


@dataclass(frozen=True)
class Joined(Recording):
    """What is so, of what each exporter says: the worst that any says which has contact.

    `value` is what alerts read: what was recorded last; where that is longer ago than the memory, what an exporter
    without contact says, if it is bad. What was fine when it lost contact says nothing of now.
    """

    value: str
    worst: str
    watches: tuple[str, ...]


def joined(
    record: str, expression: str, *, by: str, over: str, watches: tuple[str, ...], worst: str, bad: str = ""
) -> Joined:
    """Record what is so, of what each exporter says.

    Args:
        record: the name of what is recorded.
        expression: what each exporter says: a vector with its labels.
        by: the aggregation that chooses the worst, `min` or `max`.
        over: the labels that remain.
        watches: the resources whose watches an exporter must hear to have a say.
        worst: what `by` chooses, in words.
        bad: the comparison that holds of what is bad; without it everything is.
    """
    aggregate = f"{by} by ({over})"
    return Joined(
        record,
        f"{aggregate} (\n  {with_contact(expression, watches)}\n)",
        f"({held(record)} or {aggregate} ({f'{expression} {bad}'.rstrip()}))",
        worst,
        watches,
    )
