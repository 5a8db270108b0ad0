"""Two series that are one.

Prometheus keeps one of two samples with equal labels, and says so only in its own log. `Exporter.scrape` fails where
there are any, as every test that reads an exposition does.
"""

import pytest

from certlag.config.schema import ConfigurationError, parse
from certlag.kube.resources import LEASES, RUN_RECORDS
from certlag.model import ProbeFailure
from tests.field import documents
from tests.field.exporter import NAMESPACE, Exporter
from tests.field.record import case
from tests.pki import DAY, NOW, authority

LEAF = authority("ca").leaf("svc.shop.svc", not_before=NOW - DAY, not_after=NOW + 89 * DAY)
BUILD_SERVICE = "targets: [{name: build, workload: deployment/build, certificate: svc, workers: [deployment/worker]}]"
TWO_TARGETS = f"""
targets:
- {{name: build, workload: statefulset/svc, workers: [deployment/worker, statefulset/worker]}}
- {{name: again, workload: statefulset/svc, certificate: svc, workers: [deployment/worker]}}
discovery: {{namespaces: ['*', {NAMESPACE}], probe: declared-ports}}
"""


@case(
    "E1",
    situation="An account may not watch one of the objects that a target is made of.",
    says="certlag_watch_synced of that watch, told by its label `name`, is 0; those of other watches are 1.",
    found_by="reader",
)
def test_a_watch_of_one_object_has_series_of_its_own() -> None:
    exporter = Exporter(BUILD_SERVICE)
    exporter.listed()
    forbidden = [watch for watch in exporter.health if watch.resource in (LEASES, RUN_RECORDS)]
    for watch in forbidden:
        exporter.health[watch].synced = False
    metrics = exporter.scrape()
    synced = {
        (sample.labels["resource"], sample.labels["name"]): sample.value
        for sample in metrics.all("certlag_watch_synced", watch_namespace=NAMESPACE)
    }
    assert synced == {
        ("certificates", ""): 1,
        ("certificaterequests", ""): 1,
        ("pods", ""): 1,
        ("replicasets", ""): 1,
        ("deployments", "build"): 1,
        ("deployments", "worker"): 1,
        ("configmaps", "certlag-run-build"): 0,
        ("leases", "certlag-deployment-build"): 0,
    }
    assert all("name" in sample.labels for sample in metrics.samples if sample.name.startswith("certlag_watch_"))


@pytest.mark.field_case("E1")
def test_a_worker_that_is_named_twice_is_refused() -> None:
    text = "targets: [{name: build, workload: deployment/build, workers: [deployment/a, deployment/b, deployment/a]}]"
    with pytest.raises(ConfigurationError) as refused:
        parse(text, source="certlag.yaml", default_namespace=NAMESPACE)
    assert str(refused.value) == (
        "certlag.yaml: targets: build: workers: deployment/a stands there 2 times; each is named once"
    )


PODS = {
    "a port declared for TCP and UDP, and twice": documents.pod(
        port=None,
        spec="""
containers:
- name: server
  ports:
  - {containerPort: 8443, name: https}
  - {containerPort: 8443, protocol: UDP}
  - {containerPort: 8443, name: again}
  volumeMounts: [{name: tls, mountPath: /tls}]
""".strip(),
    ),
    "two containers and a sidecar that declare one port": documents.pod(
        spec="""
initContainers:
- {name: sidecar, restartPolicy: Always, ports: [{containerPort: 8443}], volumeMounts: [{name: tls, mountPath: /tls}]}
- {name: once, ports: [{containerPort: 8443}], volumeMounts: [{name: tls, mountPath: /tls}]}
""".strip(),
        status="""
initContainerStatuses:
- {name: sidecar, containerID: "containerd://sidecar", state: {running: {startedAt: "2026-03-01T00:00:00Z"}}}
""".strip(),
    ),
    "one container twice": documents.pod(
        spec="initContainers: [{name: server, restartPolicy: Always, ports: [{containerPort: 8443}]}]"
    ),
    "one port by name and by number in the annotation": documents.pod(annotations="certlag.dev/port: '8443,8443'"),
    "the Secret by two volumes and the environment": documents.pod(
        spec="""
initContainers:
- name: sidecar
  restartPolicy: Always
  envFrom: [{secretRef: {name: svc-tls}}]
  env: [{name: KEY, valueFrom: {secretKeyRef: {name: svc-tls, key: tls.key}}}]
""".strip(),
        status="""
initContainerStatuses:
- {name: sidecar, containerID: "containerd://sidecar", state: {running: {startedAt: "2026-03-01T00:00:00Z"}}}
""".strip(),
    ),
}


@pytest.mark.field_case("E1")
@pytest.mark.parametrize("configuration", [TWO_TARGETS, f"{TWO_TARGETS}".replace("declared-ports", "annotated")])
@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_however_a_pod_says_it_no_two_series_are_equal(pod: str, configuration: str) -> None:
    """Two targets share the workload, one worker is of a name with the other, and the same pod comes again."""
    exporter = Exporter(configuration)
    exporter.serve("10.88.0.7", 8443, LEAF)
    worker = documents.pod(
        name="worker-0",
        address="10.88.0.8",
        owner="{kind: StatefulSet, name: worker, uid: uid-of-worker, controller: true}",
    )
    exporter.listed(documents.certificate(LEAF), documents.request(LEAF), pod, worker)
    first = exporter.scrape()
    assert list(first.all("certlag_loaded_info", pod="svc-0"))
    exporter.serve("10.88.0.7", 8443, ProbeFailure.TIMEOUT)
    exporter.removed("Pod", "svc-0")
    exporter.changed(pod.replace("uid-of-svc-0", "uid-of-another"), worker)
    exporter.wait(600)
    assert list(exporter.scrape().all("certlag_probe_success", pod="svc-0", target="again"))


@pytest.mark.field_case("E1")
def test_an_instant_that_is_written_as_the_epoch_has_no_series() -> None:
    """What was never set is often written as second 0; `never 0` is what docs/metrics.md promises."""
    exporter = Exporter()
    epoch = "'1970-01-01T00:00:00Z'"
    exporter.listed(documents.certificate(None, status=f"notBefore: {epoch}\nnotAfter: {epoch}\nrenewalTime: {epoch}"))
    metrics = exporter.scrape()
    assert list(metrics.all("certlag_certificate_info", certificate="svc"))
    assert not list(metrics.all("certlag_certificate_renewal_timestamp_seconds"))
    assert not list(metrics.all("certlag_certificate_not_after_timestamp_seconds"))
