"""Known beforehand to take longer than it is waited for

Lengths of time that a spec allows, against the timeouts of a run: refused with object, fields, values, and the option
that gives it the time.
"""

from datetime import timedelta

import pytest

from rehearsal.node.programs import Program
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import CONFIGURATION, cluster

STARTUP = """
containers:
  - name: svc
    image: server
    ports: [{containerPort: 8443}]
    volumeMounts: [{name: tls, mountPath: /tls}]
    startupProbe: {initialDelaySeconds: 60, periodSeconds: 10, failureThreshold: 30, tcpSocket: {port: 8443}}
volumes: [{name: tls, secret: {secretName: svc}}]
"""
SIDECAR = """
initContainers:
  - {name: proxy, image: idle, restartPolicy: Always, startupProbe: {periodSeconds: 5, failureThreshold: 60}}
"""
PARALLEL = "podManagementPolicy: Parallel"


@pytest.mark.parametrize(
    ("workload", "document", "takes", "seconds"),
    [
        (
            "deployment",
            workloads.deployment("svc", grace=1800),
            "30m to restart (terminationGracePeriodSeconds 1800)",
            1800,
        ),
        (
            "deployment",
            workloads.deployment("svc", grace=30, spec="minReadySeconds: 600"),
            "10m30s to restart (minReadySeconds 600; terminationGracePeriodSeconds 30)",
            630,
        ),
        (
            "deployment",
            workloads.deployment("svc", grace=30, pod=STARTUP),
            "startupProbe of container svc: initialDelaySeconds 60 + failureThreshold 30 of periodSeconds 10;",
            390,
        ),
        (
            "deployment",
            workloads.deployment("svc", grace=30, pod=SIDECAR + STARTUP),
            "startupProbe of container proxy: failureThreshold 60 of periodSeconds 5; startupProbe of container svc:",
            690,
        ),
        (
            "statefulset",
            workloads.stateful_set("svc", replicas=3, grace=60, spec="minReadySeconds: 60"),
            "6m to restart (minReadySeconds 60, 3 times; terminationGracePeriodSeconds 60, 3 times)",
            360,
        ),
        (
            "daemonset",
            workloads.daemon_set("svc", grace=200),
            "6m40s to restart (terminationGracePeriodSeconds 200, 2 times)",
            400,
        ),
        (
            "deployment",
            workloads.deployment("svc", replicas=4, grace=60, spec="minReadySeconds: 150"),
            "6m to restart (minReadySeconds 150, 2 times; terminationGracePeriodSeconds 60)",
            360,
        ),
    ],
    ids=[
        "grace",
        "minReadySeconds",
        "startup probe",
        "startup probe of a sidecar",
        "one after another: StatefulSet",
        "one after another: DaemonSet",
        "in turns: Deployment",
    ],
)
@case(
    "G8",
    situation="By its own spec a restart may take longer than `restartTimeout`: `minReadySeconds`, startup probes, the "
    "target's grace period, times the pods that are replaced one after another.",
    says="Refused with the object, each field with its value, and the option or the flag; with that option it passes.",
    reference="kubernetes/kubernetes#129959, fluxcd/flagger#523",
)
@pytest.mark.thorough
@pytest.mark.matrix(3)
def test_a_target_that_may_take_longer_than_the_restart_timeout_is_refused(
    workload: str, document: str, takes: str, seconds: int
) -> None:
    configuration = CONFIGURATION.replace("deployment/svc", f"{workload}/svc")
    with cluster(document, workloads.WORKERS) as shop:
        ran = shop.run("restart-svc --yes", configuration=configuration)
        assert ran.code == 3, ran
        assert f"{workload}/svc may take " in ran.text
        assert takes in ran.text
        assert f"times out after 5m → --restart-timeout {seconds}s, or --accept-restart-timeout" in ran.text
        assert ran.writes == ()
        ran = shop.run(f"restart-svc --dry-run --restart-timeout {seconds}s", configuration=configuration)
        assert ran.code == 0, ran


