"""Each alert, followed on a laptop: it arrives, its commands are typed, then those of its page, and it clears.

The chart is installed under a name of its own, for a target of another product than ours, with thresholds as shipped;
only `for` is a second. Prometheus reads the release's rules by the release's monitor, and a real Alertmanager calls the
webhook. Commands are cut out of the JSON that arrives there. The laptop has the wheel, kubectl and a kubeconfig; no
configuration. Where time must have passed, certificates were dated by their issuer, or the record was.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certlag.run_record import RECORD_KEY, Step
from tests import alert_pages, installed_wheel
from tests.bench import servers, waiting
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Object
from tests.figures import Figures, Tally
from tests.helm_release import Release, values
from tests.monitoring import Delivery, Monitoring, copied, monitoring_of
from tests.on_call import OnCall, on_call
from tests.runbook_process import Ran
from tests.test_stories.dated_issuer import REF, DatedIssuer, dated_issuer
from tests.test_stories.drained_ground import TARGET, WORKER, DrainedGround, Fault, drained_ground, serving, working
from tests.test_stories.ground import Ground, a_target

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(4)]

RELEASE, NAME = "watch", "vault"
"""The release's name, and the target's."""
NO_TARGET = "two"
"""A workload that no target names."""
PATIENCE = 90.0
"""Seconds within which a page comes, or is taken back."""
ENDS_IN_TWO_DAYS, ENDS_IN_THREE_DAYS, FRESH = (-88.0, 2.0), (-60.0, 2.5), (-50.0, 40.0)


@dataclass
class Duty:
    """Somebody on call, with an alert and its page."""

    ground: Ground
    release: Release
    watch: Monitoring
    shell: OnCall
    alert: str
    left: list[str] = field(default_factory=list)
    """The commands under Mitigation that were not run yet."""
    typed: list[str] = field(default_factory=list)
    """What was run, and how it ended."""
    seconds: list[float] = field(default_factory=list)
    """From each page until it was said to be over."""

    def paged(self, after: float = 0.0, **labels: str) -> Delivery:
        """Wait to be paged by the alert."""
        return self.watch.pager.wait(self.alert, "firing", after=after, seconds=PATIENCE, **labels)

    def told(self, page: Delivery, beginning: str, code: int = 0) -> Ran:
        """Run the command in the alert's text that begins like this."""
        found = commands_in(page)
        (command,) = (each for each in found if each.startswith(beginning))
        same = [each for each in self.left if self.filled(each, workload_of(page)) == command]
        self.left = [each for each in self.left if each not in same]
        return self.run(command, code)

    def follow(self, beginning: str, **given: str) -> Ran:
        """Run the command of the page that begins like this; `given` are values of its placeholders."""
        (command,) = (each for each in self.left if each.startswith(beginning))
        self.left.remove(command)
        return self.run(self.filled(command, given), 0)

    def filled(self, command: str, given: Mapping[str, str]) -> str:
        """A command of the page with the values that somebody here would put into it."""
        here = self.ground.namespace
        known = {"TARGET": NAME, "NAMESPACE": here, "EXPORTER_NAMESPACE": here, "RELEASE": f"{here}/{RELEASE}"}
        return alert_pages.filled(
            command, {**known, "CERTIFICATE": TARGET, "JOB": "by-hand", "POD": "", "MANIFEST": "", **given}
        )

    def run(self, command: str, code: int) -> Ran:
        """Run a command, which must end like this."""
        ran = self.shell.run(command)
        assert ran.code == code, f"{command}\n{ran}"
        self.note(command, ran.code)
        return ran

    def note(self, command: str, code: int) -> None:
        """Note what was typed, for a figure."""
        shown = command.replace(str(self.ground.folder), "FOLDER").replace(self.ground.namespace, "NAMESPACE")
        self.typed.append(f"`{shown}` {code}")

    def cleared(self, page: Delivery) -> Delivery:
        """Wait until it is said that what has paged is over."""
        over = self.watch.pager.wait(self.alert, "resolved", after=page.at, seconds=PATIENCE, **page.labels)
        self.seconds.append(over.at - page.at)
        return over


BeginDuty = Callable[..., AbstractContextManager[Duty]]


