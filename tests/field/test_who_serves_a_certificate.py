"""Who serves a certificate, and who only has it mounted.

A Secret of type tls is mounted by servers, by clients, by init containers that copy it, and by pods that pick one of
several. Which of them serves it is known only from a handshake.
"""

from datetime import timedelta

import pytest

from certlag.model import ProbeFailure
from tests.field.documents import certificate, pod, request
from tests.field.exporter import NOW, Exporter
from tests.field.record import case
from tests.pki import DAY, Issued, authority, self_signed

ROOT = authority("ca")
ADDRESS = "10.88.0.7"
DISCOVER = "discovery: {namespaces: ['*'], probe: declared-ports}"
ANNOTATED = "discovery: {namespaces: ['*'], probe: annotated}"
TARGET = "targets: [{name: svc, namespace: shop, workload: statefulset/svc%s}]"


def leaf(*names: str, begin: int) -> Issued:
    """A leaf that was issued so many days from now."""
    not_before = NOW + begin * DAY
    return ROOT.leaf(*names, not_before=not_before, not_after=not_before + 90 * DAY)


OLD, CURRENT = leaf("svc.shop.svc", begin=-70), leaf("svc.shop.svc", begin=-10)
CLIENT = leaf("client.shop", begin=-5)
FOREIGN = self_signed("metrics.elsewhere")
RENEWED = (certificate(CURRENT, revision=2), request(CURRENT, name="svc-2", revision=2, authority=ROOT))
CLIENT_CERTIFICATE = (
    certificate(CLIENT, name="client", uid="uid-of-client", dns_names=("client.shop",)),
    request(CLIENT, name="client-1", certificate_name="client", owner_uid="uid-of-client", authority=ROOT),
)
STATEFUL_SET = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: svc, namespace: shop, uid: uid-of-svc}
spec:
  replicas: %d
  template:
    spec:
      containers: [{name: server, volumeMounts: [{name: tls}]}]
      volumes: [{name: tls, secret: {secretName: %s}}]
"""


def use(one: Exporter, name: str = "svc", workload: str = "svc") -> dict[str, object]:
    """What the status document says of a workload's use of a certificate; empty if there is no use."""
    (found,) = (item for item in one.status()["certificates"] if item["name"] == name)
    uses = [item for item in found["uses"] if item["workload"]["name"] == workload]
    assert len(uses) <= 1
    return uses[0] if uses else {}


def verdicts(one: Exporter, name: str = "svc", workload: str = "svc") -> list[tuple[str, str]]:
    pods = use(one, name, workload)["pods"]
    assert isinstance(pods, list)
    return [(item["verdict"], item["reason"]) for item in pods]


# --- an init container copies it ------------------------------------------------------------------

COPIED = {
    "secret": None,
    "spec": """
initContainers:
  - {name: copy, volumeMounts: [{name: raw, mountPath: /raw}, {name: work, mountPath: /work}]}
volumes:
  - {name: raw, secret: {secretName: svc-tls}}
  - {name: work, emptyDir: {}}
""",
}


def copying(finished: str) -> str:
    ended = f"initContainerStatuses: [{{name: copy, state: {{terminated: {{finishedAt: '{finished}'}}}}}}]"
    return pod(status=ended, started="2026-05-30T00:00:00Z", **COPIED)  # type: ignore[arg-type]


@case(
    "B1",
    situation="An ordinary init container mounts the Secret and copies it to an emptyDir; the server mounts only that.",
    says="The pod uses the certificate, and is probed.",
    reference="bitnami/charts#9560, bitnami/charts#3057",
)
def test_a_secret_that_an_init_container_copies_is_used_by_the_pod() -> None:
    one = Exporter(DISCOVER)
    one.serve(ADDRESS, 8443, OLD)
    one.listed(*RENEWED, copying("2026-03-01T00:00:00Z"))
    assert use(one)["needsRestart"] is True


@pytest.mark.parametrize(
    ("finished", "expected"), [("2026-03-01T00:00:00Z", "stale"), ("2026-05-29T00:00:00Z", "current")]
)
@case(
    "B1",
    situation="As before, with `evidence: start_time`: the server's container was restarted after the renewal.",
    says="The end of the init container counts: it does not run again when the server's container does.",
    reference="bitnami/charts#9560",
)
def test_by_start_time_the_end_of_the_init_container_counts(finished: str, expected: str) -> None:
    one = Exporter(TARGET % ", evidence: start_time")
    one.listed(*RENEWED, copying(finished))
    assert [verdict for verdict, _ in verdicts(one)] == [expected]


