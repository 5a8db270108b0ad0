"""What is fine somewhere must not silence what is bad elsewhere, and what is absent is no evidence.

Rules see several exporters, each of which may have lost contact with the API server, or begun a minute ago; panels show
one value of several.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from alerts import queries
from alerts.rule_text import Filled
from alerts.settings import Value
from certlag.assessment import WindowState
from certlag.run_record import RunState
from tests.dashboard_queries import filled
from tests.field.documents import certificate, pod, request
from tests.field.exporter import NOW, Exporter
from tests.field.prometheus import Answer, Prometheus, firing, paging
from tests.field.record import case
from tests.field.run_documents import STATEFUL_SET, TARGET, lease, record, worker
from tests.pki import DAY, Issued, authority

pytestmark = pytest.mark.tools

ROOT = authority("ca")
ADDRESS = "10.88.0.7"
LEFT_DRAINED, REQUIRED, NEAR = "CertlagWorkersLeftDrained", "CertlagNeedsRestart", "CertlagRestartDeadlineNear"
DOWN, BLIND = "CertlagExporterDown", "CertlagMonitoringDegraded"
SVC = 'workload="svc"'
HEARTBEAT, AWAITED = (f"certlag_runbook_{name}_timestamp_seconds" for name in ("heartbeat", "heartbeat_awaited"))


def leaf(begin: timedelta, lifetime: timedelta = 90 * DAY) -> Issued:
    """A leaf that was issued so long before now."""
    return ROOT.leaf("svc.shop.svc", not_before=NOW - begin, not_after=NOW - begin + lifetime)


def issued(one: Issued, revision: int, spec: str = "") -> tuple[str, str]:
    """The Certificate of a revision, and its request."""
    return (
        certificate(one, revision=revision, spec=spec),
        request(one, name=f"svc-{revision}", revision=revision, authority=ROOT),
    )


CURRENT = leaf(10 * DAY)
AT_REST = (*issued(CURRENT, 1), pod(), STATEFUL_SET, worker(3))
DRAINED = (record(), worker(0))


def an_exporter(*documents: str, presents: Issued = CURRENT, minute: int = 0) -> Exporter:
    """An exporter that begins at a minute, and what it finds."""
    one = Exporter(TARGET, now=NOW + timedelta(minutes=minute))
    one.serve(ADDRESS, 8443, presents)
    one.listed(*documents)
    return one


def a_run(prometheus: Prometheus, *, until: int, dead_at: int) -> None:
    """Begin a run now that renews its Lease each minute until it dies."""
    prometheus.minute(*DRAINED, lease(prometheus.now))
    while prometheus.now < NOW + timedelta(minutes=dead_at):
        prometheus.minute(lease(prometheus.now))
    prometheus.minutes(until)


def two_exporters() -> Prometheus:
    """Two exporters at rest, the second of which hears nothing from minute 5 on."""
    prometheus = Prometheus(a=an_exporter(*AT_REST), b=an_exporter(*AT_REST))
    prometheus.minutes(5)
    prometheus.without_contact = {"b"}
    prometheus.minutes(10)
    return prometheus


# --- one of two exporters has lost contact ------------------------------------------------------------


@case(
    "H2",
    situation="Two exporters; one stops hearing from the API server, then a run begins and its process dies.",
    says="The alert on drained workers fires: the `idle` of the exporter without contact silences nothing.",
    found_by="reader",
)
def test_an_exporter_that_lost_contact_does_not_silence_a_dead_run(tmp_path: Path) -> None:
    prometheus = two_exporters()
    a_run(prometheus, until=40, dead_at=15)
    assert prometheus.exporters["b"].scrape().state("certlag_runbook_state") == "idle"
    prometheus.holds(tmp_path, paging(19), paging(30, LEFT_DRAINED), paging(39, LEFT_DRAINED))


@case(
    "H2",
    situation="As before; the exporter that sees the run ends a while after the alert began to fire.",
    says="The alert goes on firing: what the other one called fine before it lost contact says nothing of now.",
    found_by="test",
)
def test_an_exporter_that_lost_contact_ends_no_alert_when_it_is_the_only_one(tmp_path: Path) -> None:
    prometheus = two_exporters()
    a_run(prometheus, until=30, dead_at=15)
    del prometheus.exporters["a"]
    prometheus.minutes(40)
    prometheus.holds(tmp_path, paging(29, LEFT_DRAINED), paging(39, LEFT_DRAINED))


@case(
    "H2",
    situation="One exporter, which loses contact in the midst of a run that lives.",
    says="Nobody is paged: it heard nothing of the Lease, so that it did not see it change proves nothing.",
    found_by="test",
)
def test_an_exporter_that_loses_contact_takes_no_run_for_dead(tmp_path: Path) -> None:
    prometheus = Prometheus(a=an_exporter(*AT_REST))
    prometheus.minutes(5)
    a_run(prometheus, until=20, dead_at=20)
    prometheus.without_contact = {"a"}
    prometheus.minutes(60)
    prometheus.holds(tmp_path, paging(19), paging(27), paging(40), paging(59))


@case(
    "H2",
    situation="One of two exporters loses contact; then the certificate is renewed and the pod keeps the old one.",
    says="The restart alert fires: a `needs_restart 0` of before the renewal silences nothing.",
    found_by="reader",
)
def test_an_exporter_that_lost_contact_before_a_renewal_does_not_silence_the_restart(tmp_path: Path) -> None:
    prometheus = two_exporters()
    prometheus.minute(*issued(leaf(timedelta(0)), 2))
    prometheus.minutes(75)
    prometheus.holds(tmp_path, firing(65, REQUIRED), firing(74, REQUIRED, SVC))


@case(
    "H2",
    situation="One of two exporters loses contact while a restart is needed; then the workload is restarted.",
    says="The alert ends: the exporter with contact sees that it is done.",
    found_by="test",
)
def test_an_exporter_that_lost_contact_does_not_keep_up_an_alert(tmp_path: Path) -> None:
    new = leaf(timedelta(0), DAY)
    stale = (*issued(new, 2), pod(), STATEFUL_SET, worker(3))
    old = leaf(16 * timedelta(hours=1), DAY)
    prometheus = Prometheus(a=an_exporter(*stale, presents=old), b=an_exporter(*stale, presents=old))
    prometheus.minutes(60)
    prometheus.without_contact = {"b"}
    restarted = pod(name="svc-1", address="10.88.0.8")
    for one in prometheus.exporters.values():
        one.serve("10.88.0.8", 8443, new)
    prometheus.exporters["a"].removed("Pod", "svc-0")
    prometheus.minute(restarted)
    prometheus.minutes(70)
    assert prometheus.exporters["b"].scrape().value("certlag_needs_restart") == 1
    prometheus.holds(tmp_path, firing(59, REQUIRED, SVC), firing(65, REQUIRED), firing(69, REQUIRED))


# --- one server for several clusters -------------------------------------------------------------------


def two_clusters() -> Prometheus:
    """An exporter in each of two clusters, all of whose names are the same, down to the exporter's address."""
    prometheus = Prometheus(prod=an_exporter(*AT_REST), staging=an_exporter(*AT_REST))
    prometheus.target_labels = {name: {"cluster": name, "instance": "10.0.0.7:9871"} for name in prometheus.exporters}
    prometheus.settings = {"extraLabels": ["cluster"]}
    prometheus.minutes(5)
    return prometheus


