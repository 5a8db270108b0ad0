"""How our expressions are put together: over which labels, who has a say, and how a value outlives its series. Pure."""

from dataclasses import dataclass

from alerts.settings import CONTACT_SECONDS, DEADLINE_MEMORY, EXTRA, MEMORY, NAMESPACE_OF

JOBS = f"{EXTRA}job"
"""The labels of the exporters of one cluster."""
EXPORTER = f"{JOBS}, instance"
"""The labels of one exporter."""
NAMESPACE = f"{EXTRA}{NAMESPACE_OF}"
USE = f"{NAMESPACE}, workload, workload_type, certificate, target"
"""The labels of a workload's use of a certificate."""
WORKLOAD = f"{NAMESPACE}, workload, workload_type"
RUN = f"{WORKLOAD}, target"
"""The labels of a target and its run."""
CERTIFICATE = f"{NAMESPACE}, certificate"
TARGET = f"{NAMESPACE}, target"
WATCH = f"{EXTRA}resource, watch_namespace, name"


def said_by_one(labels: str) -> str:
    """Return a list of labels for what one exporter says of something, of that thing's labels."""
    return f"{EXPORTER}, {labels.removeprefix(str(EXTRA))}"


@dataclass(frozen=True)
class Recording:
    """A recording rule; marks in `expr` stand for settings."""

    record: str
    expr: str


_CONTACT = "certlag_watch_last_contact_timestamp_seconds"
LOST_CONTACT = Recording(
    "exporter:certlag_watch_lost_contact:group",
    f"""group by ({EXPORTER}, resource, {NAMESPACE_OF}) (label_replace(
  timestamp({_CONTACT}) - {_CONTACT} > {CONTACT_SECONDS} or certlag_watch_synced == 0,
  "{NAMESPACE_OF}", "$1", "watch_namespace", "(.+)"
))""",
)
"""Which exporter hears nothing of which resources, and where; `*` is everywhere. Age is that at the time of the
scrape."""


def with_contact(expression: str, watches: tuple[str, ...]) -> str:
    """Return an expression without the exporters that have lost contact with one of these resources."""
    lost = f'{LOST_CONTACT.record}{{resource=~"{"|".join(watches)}"'
    return (
        f'{expression}\n  unless on ({EXPORTER}) {lost}, {NAMESPACE_OF}="*"}}'
        f"\n  unless on ({EXPORTER}, {NAMESPACE_OF}) {lost}}}"
    )


def held(record: str) -> str:
    """Return the last value of a recorded series within the memory: what is recorded now, if anything is.

    The exporter's own series would not do: after a restart it has another `instance`, and what the old one last said
    would stand beside what the new one says.
    """
    return f"last_over_time({record}[{MEMORY}])"


def last_within(record: str) -> str:
    """Return the last value of a recorded series within the memory of deadlines."""
    return f"last_over_time({record}[{DEADLINE_MEMORY}])"


@dataclass(frozen=True)
class Joined(Recording):
    """What is so, of what each exporter says: the worst that any says which has contact.

    `value` is what alerts read: what was recorded last; where that is longer ago than the memory, what an exporter
    without contact says, if it is bad. What was fine when it lost contact says nothing of now. `now` is the same
    without the memory.
    """

    value: str
    now: str
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
    without_contact = f"{aggregate} ({f'{expression} {bad}'.rstrip()})"
    return Joined(
        record,
        f"{aggregate} (\n  {with_contact(expression, watches)}\n)",
        f"({held(record)} or {without_contact})",
        f"({record} or {without_contact})",
        worst,
        watches,
    )