@pytest.mark.parametrize("replicas", [0, 1])
@case(
    "B1",
    situation="A target names no certificate, and no Certificate belongs to the Secrets of its pods and template.",
    says="`certlag_target_found` is 0: a target is never silent.",
    found_by="user trial",
)
def test_a_target_for_which_no_certificate_is_found_is_not_found(replicas: int) -> None:
    one = Exporter(TARGET % "")
    pods = (pod(secret="other-tls"),) * replicas
    one.listed(*RENEWED, STATEFUL_SET % (replicas, "other-tls"), *pods)
    assert one.scrape().value("certlag_target_found", target="svc") == 0
    one.changed(STATEFUL_SET % (replicas, "svc-tls"))
    assert one.scrape().value("certlag_target_found", target="svc") == 1, "by the template, also without a pod"


@case(
    "B1",
    situation="A target without a port has pods that declare none.",
    says="Unknown, with reason `no_port`: a target is never silent.",
    found_by="reader",
)
def test_a_target_without_any_port_is_unknown() -> None:
    one = Exporter(TARGET % "")
    one.listed(*RENEWED, STATEFUL_SET % (1, "svc-tls"), pod(port=None))
    assert verdicts(one) == [("unknown", "no_port")]
    assert use(one)["state"] == "unknown"


# --- a name that is no proof ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "local", [("localhost",), ("127.0.0.1",), ("::1",), ("localhost", "svc.shop.svc"), ("app.localhost",)], ids=str
)
@case(
    "B4",
    situation="The Certificate has `localhost` among its names. One port serves the issued leaf, another a self-signed "
    "`localhost` leaf that is older than the issuance (controller-runtime's metrics server).",
    says="Settled: a name that everybody has proves nothing, and what was never issued outranks nothing.",
    found_by="reader",
)
def test_a_self_signed_leaf_of_a_name_that_everybody_has_is_another_one(local: tuple[str, ...]) -> None:
    names = ("svc.shop.svc", *local)
    issued = leaf(*dict.fromkeys(names), begin=-10)
    one = Exporter(DISCOVER)
    one.serve(ADDRESS, 8443, self_signed(*local, not_before=NOW - 300 * DAY, not_after=NOW + 65 * DAY))
    one.serve(ADDRESS, 9443, issued)
    ports = "ports: [{containerPort: 8443}, {containerPort: 9443}]"
    documents = (
        certificate(issued, revision=2, dns_names=tuple(dict.fromkeys(names))),
        request(issued, name="svc-2", revision=2, authority=ROOT),
        pod().replace("ports: [{containerPort: 8443}]", ports),
    )
    one.listed(*documents)
    assert (use(one)["state"], use(one)["needsRestart"]) == ("settled", False)


@case(
    "B4",
    situation="One port has loaded the issued leaf, another still serves an old leaf that the same CA signed.",
    says="Needs restart: what verifies to the issuing authority is this certificate's.",
    found_by="reader",
)
def test_an_old_leaf_of_the_same_authority_on_a_second_port_is_stale() -> None:
    one = Exporter(DISCOVER)
    one.serve(ADDRESS, 8443, OLD)
    one.serve(ADDRESS, 9443, CURRENT)
    ports = "ports: [{containerPort: 8443}, {containerPort: 9443}]"
    one.listed(*RENEWED, pod().replace("ports: [{containerPort: 8443}]", ports))
    assert use(one)["needsRestart"] is True


# --- clients and trust bundles --------------------------------------------------------------------


@pytest.mark.parametrize("answer", [ProbeFailure.NOT_TLS, FOREIGN], ids=["plaintext metrics", "foreign certificate"])
@case(
    "B5",
    situation="A pod mounts a client certificate; its only port serves plaintext metrics, or another certificate.",
    says="Unprobed, with reason `not_served`: no series says unknown, and no alert stays.",
    found_by="user trial",
)
def test_a_certificate_that_no_port_serves_is_not_served(answer: ProbeFailure | Issued) -> None:
    one = Exporter(DISCOVER)
    one.serve(ADDRESS, 8443, answer)
    one.listed(*RENEWED, pod())
    assert verdicts(one) == [("unprobed", "not_served")]
    assert one.scrape().state("certlag_renewal_window_state", certificate="svc") is None
    assert one.scrape().value("certlag_pods", certificate="svc", state="unknown") == 0


