"""The chart on a real cluster: installed, tested, asked, upgraded, rolled back, cut down, and removed."""

import io
import os
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.bench import opschain, parts, waiting
from tests.bench.cluster import Cluster, Object
from tests.bench.opschain import BUILD_SERVICE
from tests.figures import Figures
from tests.helm_release import EXPORTER, NAME, Release, Scrapes, scraped, values
from tests.metrics import Metrics
from tests.rendered_chart import CHART, VALID, granted, render
from tests.test_stories.pod_process import process_of

pytestmark = pytest.mark.cluster

USE = {"target": "build-service", "certificate": BUILD_SERVICE}
RECORD = "certlag-run-build-service"
LABELLED = f"app.kubernetes.io/instance={NAME}"


@pytest.fixture
def release(cluster: Cluster, our_image: None, namespace: str) -> Release:
    """A namespace with OpsChain whose renewed certificate is not loaded."""
    opschain.deploy(cluster, namespace, workers=1, build_seconds=1)
    cluster.renew(namespace, BUILD_SERVICE)
    return Release(cluster, namespace)


def stale(metrics: Metrics) -> bool:
    """Whether it says that the build service needs a restart."""
    return metrics.value("certlag_needs_restart", **USE) == 1


def test_installed_with_its_defaults_it_shows_the_stale_build_service(release: Release, figures: Figures) -> None:
    notes = release.install()
    assert notes.rstrip().endswith("grep '^certlag_needs_restart'"), "the notes end in what to type"
    metrics = release.wait_served()
    assert stale(metrics)
    assert metrics.value("certlag_loaded_info", **USE, evidence="handshake") == 1
    memory = metrics.value("process_resident_memory_bytes")
    requested = render().only("Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]
    figures(f"memory of our image's pod, one target: {(memory or 0) / 2**20:.0f} MiB of {requested['memory']}")
    assert memory is not None
    assert memory < int(requested["memory"].removesuffix("Mi")) * 2**20, "what is requested was measured"
    assert "Phase:          Succeeded" in release.helm("test", NAME, "--timeout=60s")
    assert_used_exactly_its_rights(release)
    assert release.helm("uninstall", NAME, "--wait").count(RECORD) == 1, "it says what stays"
    waiting.until("nothing to be left but the record", lambda: left(release) == [f"configmap/{RECORD}"])
    release.install()
    assert stale(release.wait_served()), "and takes the record up again"


def left(release: Release) -> list[str]:
    """What there is of the release, of any kind."""
    ask = release.cluster.kubectl
    kinds = ask("api-resources", "--namespaced", "--verbs=list", "--output=name").split()
    ours = ",".join(kind for kind in kinds if not kind.startswith("events"))
    return ask("get", ours, f"--selector={LABELLED}", "--output=name", namespace=release.namespace).split()


def assert_used_exactly_its_rights(release: Release) -> None:
    """The audit log: no request was refused, and every right in the Role was used."""
    role = release.cluster.kubectl_json("get", "role", EXPORTER, namespace=release.namespace)
    asked = release.cluster.audit_events(f"system:serviceaccount:{release.namespace}:{EXPORTER}")
    assert {event["responseStatus"]["code"] for event in asked if "responseStatus" in event} == {200}
    used = {
        (each.get("apiGroup", ""), each["resource"], each.get("subresource", ""), each.get("name", ""), event["verb"])
        for event in asked
        for each in [event["objectRef"]]
    }
    assert used == granted(role)


def test_an_upgrade_from_the_parent_commits_chart_and_its_rollback_lose_no_scrape(
    release: Release, tmp_path: Path, figures: Figures
) -> None:
    release.install(chart=parents_chart(tmp_path))
    release.wait_served()
    address = release.service()
    with scraped(release, lambda: [address], stale) as seen:
        # Whatever the two commits' charts have in common: the pods are to be other ones.
        release.upgrade("--set=podAnnotations.story=upgrade")
        release.helm("rollback", NAME, "1", "--wait", "--timeout=90s")
        release.upgrade("--set=replicas=2")
    assert_no_gap(seen, figures)


def test_of_two_replicas_one_may_be_evicted_or_killed_and_no_scrape_is_lost(release: Release, figures: Figures) -> None:
    cluster, namespace = release.cluster, release.namespace
    release.install("--set=replicas=2")
    release.wait_served()
    address = release.service()
    first, second = (pod["metadata"]["name"] for pod in release.pods())
    path = f"/api/v1/namespaces/{namespace}/pods"
    with scraped(release, lambda: [address], stale) as seen:
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first}}
        cluster.api("POST", f"{path}/{first}/eviction", eviction)
        cluster.wait_gone(f"{path}/{first}")
        cluster.wait_condition(f"/apis/apps/v1/namespaces/{namespace}/deployments/{EXPORTER}", "Available")
    assert_no_gap(seen, figures)
    waiting.until("two Ready pods", lambda: len(ready(release)) == 2)
    # Killed, as by the kernel for want of memory: Prometheus scrapes pods, and one of them answers.
    addresses = [pod["status"]["podIP"] for pod in ready(release)]
    killed = cluster.api("GET", f"{path}/{second}")
    with scraped(release, lambda: addresses, stale) as seen:
        os.kill(process_of(killed, "/usr/local/bin/python3"), signal.SIGKILL)
        cluster.wait(f"{path}/{second}", restarted)
    assert_no_gap(seen, figures)


