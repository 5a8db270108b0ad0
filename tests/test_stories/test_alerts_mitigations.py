"""Each alert's page, followed: the alert pages somebody, its commands are run as they stand there, and it is resolved.

Each story brings about the state that an alert describes, with a real exporter, Prometheus and Alertmanager. A page
with several commands has a story in which each is the right one. A new command on a page fails its story here.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest

from alerts.settings import Value
from exporter.run_record import Step
from tests import alert_pages, alertmanager, exporter_pod
from tests.bench import accounts, servers
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Object
from tests.exporter_process import ExporterProcess
from tests.figures import Tally
from tests.monitoring import EVERY_STALE_ONE_IS_URGENT, Delivery, Monitoring, monitoring
from tests.on_call import OnCall, on_call
from tests.runbook_process import Ran, RunbookProcess
from tests.test_stories.drained_ground import TARGET, DrainedGround, Fault, drained_ground, serving, working
from tests.test_stories.ground import Ground, a_target
from tests.test_stories.pod_process import process_of

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(4)]

PATIENCE = 60.0
"""Seconds within which a page comes, or is taken back."""
BOOKMARK = 60.0
"""Seconds until the API server says that a Lease still is as it was: only then a run is known to be dead."""
NO_TARGET = "two"
"""A workload that no target names."""


@dataclass(frozen=True)
class Duty:
    """Somebody on call for a namespace, with one page open."""

    ground: Ground
    watch: Monitoring
    shell: OnCall
    alert: str
    left: list[str]
    """The commands under Mitigation that were not run yet."""

    def paged(self, after: float = 0.0, **labels: str) -> Delivery:
        """Wait to be paged by the alert."""
        return self.watch.pager.wait(self.alert, "firing", after=after, seconds=PATIENCE + BOOKMARK, **labels)

    def follow(self, beginning: str, **values: str) -> Ran:
        """Run the command of the page that begins like this; `values` are those of its placeholders."""
        (command,) = (each for each in self.left if each.startswith(beginning))
        self.left.remove(command)
        here = self.ground.namespace
        values = {"TARGET": TARGET, "NAMESPACE": here, "EXPORTER_NAMESPACE": here, **values}
        ran = self.shell.run(alert_pages.filled(command, values))
        assert ran.code == 0, f"{command}\n{ran}"
        return ran

    def resolved(self, page: Delivery) -> Delivery:
        """Wait until it is said that what has paged is over."""
        return self.watch.pager.wait(self.alert, "resolved", after=page.at, seconds=PATIENCE, **page.labels)


BeginDuty = Callable[..., AbstractContextManager[Duty]]


@pytest.fixture
def duty(ground: Ground, tally: Tally) -> BeginDuty:
    """Begin somebody's duty; at its end every command of the page was run."""

    @contextmanager
    def begin(alert: str, exporter: str, values: Mapping[str, Value] | None = None) -> Iterator[Duty]:
        left = alert_pages.commands(alert_pages.mitigation(alert_pages.page(alert)))
        with (
            monitoring(ground.cluster, ground.folder, exporter, values) as watch,
            on_call(ground.cluster, ground.folder / "on-call", ground.folder / "certlag.yaml") as shell,
        ):
            yield Duty(ground, watch, shell, alert, left)
        assert left == []
        tally("pages executed/pages", len(alert_pages.NAMES))

    return begin


# --- a restart is needed --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alert", "values"),
    [("CertlagRestartRequired", {}), ("CertlagRestartDeadlineNear", EVERY_STALE_ONE_IS_URGENT)],
)
def test_a_target_is_restarted_by_the_runbook_and_another_workload_by_kubectl(
    alert: str, values: Mapping[str, Value], ground: Ground, duty: BeginDuty
) -> None:
    ground.apply(servers.certificate(NO_TARGET), servers.deployment(NO_TARGET, [servers.go(NO_TARGET)]))
    with drained_ground(ground, loaded_once(), renewed=False) as drained:
        ground.wait_available(NO_TARGET)
        with (
            ground.watched([drained.target], discover=True) as exporter,
            duty(alert, address(exporter), values) as here,
        ):
            ground.renew(TARGET, NO_TARGET)
            drained_restart, plain_restart = (here.paged(workload=name) for name in (TARGET, NO_TARGET))
            here.follow("runbook restart")
            here.resolved(drained_restart)
            assert drained.replicas() == 2
            here.follow("kubectl", WORKLOAD=f"deployment/{NO_TARGET}")
            here.resolved(plain_restart)


def test_a_changed_issuer_is_caught_up_with_by_a_restart(ground: Ground, duty: BeginDuty) -> None:
    with (
        drained_ground(ground, loaded_once(), renewed=False, clientAuth=True) as drained,
        ground.watched([drained.target]) as exporter,
        duty("CertlagIssuerChanged", address(exporter)) as here,
    ):
        ground.renew(servers.ISSUER, TARGET)
        page = here.paged(workload=TARGET)
        here.follow("runbook restart")
        here.resolved(page)