def commands_in(page: Delivery) -> list[str]:
    """The commands in an alert's text, as the webhook received it."""
    return re.findall(r"`((?:runbook|kubectl|cmctl) [^`]+)`", page.annotations["description"])


def workload_of(page: Delivery) -> dict[str, str]:
    """The values of a page's placeholders that are an alert's labels."""
    return {"WORKLOAD": f"{page.labels.get('workload_type')}/{page.labels.get('workload')}"}


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an installed wheel."""
    wheel = installed_wheel.built(tmp_path_factory.mktemp("wheel"))
    return installed_wheel.installed(wheel, tmp_path_factory.mktemp("environment"))


@pytest.fixture
def duty(ground: Ground, programs: Path, our_image: None, figures: Figures) -> BeginDuty:
    """Begin somebody's duty, with the release installed and watched."""

    @contextmanager
    def begin(
        alert: str, targets: Iterable[dict[str, Any]], *, rules: Object | None = None, **watched: Any
    ) -> Iterator[Duty]:
        discovery = {"namespaces": [ground.namespace], "probe": "declared-ports"}
        in_cluster = {"enabled": True, "extraArgs": ["--no-settle"]}
        file = ground.folder / "values.json"
        chosen: Object = {
            "config": {"targets": list(targets), "discovery": discovery},
            "runbook": {"inCluster": in_cluster},
            "rules": rules or {},
        }
        option = values(chosen, file)
        release = Release(ground.cluster, ground.namespace, RELEASE)
        release.install(option)
        release.wait_served()
        with (
            monitoring_of(release, ground.folder, file, **watched) as watch,
            on_call(ground.cluster, ground.folder / "laptop", programs) as shell,
        ):
            here = Duty(ground, release, watch, shell, alert)
            yield here
        seconds = ", ".join(f"{each:.0f} s" for each in here.seconds)
        figures(f"{alert}: {', '.join(here.typed)}; from page to cleared {seconds}")

    return begin


@pytest.fixture
def page_duty(duty: BeginDuty, tally: Tally) -> BeginDuty:
    """Begin somebody's duty; at its end every command of the alert's page was run."""

    @contextmanager
    def begin(alert: str, target: dict[str, Any]) -> Iterator[Duty]:
        with duty(alert, [target]) as here:
            here.left += alert_pages.commands(alert_pages.mitigation(alert_pages.page(alert)))
            yield here
            assert here.left == []
        tally("alerts followed/alerts", len(alert_pages.NAMES))

    return begin


# --- a restart is needed --------------------------------------------------------------------------


def test_a_target_is_restarted_with_its_workers_and_another_workload_by_its_name(
    ground: Ground, page_duty: BeginDuty
) -> None:
    ground.apply(servers.certificate(NO_TARGET), servers.deployment(NO_TARGET, [servers.go(NO_TARGET)]))
    with drained_ground(ground, loaded_once(), renewed=False, name=NAME) as drained:
        ground.wait_available(NO_TARGET)
        with page_duty("CertlagNeedsRestart", drained.target) as here:
            ground.renew(TARGET, NO_TARGET)
            follow_both(here, drained)
            ground.renew(TARGET)
            follow_job(here, drained, here.paged(after=here.watch.pager.deliveries[-1].at, workload=TARGET))


def test_what_expires_in_two_days_is_restarted(ground: Ground, page_duty: BeginDuty) -> None:
    with dated_issuer(ground) as issuer:
        issuer.sign(TARGET, NO_TARGET, dates=ENDS_IN_TWO_DAYS)
        ground.apply(
            servers.certificate(NO_TARGET, issuerRef=REF), servers.deployment(NO_TARGET, [servers.go(NO_TARGET)])
        )
        dated = servers.certificate(TARGET, issuerRef=REF)
        with drained_ground(ground, loaded_once(), renewed=False, certificate=dated, name=NAME) as drained:
            ground.wait_available(NO_TARGET)
            with page_duty("CertlagRestartDeadlineNear", drained.target) as here:
                issuer.sign(TARGET, NO_TARGET, dates=ENDS_IN_THREE_DAYS)
                follow_both(here, drained)
                issuer.sign(TARGET, dates=FRESH)
                follow_job(here, drained, here.paged(after=here.watch.pager.deliveries[-1].at, workload=TARGET))


