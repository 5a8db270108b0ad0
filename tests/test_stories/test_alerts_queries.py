"""Every query of dashboard and rules, asked of a real Prometheus while a story happens: what panels claim is so."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pytest

from alerts import queries
from alerts.alerting import ALERTS
from alerts.promql import LOST_CONTACT
from alerts.recording import DEADLINE_NEAR_TIERS, MISLABELLED, RECORDINGS, RUN_SILENT
from alerts.rule_text import Filled
from tests import dashboard_queries
from tests.bench import servers
from tests.figures import Figures
from tests.monitoring import Monitoring, monitoring
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.test_run_seen import RUN, touch_lease, write_record

DAY = 86400.0
Claim = Callable[[Sequence[float]], bool]


def just(*values: float) -> Claim:
    """Just these values."""
    return lambda seen: list(seen) == sorted(values)


def about(value: float, within: float = 600.0) -> Claim:
    """At least one value, and one of them near to this."""
    return lambda seen: any(abs(each - value) < within for each in seen)


def below(limit: float) -> Claim:
    """At least one value, and all of them from 0 to below this."""
    return lambda seen: bool(seen) and all(0 <= each < limit for each in seen)


def soon(seen: Sequence[float]) -> bool:
    """One instant in milliseconds, in 90 days."""
    return about((time.time() + 90 * DAY) * 1000, 600_000)(seen)


def anything(seen: Sequence[float]) -> bool:
    """Nothing is claimed of this moment."""
    return True


ONLY_WHEN_BAD = (LOST_CONTACT, DEADLINE_NEAR_TIERS, MISLABELLED, RUN_SILENT)
"""What nothing is recorded of while all is well."""
NONE, SOME = just(), below(float("inf"))
STEPS = ("settled", "renewed", "running", "restarted")
"""The story, and for each query what it gives in each of its steps."""
CLAIMS: Mapping[str, tuple[Claim, Claim, Claim, Claim]] = {
    queries.RESTARTS_NEEDED: (just(0), just(1), just(1), just(0)),
    queries.NEAREST_DEADLINE: (NONE, about(90 * DAY), about(90 * DAY), NONE),
    queries.WORKERS_DRAINED: (NONE, NONE, just(2), NONE),
    queries.PODS_UNKNOWN: (just(0), just(0), just(0), just(0)),
    queries.BLIND: (just(0), just(0), just(0), just(0)),
    queries.WINDOW_STATE: (just(1), just(5), just(5), just(1)),
    queries.RUN_STATE: (just(1), just(1), just(2), just(1)),
    queries.LOADED_UNTIL: (soon, soon, soon, soon),
    queries.ISSUED_UNTIL: (soon, soon, soon, soon),
    queries.IS_ISSUED: (just(1), just(0), just(0), just(1)),
    queries.PROBED: (just(1), just(1), just(1), just(1)),
    queries.ISSUED_LEFT: (about(90 * DAY),) * 4,
    queries.RENEWAL_IN: (about(60 * DAY),) * 4,
    queries.AUTHORITY_LEFT: (about(3650 * DAY),) * 4,
    queries.LOADED_LEFT: (about(90 * DAY),) * 4,
    queries.DEADLINE_LEFT: (NONE, about(90 * DAY), about(90 * DAY), NONE),
    queries.WORKERS_EXPECTED: (NONE, NONE, just(2), NONE),
    queries.WORKERS_NOW: (NONE, NONE, just(0), NONE),
    queries.SINCE_LAST_RUN: (NONE, NONE, NONE, SOME),
    queries.WATCH_SILENCE: (below(75),) * 4,
    queries.PROBE_FAILURES: (SOME, SOME, SOME, SOME),
    queries.WATCH_ERRORS: (SOME, SOME, SOME, SOME),
    queries.PROBE_DURATION: (below(5),) * 4,
    queries.TARGETS_MISSING: (NONE, NONE, NONE, NONE),
    queries.RENEWALS: (NONE, SOME, anything, anything),
    queries.RESTARTS: (NONE, NONE, NONE, SOME),
}


def claims_hold(watch: Monitoring, namespace: str, step: int) -> bool:
    """Whether every query gives what is claimed of this step.

    Raises:
        LookupError: naming those that do not.
    """
    variables = {"namespace": namespace, "workload": "one", "__rate_interval": "1m"}
    wrong = {}
    for query, claims in CLAIMS.items():
        values = watch.values(dashboard_queries.filled(query, variables))
        if not claims[step](values):
            wrong[query] = values
    if wrong:
        raise LookupError(f"{STEPS[step]}: {wrong}")
    return True


def test_every_query_of_the_dashboard_has_its_claim() -> None:
    assert set(dashboard_queries.expressions()) == {Filled().text(query) for query in CLAIMS}


@pytest.mark.cluster
def test_every_query_gives_what_its_panel_claims(ground: Ground, figures: Figures) -> None:
    worker = servers.Server(("/bin/sh", "-c", "exec sleep 1000000"), (), (), name="worker")
    ground.apply(
        servers.certificate("one"),
        servers.deployment("one", [servers.go("one")]),
        servers.deployment("worker", [worker], replicas=0),
    )
    ground.wait_available("one")
    with (
        ground.watched([a_target("one", workers=["deployment/worker"])]) as exporter,
        monitoring(ground.cluster, ground.folder, f"{exporter.host}:{exporter.port}") as watch,
    ):

        def reached(step: str) -> None:
            index = STEPS.index(step)
            watch.wait(f"all queries, {step}", lambda: claims_hold(watch, ground.namespace, index), 90)
            for alert in ALERTS:
                watch.query(Filled().text(alert.expr))

        reached("settled")
        ground.renew("one")
        reached("renewed")
        write_record(ground, {"schema": 1, "run": {**RUN, "workers": {"deployment/worker": 2}}, "finished": []})
        touch_lease(ground, "2026-11-24T04:00:00.000000Z")
        reached("running")
        touch_lease(ground, "2026-11-24T04:00:15.000000Z")
        for recording in (each for each in RECORDINGS if each not in ONLY_WHEN_BAD):
            watch.wait(f"{recording.record} to record something", partial(watch.query, recording.record))
        ground.cluster.kubectl("rollout", "restart", "deployment/one", namespace=ground.namespace)
        past = {"id": "run-1", "begun": RUN["begun"], "finished": RUN["deadline"], "outcome": "done"}
        write_record(ground, {"schema": 1, "run": None, "finished": [past]})
        reached("restarted")
    run = len(CLAIMS) + len(ALERTS) + len(RECORDINGS)
    figures(f"queries run: {run}/{len(set(dashboard_queries.expressions())) + len(ALERTS) + len(RECORDINGS)}")