def of_clusters(minute: int, alert: str, *clusters: str) -> Answer:
    """An alert is firing at a minute in just these clusters."""
    query = f'max by (cluster) (ALERTS{{alertstate="firing", alertname="{alert}"}})'
    return Answer(minute, query, {f'{{cluster="{name}"}}': 1 for name in clusters})


@case(
    "H1",
    situation="One ruler for two clusters with equal names; in prod a run's process dies, staging is at rest.",
    says="The alert on drained workers fires for prod, and for prod alone.",
    reference="kubernetes-monitoring/kubernetes-mixin#695, thanos-io/thanos#3867",
)
def test_a_cluster_that_is_fine_does_not_silence_a_dead_run_in_another_one(tmp_path: Path) -> None:
    prometheus = two_clusters()
    prod = prometheus.exporters["prod"]
    prod.changed(*DRAINED, lease(prometheus.now))
    prometheus.minutes(30)
    prometheus.holds(tmp_path, of_clusters(20, LEFT_DRAINED, "prod"), of_clusters(29, LEFT_DRAINED, "prod"))


@case(
    "H1",
    situation="As before; a certificate is renewed in prod, where a restart is needed, while a run is open in staging.",
    says="The run in staging mutes nothing in prod.",
    reference="kubernetes-monitoring/kubernetes-mixin#695",
)
def test_a_run_in_one_cluster_does_not_mute_the_restart_in_another_one(tmp_path: Path) -> None:
    prometheus = two_clusters()
    prometheus.exporters["prod"].changed(*issued(leaf(timedelta(0)), 2))
    prometheus.exporters["staging"].changed(record(), worker(3))
    prometheus.minutes(75)
    prometheus.holds(tmp_path, of_clusters(74, REQUIRED, "prod"))


