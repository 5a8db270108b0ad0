"""The assessment where it is not obvious, on the real cluster: each story is one thing that goes otherwise."""

import base64
import json
import time
from datetime import timedelta

import pytest

from tests import pki
from tests.bench import images, servers
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Object
from tests.metrics import Metrics
from tests.test_stories.ground import Ground, a_target

pytestmark = [pytest.mark.cluster, pytest.mark.matrix(6)]

STATE = "certlag_renewal_window_state"
NEEDS_RESTART = "certlag_needs_restart"
OTHER_PORT = 9443


def test_two_certificates_on_one_port_are_told_apart_by_server_name(ground: Ground) -> None:
    both = servers.Server(("tlsserve", f"{servers.PORT}:any:/tls/one,/tls/two"), ("one", "two"))
    ground.apply(servers.certificate("one"), servers.certificate("two"), servers.deployment("both", [both]))
    ground.wait_available("both")
    with ground.watched(discover=True) as exporter:
        assert states(exporter.metrics(), "one", "two") == ["settled", "settled"]
        ground.renew("one")
        exporter.wait("one to be stale", lambda seen: states(seen, "one", "two") == ["needs_restart", "settled"])


def test_a_sidecar_that_presents_another_certificate_speaks_for_that_one(ground: Ground) -> None:
    containers = [
        servers.go("one"),
        servers.Server(("tlsserve", f"{OTHER_PORT}:any:/tls/two"), ("two",), (OTHER_PORT,), name="sidecar"),
    ]
    ground.apply(servers.certificate("one"), servers.certificate("two"), servers.deployment("pair", containers))
    ground.wait_available("pair")
    with ground.watched(discover=True) as exporter:
        metrics = exporter.metrics()
        assert states(metrics, "one", "two") == ["settled", "settled"]
        assert [sample.labels["port"] for sample in metrics.all("certlag_loaded_info", certificate="two")] == ["9443"]
        ground.renew("two")
        exporter.wait("two to be stale", lambda seen: states(seen, "one", "two") == ["settled", "needs_restart"])
    wrong = a_target("one", workload="deployment/pair", port=OTHER_PORT)
    with ground.watched([wrong]) as exporter:
        metrics = exporter.metrics()
        assert states(metrics, "one") == ["unknown"]
        assert metrics.value(NEEDS_RESTART, certificate="one") is None
        assert reasons(exporter.get("/api/v1/status")[2]) == ["presents_sibling"]


def test_two_ports_of_one_container_are_both_looked_at(ground: Ground) -> None:
    command = ("tlsserve", f"{servers.PORT}:1.2:/tls/one", f"{OTHER_PORT}:1.3:/tls/one")
    server = servers.Server(command, ("one",), (servers.PORT, OTHER_PORT))
    ground.apply(servers.certificate("one"), servers.deployment("one", [server]))
    ground.wait_available("one")
    with ground.watched(discover=True) as exporter:
        metrics = exporter.metrics()
        assert states(metrics, "one") == ["settled"]
        assert {sample.labels["port"] for sample in metrics.all("certlag_loaded_info")} == {"8443", "9443"}
        assert metrics.value("certlag_pods", certificate="one", state="current") == 1


def test_a_closed_port_is_unknown_and_no_reason_to_restart(ground: Ground) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    with ground.watched([a_target("one", port=9)]) as exporter:
        metrics = exporter.metrics()
        assert states(metrics, "one") == ["unknown"]
        assert metrics.value(NEEDS_RESTART) is None
        assert metrics.value("certlag_pods", state="unknown") == 1
        assert metrics.value("certlag_probe_success") == 0
        assert metrics.value("certlag_loaded_not_after_timestamp_seconds") is None
        assert metrics.value("certlag_probe_failures_total", reason="connection_refused")