def test_a_changed_issuer_is_caught_up_with_by_a_restart(ground: Ground, page_duty: BeginDuty) -> None:
    with (
        drained_ground(ground, loaded_once(), renewed=False, clientAuth=True, name=NAME) as drained,
        page_duty("CertlagIssuerChanged", drained.target) as here,
    ):
        ground.renew(servers.ISSUER, TARGET)
        page = here.paged(workload=TARGET)
        here.told(page, "runbook restart")
        over = here.cleared(page)
        ground.renew(servers.ISSUER, TARGET)
        follow_job(here, drained, here.paged(after=over.at, workload=TARGET))


def follow_both(here: Duty, drained: DrainedGround) -> None:
    """Restart the target, and the workload that no target names, as the alerts' texts say."""
    target, other = (here.paged(workload=name) for name in (TARGET, NO_TARGET))
    here.told(target, "runbook restart")
    here.cleared(target)
    assert drained.replicas() == 2
    here.told(other, "runbook restart")
    here.cleared(other)


def follow_job(here: Duty, drained: DrainedGround, page: Delivery) -> None:
    """Restart the target with kubectl alone, as the page says."""
    here.follow("kubectl -n ${NAMESPACE} create job")
    (command,) = (each for each in here.left if "logs --follow" in each)
    here.left.remove(command)
    command = here.filled(command, {})
    waiting.until("the Job's container to be created", lambda: here.shell.run(command).code == 0)
    here.note(command, 0)
    here.cleared(page)
    waiting.until("the workers to be back", lambda: drained.replicas() == 2)


# --- a restart will not help ----------------------------------------------------------------------


def test_a_renewal_that_fails_is_tried_again_once_its_cause_is_gone(ground: Ground, page_duty: BeginDuty) -> None:
    with (
        dated_issuer(ground) as issuer,
        stale_soon(ground, issuer),
        page_duty("CertlagRenewalOverdue", A_TARGET) as here,
    ):
        issuer.fail(TARGET, "the vault is sealed")
        page = here.paged(certificate=TARGET, severity="critical")
        ground.cluster.wait(
            ground.path("certificates", TARGET), lambda seen: "failedIssuanceAttempts" in seen["status"]
        )
        assert "the vault is sealed" in here.told(page, "kubectl").stdout
        issuer.sign(TARGET, dates=FRESH)
        here.follow("cmctl renew")
        here.cleared(page)


def test_a_certificate_whose_renewal_is_disabled_is_renewed_by_hand(ground: Ground, page_duty: BeginDuty) -> None:
    disabled = {"renewal": {"policy": "Disabled"}}
    with (
        dated_issuer(ground) as issuer,
        stale_soon(ground, issuer, **disabled),
        page_duty("CertlagRenewalDisabled", A_TARGET) as here,
    ):
        page = here.paged(certificate=TARGET, severity="critical")
        issuer.sign(TARGET, dates=FRESH)
        here.told(page, "cmctl renew")
        here.cleared(page)


@contextmanager
def stale_soon(ground: Ground, issuer: DatedIssuer, **spec: Any) -> Iterator[None]:
    """A target whose certificate ends in two days; nobody signs another."""
    issuer.sign(TARGET, dates=ENDS_IN_TWO_DAYS)
    ground.apply(servers.certificate(TARGET, issuerRef=REF, **spec), servers.deployment(TARGET, [servers.go(TARGET)]))
    ground.wait_available(TARGET)
    yield


# --- we should know, and do not -------------------------------------------------------------------


def test_a_pod_that_answers_nobody_is_replaced(ground: Ground, page_duty: BeginDuty) -> None:
    with (
        drained_ground(ground, [serving()], renewed=False, name=NAME) as drained,
        page_duty("CertlagLoadedCertificateUnknown", drained.target) as here,
    ):
        mute = drained.fault(Fault.MUTE)
        drained.kubectl("rollout", "restart", f"deployment/{TARGET}")
        page = here.paged(workload=TARGET, certificate=TARGET)
        (pod,) = (pod["metadata"]["name"] for pod in ground.pods(TARGET) if not is_ready(pod))
        said = here.told(page, "runbook check", code=UNKNOWN).stdout
        assert pod in said
        assert "(connection_refused)" in said
        mute.unlink()
        here.follow("kubectl", POD=pod)
        here.cleared(page)