# --- a restart will not help ----------------------------------------------------------------------


def test_a_renewal_that_failed_and_would_be_tried_again_in_an_hour_is_tried_at_once(
    ground: Ground, duty: BeginDuty
) -> None:
    ground.apply(servers.certificate(TARGET, duration="1h", renewBefore="59m50s"))
    ground.wait_issued(TARGET)
    issuer = f"/apis/cert-manager.io/v1/namespaces/{ground.namespace}/issuers/{servers.ISSUER}"
    ground.cluster.api("DELETE", issuer)
    ground.apply(servers.deployment(TARGET, [servers.go(TARGET)]))
    late_by_seconds = {"renewalOverdue.warning.windowFraction": 0.001}
    with (
        ground.watched([a_target(TARGET)]) as exporter,
        duty("CertlagRenewalOverdue", address(exporter), late_by_seconds) as here,
    ):
        page = here.paged(certificate=TARGET)
        fail_the_request(ground)
        ground.apply(*servers.authority())
        ground.cluster.wait_condition(issuer, "Ready")
        assert here.watch.pager.status(here.alert) == "firing", "cert-manager waits"
        here.follow("cmctl renew", CERTIFICATE=TARGET)
        here.resolved(page)


def test_a_certificate_whose_renewal_is_disabled_is_renewed_by_hand(ground: Ground, duty: BeginDuty) -> None:
    ground.apply(
        servers.certificate(TARGET, duration="1h", renewBefore="10m", renewal={"policy": "Disabled"}),
        servers.deployment(TARGET, [servers.go(TARGET)]),
    )
    ground.wait_available(TARGET)
    below_59_minutes = {"lifetimeFraction": 1, "maximumDays": 59 / 60 / 24}
    values = {f"renewalDisabled.warning.{limit}": value for limit, value in below_59_minutes.items()}
    with (
        ground.watched([a_target(TARGET)]) as exporter,
        duty("CertlagRenewalDisabled", address(exporter), values) as here,
    ):
        page = here.paged(certificate=TARGET, severity="warning")
        here.follow("cmctl renew", CERTIFICATE=TARGET)
        here.resolved(page)


def fail_the_request(ground: Ground) -> None:
    """Have the renewal fail as an issuer says it; cert-manager then waits for an hour."""
    collection = ground.path("certificaterequests")
    (name,) = (
        each["metadata"]["name"]
        for each in ground.cluster.api("GET", collection)["items"]
        if each["metadata"]["annotations"]["cert-manager.io/certificate-name"] == TARGET
        and "certificate" not in each.get("status", {})
    )
    seen = ground.cluster.wait_condition(f"{collection}/{name}", "Approved")
    at = seen["metadata"]["creationTimestamp"]
    failed = {"type": "Ready", "status": "False", "reason": "Failed", "message": "refused", "lastTransitionTime": at}
    conditions = [*(each for each in seen["status"]["conditions"] if each["type"] != "Ready"), failed]
    status = {"status": {"conditions": conditions, "failureTime": at}}
    ground.cluster.api("PATCH", f"{collection}/{name}/status", status, MERGE_PATCH)
    ground.cluster.wait(
        ground.path("certificates", TARGET), lambda seen: seen["status"].get("failedIssuanceAttempts") == 1
    )


# --- we should know, and do not -------------------------------------------------------------------


def test_a_pod_that_answers_nobody_is_replaced(ground: Ground, duty: BeginDuty) -> None:
    with (
        drained_ground(ground, [serving()], renewed=False) as drained,
        ground.watched([drained.target]) as exporter,
        duty("CertlagLoadedCertificateUnknown", address(exporter)) as here,
    ):
        mute = drained.fault(Fault.MUTE)
        drained.kubectl("rollout", "restart", f"deployment/{TARGET}")
        page = here.paged(workload=TARGET)
        mute.unlink()
        (pod,) = (pod for pod in ground.pods(TARGET) if not is_ready(pod))
        here.follow("kubectl", POD=pod["metadata"]["name"])
        here.resolved(page)


def is_ready(pod: Object) -> bool:
    return any((each["type"], each["status"]) == ("Ready", "True") for each in pod["status"]["conditions"])


def test_a_target_that_does_not_exist_is_brought_back(ground: Ground, duty: BeginDuty) -> None:
    manifest = ground.folder / "one.json"
    manifest.write_text(json.dumps(servers.deployment(TARGET, [servers.go(TARGET)], replicas=2)))
    ground.apply(servers.certificate(TARGET))
    ground.wait_issued(TARGET)
    with (
        ground.watched([a_target(TARGET)]) as exporter,
        duty("CertlagTargetMissing", address(exporter)) as here,
    ):
        page = here.paged(target=TARGET)
        here.follow("kubectl", MANIFEST=str(manifest))
        here.resolved(page)


# --- runs -----------------------------------------------------------------------------------------


