"""Pods for people: state, what they present, how long they have been ending and until when at the latest. Pure."""

from collections.abc import Iterable
from datetime import datetime

from rich.console import RenderableType
from rich.text import Text

from certlag.assessment import Verdict
from runbook.events import PodLine
from runbook.report.layout import INDENT, Form, cell, table
from runbook.report.wording import ticking, time_of_day

HEADERS = ("pod", "node", "state", "for", "ends by", "presents")

STYLES = {
    Verdict.CURRENT: "good",
    Verdict.STALE: "bad",
    Verdict.UNKNOWN: "warning",
    "ready": "good",
    "ending": "note",
}
"""The colour of a pod's state; whatever else a kubelet says has none."""


def pod_table(pods: Iterable[PodLine], form: Form, now: datetime, *, indent: int = INDENT) -> RenderableType:
    """Show pods, one below the other."""
    rows = [
        (
            cell(pod.name),
            cell(pod.node),
            cell(pod.state, STYLES.get(pod.state, "")),
            "" if pod.since is None else ticking(now - pod.since),
            _ends_by(pod, now),
            cell(pod.presents),
        )
        for pod in pods
    ]
    return table(HEADERS, rows, form, indent=indent)


def _ends_by(pod: PodLine, now: datetime) -> Text:
    """Say when its grace period is over; a pod that outlives it is on a node that does not answer."""
    if pod.latest_end is None:
        return Text()
    left = pod.latest_end - now
    at = time_of_day(pod.latest_end)
    if left.total_seconds() < 0:
        return Text(f"{at} ({ticking(-left)} ago)", style="warning")
    return Text(f"{at} ({ticking(left)} left)")
