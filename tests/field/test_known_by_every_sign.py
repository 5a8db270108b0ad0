"""What acts on a workload is known by every sign that it leaves, and reported only where it acts."""

import pytest

from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import cluster

WORKER = workloads.deployment("worker", image="worker", grace=3600)
SERVICE = workloads.deployment("svc")
RELOADER = (
    "reloader.stakater.com/auto: 'true'",
    "reloader.stakater.com/search: 'true'",
    "secret.reloader.stakater.com/auto: 'true'",
    "secret.reloader.stakater.com/reload: svc",
    "configmap.reloader.stakater.com/auto: 'true'",
    "configmap.reloader.stakater.com/reload: settings",
    "secretproviderclass.reloader.stakater.com/auto: 'true'",
    "secretproviderclass.reloader.stakater.com/reload: vault",
)
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
"""
MOUNTED = "- {name: data, persistentVolumeClaim: {claimName: data}}"


def on_workload(document: str, annotation: str) -> str:
    return document.replace("metadata: {name:", f"metadata: {{annotations: {{{annotation}}}, name:", 1)


def on_template(document: str, annotation: str) -> str:
    before, _, after = document.partition("template:")
    return f"{before}template:{after.replace('metadata: {', f'metadata: {{annotations: {{{annotation}}}, ', 1)}"


# --- restarters ------------------------------------------------------------------------------------------------


@case(
    "D13",
    situation="Reloader restarts a target, by any of its annotations, on the workload or on its pod template",
    says="a warning that names Reloader: it restarts without draining",
    reference="stakater/Reloader#579",
)
@pytest.mark.parametrize("place", [on_workload, on_template])
@pytest.mark.thorough
def test_reloader_is_known_by_all_its_annotations_wherever_they_stand(place: object) -> None:
    assert callable(place)
    with cluster(SERVICE, WORKER) as shop:
        for annotation in RELOADER:
            shop.apply(place(SERVICE, annotation))
            ran = shop.run("restart-svc --yes --dry-run")
            assert "Reloader restarts deployment/svc without draining" in ran.text, (annotation, ran)
            shop.apply(place(SERVICE, f"{annotation.partition(':')[0]}: null"))
        ran = shop.run("restart-svc --yes --dry-run")
        assert "Reloader" not in ran.text, ran


@case(
    "D13",
    situation="Reloader watches everything (`--auto-reload-all`), so that no annotation says so",
    says="the warning, by the environment variable that an earlier restart of it has left",
    reference="stakater/Reloader#1089",
    found_by="reader",
)
def test_reloader_is_known_by_what_it_has_left_behind() -> None:
    left = SERVICE.replace(
        "          image: server", "          image: server\n          env: [{name: STAKATER_SVC_SECRET}]"
    )
    with cluster(left, WORKER) as shop:
        ran = shop.run("restart-svc --yes --dry-run")
        assert "Reloader restarts deployment/svc without draining" in ran.text, ran


@pytest.mark.parametrize(
    "annotation",
    [
        "wave.pusher.com/update-on-config-change: 'true'",
        "operator.1password.io/auto-restart: 'true'",
        "secrets.doppler.com/reload: 'true'",
        "secrets.infisical.com/auto-reload: 'true'",
        "vso.secrets.hashicorp.com/restartedAt: '2026-06-01T00:00:00Z'",
    ],
)
@pytest.mark.field_case("D13")
@pytest.mark.thorough
@pytest.mark.matrix(2)
def test_other_restarters_are_known_too(annotation: str) -> None:
    with cluster(on_template(SERVICE, annotation), WORKER) as shop:
        ran = shop.run("restart-svc --yes --dry-run")
        assert "deployment/svc without draining" in ran.text, ran


@pytest.mark.parametrize(
    "annotation",
    ["reloader.stakater.com/auto: 'false'", "reloader.stakater.com/ignore: 'true'", "wave.example.com/x: y"],
)
@pytest.mark.field_case("D13")
def test_a_restarter_with_orders_to_leave_it_alone_is_not_warned_of(annotation: str) -> None:
    with cluster(on_workload(SERVICE, annotation), WORKER) as shop:
        ran = shop.run("restart-svc --yes --dry-run")
        assert "without draining" not in ran.text, ran


# --- what an old and a new pod cannot have at once ----------------------------------------------------------------


@case(
    "D13",
    situation="a target has a ReadWriteOnce volume",
    says="warned of only where the rollout surges (`maxSurge` above 0)",
    reference="kubernetes/kubernetes#115997",
)
@pytest.mark.parametrize(
    ("strategy", "warned"),
    [
        ("strategy: {}", True),
        ("strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}", True),
        ("strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1%, maxUnavailable: 0}}", True),
        ("strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}", False),
        ("strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0%, maxUnavailable: 1}}", False),
        ("strategy: {type: Recreate}", False),
    ],
)
@pytest.mark.thorough
@pytest.mark.matrix(2)
def test_a_volume_of_one_node_is_warned_of_only_where_the_rollout_surges(strategy: str, *, warned: bool) -> None:
    service = workloads.deployment("svc", spec=strategy).replace("volumes: [", f"volumes: [{MOUNTED[2:]}, ")
    with cluster(CLAIM, service, WORKER) as shop:
        ran = shop.run("restart-svc --yes --dry-run")
        assert ("volume claim data is ReadWriteOnce" in ran.text) is warned, ran


@case(
    "D13",
    situation="a target takes a port of its node (`hostPort`, `hostNetwork`), and its rollout surges",
    says="a warning: a new pod may wait for ever for a node without one",
    reference="kubernetes/kubernetes#115997",
)
@pytest.mark.parametrize("strategy", ["strategy: {}", "strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}"])
@pytest.mark.parametrize("port", ["hostPort", "hostNetwork"])
def test_ports_of_the_node_are_warned_of_where_the_rollout_surges(port: str, strategy: str) -> None:
    pod = "hostNetwork: true" if port == "hostNetwork" else ""
    service = workloads.deployment("svc", spec=strategy, pod=pod)
    if port == "hostPort":
        service = service.replace("{containerPort: 8443}", "{containerPort: 8443, hostPort: 8443}")
    with cluster(service, WORKER) as shop:
        ran = shop.run("restart-svc --yes --dry-run")
        assert ("deployment/svc takes ports of its node" in ran.text) is (strategy == "strategy: {}"), ran


@pytest.mark.field_case("D13")
def test_a_daemon_set_that_surges_is_warned_of_as_well() -> None:
    service = workloads.daemon_set("svc", spec="updateStrategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}")
    service = service.replace("{containerPort: 8443}", "{containerPort: 8443, hostPort: 8443}")
    with cluster(service, WORKER) as shop:
        ran = shop.run("restart-svc --yes --dry-run", configuration=DAEMON_SET)
        assert "daemonset/svc takes ports of its node" in ran.text, ran


DAEMON_SET = """
targets:
  - {name: svc, namespace: shop, workload: daemonset/svc, certificate: svc, port: 8443, workers: [deployment/worker]}
"""