def test_a_namespace_that_enforces_the_restricted_standard_admits_all_its_pods(
    release: Release, tmp_path: Path
) -> None:
    cluster = release.cluster
    elsewhere = cluster.api(
        "POST",
        "/api/v1/namespaces",
        {"metadata": {"generateName": "test-", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )["metadata"]["name"]
    cluster.wait(f"/api/v1/namespaces/{elsewhere}/serviceaccounts/default", lambda _seen: True)
    restricted = Release(cluster, elsewhere)
    try:
        # One target in OpsChain's namespace, which could not be restricted, and one in this one, to run a Job for.
        targets = [{"name": "here", "workload": "deployment/none"}, build_service_in(release.namespace)]
        chosen: Object = {"config": {"targets": targets}, "runbook": {"inCluster": {"enabled": True}}}
        restricted.install(values(chosen, tmp_path / "values.json"))
        assert stale(restricted.wait_served())
        assert "Phase:          Succeeded" in restricted.helm("test", NAME, "--timeout=60s")
        cluster.kubectl("create", "job", "once", "--from=cronjob/certlag-run-here", namespace=elsewhere)
        ended = cluster.wait(f"/apis/batch/v1/namespaces/{elsewhere}/jobs/once", failed)
        # It was admitted and ran: that it refuses to restart what does not exist is an answer, which ends the Job.
        (condition,) = (each for each in ended["status"]["conditions"] if each["type"] == "Failed")
        assert "exit code 3" in condition["message"]
    finally:
        cluster.api("DELETE", f"/api/v1/namespaces/{elsewhere}")


@pytest.mark.parametrize("chosen", VALID, ids=lambda file: file.stem)
@pytest.mark.matrix(3)
def test_the_api_server_takes_what_every_choice_of_values_renders(
    chosen: Path, cluster: Cluster, namespace: str, monitoring: None
) -> None:
    rendering = render(values=chosen, namespace=namespace)
    # Namespaces that the values name and this cluster has not.
    text = rendering.text
    for other in ("vault", "web", "monitoring", "ci"):
        text = text.replace(f"namespace: {other}\n", f"namespace: {namespace}\n")
    cluster.kubectl("apply", "--dry-run=server", "--filename=-", stdin=text)


@pytest.fixture(scope="module")
def monitoring(cluster: Cluster) -> None:
    """prometheus-operator's resources, as a cluster with it has them."""
    cluster.kubectl("apply", "--server-side", f"--filename={parts.monitoring_definitions()}")
    for name in ("servicemonitors", "podmonitors", "prometheusrules"):
        path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}.monitoring.coreos.com"
        cluster.wait_condition(path, "Established")


def parents_chart(folder: Path) -> Path:
    """The chart of the commit before this one; where there is none, or no history, this one."""
    root = CHART.parent
    ran = subprocess.run(("git", "archive", "HEAD~1", "chart"), cwd=root, capture_output=True, check=False)
    if ran.returncode == 0:
        with tarfile.open(fileobj=io.BytesIO(ran.stdout)) as archive:
            archive.extractall(folder, filter="data")
    found = folder / "chart"
    return found if (found / "templates" / "exporter" / "deployment.yaml").exists() else CHART


def build_service_in(namespace: str) -> Object:
    """OpsChain's build service as a target of another namespace."""
    return {
        "name": "build-service",
        "namespace": namespace,
        "workload": f"deployment/{BUILD_SERVICE}",
        "certificate": BUILD_SERVICE,
        "port": 1234,
    }


def ready(release: Release) -> list[Object]:
    """The pods that are Ready."""
    return [
        pod
        for pod in release.pods()
        if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", []))
    ]


def restarted(pod: Object) -> bool:
    """Whether its container was started again."""
    return any(each["restartCount"] > 0 and each["ready"] for each in pod["status"].get("containerStatuses", []))


def failed(job: Object) -> bool:
    """Whether a Job has failed for good."""
    return any(each["type"] == "Failed" and each["status"] == "True" for each in job["status"].get("conditions", []))


def assert_no_gap(seen: Scrapes, figures: Figures) -> None:
    """Every scrape brought what the one before did."""
    figures(f"scrapes every 200 ms: {seen.count}, gaps {len(seen.gaps)}")
    assert seen.gaps == []
    assert seen.count > 5
