"""Which certificate was issued.

cert-manager matches a CertificateRequest to its Certificate by owner reference (pkg/util/predicate, ResourceOwnedBy),
not by annotation. Anyone who may create requests can write owner and annotations, and have the request signed; nobody
but cert-manager writes `Certificate.status`, whose dates are those of the Secret.
"""

from datetime import UTC, datetime, timedelta

import pytest

from tests.field.documents import certificate, pod, request
from tests.field.exporter import NOW, Exporter
from tests.field.record import case
from tests.pki import DAY, Issued, authority

USE = {"namespace": "shop", "workload": "svc", "certificate": "svc"}
ADDRESS, PORT = "10.88.0.7", 8443
ROOT = authority("ca")
SECOND = timedelta(seconds=1)


def leaf(not_before: datetime, days: int = 90, name: str = "svc.shop.svc") -> Issued:
    return ROOT.leaf(name, not_before=not_before, not_after=not_before + days * DAY)


OLD, CURRENT = leaf(NOW - 70 * DAY), leaf(NOW - 10 * DAY)


def exporter(loaded: Issued, *documents: str) -> Exporter:
    """An exporter that starts now, whose service serves a leaf."""
    made = Exporter()
    made.serve(ADDRESS, PORT, loaded)
    made.listed(*documents, pod())
    return made


def needs_restart(one: Exporter) -> float | None:
    return one.scrape().value("certlag_needs_restart", **USE)


def state(one: Exporter) -> str | None:
    return one.scrape().state("certlag_renewal_window_state", **USE)


def deadline(one: Exporter) -> float | None:
    return one.scrape().value("certlag_restart_deadline_timestamp_seconds", **USE)


def reason(one: Exporter) -> str:
    (found,) = one.status()["certificates"]
    (use,) = found["uses"]
    return str(use["pods"][0]["reason"])


# --- whose request is it? -------------------------------------------------------------------------


@case(
    "A1",
    situation="A developer creates a CertificateRequest with both annotations and no owner; the same CA signs it.",
    says="The service is still settled: the request is ignored.",
    reference="cert-manager/cert-manager#4956",
)
def test_a_request_that_the_certificate_does_not_own_changes_nothing() -> None:
    forged = request(leaf(NOW - SECOND), name="a-developers-own", owner_uid=None, authority=ROOT)
    one = exporter(CURRENT, certificate(CURRENT), request(CURRENT, authority=ROOT), forged)
    assert needs_restart(one) == 0
    assert state(one) == "settled"


@case(
    "A1",
    situation="Two CertificateRequests of one revision, issued a second apart; Secret and pod have one of them.",
    says="Settled: the request whose dates are those of Certificate.status is the issued one.",
    reference="cert-manager/cert-manager#3603, cert-manager/cert-manager#6756",
)
def test_of_two_requests_of_one_revision_the_one_with_the_dates_of_the_status_counts() -> None:
    other = leaf(NOW - 10 * DAY + SECOND)
    requests = (request(other, name="svc-l8xjm", revision=49), request(CURRENT, name="svc-wvz2q", revision=49))
    assert needs_restart(exporter(CURRENT, certificate(CURRENT, revision=49), *requests)) == 0
    assert needs_restart(exporter(other, certificate(CURRENT, revision=49), *requests)) is None, "never in the Secret"
    assert needs_restart(exporter(OLD, certificate(CURRENT, revision=49), *requests)) == 1


@case(
    "A1",
    situation="The Certificate was deleted and created again; the request of the earlier one is still there.",
    says="Stale: the earlier request has another owner UID.",
    reference="cert-manager/cert-manager#3718",
)
def test_a_request_of_an_earlier_certificate_of_the_same_name_is_not_its_own() -> None:
    documents = (
        certificate(CURRENT, uid="uid-b"),
        request(OLD, name="svc-1", owner_uid="uid-a", authority=ROOT),
        request(CURRENT, name="svc-7kq2p", owner_uid="uid-b", authority=ROOT),
    )
    one = exporter(OLD, *documents)
    assert needs_restart(one) == 1
    assert deadline(one) == OLD.certificate.not_valid_after_utc.timestamp()
    assert needs_restart(exporter(CURRENT, *documents)) == 0


