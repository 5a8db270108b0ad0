"""What a refusal says is so, and what it advises would help.

A remedy that passes every check and then breaks something, a question whose answer is in the configuration, a
consequence that this workload does not have: the on-call engineer believes them.
"""

import pytest

from certlag.model import ProbeFailure
from runbook.check import unreachable
from runbook.plan import planning
from tests.builders import a_leaf
from tests.field import workloads
from tests.field.record import case
from tests.field.runbook import CONFIGURATION, cluster
from tests.hostile_peers import answering
from tests.run_facts import TARGET, a_status, facts
from tests.tls_servers import listening

WORKER = workloads.deployment("worker", image="worker", grace=3600)
MOUNTED = """
          volumeMounts: [{name: tls, mountPath: /tls}]
      volumes: [{name: tls, secret: {secretName: svc}}]"""
UNNAMED = CONFIGURATION.replace("    certificate: svc\n", "")
TARGETS = {
    "deployment": workloads.deployment("svc", replicas=0),
    "statefulset": workloads.stateful_set("svc", replicas=0),
}


# --- pods that are replaced by hand ------------------------------------------------------------------------------


@case(
    "G11",
    situation="a StatefulSet or DaemonSet with `updateStrategy: OnDelete`, as vault-helm ships it",
    says="refused; its pods are to be deleted one at a time, and unsealed. Not to be changed to RollingUpdate",
    reference="hashicorp/vault-helm#81, hashicorp/vault-helm#748",
)
@pytest.mark.parametrize("kind", ["statefulset", "daemonset"])
def test_what_updates_on_deletion_is_to_be_deleted_one_by_one_and_unsealed(kind: str) -> None:
    make = {"statefulset": workloads.stateful_set, "daemonset": workloads.daemon_set}[kind]
    configuration = CONFIGURATION.replace("deployment/svc", f"{kind}/svc")
    with cluster(make("svc", spec="updateStrategy: {type: OnDelete}"), WORKER) as shop:
        ran = shop.run("restart-svc --yes", configuration=configuration)
        assert ran.code == 3, ran
        assert f"{kind}/svc replaces a pod only when it is deleted (updateStrategy OnDelete)" in ran.text
        assert "delete its pods one at a time" in ran.text
        assert "unsealed" in ran.text
        assert "docs/restart-ondelete.md" in ran.text
        assert "RollingUpdate" not in ran.text
        assert ran.writes == ()


# --- a target without pods ---------------------------------------------------------------------------------------


@case(
    "G12",
    situation="a target is at 0 replicas, and its configuration names no Certificate",
    says="nothing to do, exit code 0: pods that start later load the issued certificate",
    found_by="user trial",
)
@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("words", ["", " --force"])
def test_a_target_at_0_replicas_has_nothing_to_restart(words: str, kind: str) -> None:
    configuration = UNNAMED.replace("deployment/svc", f"{kind}/svc")
    with cluster(TARGETS[kind], WORKER) as shop:
        ran = shop.run(f"restart-svc --yes{words}", configuration=configuration)
        assert ran.code == 0, ran
        assert f"{kind}/svc has no pods to restart; those that start later load the issued certificate" in ran.text
        assert "scale it" not in ran.text
        assert ran.writes == ()


@pytest.mark.field_case("G12")
def test_the_certificate_of_a_target_without_pods_is_known_by_its_pod_template() -> None:
    with cluster(TARGETS["deployment"], WORKER) as shop:
        ran = shop.run("check-svc", configuration=UNNAMED)
        assert ran.code == 0, ran
        assert "Issued: Certificate svc" in ran.text
        assert "No pod runs; those that start later load the issued certificate" in ran.text


@pytest.mark.field_case("G12")
@pytest.mark.thorough
def test_what_stands_in_the_way_of_a_restart_is_no_refusal_where_there_is_nothing_to_restart() -> None:
    short = workloads.deployment("worker", image="worker", grace=30)
    with cluster(TARGETS["deployment"], short) as shop:
        ran = shop.run("restart-svc --yes")
        assert ran.code == 0, ran
    with cluster(workloads.deployment("svc"), short) as shop:
        assert shop.run("restart-svc --yes --accept-grace").code == 0
        ran = shop.run("restart-svc --yes")
        assert (ran.code, "every pod presents the issued certificate already" in ran.text) == (0, True), ran


# --- a port that cannot be asked ---------------------------------------------------------------------------------


@case(
    "G13",
    situation="the configured port is right, and speaks a protocol that changes to TLS inside (PostgreSQL, SMTP, LDAP)",
    says="refused with the protocol's name, and what `evidence: start_time` cannot tell. Not: name the port",
    found_by="user trial",
)
@pytest.mark.parametrize(("port", "protocol"), [(5432, "PostgreSQL"), (587, "SMTP"), (389, "LDAP"), (3306, "MySQL")])
@pytest.mark.parametrize("failure", [ProbeFailure.NOT_TLS, ProbeFailure.CONNECTION_RESET])
def test_a_port_that_begins_in_plain_text_is_named_by_its_protocol(
    failure: ProbeFailure, port: int, protocol: str
) -> None:
    (pod,) = a_status(None, failure=failure, port=port).pods
    assert protocol in unreachable.why(pod)
    assert "evidence: start_time" in unreachable.remedy(pod, TARGET)
    assert "what it loaded, and whether clients accept that, is then not seen" in unreachable.remedy(pod, TARGET)
    assert "name the port" not in unreachable.remedy(pod, TARGET)


@pytest.mark.field_case("G13")
def test_the_refusal_says_so() -> None:
    """A server that answers everything as PostgreSQL does a client whose first message it does not understand."""
    service = workloads.deployment("svc", image="idle").replace("image: idle", f"image: idle\n{MOUNTED}")
    with cluster(service, WORKER) as shop:
        (pod,) = shop.pods("svc")
        with listening(answering(b"E\x00\x00\x00\x08FATAL"), pod["status"]["podIP"], 5432):
            ran = shop.run("restart-svc --yes", configuration=CONFIGURATION.replace("port: 8443", "port: 5432"))
        assert ran.code == 3, ran
        assert "port 5432 speaks PostgreSQL, which changes to TLS inside its own protocol" in ran.text
        assert "evidence: start_time" in ran.text
        assert "name the port" not in ran.text


@pytest.mark.parametrize("failure", [each for each in ProbeFailure if each is not ProbeFailure.NOT_TLS])
@pytest.mark.field_case("G13")
def test_every_failure_has_a_reason_and_a_remedy_of_its_own(failure: ProbeFailure) -> None:
    (pod,) = a_status(None, failure=failure).pods
    assert unreachable.why(pod)
    assert unreachable.remedy(pod, TARGET)
    assert unreachable.remedy(pod, TARGET) != "name the port in the configuration"


# --- consequences ------------------------------------------------------------------------------------------------


@case(
    "G13",
    situation="any target: a mail server, a registry, a database",
    says="clients refuse it after the deadline. Nothing is said of builds",
    found_by="reader",
)
def test_what_follows_is_said_of_clients_not_of_builds() -> None:
    why = planning.why_restart(facts(status=a_status(a_leaf("first"))))
    assert "clients refuse it" in why
    assert "build" not in why
