"""What is assessed becomes text that Prometheus' own parser reads back to the same values."""

import gzip
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.assessment import (
    Assessment,
    EndpointAssessment,
    ObservedEndpoint,
    PodAssessment,
    Reason,
    UseAssessment,
    Verdict,
    WindowState,
)
from certlag.config.schema import opschain
from certlag.errors import ClusterErrorReason
from certlag.kube.decode import SkipReason
from certlag.kube.reflector import WatchHealth
from certlag.kube.resources import ALL_NAMESPACES, CERTIFICATES, PODS, Watch
from certlag.model import (
    Certificate,
    Endpoint,
    Evidence,
    Issued,
    IssuedEvidence,
    IssuerRef,
    ObjectKey,
    Observation,
    ProbeFailure,
    Workload,
)
from certlag.target_assessment import Missing, assess_target
from certlag.x509.certificates import read_chain, read_issued
from exporter.metrics import samples as exposition
from exporter.metrics.compression import CompressedText
from exporter.metrics.samples import ASSESSED, FAMILIES, LIVE, of_certificate, of_exporter, of_probes, of_target
from exporter.metrics.text import Family, Page, Sample, render
from exporter.snapshot import Published, Snapshot
from tests import pki
from tests.fake_clock import FakeClock
from tests.metrics import Metrics, as_prometheus_client_reads
from tests.pki import DAY, NOW

ROOT = pki.authority("root")
LEAF = ROOT.leaf("svc.example", serial=0xABC)
CHAIN = read_issued(LEAF.chain_pem, ROOT.pem)
LOADED = read_chain(LEAF.chain)

CERTIFICATE = Certificate(
    key=ObjectKey("ns", "svc"),
    uid="uid",
    secret="tls",
    names=("svc.example",),
    server_name="svc.example",
    issuer=IssuerRef("Issuer", "ca", "cert-manager.io"),
    renew_before=None,
    renew_before_percentage=None,
    renewal_disabled=False,
    ready=True,
    issuing=False,
    revision=2,
    not_before=CHAIN.leaf.not_before,
    not_after=CHAIN.leaf.not_after,
    renewal_at=NOW + 60 * DAY,
)
ISSUED = Issued(IssuedEvidence.CERTIFICATE_REQUEST, CHAIN.leaf.not_before, CHAIN.leaf.not_after, CHAIN, NOW)
ENDPOINT = Endpoint(ObjectKey("ns", "pod-1"), "uid", "10.0.0.1", "main", "id", 8443, "svc.example")
SEEN = Observation(timedelta(milliseconds=2.5), None, LOADED, NOW)
POD = PodAssessment(
    ObjectKey("ns", "pod-1"),
    Verdict.STALE,
    Reason.OLDER_THAN_ISSUED,
    (EndpointAssessment(ObservedEndpoint(ENDPOINT, SEEN), Verdict.STALE, Reason.OLDER_THAN_ISSUED),),
)
USE = UseAssessment(
    workload=Workload("ns", "deployment", "web"),
    target="web-service",
    evidence=Evidence.HANDSHAKE,
    state=WindowState.NEEDS_RESTART,
    needs_restart=True,
    deadline=NOW + 30 * DAY,
    window=30 * DAY,
    issuer_changed=False,
    pods=(POD,),
)
ASSESSMENT = Assessment(CERTIFICATE.key, CERTIFICATE, ISSUED, (USE,))

K = {
    "namespace": "ns",
    "workload": "web",
    "workload_type": "deployment",
    "certificate": "svc",
    "target": "web-service",
}
P = {**K, "pod": "pod-1", "container": "main", "port": "8443"}
C = {"namespace": "ns", "certificate": "svc"}