@case(
    "A1",
    situation="The Certificate was deleted and created again while the exporter ran.",
    says="Stale: what the earlier Certificate issued is older than anything that this one issued.",
    found_by="reader",
)
def test_a_certificate_that_was_created_again_makes_what_was_loaded_before_stale() -> None:
    one = exporter(OLD, certificate(OLD, uid="uid-a"), request(OLD, owner_uid="uid-a", authority=ROOT))
    assert needs_restart(one) == 0
    again = leaf(NOW - 70 * DAY)  # of the same second as the one before
    one.changed(certificate(again, uid="uid-b"), request(again, name="svc-2", owner_uid="uid-b", authority=ROOT))
    assert needs_restart(one) == 1


@pytest.mark.parametrize("days", [0, 1, -1], ids=["of the same second", "of a day later", "of a day earlier"])
@case(
    "A1",
    situation="Somebody forges the owner reference too: right UID, right revision, signed by the same CA.",
    says="Neither a false restart nor a hidden one: only a request with the dates of Certificate.status counts, and "
    "of several such requests each may be the issued one.",
    found_by="reader",
)
def test_a_forged_owner_makes_nothing_stale_and_hides_nothing(days: int) -> None:
    forged = request(leaf(NOW + (days - 10) * DAY), name="a-forged-one", authority=ROOT)
    documents = (certificate(CURRENT), request(CURRENT, authority=ROOT), forged)
    assert needs_restart(exporter(CURRENT, *documents)) == 0
    one = exporter(OLD, *documents)
    assert needs_restart(one) == 1
    assert deadline(one) == OLD.certificate.not_valid_after_utc.timestamp()


@case(
    "A1",
    situation="The genuine request is gone, and a forged one of the same second with the right owner is there.",
    says="What serves the Secret's certificate is never stale; what is older is.",
    found_by="reader",
)
def test_a_forged_request_in_place_of_the_genuine_one_makes_nothing_stale() -> None:
    forged = request(leaf(NOW - 10 * DAY), name="a-forged-one", authority=ROOT)
    one = exporter(CURRENT, certificate(CURRENT), forged)
    assert (needs_restart(one), reason(one)) == (None, "not_ordered")
    assert needs_restart(exporter(OLD, certificate(CURRENT), forged)) == 1


@case(
    "A1",
    situation="A forged request of the next revision has other dates than the status.",
    says="It changes nothing: neither the current nor the stale pod.",
    found_by="reader",
)
def test_a_forged_request_of_the_next_revision_changes_nothing() -> None:
    forged = request(leaf(NOW - DAY), name="a-forged-one", revision=2, authority=ROOT)
    documents = (certificate(CURRENT), request(CURRENT, authority=ROOT), forged)
    assert needs_restart(exporter(CURRENT, *documents)) == 0
    assert needs_restart(exporter(OLD, *documents)) == 1


@case(
    "A1",
    situation="The Secret was restored from a backup: the status has its dates, the last request has others.",
    says="Not stale: a restart would load the same certificate again. The reason is `differs_from_request`.",
    reference="cert-manager/cert-manager#6756",
)
def test_a_secret_that_was_restored_from_a_backup_makes_nothing_stale() -> None:
    requests = (request(OLD, name="svc-1", authority=ROOT), request(CURRENT, name="svc-2", revision=2, authority=ROOT))
    one = exporter(OLD, certificate(OLD, revision=2), *requests)
    assert (needs_restart(one), reason(one)) == (0, "differs_from_request")
    one = exporter(CURRENT, certificate(CURRENT, revision=2), *requests)
    assert needs_restart(one) == 0
    one.changed(certificate(OLD, revision=2))
    assert needs_restart(one) is None, "newer than the Secret"