def test_a_certificate_that_was_never_issued_has_no_dates_and_no_verdict(ground: Ground) -> None:
    never = servers.certificate("never", issuer="nobody")
    ground.apply(servers.certificate("one"), never, servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    with ground.watched([a_target("never", workload="deployment/one")]) as exporter:
        # Being ready doesn't wait for what single objects tell of a target: they may be forbidden.
        metrics = exporter.wait(
            "the target to be found", lambda seen: seen.value("certlag_target_found", target="never") == 1
        )
        assert states(metrics, "never") == ["unknown"]
        assert metrics.value(NEEDS_RESTART, certificate="never") is None
        for name in ("not_before", "not_after", "renewal"):
            assert metrics.value(f"certlag_certificate_{name}_timestamp_seconds", certificate="never") is None
        (info,) = metrics.all("certlag_certificate_info", certificate="never")
        assert (info.labels["issued_evidence"], info.labels["fingerprint_sha256"]) == ("", "")


def test_a_renewal_that_does_not_come_is_not_mended_by_a_restart(ground: Ground) -> None:
    due_at_once = servers.certificate("one", duration="1h", renewBefore="59m54s")
    ground.apply(due_at_once, servers.deployment("one", [servers.go("one")]))
    ground.wait_issued("one")
    ground.cluster.api("DELETE", f"/apis/cert-manager.io/v1/namespaces/{ground.namespace}/issuers/{servers.ISSUER}")
    ground.wait_available("one")
    with ground.watched([a_target("one")]) as exporter:
        metrics = exporter.wait("the renewal to be due", lambda seen: states(seen, "one") == ["renewal_due"])
        assert metrics.value(NEEDS_RESTART) == 0
        renewal = metrics.value("certlag_certificate_renewal_timestamp_seconds", certificate="one")
        assert renewal is not None
        assert renewal <= time.time()


def test_a_certificate_that_expires_while_loaded_goes_from_settled_by_needs_restart_to_expired(ground: Ground) -> None:
    short = servers.certificate("one", duration="60s", renewBefore="30s")
    ground.apply(short, servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    seen: list[str | None] = []
    looked = [0.0]
    with ground.watched([a_target("one")]) as exporter:

        def expired(metrics: Metrics) -> bool:
            looked.append(time.time())
            (state,) = states(metrics, "one")
            # The moment between the renewal's time and the renewal is no step of its own.
            if state != "renewal_due" and seen[-1:] != [state]:
                seen.append(state)
            return state == "expired"

        metrics = exporter.wait("what is loaded to expire", expired, 120)
        ended = metrics.value("certlag_loaded_not_after_timestamp_seconds")
        assert ended is not None
        assert looked[-2] - ended < 1, "the last scrape that did not say so"
    # It may have been renewed before the exporter looked for the first time.
    assert seen in (["settled", "needs_restart", "expired"], ["needs_restart", "expired"])


def test_the_request_of_the_current_revision_may_go_before_and_after_a_restart_of_the_exporter(ground: Ground) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    ground.renew("one")

    def evidence(metrics: Metrics) -> tuple[str | None, ...]:
        (info,) = metrics.all("certlag_certificate_info", certificate="one")
        return info.labels["issued_evidence"], *states(metrics, "one")

    with ground.watched([a_target("one")]) as exporter:
        assert evidence(exporter.metrics()) == ("certificate_request", "needs_restart")
        for request in ground.cluster.api("GET", ground.path("certificaterequests"))["items"]:
            if request["metadata"]["annotations"]["cert-manager.io/certificate-name"] == "one":
                ground.cluster.api("DELETE", ground.path("certificaterequests", request["metadata"]["name"]))
        exporter.wait("memory to be used", lambda seen: evidence(seen) == ("memory", "needs_restart"))
    with ground.watched([a_target("one")]) as exporter:
        assert evidence(exporter.metrics()) == ("status_dates", "needs_restart")
        ground.cluster.kubectl("rollout", "restart", "deployment/one", namespace=ground.namespace)
        exporter.wait("it to be settled", lambda seen: evidence(seen) == ("status_dates", "settled"), 60)


def test_renewed_twice_without_a_restart_the_deadline_is_that_of_what_is_loaded(ground: Ground) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    with ground.watched([a_target("one")]) as exporter:
        loaded = exporter.metrics().value("certlag_loaded_not_after_timestamp_seconds")
        for _ in range(2):
            ground.renew("one")
            metrics = exporter.wait("it to be stale", lambda seen: states(seen, "one") == ["needs_restart"])
            assert metrics.value("certlag_restart_deadline_timestamp_seconds") == loaded
            assert metrics.value("certlag_restart_window_seconds") == timedelta(days=30).total_seconds()


def test_a_renewed_authority_changes_the_issuer_of_what_is_loaded(ground: Ground) -> None:
    ground.apply(servers.certificate("one"), servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    with ground.watched([a_target("one")]) as exporter:
        assert exporter.metrics().value("certlag_issuer_changed") == 0
        ground.renew("one")
        metrics = exporter.wait("it to be stale, and its issuer known", is_stale_and_its_issuer_known)
        assert metrics.value("certlag_issuer_changed") == 0
        ground.renew(servers.ISSUER, "one")
        exporter.wait("the issuer to have changed", lambda seen: seen.value("certlag_issuer_changed") == 1)
        ground.cluster.kubectl("rollout", "restart", "deployment/one", namespace=ground.namespace)
        metrics = exporter.wait("it to be settled", lambda seen: states(seen, "one") == ["settled"], 60)
        assert metrics.value("certlag_issuer_changed") == 0


def is_stale_and_its_issuer_known(metrics: Metrics) -> bool:
    """What was issued may be told before its request came: until then the gauge is absent, never 1."""
    return states(metrics, "one") == ["needs_restart"] and metrics.value("certlag_issuer_changed") is not None


def test_a_rotated_intermediate_is_no_changed_issuer(ground: Ground) -> None:
    root = pki.authority("root")
    _put_authority(ground, root, "first")
    ground.apply(
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Issuer",
            "metadata": {"name": "chained"},
            "spec": {"ca": {"secretName": "chained"}},
        },
        servers.certificate("one", issuer="chained"),
        servers.deployment("one", [servers.go("one")]),
    )
    ground.wait_available("one")
    with ground.watched([a_target("one")]) as exporter:
        assert states(exporter.metrics(), "one") == ["settled"]
        _put_authority(ground, root, "second")
        ground.renew("one")
        metrics = exporter.wait("it to be stale, and its issuer known", is_stale_and_its_issuer_known)
        assert metrics.value("certlag_issuer_changed") == 0
        assert metrics.value("certlag_ca_not_after_timestamp_seconds", certificate="one") == (
            root.certificate.not_valid_after_utc.timestamp()
        )


def test_a_certificate_of_one_hour_has_a_window_of_a_third(ground: Ground) -> None:
    hour = servers.certificate("one", duration="1h", renewBefore=None)
    ground.apply(hour, servers.deployment("one", [servers.go("one")]))
    ground.wait_available("one")
    with ground.watched([a_target("one")]) as exporter:
        metrics = exporter.metrics()
        assert states(metrics, "one") == ["settled"]
        assert metrics.value("certlag_restart_window_seconds") == 20 * 60
        ground.renew("one")
        exporter.wait("it to be stale", lambda seen: states(seen, "one") == ["needs_restart"])


def test_every_kind_of_workload_and_every_way_to_use_a_secret_is_found(ground: Ground) -> None:
    volume, projected, environment = _pods()
    ground.apply(
        servers.certificate("one"),
        servers.deployment("deployed", [servers.go("one")]),
        servers.deployment("stateful", [servers.go("one")], kind="StatefulSet"),
        servers.deployment("everywhere", [servers.go("one")], kind="DaemonSet"),
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "once"},
            "spec": {"template": {"metadata": {"labels": {"app": "once"}}, "spec": volume["spec"]}},
        },
        projected,
        environment,
    )
    expected = {
        *(("deployment", "deployed"), ("statefulset", "stateful"), ("daemonset", "everywhere"), ("job", "once")),
        *(("barepod", "projected"), ("barepod", "environment")),
    }

    def settled(metrics: Metrics) -> set[tuple[str, str]]:
        found = metrics.all(STATE, certificate="one", state="settled")
        return {(sample.labels["workload_type"], sample.labels["workload"]) for sample in found if sample.value}

    with ground.watched(discover=True) as exporter:
        exporter.wait("all to be found and settled", lambda seen: settled(seen) == expected, 60)