def read(text: str, families: Iterable[Family] = FAMILIES) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Read text: the value of each series."""
    samples = Metrics.parse(text, families).samples
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}


def told(samples: Iterable[Sample]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return read(render(FAMILIES, samples).decode())


def value(samples: Iterable[Sample], name: str, labels: dict[str, str]) -> float:
    return told(samples)[name, frozenset(labels.items())]


def names(samples: Iterable[Sample]) -> set[str]:
    return {sample.family.name for sample in samples}


# --- one assessment --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("certlag_certificate_not_before_timestamp_seconds", C, CHAIN.leaf.not_before.timestamp()),
        ("certlag_certificate_not_after_timestamp_seconds", C, CHAIN.leaf.not_after.timestamp()),
        ("certlag_certificate_renewal_timestamp_seconds", C, (NOW + 60 * DAY).timestamp()),
        ("certlag_ca_not_after_timestamp_seconds", C, (NOW + 3650 * DAY).timestamp()),
        ("certlag_needs_restart", K, 1.0),
        ("certlag_restart_deadline_timestamp_seconds", K, (NOW + 30 * DAY).timestamp()),
        ("certlag_restart_window_seconds", K, 30 * 86400.0),
        ("certlag_issuer_changed", K, 0.0),
        ("certlag_loaded_not_before_timestamp_seconds", P, LOADED.leaf.not_before.timestamp()),
        ("certlag_loaded_not_after_timestamp_seconds", P, LOADED.leaf.not_after.timestamp()),
        ("certlag_probe_success", P, 1.0),
        ("certlag_probe_duration_seconds", P, 0.0025),
        ("certlag_probe_last_success_timestamp_seconds", P, NOW.timestamp()),
    ],
)
def test_a_judgement_has_its_values(name: str, labels: dict[str, str], expected: float) -> None:
    assert value(of_certificate(ASSESSMENT), name, labels) == expected


def test_identity_is_on_info_only() -> None:
    issued = {
        **C,
        "secret": "tls",
        "issuer_kind": "Issuer",
        "issuer_name": "ca",
        "issuer_group": "cert-manager.io",
        "fingerprint_sha256": LEAF.fingerprint,
        "serial_number": "0abc",
        "issued_evidence": "certificate_request",
    }
    loaded = {**P, "fingerprint_sha256": LEAF.fingerprint, "serial_number": "0abc", "evidence": "handshake"}
    assert value(of_certificate(ASSESSMENT), "certlag_certificate_info", issued) == 1
    assert value(of_certificate(ASSESSMENT), "certlag_loaded_info", loaded) == 1
    for family in FAMILIES:
        if not family.name.endswith("_info"):
            assert not {"fingerprint_sha256", "serial_number", "secret"} & set(family.labels), family.name


def test_of_the_states_of_a_window_exactly_one_is_one() -> None:
    for chosen in WindowState:
        series = told(of_certificate(replace(ASSESSMENT, uses=(replace(USE, state=chosen),))))
        states = {
            dict(labels)["state"]: number for (name, labels), number in series.items() if name.endswith("window_state")
        }
        assert states == {state.value: float(state is chosen) for state in WindowState}


def test_pods_are_counted_by_what_they_present() -> None:
    pods = tuple(
        replace(POD, pod=ObjectKey("ns", f"pod-{number}"), verdict=verdict, endpoints=())
        for number, verdict in enumerate([Verdict.STALE, Verdict.STALE, Verdict.CURRENT, Verdict.PENDING])
    )
    samples = list(of_certificate(replace(ASSESSMENT, uses=(replace(USE, pods=pods),))))
    counts = {state: value(samples, "certlag_pods", {**K, "state": state}) for state in ("current", "stale", "unknown")}
    assert counts == {"current": 1, "stale": 2, "unknown": 0}


# --- what is not known ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "absent"),
    [
        ({"state": None}, "certlag_renewal_window_state"),
        ({"needs_restart": None}, "certlag_needs_restart"),
        ({"deadline": None}, "certlag_restart_deadline_timestamp_seconds"),
        ({"window": None}, "certlag_restart_window_seconds"),
        ({"issuer_changed": None}, "certlag_issuer_changed"),
    ],
)
def test_what_is_not_known_of_a_use_is_absent(change: dict[str, Any], absent: str) -> None:
    before = names(of_certificate(ASSESSMENT))
    after = names(of_certificate(replace(ASSESSMENT, uses=(replace(USE, **change),))))
    assert before - after == {absent}


@pytest.mark.fault("F21")
def test_a_certificate_that_was_never_issued_has_no_instants() -> None:
    bare = replace(CERTIFICATE, renewal_at=None)
    found = names(of_certificate(replace(ASSESSMENT, certificate=bare, issued=None, uses=())))
    assert found == {"certlag_certificate_info"}


def test_a_certificate_known_by_its_dates_has_no_fingerprint_and_no_authority() -> None:
    dates = replace(ISSUED, evidence=IssuedEvidence.STATUS_DATES, chain=None)
    samples = list(of_certificate(replace(ASSESSMENT, issued=dates, uses=())))
    (info,) = (sample for sample in samples if sample.family is exposition.CERTIFICATE_INFO)
    assert dict(zip(info.family.labels, info.labels, strict=True))["fingerprint_sha256"] == ""
    assert "certlag_ca_not_after_timestamp_seconds" not in names(samples)


def test_a_certificate_that_is_not_there_is_only_spoken_of_by_its_use() -> None:
    found = names(of_certificate(replace(ASSESSMENT, certificate=None, issued=None)))
    assert not any(name.startswith("certlag_certificate_") for name in found)
    assert "certlag_pods" in found


def names_of(observation: Observation | None) -> set[str]:
    observed = EndpointAssessment(ObservedEndpoint(ENDPOINT, observation), Verdict.UNKNOWN, Reason.PROBE_FAILED)
    use = replace(USE, pods=(replace(POD, endpoints=(observed,)),))
    all_names = names(of_certificate(replace(ASSESSMENT, uses=(use,))))
    return {name for name in all_names if name.startswith(("certlag_probe_", "certlag_loaded_"))}


def test_before_the_first_attempt_has_ended_nothing_is_said_of_a_probe() -> None:
    assert names_of(None) == set()


def test_an_endpoint_that_never_answered_has_no_certificate_and_no_last_success() -> None:
    failed = Observation(timedelta(seconds=3), ProbeFailure.TIMEOUT, None, None)
    assert names_of(failed) == {"certlag_probe_success", "certlag_probe_duration_seconds"}


def test_a_failed_probe_keeps_what_was_loaded() -> None:
    failed = replace(SEEN, failure=ProbeFailure.CONNECTION_REFUSED)
    assert names_of(failed) == names_of(SEEN)
    observed = EndpointAssessment(ObservedEndpoint(ENDPOINT, failed), Verdict.STALE, Reason.OLDER_THAN_ISSUED)
    use = replace(USE, pods=(replace(POD, endpoints=(observed,)),))
    assert value(of_certificate(replace(ASSESSMENT, uses=(use,))), "certlag_probe_success", P) == 0


# --- targets and the exporter itself --------------------------------------------------------------


@pytest.mark.parametrize("found", [True, False])
def test_a_target_is_found_or_not(*, found: bool) -> None:
    target = opschain("ns")
    published = assess_target(target, certificate_found=found, workloads={}, record=None, heartbeat_at=None)
    labels = {"target": "build-service", "namespace": "ns"}
    assert (
        value(
            of_target(replace(published, missing=None if found else Missing.WORKLOAD)), "certlag_target_found", labels
        )
        == found
    )


@pytest.mark.parametrize("checks", [True, False])
def test_it_tells_whether_a_target_checks_its_clients(*, checks: bool) -> None:
    target = replace(opschain("ns"), client_auth=checks)
    published = assess_target(target, certificate_found=True, workloads={}, record=None, heartbeat_at=None)
    where = {"namespace": "ns", "workload": "opschain-build-service", "workload_type": "deployment"}
    assert value(of_target(published), "certlag_target_client_auth", {**where, "target": "build-service"}) == checks


def test_a_target_without_a_record_is_idle_and_has_its_budget() -> None:
    published = assess_target(opschain("ns"), certificate_found=True, workloads={}, record=None, heartbeat_at=None)
    where = {
        "namespace": "ns",
        "workload": "opschain-build-service",
        "workload_type": "deployment",
        "target": "build-service",
    }
    assert value(of_target(published), "certlag_restart_budget_seconds", where) == 3900
    assert value(of_target(published), "certlag_runbook_state", {**where, "state": "idle"}) == 1
    assert value(of_target(published), "certlag_runbook_state", {**where, "state": "draining"}) == 0
    assert "certlag_restart_budget_seconds" not in names(of_target(replace(published, budget=None)))


def test_counters_of_closed_sets_start_at_zero() -> None:
    watch = Watch(CERTIFICATES, ALL_NAMESPACES)
    series = told(of_exporter({watch: WatchHealth()}, {}, "1.0", "abc"))
    for reason in ProbeFailure:
        assert series["certlag_probe_failures_total", frozenset({("reason", reason.value)})] == 0
    where = {("resource", "certificates"), ("watch_namespace", "*"), ("name", "")}
    for error in ClusterErrorReason:
        assert series["certlag_watch_errors_total", frozenset(where | {("reason", error.value)})] == 0
    for skip in SkipReason:
        assert (
            series["certlag_objects_skipped_total", frozenset({("resource", "certificates"), ("reason", skip.value)})]
            == 0
        )
    assert series["certlag_watch_synced", frozenset(where)] == 0
    assert ("certlag_watch_last_contact_timestamp_seconds", frozenset(where)) not in series
    assert series["certlag_build_info", frozenset({("version", "1.0"), ("revision", "abc")})] == 1


def test_the_health_of_watches_is_told() -> None:
    health = WatchHealth(synced=True, last_contact_at=NOW)
    health.relists["expired"] += 2
    health.errors[ClusterErrorReason.FORBIDDEN] += 3
    samples = list(of_exporter({Watch(PODS, "ns"): health}, {ProbeFailure.TIMEOUT: 5}, "1", ""))
    where = {"resource": "pods", "watch_namespace": "ns", "name": ""}
    assert value(samples, "certlag_watch_synced", where) == 1
    assert value(samples, "certlag_watch_last_contact_timestamp_seconds", where) == NOW.timestamp()
    assert value(samples, "certlag_watch_relists_total", {**where, "reason": "expired"}) == 2
    assert value(samples, "certlag_watch_errors_total", {**where, "reason": "forbidden"}) == 3
    assert value(samples, "certlag_probe_failures_total", {"reason": "timeout"}) == 5


def test_skipped_objects_of_one_resource_in_several_namespaces_are_one_series() -> None:
    first, second = WatchHealth(), WatchHealth()
    first.skipped[SkipReason.WRONG_TYPE] += 1
    second.skipped[SkipReason.WRONG_TYPE] += 2
    samples = of_exporter({Watch(PODS, "a"): first, Watch(PODS, "b"): second}, {}, "1", "")
    assert value(samples, "certlag_objects_skipped_total", {"resource": "pods", "reason": "wrong_type"}) == 3


# --- the contract ---------------------------------------------------------------------------------


def test_names_and_types_follow_prometheus_conventions() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert family.name.startswith("certlag_")
        assert family.name.endswith("_total") == (family.type == "counter"), family.name
        assert family.help.endswith("."), family.name
        assert "\n" not in family.help
        assert "\\" not in family.help
        assert len(set(family.labels)) == len(family.labels)
    assert not set(ASSESSED) & set(LIVE)


# --- the text -------------------------------------------------------------------------------------

FIRST = Family("certlag_first", ("a", "b"), "First.")
SECOND = Family("certlag_second", (), "Second.", "counter")

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.fault("H1")
@given(texts, texts, st.floats(-1e300, 1e300, allow_nan=False))
def test_any_label_and_any_number_are_read_back_as_they_were(one: str, two: str, number: float) -> None:
    text = render([FIRST], [Sample(FIRST, (one, two), number)]).decode()
    (sample,) = as_prometheus_client_reads(text)
    assert sample.labels == {"a": one, "b": two}
    assert sample.value == number
    assert Metrics.parse(text, [FIRST]).samples == [sample]


@pytest.mark.fault("H1")
@pytest.mark.parametrize("hostile", ['"', "\\", "\n", '"} 1\nevil{x="', "\\n", '\\"', "a\\\\n", "# HELP x y", ""])
def test_a_hostile_label_stays_a_label(hostile: str) -> None:
    text = render([FIRST], [Sample(FIRST, (hostile, "b"), 1)]).decode()
    assert text.count("\n") == 3
    assert read(text, [FIRST]) == {("certlag_first", frozenset({("a", hostile), ("b", "b")})): 1}


@pytest.mark.parametrize(
    ("number", "written"),
    [(0, "0"), (True, "1"), (1.0, "1"), (0.25, "0.25"), (-1.5, "-1.5"), (4102444800.0, "4102444800")],
)
def test_numbers_are_written_exactly_and_whole_ones_without_a_fraction(number: float, written: str) -> None:
    assert render([SECOND], [Sample(SECOND, (), number)]).decode().splitlines()[-1].rpartition(" ")[2] == written


@pytest.mark.fault("F21")
def test_the_end_of_the_calendar_is_written_exactly() -> None:
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    use = replace(USE, deadline=end)
    samples = of_certificate(replace(ASSESSMENT, uses=(use,)))
    assert value(samples, "certlag_restart_deadline_timestamp_seconds", K) == 253402300799


def test_families_are_in_one_piece_in_their_order_and_empty_ones_are_left_out() -> None:
    samples = [Sample(SECOND, (), 1), Sample(FIRST, ("x", "y"), 1), Sample(FIRST, ("z", "y"), 1)]
    assert render([FIRST, SECOND], samples).decode() == (
        "# HELP certlag_first First.\n# TYPE certlag_first gauge\n"
        'certlag_first{a="x",b="y"} 1\ncertlag_first{a="z",b="y"} 1\n'
        "# HELP certlag_second Second.\n# TYPE certlag_second counter\ncertlag_second{} 1\n"
    )
    assert render([FIRST, SECOND], []) == b""


# --- the page -------------------------------------------------------------------------------------


def text_of(page: Page) -> str:
    return b"".join(piece for row in page.rows() for piece in row.pieces).decode()


def test_put_tells_whether_the_text_changed() -> None:
    page = Page([FIRST, SECOND])
    assert page.put("k", [Sample(FIRST, ("x", "y"), 1)])
    assert not page.put("k", [Sample(FIRST, ("x", "y"), 1)])
    assert page.put("k", [Sample(FIRST, ("x", "y"), 2)])
    assert page.put("k", [Sample(FIRST, ("x", "y"), 2), Sample(SECOND, (), 1)])
    assert page.put("k", [Sample(SECOND, (), 1)])
    assert not page.put("other", [])
    assert page.put("k", [])
    assert not page.put("k", [])
    assert page.rows() == ()


def test_pieces_are_joined_family_by_family() -> None:
    page = Page(ASSESSED)
    second = replace(
        ASSESSMENT, key=ObjectKey("ns", "two"), certificate=replace(CERTIFICATE, key=ObjectKey("ns", "two"))
    )
    page.put(ASSESSMENT.key, of_certificate(ASSESSMENT))
    page.put(second.key, of_certificate(second))
    series = read(text_of(page))
    assert series == told([*of_certificate(ASSESSMENT), *of_certificate(second)])
    page.put(second.key, ())
    assert read(text_of(page)) == told(of_certificate(ASSESSMENT))


def test_after_a_probe_that_found_the_same_the_text_is_that_of_the_new_judgement() -> None:
    later = replace(SEEN, duration=timedelta(milliseconds=7), last_success_at=NOW + timedelta(minutes=5))
    observed = EndpointAssessment(ObservedEndpoint(ENDPOINT, later), Verdict.STALE, Reason.OLDER_THAN_ISSUED)
    again = replace(ASSESSMENT, uses=(replace(USE, pods=(replace(POD, endpoints=(observed,)),)),))
    assert again == ASSESSMENT, "how long it took, and when, is no assessment"
    page = Page(ASSESSED)
    page.put("k", of_certificate(ASSESSMENT))
    before = page.rows()
    assert page.put_some("k", of_probes(again))
    assert read(text_of(page)) == told(of_certificate(again))
    assert len(set(page.rows()) - set(before)) == 2, "all other families stay as they are"
    assert not page.put_some("k", of_probes(again))


# --- the scrape -----------------------------------------------------------------------------------


def snapshot(clock: FakeClock) -> Snapshot:
    made = Snapshot(clock, version="1.0", revision="abc")
    made.watch({Watch(PODS, "ns"): WatchHealth()}, {})
    return made


def test_a_scrape_is_what_was_judged_and_the_exporter_itself() -> None:
    served = snapshot(FakeClock())
    page = Page(ASSESSED)
    page.put("k", of_certificate(ASSESSMENT))
    served.publish(Published(page.rows()))
    plain = b"".join(served.scrape(gzip=False))
    series = read(plain.decode())
    assert Metrics.parse(plain.decode()).samples == as_prometheus_client_reads(plain.decode())
    assert series["certlag_needs_restart", frozenset(K.items())] == 1
    assert ("certlag_build_info", frozenset({("version", "1.0"), ("revision", "abc")})) in series
    assert gzip.decompress(b"".join(served.scrape(gzip=True))) == plain


def test_compressed_scrapes_can_be_had_again_and_again_and_after_a_change() -> None:
    clock = FakeClock()
    served = snapshot(clock)
    for text in ("", "certlag_a 1\n", "certlag_a 2\n" * 1000):
        served.publish(Published((CompressedText([text.encode()]),)))
        for _ in range(3):
            clock.advance(2)
            assert gzip.decompress(b"".join(served.scrape(gzip=True))).startswith(text.encode())


@pytest.mark.parametrize(("seconds", "alive"), [(0, True), (179, True), (180, False)])
def test_a_loop_that_has_not_come_round_for_three_minutes_hangs(seconds: float, *, alive: bool) -> None:
    clock = FakeClock()
    served = snapshot(clock)
    clock.advance(1000)
    served.heartbeat()
    clock.advance(seconds)
    assert served.alive is alive