@case(
    "A1",
    situation="The request of the current revision is gone, or was never signed.",
    says="What the dates of Certificate.status say.",
    reference="cert-manager/cert-manager#4956",
)
@pytest.mark.parametrize("requests", [(), (request(None, revision=2),)], ids=["gone", "never signed"])
def test_without_the_request_the_dates_of_the_status_tell(requests: tuple[str, ...]) -> None:
    assert needs_restart(exporter(CURRENT, certificate(CURRENT, revision=2), *requests)) == 0
    one = exporter(OLD, certificate(CURRENT, revision=2), *requests)
    assert needs_restart(one) == 1
    assert deadline(one) == OLD.certificate.not_valid_after_utc.timestamp()


@case(
    "A1",
    situation="During a renewal the status already has the dates of the next revision, the request of which is there.",
    says="The current revision is still the issued one.",
    found_by="test",
)
def test_while_the_status_is_ahead_of_its_revision_nothing_is_stale() -> None:
    following = leaf(NOW - SECOND)
    requests = (
        request(CURRENT, name="svc-1", authority=ROOT),
        request(following, name="svc-2", revision=2, authority=ROOT),
    )
    one = exporter(CURRENT, certificate(CURRENT), *requests)
    one.changed(certificate(following))
    assert needs_restart(one) == 0
    one.changed(certificate(following, revision=2))
    assert needs_restart(one) == 1


@case(
    "A1",
    situation="The exporter starts while the status is ahead of its revision, and a forged request of the current "
    "revision is older than what the pod serves.",
    says="Stale: what is older than the Secret, and of no request, is old.",
    found_by="reader",
)
def test_a_forged_request_hides_nothing_from_an_exporter_that_starts_during_a_renewal() -> None:
    following = leaf(NOW - SECOND)
    requests = (
        request(CURRENT, name="svc-2", revision=2, authority=ROOT),
        request(following, name="svc-3", revision=3, authority=ROOT),
        request(leaf(NOW - 80 * DAY), name="a-forged-one", revision=2, authority=ROOT),
    )
    assert needs_restart(exporter(OLD, certificate(following, revision=2), *requests)) == 1
    assert needs_restart(exporter(CURRENT, certificate(following, revision=2), *requests)) == 0


# --- in which order were they issued? -------------------------------------------------------------


@case(
    "A2",
    situation="Within the hour the issuer was changed; the new one dates certificates back by an hour.",
    says="Stale, with a deadline: the loaded leaf is of a lower revision, whatever its dates.",
    reference="cert-manager/cert-manager#61, cert-manager/cert-manager#207, cert-manager/cert-manager#813",
)
def test_a_leaf_of_a_lower_revision_is_stale_though_its_dates_are_later() -> None:
    first, second = leaf(NOW), leaf(NOW - timedelta(minutes=40))
    requests = (request(first, authority=ROOT), request(second, name="svc-2", revision=2, authority=ROOT))
    one = exporter(first, certificate(second, revision=2), *requests)
    assert (needs_restart(one), reason(one)) == (1, "earlier_revision")
    assert deadline(one) == first.certificate.not_valid_after_utc.timestamp()


@case(
    "A2",
    situation="As before, and the request of the lower revision was deleted after the exporter had seen it.",
    says="Stale: the exporter remembers the revision of what was issued.",
    reference="cert-manager/cert-manager#813",
)
def test_a_leaf_that_was_issued_before_is_stale_though_its_request_is_gone() -> None:
    first, second = leaf(NOW), leaf(NOW - timedelta(minutes=40))
    one = exporter(first, certificate(first), request(first, authority=ROOT))
    one.changed(request(second, name="svc-2", revision=2, authority=ROOT), certificate(second, revision=2))
    one.removed("CertificateRequest", "svc-1")
    assert (needs_restart(one), reason(one)) == (1, "earlier_revision")


@case(
    "A2",
    situation="Two revisions were issued in the same second, with the same dates.",
    says="Stale: the revision tells.",
    found_by="reader",
)
def test_two_revisions_of_one_second_are_told_apart() -> None:
    first, second = leaf(NOW - DAY), leaf(NOW - DAY)
    requests = (request(first, authority=ROOT), request(second, name="svc-2", revision=2, authority=ROOT))
    assert needs_restart(exporter(first, certificate(second, revision=2), *requests)) == 1
    assert needs_restart(exporter(second, certificate(second, revision=2), *requests)) == 0