@case(
    "D11",
    situation="The target's own grace period (1800 s) is longer than `restartTimeout` (5m), and its old pod uses it.",
    says="Refused beforehand; with `--restart-timeout 1800s` the run waits for the old pod and ends with 0.",
    found_by="reader",
)
@pytest.mark.thorough
def test_with_the_time_that_the_refusal_names_the_restart_succeeds() -> None:
    slow = {"slow server": Program(serves_tls=True, ends_after=timedelta(minutes=6))}
    service = workloads.deployment("svc", image="slow server", grace=1800)
    with cluster(service, workloads.WORKERS, programs=slow) as shop:
        assert shop.run("restart-svc --yes").code == 3
        assert shop.run("restart-svc --yes --accept-restart-timeout").code == 6
    with cluster(service, workloads.WORKERS, programs=slow) as shop:
        ran = shop.run("restart-svc --yes --restart-timeout 1800s")
        assert ran.code == 0, ran


@pytest.mark.field_case("D11")
def test_live_pods_count_and_not_the_template() -> None:
    """A pod that was made with a longer grace ends by that one; a changed template changes no pod (OnDelete)."""
    service = workloads.stateful_set("svc", grace=1800, spec="updateStrategy: {type: OnDelete}")
    shorter = """
        kind: StatefulSet
        metadata: {name: svc}
        spec: {updateStrategy: {type: RollingUpdate}, template: {spec: {terminationGracePeriodSeconds: 30}}}
    """
    with cluster(service, workloads.WORKERS) as shop:
        shop.fault(lambda faults: setattr(faults, "controllers_down", True))
        shop.apply(shorter)
        words = "restart-svc --yes --accept-unfinished-rollout"
        ran = shop.run(words, configuration=CONFIGURATION.replace("deployment/svc", "statefulset/svc"))
        assert ran.code == 3, ran
        assert "statefulset/svc may take 30m to restart (terminationGracePeriodSeconds 1800)" in ran.text


@pytest.mark.field_case("G8")
@pytest.mark.thorough
def test_workers_that_end_one_after_another_need_the_sum_of_their_graces() -> None:
    worker = workloads.stateful_set("worker", replicas=3, image="worker", grace=3600)
    configuration = CONFIGURATION.replace("deployment/worker", "statefulset/worker")
    with cluster(workloads.SERVICE, worker) as shop:
        ran = shop.run("restart-svc --yes --drain-timeout 1h", configuration=configuration)
        assert ran.code == 3, ran
        assert "statefulset/worker may take 3h to finish (terminationGracePeriodSeconds 3600, 3 times)" in ran.text
        assert "--drain-timeout 10800s, or --accept-drain-timeout" in ran.text
        ran = shop.run("restart-svc --dry-run", configuration=configuration)
        assert ran.code == 0, ran
        assert "3 replicas (one after another)" in ran.text
    parallel = workloads.stateful_set(
        "worker", replicas=3, image="worker", grace=3600, spec="podManagementPolicy: Parallel"
    )
    with cluster(workloads.SERVICE, parallel) as shop:
        ran = shop.run("restart-svc --dry-run --drain-timeout 1h", configuration=configuration)
        assert ran.code == 0, ran


@pytest.mark.field_case("G8")
def test_workers_that_may_take_longer_to_come_back_are_refused_too() -> None:
    worker = workloads.deployment("worker", replicas=3, image="worker", grace=3600, spec="minReadySeconds: 301")
    with cluster(workloads.SERVICE, worker) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 3, ran
        assert "deployment/worker may take 5m1s until it is ready again (minReadySeconds 301)" in ran.text
        assert "--restart-timeout 301s, or --accept-restart-timeout" in ran.text


@pytest.mark.field_case("G8")
@pytest.mark.thorough
def test_a_progress_deadline_that_is_shorter_than_a_start_may_take_is_warned_of() -> None:
    """Its controller then says that the rollout failed, and goes on: we wait by our own timeout."""
    service = workloads.deployment("svc", grace=30, spec="progressDeadlineSeconds: 60", pod=STARTUP)
    with cluster(service, workloads.WORKERS) as shop:
        ran = shop.run("restart-svc --dry-run --restart-timeout 10m")
        assert ran.code == 0, ran
        assert "deployment/svc: progressDeadlineSeconds 60 is shorter than a new pod may take" in ran.text