def states(metrics: Metrics, *certificates: str) -> list[str | None]:
    """The state of the one use of each Certificate."""
    return [metrics.state(STATE, certificate=name) for name in certificates]


def reasons(status: bytes) -> list[str]:
    """The reasons of all pods' verdicts, as `/api/v1/status` has them."""
    certificates = json.loads(status)["certificates"]
    return [pod["reason"] for each in certificates for use in each["uses"] for pod in use["pods"]]


def _put_authority(ground: Ground, root: pki.Authority, name: str) -> None:
    """Give the issuer `chained` a new intermediate of the same root; its Secret holds the chain to the root."""
    intermediate = root.intermediate(name)
    data = {
        "tls.crt": base64.b64encode(intermediate.pem + root.pem).decode(),
        "tls.key": base64.b64encode(intermediate.key_pem).decode(),
    }
    secret = {"metadata": {"name": "chained"}, "type": "kubernetes.io/tls", "data": data}
    present = ground.cluster.api("GET", ground.path("secrets"))["items"]
    if any(each["metadata"]["name"] == "chained" for each in present):
        ground.cluster.api("PATCH", ground.path("secrets", "chained"), {"data": data}, MERGE_PATCH)
    else:
        ground.cluster.api("POST", ground.path("secrets"), {"apiVersion": "v1", "kind": "Secret", **secret})


def _pods() -> tuple[Object, ...]:
    """Pods that use the Secret `one` as a volume, in a projected volume, and in their environment."""
    by_volume = servers.deployment("volume", [servers.go("one")])["spec"]["template"]
    made: list[Object] = []
    for name in ("volume", "projected", "environment"):
        spec = {**by_volume["spec"], "restartPolicy": "Never"}
        if name == "projected":
            volume = {"name": "one", "projected": {"sources": [{"secret": {"name": "one"}}]}}
            spec["volumes"] = [volume, {"name": "tmp", "emptyDir": {}}]
        if name == "environment":
            spec["volumes"] = [{"name": "tmp", "emptyDir": {}}]
            spec["containers"] = [_from_environment()]
        metadata = {"name": name, "labels": {"app": name}}
        made.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    return tuple(made)


def _from_environment() -> Object:
    files = {"tls.crt": "CERTIFICATE", "tls.key": "KEY", "ca.crt": "AUTHORITY"}
    write = "; ".join(f'printf %s "${variable}" > /tmp/{file}' for file, variable in files.items())
    return {
        "name": "server",
        "image": images.SERVERS,
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", f"{write}; exec tlsserve {servers.PORT}:any:/tmp"],
        "ports": [{"containerPort": servers.PORT}],
        "env": [
            {"name": variable, "valueFrom": {"secretKeyRef": {"name": "one", "key": file}}}
            for file, variable in files.items()
        ],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in a container
    }