@case(
    "H1",
    situation="One ruler for two clusters; the exporter of one is gone, and with it every series of it.",
    says="CertlagExporterDown names that cluster; `absent` would see one exporter and be silent.",
    reference="kubernetes-monitoring/kubernetes-mixin#695",
)
def test_a_cluster_that_vanishes_is_named_while_the_other_one_is_fine(tmp_path: Path) -> None:
    prometheus = two_clusters()
    del prometheus.exporters["prod"]
    prometheus.minutes(30)
    down = shown(queries.BLIND, {"extraLabels": ["cluster"]})
    prometheus.holds(
        tmp_path,
        of_clusters(14, DOWN),
        of_clusters(16, DOWN, "prod"),
        Answer(4, down, {"{}": 0}),
        Answer(20, down, {"{}": 2}),
    )


# --- a server that overwrites labels ------------------------------------------------------------------


def overwritten(namespace_label: str) -> Prometheus:
    """A server that puts the exporter's namespace and pod in place of ours; prod is renewed, and not restarted."""
    prometheus = Prometheus(a=an_exporter(*AT_REST))
    prometheus.honors_labels = False
    prometheus.target_labels = {"a": {"namespace": "monitoring", "pod": "exporter-0", "container": "exporter"}}
    prometheus.settings = {"namespaceLabel": namespace_label}
    prometheus.minutes(5)
    prometheus.minute(*issued(leaf(timedelta(0)), 2))
    prometheus.minutes(75)
    return prometheus


@case(
    "H4",
    situation="A server overwrites our `namespace`, and `rules.namespaceLabel` says so.",
    says="The alert has the certificate's namespace as `namespace`, not the exporter's.",
    reference="openshift/cluster-monitoring-operator#519, prometheus-operator/prometheus-operator#1531",
)
def test_an_alert_has_the_certificates_namespace_where_the_server_overwrites_it(tmp_path: Path) -> None:
    prometheus = overwritten("exported_namespace")
    where = 'exported_namespace="shop", namespace="shop"'
    prometheus.holds(tmp_path, firing(74, REQUIRED, where), firing(74, BLIND))


@case(
    "H4",
    situation="A server overwrites our `namespace`, and nobody said so.",
    says="An alert says that the rules go by a label that does not hold the certificate's namespace.",
    reference="openshift/cluster-monitoring-operator#519, prometheus-operator/prometheus-operator#1531",
)
def test_a_server_that_overwrites_namespaces_unsaid_is_told_of(tmp_path: Path) -> None:
    prometheus = overwritten("namespace")
    prometheus.holds(tmp_path, firing(30, BLIND, 'reason="mislabelled"'))


# --- a deadline outlives the exporter -----------------------------------------------------------------


@case(
    "H7",
    situation="The exporter goes while the deadline of a workload is near, and does not come back.",
    says="The alert on the deadline goes on firing, and the exporter's absence is critical.",
    found_by="reader",
    since="2026-11-29",
)
def test_a_deadline_that_is_near_does_not_end_with_the_exporter(tmp_path: Path) -> None:
    old, new = leaf(89 * DAY), leaf(29 * DAY)
    stale = (*issued(new, 2), pod(), STATEFUL_SET, worker(3))
    prometheus = Prometheus(a=an_exporter(*stale, presents=old))
    prometheus.minutes(20)
    del prometheus.exporters["a"]
    prometheus.minutes(90)
    prometheus.holds(tmp_path, paging(19, NEAR), *(paging(minute, DOWN, NEAR) for minute in (35, 40, 60, 89)))


# --- the first sight is no change ---------------------------------------------------------------------


