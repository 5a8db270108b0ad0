"""Exporters that see less than they should, before a real Prometheus: what they do not see silences nobody."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from certlag.run_record import Step
from tests.api_proxy import ApiProxy, Drop, api_proxy
from tests.bench import accounts, servers
from tests.bench.cluster import Object
from tests.exporter_process import ExporterProcess, running
from tests.figures import Figures
from tests.monitoring import monitoring
from tests.test_stories.drained_ground import TARGET, WORKER, drained_ground, killed_at
from tests.test_stories.ground import Ground, a_target

LEFT_DRAINED, BLIND = "CertlagWorkersLeftDrained", "CertlagMonitoringDegraded"
SECONDS = {"contactSeconds": 75, "workersLeftDrained.heartbeatSeconds": 20}
"""A bookmark comes once a minute; a run that lives renews its Lease every 15 seconds."""


@dataclass(frozen=True)
class BehindProxy:
    """An exporter that can be cut off from the API server."""

    exporter: ExporterProcess
    proxy: ApiProxy

    def cut_off(self) -> None:
        """End every connection to the API server, and let none begin."""
        self.proxy.before = lambda _: Drop()
        self.proxy.cut()


@contextmanager
def behind_a_proxy(ground: Ground) -> Iterator[BehindProxy]:
    """Run an exporter with the configuration of the one that watches the ground already."""
    folder = ground.folder / "behind-a-proxy"
    folder.mkdir()
    with ExitStack() as stack:
        with ground.cluster.entered():
            proxy = stack.enter_context(api_proxy(ground.cluster))
        kubeconfig = proxy.kubeconfig(folder, ground.cluster.client.token, ground.namespace)
        options = ["--config", str(ground.folder / "certlag.yaml")]
        exporter = stack.enter_context(running(ground.cluster, kubeconfig, folder, options))
        exporter.wait_ready()
        yield BehindProxy(exporter, proxy)


def address(exporter: ExporterProcess) -> str:
    """Where Prometheus finds an exporter."""
    return f"{exporter.host}:{exporter.port}"


@pytest.mark.cluster
@pytest.mark.field_case("H2")
def test_an_exporter_that_was_cut_off_before_a_run_silences_nothing(ground: Ground, figures: Figures) -> None:
    with (
        drained_ground(ground) as drained,
        ground.watched([drained.target]) as seeing,
        behind_a_proxy(ground) as cut,
        monitoring(ground.cluster, ground.folder, address(seeing), SECONDS, others=[address(cut.exporter)]) as watch,
    ):
        idle = 'certlag_runbook_state{state="idle"}'
        watch.wait("both to say that no run is open", lambda: watch.values(idle) == [1.0, 1.0])
        cut.cut_off()
        killed_at(drained, Step.SCALED_DOWN)
        page = watch.pager.wait(LEFT_DRAINED, "firing", seconds=180, severity="critical")
        assert page.labels["namespace"] == ground.namespace
        assert cut.exporter.metrics().state("certlag_runbook_state") == "idle"

        lost = f'count(exporter:certlag_watch_lost_contact:group{{instance="{address(cut.exporter)}"}})'
        watch.wait("the other one to have lost contact", lambda: watch.values(lost), 120)
        seeing.process.kill()
        seeing.process.wait()
        watch.wait("only the one without contact to be scraped", lambda: watch.values(idle) == [1.0])
        evaluations = "count_over_time(job:certlag_probe_success:min[1h])"
        (before,) = watch.values(evaluations)
        watch.wait("the rules to be evaluated ten times", lambda: watch.values(evaluations) > [before + 10])
        assert (LEFT_DRAINED, "critical") in watch.firing()
        assert watch.pager.status(LEFT_DRAINED) == "firing"
        assert drained.run("abort").code == 0
    figures("a run killed, one of two exporters cut off before it: paged, and never taken back")


@pytest.mark.cluster
@pytest.mark.field_case("E1")
def test_a_watch_of_one_object_that_is_forbidden_pages_with_its_name(ground: Ground) -> None:
    worker = servers.Server(("/bin/sh", "-c", "exec sleep 1000000"), (), (), name=WORKER)
    ground.apply(
        servers.certificate(TARGET),
        servers.deployment(TARGET, [servers.go(TARGET)]),
        servers.deployment(WORKER, [worker], replicas=0),
        *rights(TARGET),
    )
    ground.wait_available(TARGET)
    account = ground.cluster.token(ground.namespace, ACCOUNT)
    kubeconfig = accounts.kubeconfig(ground.cluster, ground.namespace, account, ground.folder / "exporter.kubeconfig")
    configuration = ground.folder / "certlag.yaml"
    configuration.write_text(json.dumps({"targets": [a_target(TARGET, workers=[f"deployment/{WORKER}"])]}))
    with (
        running(ground.cluster, kubeconfig, ground.folder, ["--config", str(configuration)]) as exporter,
        monitoring(ground.cluster, ground.folder, address(exporter)) as watch,
    ):
        page = watch.pager.wait(BLIND, "firing", reason="unsynced", resource="deployments", name=WORKER)
        assert f"deployments/{WORKER} in {ground.namespace}" in page.annotations["description"]
        unsynced = watch.query(f'ALERTS{{alertname="{BLIND}", reason="unsynced", alertstate="firing"}}')
        assert [each["metric"]["name"] for each in unsynced] == [WORKER], "of no other watch"
        ground.apply(*rights(TARGET, WORKER))
        watch.pager.wait(BLIND, "resolved", after=page.at, name=WORKER)


ACCOUNT = "certlag-exporter"


def rights(*deployments: str) -> list[Object]:
    """An account that may read what a target needs, of Deployments only these."""
    rules = [
        {"apiGroups": ["cert-manager.io"], "resources": ["certificates", "certificaterequests"]},
        {"apiGroups": [""], "resources": ["pods", "configmaps"]},
        {"apiGroups": ["apps"], "resources": ["replicasets"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": list(deployments)},
    ]
    group = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": ACCOUNT}},
        {
            "apiVersion": f"{group}/v1",
            "kind": "Role",
            "metadata": {"name": ACCOUNT},
            "rules": [{**rule, "verbs": ["list", "watch"]} for rule in rules],
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": ACCOUNT},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": ACCOUNT},
            "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT}],
        },
    ]