def test_workers_that_were_left_drained_are_put_back_by_resume_and_by_abort(ground: Ground, duty: BeginDuty) -> None:
    with (
        drained_ground(ground) as drained,
        ground.watched([drained.target]) as exporter,
        duty("CertlagWorkersLeftDrained", address(exporter), DEAD_AFTER) as here,
    ):
        hanging = drained.fault(Fault.HANG)
        assert drained.run("restart", "--restart-timeout=2s").code == 6
        here.watch.wait("it to be known", lambda: here.watch.query(LEFT_DRAINED))
        page = here.paged()
        hanging.unlink()
        here.follow("runbook resume")
        over = here.resolved(page)
        assert drained.replicas() == 2

        ground.renew(TARGET)
        killed_at(drained, Step.SCALED_DOWN)
        page = here.paged(after=over.at)
        here.follow("runbook abort")
        here.resolved(page)
        assert drained.replicas() == 2


def test_a_run_whose_process_has_ended_is_gone_on_with_or_undone(ground: Ground, duty: BeginDuty) -> None:
    short = ("--drain-timeout=1s", "--restart-timeout=1s", "--accept-drain-timeout")
    with (
        drained_ground(ground, renewed=False) as drained,
        ground.watched([drained.target]) as exporter,
        duty("CertlagRunbookStalled", address(exporter), {"runbookStalled.minutes": 0}) as here,
    ):
        begun = 0.0
        for command in ("runbook resume", "runbook abort"):
            ground.renew(TARGET)
            killed_at(drained, Step.SCALED_DOWN, *short)
            page = here.paged(after=begun)
            here.follow(command)
            begun = here.resolved(page).at
            assert drained.open_run is None
            assert drained.replicas() == 2


LEFT_DRAINED = 'certlag_runbook_state{state="left_drained"} == 1'
DEAD_AFTER: Mapping[str, Value] = {"workersLeftDrained.heartbeatSeconds": 20}
"""A living run renews its Lease every 15 seconds."""


def killed_at(drained: DrainedGround, step: Step, *options: str) -> None:
    """Begin a run, and kill it when its record says this step."""
    running: Future[RunbookProcess] = Future()
    drained.once_at(step, lambda: running.result().kill())
    running.set_result(drained.runbook.start(*drained.words("restart", *options)))
    assert running.result().wait().code == -signal.SIGKILL


# --- the exporter itself --------------------------------------------------------------------------


def test_an_exporter_that_lacked_a_right_sees_again_when_it_has_it(ground: Ground, duty: BeginDuty) -> None:
    with duty("CertlagExporterBlind", deployed_exporter(ground), exporter_in(ground)) as here:
        page = here.paged(reason="unsynced")
        give_rights(ground)
        here.follow("kubectl")
        here.resolved(page)


def test_an_exporter_that_hangs_is_replaced(ground: Ground, duty: BeginDuty) -> None:
    give_rights(ground)
    with duty("CertlagExporterDown", deployed_exporter(ground), exporter_in(ground)) as here:
        (pod,) = ground.pods(exporter_pod.NAME)
        os.kill(process_of(pod, sys.executable), signal.SIGSTOP)
        page = here.paged()
        here.follow("runbook check")
        here.follow("kubectl")
        here.resolved(page)


def deployed_exporter(ground: Ground) -> str:
    """Put an exporter with an account of its own into the cluster; return the address that it serves on."""
    ground.apply(servers.certificate(TARGET), servers.deployment(TARGET, [servers.go(TARGET)]))
    ground.cluster.kubectl("create", "serviceaccount", exporter_pod.NAME, namespace=ground.namespace)
    token = ground.cluster.token(ground.namespace, exporter_pod.NAME)
    kubeconfig = accounts.kubeconfig(ground.cluster, ground.namespace, token, ground.folder / "exporter.kubeconfig")
    configuration = ground.folder / "certlag.yaml"
    configuration.write_text(json.dumps({"targets": [a_target(TARGET)]}))
    host = alertmanager.loopback()
    ground.wait_available(TARGET)
    authority = ground.cluster.client.authority
    ground.apply(exporter_pod.exporter_pod(host, configuration, kubeconfig, authority))
    ground.wait_available(exporter_pod.NAME)
    return f"{host}:{exporter_pod.PORT}"


def give_rights(ground: Ground) -> None:
    """Let the exporter's account see everything in the namespace."""
    account = f"--serviceaccount={ground.namespace}:{exporter_pod.NAME}"
    words = ("create", "rolebinding", exporter_pod.NAME, "--clusterrole=cluster-admin", account)
    ground.cluster.kubectl(*words, namespace=ground.namespace)


def exporter_in(ground: Ground) -> Mapping[str, Value]:
    """The rules' setting that says where the exporter is."""
    return {"exporterNamespace": ground.namespace}


# --- parts ----------------------------------------------------------------------------------------


def loaded_once() -> list[Object]:
    """A target that does nothing else, and its workers."""
    return [servers.deployment(TARGET, [servers.go(TARGET)]), working()]


def address(exporter: ExporterProcess) -> str:
    """Where Prometheus finds an exporter."""
    return f"{exporter.host}:{exporter.port}"