@case(
    "H3",
    situation="An exporter begins while a run is open.",
    says="It has seen no heartbeat before it sees the Lease change; until then it says since when it waits for one.",
    found_by="reader",
)
def test_the_first_sight_of_a_lease_is_no_heartbeat() -> None:
    one = an_exporter(*AT_REST, *DRAINED, lease(NOW))
    assert one.scrape().value(HEARTBEAT) is None
    assert one.scrape().value(AWAITED) == NOW.timestamp()
    one.wait(60)
    one.listed(*AT_REST, *DRAINED, lease(NOW))
    assert one.scrape().value(HEARTBEAT) is None, "a list that shows the same is no change"
    one.changed(lease(NOW + timedelta(minutes=1)))
    assert one.scrape().value(HEARTBEAT) == (NOW + timedelta(minutes=1)).timestamp()
    assert one.scrape().value(AWAITED) is None


@case(
    "H3",
    situation="An exporter begins when the process of a run has been dead for long, and its workers are at 0.",
    says="The alert on drained workers fires within minutes.",
    found_by="reader",
)
def test_a_run_that_was_dead_before_the_exporter_began_is_told_of(tmp_path: Path) -> None:
    prometheus = Prometheus(a=an_exporter(*AT_REST, *DRAINED, lease(NOW)))
    prometheus.minutes(10)
    prometheus.holds(tmp_path, paging(2), paging(5, LEFT_DRAINED), paging(9, LEFT_DRAINED))


@case(
    "H3",
    situation="As before, and the exporter is replaced every six minutes.",
    says="The alert fires and goes on firing, no matter who reports the run.",
    found_by="reader",
)
def test_a_dead_run_is_told_of_although_the_exporter_is_replaced_every_six_minutes(tmp_path: Path) -> None:
    prometheus = replaced_every_six_minutes(alive=False)
    prometheus.holds(tmp_path, *(paging(minute, LEFT_DRAINED) for minute in range(8, 36)))


@case(
    "H3",
    situation="The exporter is replaced every six minutes during a run that lives.",
    says="Nobody is paged.",
    found_by="test",
)
def test_a_living_run_pages_nobody_although_the_exporter_is_replaced_every_six_minutes(tmp_path: Path) -> None:
    prometheus = replaced_every_six_minutes(alive=True)
    prometheus.holds(tmp_path, *(paging(minute) for minute in range(36)))


def replaced_every_six_minutes(*, alive: bool) -> Prometheus:
    """36 minutes of a run, with six exporters one after the other."""
    prometheus = Prometheus()
    for begins in range(0, 36, 6):
        renewed = NOW + timedelta(minutes=begins if alive else 0)
        prometheus.exporters = {f"a{begins}": an_exporter(*AT_REST, *DRAINED, lease(renewed), minute=begins)}
        for _ in range(6):
            prometheus.minute(*([lease(prometheus.now + timedelta(seconds=15))] if alive else ()))
    return prometheus


# --- what is absent -----------------------------------------------------------------------------------


@case(
    "H5",
    situation="Relabelling drops what is not certlag's (`process_start_time_seconds`); the exporter restarts in a run.",
    says="A run that lives pages nobody.",
    reference="prometheus-community/helm-charts#2038, rook/rook#16896",
)
def test_a_living_run_pages_nobody_without_the_metrics_of_the_process(tmp_path: Path) -> None:
    prometheus = Prometheus(a=an_exporter(*AT_REST))
    prometheus.minutes(5)
    a_run(prometheus, until=20, dead_at=20)
    prometheus.exporters = {"b": an_exporter(*AT_REST, *DRAINED, lease(prometheus.now), minute=20)}
    while prometheus.now < NOW + timedelta(minutes=40):
        prometheus.minute(lease(prometheus.now))
    prometheus.holds(tmp_path, *(paging(minute) for minute in range(40)))


# --- one object that may not be read ------------------------------------------------------------------


@pytest.mark.field_case("E1")
def test_a_watch_of_one_object_that_is_forbidden_is_told_of_by_the_objects_name(tmp_path: Path) -> None:
    one = Exporter(TARGET)
    one.serve(ADDRESS, 8443, CURRENT)
    one.listed(*AT_REST, forbidden={"deployments/worker"})
    prometheus = Prometheus(a=one)
    prometheus.minutes(20)
    worker_watch = 'name="worker", reason="unsynced", resource="deployments"'
    prometheus.holds(
        tmp_path, firing(14, "CertlagMonitoringDegraded"), firing(19, "CertlagMonitoringDegraded", worker_watch)
    )