# --- was anything issued? -------------------------------------------------------------------------


@case(
    "A3",
    situation="cert-manager has put a temporary certificate into the Secret: dates, no revision, not Ready.",
    says="Nothing was issued yet; the state is unknown.",
    reference="cert-manager/cert-manager#2843, cert-manager/cert-manager#1475",
)
def test_a_temporary_certificate_is_no_issuance() -> None:
    one = exporter(CURRENT, certificate(CURRENT, revision=None, ready=False))
    assert (needs_restart(one), state(one), reason(one)) == (None, "unknown", "never_issued")


@case(
    "A3",
    situation="cert-manager has adopted a Secret that was there: Ready, no revision, no request.",
    says="Settled, by the dates.",
    reference="cert-manager/cert-manager#1475",
)
def test_an_adopted_secret_is_current() -> None:
    one = exporter(CURRENT, certificate(CURRENT, revision=None, ready=True))
    assert (needs_restart(one), state(one)) == (0, "settled")
    assert needs_restart(exporter(OLD, certificate(CURRENT, revision=None, ready=True))) == 1


@case(
    "A3",
    situation="Not Ready, with a revision: the dates are those of whatever is in the Secret, and the request is gone.",
    says="What was issued is not known.",
    found_by="reader",
)
def test_the_dates_of_a_certificate_that_is_not_ready_are_no_evidence() -> None:
    one = exporter(CURRENT, certificate(CURRENT, revision=3, ready=False))
    assert (needs_restart(one), reason(one)) == (None, "issued_not_known")


# --- is it the same name? -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "presented"),
    [
        (("Svc.Example.com",), "svc.example.com"),
        (("svc.example.com.",), "svc.example.com"),
        (("bücher.example",), "xn--bcher-kva.example"),
    ],
    ids=["case", "final dot", "internationalized"],
)
@case(
    "A4",
    situation="The exporter starts after the renewal, the old request is gone, and the names of the Certificate are "
    "written otherwise than those of its leaves: case, a final dot, IP addresses, internationalized names.",
    says="Stale: names are compared by what they mean.",
    reference="cert-manager/cert-manager#1885, cert-manager/cert-manager#6265, letsencrypt/boulder#927",
)
def test_names_are_compared_by_what_they_mean(asked: tuple[str, ...], presented: str) -> None:
    old, new = leaf(NOW - 70 * DAY, name=presented), leaf(NOW - 10 * DAY, name=presented)
    one = exporter(old, certificate(new, revision=2, dns_names=asked))
    assert needs_restart(one) == 1


@pytest.mark.parametrize(
    ("spec", "presented"),
    [
        ("ipAddresses: ['2001:DB8:0:0::1']", "2001:db8::1"),
        ("ipAddresses: ['::ffff:10.1.2.3']", "10.1.2.3"),
        ("uris: ['SPIFFE://Cluster.Local/svc']", "spiffe://cluster.local/svc"),
    ],
)
@case(
    "A4",
    situation="The only name of the Certificate is an IP address or a URI that is written another way than the leaf's.",
    says="Stale.",
    reference="cert-manager/cert-manager#6265",
)
def test_addresses_and_uris_are_compared_by_what_they_mean(spec: str, presented: str) -> None:
    old, new = leaf(NOW - 70 * DAY, name=presented), leaf(NOW - 10 * DAY, name=presented)
    assert needs_restart(exporter(old, certificate(new, revision=2, dns_names=(), spec=spec))) == 1


@case(
    "A4",
    situation="The subject is given as spec.literalSubject, and there is no other name.",
    says="Stale: its common name is compared.",
    found_by="reader",
)
def test_the_common_name_of_a_literal_subject_is_a_name() -> None:
    def named(not_before: datetime) -> Issued:
        return ROOT.leaf(common_name="Svc", not_before=not_before, not_after=not_before + 90 * DAY)

    spec = "literalSubject: 'CN=svc,O=Shop,C=DE'"
    old, new = named(NOW - 70 * DAY), named(NOW - 10 * DAY)
    assert needs_restart(exporter(old, certificate(new, revision=2, dns_names=(), spec=spec))) == 1