def is_ready(pod: Object) -> bool:
    return any((each["type"], each["status"]) == ("Ready", "True") for each in pod["status"]["conditions"])


def test_a_target_that_does_not_exist_is_brought_back(ground: Ground, page_duty: BeginDuty) -> None:
    manifest = ground.folder / "one.json"
    manifest.write_text(json.dumps(servers.deployment(TARGET, [servers.go(TARGET)], replicas=2)))
    ground.apply(servers.certificate(TARGET))
    ground.wait_issued(TARGET)
    with page_duty("CertlagTargetMissing", A_TARGET) as here:
        page = here.paged(target=NAME)
        said = here.told(page, "runbook check", code=UNKNOWN).stdout
        assert f"Workload deployment/{TARGET} does not exist in {ground.namespace}" in said
        here.follow("kubectl", MANIFEST=str(manifest))
        here.cleared(page)


# --- runs -----------------------------------------------------------------------------------------


def test_workers_that_were_left_drained_are_restored_by_resume_and_by_abort(
    ground: Ground, page_duty: BeginDuty
) -> None:
    with (
        drained_ground(ground, name=NAME) as drained,
        page_duty("CertlagWorkersLeftDrained", drained.target) as here,
    ):
        after = 0.0
        for command in ("runbook resume", "runbook abort"):
            hanging = drained.fault(Fault.HANG)
            failed = here.shell.run(f"{restart(here)} --restart-timeout=2s")
            assert failed.code == NOT_RESTARTED, failed
            page = here.paged(after=after)
            hanging.unlink()
            here.told(page, command)
            after = here.cleared(page).at
            assert drained.replicas() == 2
            ground.renew(TARGET)


def test_a_run_whose_process_has_ended_is_resumed_or_aborted(ground: Ground, page_duty: BeginDuty) -> None:
    with (
        drained_ground(ground, name=NAME) as drained,
        page_duty("CertlagRunbookStalled", drained.target) as here,
    ):
        after = 0.0
        for command in ("runbook resume", "runbook abort"):
            kill_while_it_drains(here, drained)
            page = here.paged(after=after)
            assert "workers scaled to 0" in here.told(page, "runbook history").stdout
            here.told(page, command)
            after = here.cleared(page).at
            assert drained.open_run is None
            assert drained.replicas() == 2
            ground.renew(TARGET)


def kill_while_it_drains(here: Duty, drained: DrainedGround) -> None:
    """Begin a run, kill it, and write into its record that it began an hour before it did."""
    busy = drained.fault(Fault.BUSY)
    running = here.shell.start(f"{restart(here)} --drain-timeout=1s --restart-timeout=1s --accept-drain-timeout")
    waiting.until("the workers to drain", lambda: (drained.open_run or {}).get("step") == Step.SCALED_DOWN)
    running.kill()
    busy.unlink()
    record = drained.record
    record["run"]["deadline"] = an_hour_before(record["run"]["deadline"])
    path = drained.ground.path("configmaps", f"certlag-run-{NAME}")
    drained.cluster.api("PATCH", path, {"data": {RECORD_KEY: json.dumps(record)}}, MERGE_PATCH)


def an_hour_before(instant: str) -> str:
    return (datetime.fromisoformat(instant) - timedelta(hours=1)).isoformat().replace("+00:00", "Z")


def restart(here: Duty) -> str:
    """The command that somebody typed before all this."""
    return f"runbook restart {NAME} --release {here.ground.namespace}/{RELEASE}"


# --- the exporter itself --------------------------------------------------------------------------


def test_an_exporter_that_lacks_a_right_sees_again_when_it_has_it(ground: Ground, page_duty: BeginDuty) -> None:
    deploy_target(ground)
    with page_duty("CertlagMonitoringDegraded", A_TARGET) as here:
        binding = ground.cluster.kubectl_json("get", "rolebinding", here.release.exporter, namespace=ground.namespace)
        ground.cluster.kubectl("delete", "rolebinding", here.release.exporter, namespace=ground.namespace)
        ground.cluster.kubectl("delete", "pod", f"--selector={PODS}", namespace=ground.namespace)
        page = here.paged(reason="unsynced")
        assert "forbidden" in here.told(page, "kubectl").stdout
        ground.apply(without_identity(binding))
        here.follow("kubectl")
        here.cleared(page)