@pytest.mark.parametrize("failure", [ProbeFailure.TIMEOUT, ProbeFailure.CONNECTION_REFUSED, ProbeFailure.UNREACHABLE])
@case(
    "B5",
    situation="The only port of a pod that mounts the Secret can't be reached.",
    says="Unknown: that says nothing about what it serves.",
    found_by="reader",
)
def test_a_port_that_does_not_answer_may_serve_it(failure: ProbeFailure) -> None:
    one = Exporter(DISCOVER)
    one.serve(ADDRESS, 8443, failure)
    one.listed(*RENEWED, pod())
    assert verdicts(one) == [("unknown", "probe_failed")]


@pytest.mark.parametrize("configuration", [DISCOVER, TARGET % "", TARGET % ", port: 8443"], ids=str)
@case(
    "B5",
    situation="A pod mounts a client certificate beside the certificate that its port serves.",
    says="Unprobed for the client certificate, settled for the other; a run of the target can be verified.",
    found_by="user trial",
)
def test_a_client_certificate_beside_a_servers_own_is_not_served(configuration: str) -> None:
    two = "volumes: [{name: tls, projected: {sources: [{secret: {name: svc-tls}}, {secret: {name: client-tls}}]}}]"
    both = pod(secret=None, spec=two).replace(
        "    - name: server\n", "    - name: server\n      volumeMounts: [{name: tls}]\n", 1
    )
    for loaded, needs_restart in ((CURRENT, False), (OLD, True)):
        one = Exporter(configuration)
        one.serve(ADDRESS, 8443, loaded)
        one.listed(*RENEWED, *CLIENT_CERTIFICATE, STATEFUL_SET % (1, "svc-tls"), both)
        assert use(one)["needsRestart"] is needs_restart
        assert verdicts(one, "client") == [("unprobed", "presents_sibling")]


@pytest.mark.parametrize("annotation", ["svc-tls", "other, svc-tls", "'*'"])
@case(
    "B5",
    situation="The pod template has the annotation `certlag.dev/ignore-secrets` with the Secret's name, or `*`.",
    says="The pod is no use of the certificate.",
    found_by="user trial",
)
def test_a_pod_may_say_that_it_does_not_serve_a_secret(annotation: str) -> None:
    one = Exporter(DISCOVER)
    one.serve(ADDRESS, 8443, ProbeFailure.TIMEOUT)
    value = annotation if annotation.startswith("'") else f"'{annotation}'"
    one.listed(*RENEWED, pod(annotations=f"certlag.dev/ignore-secrets: {value}"))
    assert use(one) == {}


@case(
    "B5",
    situation="The annotated port of a pod serves a foreign certificate.",
    says="Unknown: the annotation says that the port serves this one.",
    found_by="reader",
)
def test_an_annotated_port_that_serves_something_else_is_unknown() -> None:
    one = Exporter(ANNOTATED)
    one.serve(ADDRESS, 8443, FOREIGN)
    one.listed(*RENEWED, pod(annotations="certlag.dev/port: '8443'"))
    assert verdicts(one) == [("unknown", "other_certificate")]


# --- a certificate for each pod -------------------------------------------------------------------


@pytest.mark.parametrize("configuration", [DISCOVER, TARGET % ", port: 8443", TARGET % ""], ids=str)
@case(
    "B6",
    situation="A StatefulSet has a certificate for each pod; each pod mounts all of them and serves its own.",
    says="Settled: a pod that serves a sibling certificate has no say about the others.",
    found_by="user trial",
)
def test_each_pod_of_a_stateful_set_serves_its_own_certificate(configuration: str) -> None:
    sources = "".join(f"{{secret: {{name: svc-{n}-tls}}}}, " for n in range(3))
    one = Exporter(configuration)
    documents = [STATEFUL_SET % (3, "svc-0-tls")]
    for n in range(3):
        names = (f"svc-{n}.shop.svc", "svc.shop.svc")
        issued = leaf(*names, begin=-10)
        one.serve(f"10.88.0.{n}", 8443, issued)
        spec = f"volumes: [{{name: tls, projected: {{sources: [{sources}]}}}}]"
        documents += [
            certificate(issued, name=f"svc-{n}", uid=f"uid-{n}", dns_names=names),
            request(issued, name=f"svc-{n}-1", certificate_name=f"svc-{n}", owner_uid=f"uid-{n}", authority=ROOT),
            pod(name=f"svc-{n}", address=f"10.88.0.{n}", secret=None, spec=spec).replace(
                "    - name: server\n", "    - name: server\n      volumeMounts: [{name: tls}]\n", 1
            ),
        ]
    one.listed(*documents)
    for n in range(3):
        assert (use(one, f"svc-{n}")["state"], use(one, f"svc-{n}")["needsRestart"]) == ("settled", False)
        assert min(verdicts(one, f"svc-{n}")) == ("current", "is_issued")


# --- workers --------------------------------------------------------------------------------------