# --- until when is the old one accepted? ----------------------------------------------------------


@case(
    "A5",
    situation="The server's chain holds a cross-signed root that ends before the leaf; the leaf verifies without it.",
    says="The deadline is the leaf's: the earliest end on the path that verifies. The other is in the status.",
    reference="prometheus/blackbox_exporter#340, prometheus/blackbox_exporter#1047",
)
def test_a_certificate_that_nobody_needs_does_not_move_the_deadline() -> None:
    old_root, root = authority("old root"), authority("root", not_after=datetime(2036, 1, 1, tzinfo=UTC))
    middle = root.intermediate("middle", not_after=datetime(2030, 1, 1, tzinfo=UTC))
    cross = old_root.intermediate("root", key=root.key, not_after=NOW + 2 * DAY)

    def signed(begin: datetime) -> Issued:
        issued = middle.leaf("svc.shop.svc", not_before=begin, not_after=begin + 90 * DAY)
        return Issued(issued.certificate, issued.key, (middle.der, cross.der))

    old, new = signed(NOW - 70 * DAY), signed(NOW - 10 * DAY)
    one = exporter(old, certificate(new, revision=2), request(new, name="svc-2", revision=2, authority=root))
    assert needs_restart(one) == 1
    assert deadline(one) == old.certificate.not_valid_after_utc.timestamp()
    (endpoint,) = one.status()["certificates"][0]["uses"][0]["pods"][0]["endpoints"]
    assert endpoint["chainNotAfter"] == (NOW + 2 * DAY).isoformat().replace("+00:00", "Z")


@case(
    "A5",
    situation="The issuer gives no CA (usual with ACME), and an intermediate in the chain ends before the leaf.",
    says="The deadline is the leaf's.",
    reference="prometheus/blackbox_exporter#340",
)
def test_without_a_known_authority_the_deadline_is_the_leafs() -> None:
    middle = ROOT.intermediate("short", not_after=NOW + 3 * DAY)

    def signed(begin: datetime) -> Issued:
        return middle.leaf("svc.shop.svc", not_before=begin, not_after=begin + 90 * DAY)

    old, new = signed(NOW - 70 * DAY), signed(NOW - 10 * DAY)
    one = exporter(old, certificate(new, revision=2), request(new, name="svc-2", revision=2))
    assert deadline(one) == old.certificate.not_valid_after_utc.timestamp()
    one = exporter(old, certificate(new, revision=2), request(new, name="svc-2", revision=2, authority=ROOT))
    assert deadline(one) == (NOW + 3 * DAY).timestamp(), "on the only path to the authority"


# --- will it be renewed? --------------------------------------------------------------------------


@case(
    "A6",
    situation="spec.renewal.policy is Disabled (cert-manager 1.21): there is no renewal time.",
    says="State `renewal_disabled` until the leaf has expired; a stale pod still needs a restart.",
    reference="cert-manager/cert-manager#8258, cert-manager/cert-manager#9032",
)
def test_a_certificate_that_is_never_renewed_says_so() -> None:
    last = leaf(NOW - 10 * DAY, days=12)
    disabled = certificate(last, revision=2, spec="renewal: {policy: Disabled}")
    one = exporter(last, disabled, request(last, name="svc-2", revision=2, authority=ROOT))
    assert (state(one), needs_restart(one)) == ("renewal_disabled", 0)
    assert one.scrape().value("certlag_certificate_renewal_timestamp_seconds", certificate="svc") is None
    one.wait(2 * 86400 + 1)
    assert state(one) == "expired"
    one = exporter(OLD, disabled, request(last, name="svc-2", revision=2, authority=ROOT))
    assert (state(one), needs_restart(one)) == ("needs_restart", 1)