def test_an_exporter_that_crashes_is_told_of_and_started_again(ground: Ground, page_duty: BeginDuty) -> None:
    deploy_target(ground)
    with page_duty("CertlagExporterDown", A_TARGET) as here:
        name = f"certlag-config-{RELEASE}"
        before = ground.cluster.kubectl_json("get", "configmap", name, namespace=ground.namespace)
        broken = without_identity(before) | {"data": dict.fromkeys(before["data"], "targets: [")}
        ground.apply(broken)
        ground.cluster.kubectl("delete", "pod", f"--selector={PODS}", namespace=ground.namespace)
        page = here.paged()
        waiting.until(
            "it to be told that the exporter crashes",
            lambda: "CrashLoopBackOff" in here.shell.run(commands_in(page)[0]).stdout,
        )
        here.told(page, "kubectl")
        assert "rollout restart" in here.told(page, "runbook page").stdout
        ground.apply(without_identity(before))
        here.follow("runbook check")
        here.follow("kubectl")
        here.cleared(page)


PODS = "app.kubernetes.io/component=exporter"


def deploy_target(ground: Ground) -> None:
    """What the exporter watches; nothing is wrong with it."""
    ground.apply(servers.certificate(TARGET), servers.deployment(TARGET, [servers.go(TARGET)]))
    ground.wait_available(TARGET)


def without_identity(found: Object) -> Object:
    """An object as it can be applied again."""
    kept = ("name", "labels", "annotations")
    return {**found, "metadata": {name: found["metadata"][name] for name in kept if name in found["metadata"]}}


# --- where others evaluate the rules --------------------------------------------------------------


def test_beside_another_cluster_with_the_same_names_the_stale_one_is_named(ground: Ground, duty: BeginDuty) -> None:
    deploy_target(ground)
    copies: list[str] = []
    with ExitStack() as stack:
        watched = stack.enter_context(
            duty(
                "CertlagNeedsRestart",
                [A_TARGET],
                rules={"extraLabels": ["cluster"]},
                labels={"cluster": "prod"},
                others=lambda: [{"targets": copies, "labels": {"cluster": "staging"}}] if copies else [],
            )
        )
        # In staging everything stays as it is now.
        copies.append(stack.enter_context(copied(ground.cluster, watched.release.exposition())))
        watched.watch.wait("both clusters to be scraped", lambda: watched.watch.values("up") == [1.0, 1.0])
        ground.renew(TARGET)
        page = watched.paged(workload=TARGET, cluster="prod")
        assert f"deployment/{TARGET} in {ground.namespace} (cluster prod)" in page.annotations["description"]
        watched.told(page, "runbook restart")
        watched.cleared(page)
        assert {each.labels["cluster"] for each in watched.watch.pager.deliveries} == {"prod"}


def test_where_the_server_overwrites_the_namespace_the_command_names_the_workloads(
    ground: Ground, duty: BeginDuty
) -> None:
    deploy_target(ground)
    rules = {"namespaceLabel": "exported_namespace", "exporterNamespace": "monitoring"}
    with duty("CertlagNeedsRestart", [], rules=rules, honor_labels=False, labels={"namespace": "monitoring"}) as here:
        ground.renew(TARGET)
        page = here.paged(workload=TARGET, namespace=ground.namespace)
        command = f"runbook restart --workload deployment/{TARGET} -n {ground.namespace}"
        assert commands_in(page) == [command]
        here.told(page, command)
        here.cleared(page)


# --- parts ----------------------------------------------------------------------------------------

NOT_RESTARTED = 6
UNKNOWN = 3
"""How `check` ends, too, if there is nothing that it could assess."""
A_TARGET = a_target(TARGET) | {"name": NAME}


def loaded_once() -> list[Object]:
    """A target that does nothing else, and its workers."""
    return [servers.deployment(TARGET, [servers.go(TARGET)]), working(WORKER)]