@case(
    "E1",
    situation="The worker of one target may not be read; a run of another target has been left drained.",
    says="The alert on drained workers fires for the other target.",
    found_by="test",
)
def test_an_object_that_may_not_be_read_hides_no_other_target(tmp_path: Path) -> None:
    other = "  - {name: other, namespace: shop, workload: statefulset/svc, workers: [deployment/secret]}\n"
    one = Exporter(TARGET + other)
    one.listed(*AT_REST, record(outcome="restart_failed"), forbidden={"deployments/secret"})
    prometheus = Prometheus(a=one)
    prometheus.minutes(10)
    prometheus.holds(tmp_path, firing(9, LEFT_DRAINED, 'target="svc"'))


# --- what has an alert of its own ---------------------------------------------------------------------


@pytest.mark.field_case("A6")
def test_a_certificate_that_is_never_renewed_is_told_of_before_it_expires_and_after(tmp_path: Path) -> None:
    ending = leaf(90 * DAY - timedelta(minutes=20))
    disabled = (*issued(ending, 1, "renewal: {policy: Disabled}"), pod(), STATEFUL_SET, worker(3))
    prometheus = Prometheus(a=an_exporter(*disabled, presents=ending))
    prometheus.minutes(40)
    state = prometheus.exporters["a"].scrape().state("certlag_renewal_window_state")
    assert state == "expired"
    prometheus.holds(
        tmp_path, *(paging(minute, "CertlagRenewalDisabled") for minute in (2, 19, 20, 21, 22, 39)),
        firing(39, "CertlagRenewalOverdue"),
    )  # fmt: skip


@pytest.mark.field_case("B1")
def test_a_target_for_which_no_certificate_is_found_is_told_of(tmp_path: Path) -> None:
    target = "targets: [{name: svc, namespace: shop, workload: statefulset/svc}]"
    one = Exporter(target)
    one.listed(*issued(CURRENT, 1), pod(secret="another"), STATEFUL_SET)
    prometheus = Prometheus(a=one)
    prometheus.minutes(20)
    missing = "CertlagTargetMissing"
    prometheus.holds(tmp_path, firing(14, missing), firing(19, missing, 'target="svc"'))


# --- panels -------------------------------------------------------------------------------------------


def shown(query: str, settings: Mapping[str, Value] | None = None) -> str:
    """A panel's query with everything chosen."""
    return filled(Filled(settings or {}).text(query), {"namespace": ".+", "workload": ".+"})


@case(
    "H6",
    situation="A watch has no complete list, and heard from the API server a moment ago.",
    says="The panel on the exporter says that it does not see.",
    found_by="reader",
)
def test_the_panel_on_the_exporter_shows_a_watch_that_has_no_list(tmp_path: Path) -> None:
    prometheus = Prometheus(a=an_exporter(*AT_REST), b=an_exporter(*AT_REST))
    prometheus.minutes(3)
    pods = next(watch for watch in prometheus.exporters["b"].health if watch.resource.name == "pods")
    prometheus.exporters["b"].health[pods].synced = False
    prometheus.minute()
    prometheus.exporters["b"].health[pods].last_contact_at = prometheus.now
    prometheus.minute()
    prometheus.holds(tmp_path, Answer(2, shown(queries.BLIND), {"{}": 0}), Answer(4, shown(queries.BLIND), {"{}": 1}))


@case(
    "H6",
    situation="Two exporters say different things of a run, of a renewal window and of what a container has loaded.",
    says="Each panel shows the worst.",
    found_by="test",
)
def test_panels_show_the_worst_of_what_exporters_say(tmp_path: Path) -> None:
    prometheus = two_exporters()
    prometheus.minute(*issued(leaf(timedelta(0)), 2), record(outcome="restart_failed"), worker(0))
    place = '{certificate="svc", namespace="shop", target="svc", workload="svc"'
    is_issued = f"min by (certificate, namespace, target, workload) ({shown(queries.IS_ISSUED)})"
    prometheus.holds(
        tmp_path,
        Answer(
            10,
            shown(queries.WINDOW_STATE),
            {'{certificate="svc", namespace="shop", workload="svc"}': 1 + queries.WINDOW_STATES.index("needs_restart")},
        ),
        Answer(
            10,
            shown(queries.RUN_STATE),
            {'{namespace="shop", target="svc", workload="svc"}': 1 + queries.RUN_STATES.index("left_drained")},
        ),
        Answer(10, is_issued, {place + "}": 0}),
        Answer(9, is_issued, {place + "}": 1}),
    )


def test_panels_know_every_state() -> None:
    assert set(queries.WINDOW_STATES) == set(WindowState)
    assert set(queries.RUN_STATES) == set(RunState)