WORKER = """
targets:
  - {name: svc, namespace: shop, workload: statefulset/svc, workers: [statefulset/jobs]}
discovery: {namespaces: ['*'], probe: declared-ports}
"""


def worker(**changes: str) -> str:
    owner = "{kind: StatefulSet, name: jobs, uid: uid-of-jobs, controller: true}"
    return pod(name="jobs-0", address="10.88.0.9", owner=owner, **changes)  # type: ignore[arg-type]


@case(
    "B7",
    situation="A target's worker serves TLS itself (harbor-jobservice), and serves an old leaf.",
    says="Needs restart, as for any other workload; its start time counts only where no port tells.",
    found_by="user trial",
)
def test_a_worker_that_serves_tls_is_probed() -> None:
    one = Exporter(WORKER)
    one.serve("10.88.0.9", 8443, OLD)
    one.listed(*RENEWED, worker())
    assert use(one, workload="jobs")["needsRestart"] is True
    assert verdicts(one, workload="jobs") == [("stale", "older_than_issued")]


@pytest.mark.parametrize(
    ("started", "expected"), [("2026-03-01T00:00:00Z", "stale"), ("2026-05-30T00:00:00Z", "current")]
)
@case(
    "B7",
    situation="A worker serves no TLS: its port is plaintext, refuses connections, or it has none.",
    says="By start time: a guess, and never `needs_restart`.",
    found_by="test",
)
def test_a_worker_that_serves_no_tls_is_judged_by_its_start(started: str, expected: str) -> None:
    for answer in (ProbeFailure.NOT_TLS, ProbeFailure.CONNECTION_REFUSED):
        one = Exporter(WORKER)
        one.serve("10.88.0.9", 8443, answer)
        one.listed(*RENEWED, worker(started=started))
        assert [verdict for verdict, _ in verdicts(one, workload="jobs")] == [expected]
        assert use(one, workload="jobs")["needsRestart"] is None
        assert one.scrape().value("certlag_loaded_info", workload="jobs", evidence="start_time") == 1


# --- several processes behind one port ------------------------------------------------------------


@case(
    "B2",
    situation="Two processes share a port (SO_REUSEPORT, rolling forks); every second connection shows the old one.",
    says="Needs restart all the time, with reason `mixed`, until 30 connections in a row showed the issued leaf.",
    reference="argoproj/argo-cd#10707",
)
def test_an_old_process_behind_a_shared_port_stays_seen() -> None:
    turn = iter(range(10**6))
    old_is_there = True
    one = Exporter(DISCOVER, interval=300)
    one.serve(ADDRESS, 8443, lambda _: OLD if old_is_there and next(turn) % 2 else CURRENT)
    one.listed(*RENEWED, pod())
    one.wait(600)
    seen = []
    for _ in range(100):
        one.wait(36)
        seen.append(one.scrape().value("certlag_needs_restart", workload="svc"))
    assert set(seen) == {1}, "it would flicker, and an alert that waits for an hour would never fire"
    assert "mixed" in str(verdicts(one))
    old_is_there = False
    one.wait(600)
    assert one.scrape().value("certlag_needs_restart", workload="svc") == 0


@case(
    "B2",
    situation="A server reloads its certificate: every connection shows the new one from then on.",
    says="Current after 30 connections, which take seconds.",
    found_by="reader",
)
def test_a_server_that_has_reloaded_is_believed_within_seconds() -> None:
    one = Exporter(DISCOVER, interval=300)
    one.serve(ADDRESS, 8443, OLD)
    one.listed(*RENEWED, pod())
    assert use(one)["needsRestart"] is True
    one.serve(ADDRESS, 8443, CURRENT)
    one.wait(330)
    assert use(one)["needsRestart"] is False
    before = len(one.probed)
    one.wait(3600)
    assert len(one.probed) - before < 15, "probed once an interval again"


@case(
    "B2",
    situation="A peer shows another certificate at each connection.",
    says="At most 30 connections more in each interval: it can't make the exporter probe without end.",
    found_by="reader",
)
def test_a_peer_that_shows_another_certificate_each_time_costs_a_bounded_number_of_probes() -> None:
    leaves = [leaf("svc.shop.svc", begin=-days) for days in range(1, 60)]
    turn = iter(range(10**6))
    one = Exporter(DISCOVER, interval=300)
    one.serve(ADDRESS, 8443, lambda _: leaves[next(turn) % len(leaves)])
    one.listed(*RENEWED, pod())
    before = len(one.probed)
    one.wait(timedelta(hours=1).total_seconds())
    assert len(one.probed) - before <= 31 * 15
