"""Certificates are read whatever they hold, and refused in one way only."""

import gc
import hashlib
import tracemalloc
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.utils import CryptographyDeprecationWarning
from hypothesis import given, settings
from hypothesis import strategies as st

from certlag.limits import MAX_NAME, MAX_NAMES
from certlag.x509.certificates import (
    MAX_CHAIN,
    MAX_PEM,
    MAX_REMEMBERED,
    MAX_SHARED,
    REMEMBERED,
    InvalidCertificateError,
    read_chain,
    read_issued,
    read_leaf,
    split_pem,
    verified_until,
)
from tests import pki
from tests.field.record import case
from tests.pki import DAY, NOW

END = NOW + 89 * DAY
"""Not-after of the leaves here."""
ROOT = pki.authority("root")
MIDDLE = ROOT.intermediate("middle")
LEAF = MIDDLE.leaf("svc.example", "10.0.0.1", "spiffe://cluster/svc", common_name="service", serial=0x1234)


# --- split_pem ------------------------------------------------------------------------------------


def test_a_pem_bundle_is_split_in_its_order() -> None:
    assert split_pem(LEAF.chain_pem) == LEAF.chain


def test_text_around_and_between_the_blocks_is_ignored() -> None:
    bundle = b"subject=CN=a\n" + LEAF.pem + b"\nsome words\n" + MIDDLE.pem + b"trailing garbage"
    assert split_pem(bundle) == (LEAF.der, MIDDLE.der)


def test_windows_line_ends_and_one_long_line_are_read() -> None:
    assert split_pem(LEAF.pem.replace(b"\n", b"\r\n")) == (LEAF.der,)
    head, *body, tail = LEAF.pem.splitlines()
    assert split_pem(head + b"\n" + b"".join(body) + b"\n" + tail) == (LEAF.der,)


def test_a_private_key_beside_it_is_not_taken_for_a_certificate() -> None:
    assert split_pem(LEAF.key_pem + LEAF.pem) == (LEAF.der,)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not PEM",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n",
        b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
        "-----BEGIN CERTIFICATE-----\nÄÄÄÄ\n-----END CERTIFICATE-----".encode(),
        b"\xff\xfe" + LEAF.pem,
    ],
    ids=["empty", "words", "no end", "broken base64", "another kind", "non-ASCII", "UTF-16 mark"],
)
def test_what_is_no_pem_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidCertificateError):
        split_pem(text)


@pytest.mark.fault("H8")
def test_a_pem_of_64_kib_is_read_and_a_byte_more_is_not() -> None:
    padded = LEAF.pem.ljust(MAX_PEM, b"\n")
    assert split_pem(padded) == (LEAF.der,)
    with pytest.raises(InvalidCertificateError, match=r"65537 bytes of PEM, at most 65536 are read"):
        split_pem(padded + b"\n")


@pytest.mark.fault("H8")
def test_of_a_hundred_certificates_the_first_sixteen_are_looked_at() -> None:
    assert len(split_pem(LEAF.pem + 99 * MIDDLE.pem)) == MAX_CHAIN


# --- read_leaf ------------------------------------------------------------------------------------


def test_a_leaf_is_identified_by_the_sha256_of_its_der() -> None:
    assert read_leaf(LEAF.der).fingerprint_sha256 == hashlib.sha256(LEAF.der).hexdigest()


def test_all_names_of_a_leaf_are_kept_and_its_common_name() -> None:
    assert set(read_leaf(LEAF.der).names) == {"svc.example", "10.0.0.1", "spiffe://cluster/svc", "service"}


def test_a_leaf_without_any_name_is_read() -> None:
    assert read_leaf(ROOT.leaf().der).names == ()


def test_ipv6_names_have_their_short_form() -> None:
    assert read_leaf(ROOT.leaf("2001:db8:0:0:0:0:0:1").der).names == ("2001:db8::1",)


def test_names_of_kinds_that_nobody_asks_for_are_left_out() -> None:
    names = x509.SubjectAlternativeName(
        [x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), x509.DNSName("svc.example")]
    )
    assert read_leaf(ROOT.leaf(extensions=[names]).der).names == ("svc.example",)


@pytest.mark.fault("H8")
def test_a_leaf_of_very_many_or_very_long_names_is_cut() -> None:
    many = ROOT.leaf(*(f"name-{number}.example" for number in range(300)))
    assert len(read_leaf(many.der).names) == MAX_NAMES
    (name,) = read_leaf(ROOT.leaf("x" * 1000).der).names
    assert len(name) == MAX_NAME


def test_dates_are_utc() -> None:
    start, end = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 4, 2, 3, 4, 5, tzinfo=UTC)
    leaf = read_leaf(ROOT.leaf("a", not_before=start, not_after=end).der)
    assert (leaf.not_before, leaf.not_after) == (start, end)
    assert leaf.not_after.utcoffset() == timedelta(0)


@pytest.mark.fault("F21")
def test_a_certificate_that_never_expires_is_read() -> None:
    """RFC 5280 §4.1.2.5: 99991231235959Z means no well-defined end."""
    end = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    leaf = ROOT.leaf("a", not_after=end)
    assert read_leaf(leaf.der).not_after == end
    assert read_chain([leaf.der]).not_after == end


@pytest.mark.parametrize(
    ("serial", "written"),
    [(1, "01"), (0x7F, "7f"), (0x80, "80"), (0x1234, "1234"), (0xABC, "0abc"), (0x80 << 150, "20" + "00" * 19)],
)
def test_a_serial_number_is_written_as_its_octets(serial: int, written: str) -> None:
    """As blackbox_exporter does (`%x` of the big-endian bytes): no sign octet, an even number of digits."""
    assert read_leaf(ROOT.leaf("a", serial=serial).der).serial_number == written


@pytest.mark.fault("H5")
def test_a_negative_serial_number_has_a_sign() -> None:
    """RFC 5280 forbids it, and some authorities made them. The library warns that it may refuse them one day."""
    positive = ROOT.leaf("a", serial=0x7F).der
    negative = positive.replace(b"\x02\x01\x7f", b"\x02\x01\x81", 1)
    assert negative != positive
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        assert read_leaf(negative).serial_number == "-7f"


@pytest.mark.fault("H5")
@pytest.mark.parametrize(
    "der",
    [b"", b"\x30\x00", LEAF.der[:-1], LEAF.der + b"\x00", LEAF.pem, LEAF.der[:200], b"\x30\x84\xff\xff\xff\xff"],
    ids=["empty", "empty sequence", "truncated", "trailing byte", "PEM", "half", "a length beyond the end"],
)
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(InvalidCertificateError):
        read_leaf(der)


def test_an_unknown_version_is_refused() -> None:
    version_4 = LEAF.der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1)
    with pytest.raises(InvalidCertificateError, match="InvalidVersion"):
        read_leaf(version_4)


@case(
    "W30",
    kind="Found by tests: an input that stopped a program",
    situation="A certificate has a name that the library cannot parse.",
    says="The certificate is refused. Before: the exporter ended.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("H5")
def test_a_broken_extension_that_the_library_reads_late_is_refused_too() -> None:
    broken = LEAF.der.replace(b"svc.example", b"svc.exampl\xff", 1)
    with pytest.raises(InvalidCertificateError):
        read_leaf(broken)


# --- read_chain -----------------------------------------------------------------------------------


def test_a_chain_ends_with_the_first_certificate_of_it_that_does() -> None:
    middle = ROOT.intermediate("short", not_after=NOW + 3 * DAY)
    leaf = middle.leaf("a", not_after=NOW + 80 * DAY)
    chain = read_chain(leaf.chain)
    assert chain.not_after == NOW + 3 * DAY
    assert chain.leaf.not_after == NOW + 80 * DAY
    assert chain.der == leaf.chain


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(InvalidCertificateError):
        read_chain([])


def test_a_chain_with_a_broken_certificate_is_refused() -> None:
    with pytest.raises(InvalidCertificateError):
        read_chain([LEAF.der, b"garbage"])


def test_equal_authorities_of_many_chains_are_one_object() -> None:
    first = read_chain((LEAF.der, bytes(bytearray(MIDDLE.der))))
    second = read_chain((LEAF.der, bytes(bytearray(MIDDLE.der))))
    assert first.der[1] is second.der[1]


# --- read_issued ----------------------------------------------------------------------------------


def test_the_issued_leaf_its_intermediates_and_its_authority_are_told_apart() -> None:
    issued = read_issued(LEAF.chain_pem, ROOT.pem)
    assert issued.leaf == replace(read_leaf(LEAF.der), names=("service",)), "the spec has the other names"
    assert issued.intermediates == (MIDDLE.der,)
    assert issued.authorities == (ROOT.der,)
    assert issued.authority_not_after == ROOT.certificate.not_valid_after_utc


@pytest.mark.parametrize("authorities", [b"", b"\n"])
def test_an_issuer_may_give_no_authority(authorities: bytes) -> None:
    issued = read_issued(LEAF.chain_pem, authorities)
    assert issued.authorities == ()
    assert issued.authority_not_after is None


def test_of_a_bundle_the_end_of_the_authority_that_signs_counts() -> None:
    retired = pki.authority("retired", not_after=NOW - DAY)
    issued = read_issued(LEAF.chain_pem, retired.pem + ROOT.pem)
    assert issued.authority_not_after == ROOT.certificate.not_valid_after_utc


def test_of_a_bundle_that_names_no_issuer_the_earliest_end_counts() -> None:
    first, second = pki.authority("first", not_after=NOW + DAY), pki.authority("second")
    assert read_issued(LEAF.pem, first.pem + second.pem).authority_not_after == NOW + DAY


@pytest.mark.parametrize(
    ("certificate", "authorities"),
    [
        (pki.pem(b"garbage"), ROOT.pem),
        (LEAF.pem + pki.pem(b"garbage"), ROOT.pem),
        (LEAF.pem, pki.pem(b"garbage")),
        (LEAF.pem, b"no PEM"),
    ],
    ids=["leaf", "intermediate", "authority", "authorities"],
)
def test_what_was_issued_is_refused_if_any_of_it_is_broken(certificate: bytes, authorities: bytes) -> None:
    with pytest.raises(InvalidCertificateError):
        read_issued(certificate, authorities)


# --- verified_until -------------------------------------------------------------------------------


def test_a_leaf_verifies_to_the_authority_that_signed_it() -> None:
    leaf = ROOT.leaf("a")
    assert verified_until(leaf.chain, (pki.authority("other").der, ROOT.der)) == END
    assert verified_until(leaf.chain, (pki.authority("other").der,)) is None


def test_intermediates_may_come_in_any_order_and_with_strangers_between() -> None:
    upper = ROOT.intermediate("upper")
    lower = upper.intermediate("lower")
    leaf = lower.leaf("a")
    stranger = pki.authority("stranger").der
    assert verified_until((leaf.der, upper.der, stranger, lower.der), (ROOT.der,)) == END
    assert verified_until((leaf.der, lower.der, stranger, upper.der), (ROOT.der,)) == END


def test_without_its_intermediate_a_leaf_verifies_to_nothing() -> None:
    assert verified_until((LEAF.der,), (ROOT.der,)) is None


def test_an_intermediate_may_itself_be_the_authority() -> None:
    """cert-manager's Vault and ACME issuers put the intermediate into `status.ca`."""
    assert verified_until((LEAF.der,), (MIDDLE.der,)) == END


def test_an_expired_authority_still_tells_who_signed() -> None:
    old = pki.authority("old", not_after=NOW - 10 * DAY)
    assert verified_until(old.leaf("a").chain, (old.der,)) == NOW - 10 * DAY


def test_another_authority_of_the_same_name_did_not_sign() -> None:
    """A CA that was made again keeps its name and changes its key: the very case of `issuer_changed`."""
    assert verified_until(ROOT.leaf("a").chain, (pki.authority("root").der,)) is None


def test_a_renewed_authority_that_kept_its_key_did() -> None:
    renewed = pki.authority("root", key=ROOT.key, not_after=NOW + 9999 * DAY)
    assert verified_until(ROOT.leaf("a").chain, (renewed.der,)) == END


def test_a_cross_signed_loop_comes_to_an_end() -> None:
    one, two = pki.authority("one"), pki.authority("two")
    one_by_two = two.intermediate("one", key=one.key)
    two_by_one = one.intermediate("two", key=two.key)
    leaf = one.leaf("a")
    assert verified_until((leaf.der, one_by_two.der, two_by_one.der), (ROOT.der,)) is None
    assert verified_until((leaf.der, one_by_two.der, two_by_one.der), (two.der,)) == END


def test_a_self_signed_leaf_is_its_own_authority() -> None:
    """cert-manager's SelfSigned issuer puts the leaf into `status.ca`."""
    leaf = pki.self_signed("a")
    assert verified_until(leaf.chain, (leaf.der,)) == END
    assert verified_until(leaf.chain, (pki.self_signed("a").der,)) is None


def test_rsa_and_ecdsa_authorities_verify_alike() -> None:
    authority = pki.authority("rsa", key=pki.rsa_key())
    assert verified_until(authority.leaf("a").chain, (authority.der,)) == END


def test_of_two_paths_the_one_that_lasts_longer_counts() -> None:
    """An old cross-signed root in the chain that ends soon, as with Let's Encrypt's DST Root CA X3 in 2021."""
    old, new = pki.authority("old"), pki.authority("new")
    middle = new.intermediate("middle", not_after=NOW + 1000 * DAY)
    cross = old.intermediate("new", key=new.key, not_after=NOW + 5 * DAY)
    leaf = middle.leaf("a", not_after=NOW + 20 * DAY)
    assert verified_until((leaf.der, middle.der, cross.der), (new.der,)) == NOW + 20 * DAY
    assert verified_until((leaf.der, middle.der, cross.der), (old.der,)) == NOW + 5 * DAY
    assert verified_until((leaf.der, middle.der, cross.der), (old.der, new.der)) == NOW + 20 * DAY


def test_an_intermediate_or_authority_that_ends_before_the_leaf_ends_the_path() -> None:
    middle = ROOT.intermediate("short", not_after=NOW + 3 * DAY)
    assert verified_until(middle.leaf("a").chain, (ROOT.der,)) == NOW + 3 * DAY
    short = pki.authority("short", not_after=NOW + 2 * DAY)
    assert verified_until(short.leaf("a").chain, (short.der,)) == NOW + 2 * DAY


def test_no_authorities_sign_nothing() -> None:
    assert verified_until(LEAF.chain, ()) is None


@pytest.mark.fault("F43")
@pytest.mark.thorough
def test_of_what_daemons_have_loaded_over_the_years_so_much_is_kept_and_no_more() -> None:
    key = pki.ec_key()

    def look(leaves: int) -> int:
        """Have so many other leaves looked at; return the bytes that are kept of whatever was."""
        for _ in range(leaves):
            verified_until(ROOT.leaf("a", key=key).chain, (ROOT.der,))
        gc.collect()  # when it would run by itself depends on what other tests have left
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        kept = [look(3 * REMEMBERED), look(REMEMBERED), look(REMEMBERED)]
        growth = [after - before for before, after in pairwise(kept)]
        assert min(growth) < 50 * 1024, "once, something else of this process may have grown; each time, it is kept"
    finally:
        tracemalloc.stop()


@pytest.mark.fault("H8")
def test_of_huge_certificates_that_were_presented_nothing_is_kept_once_nobody_has_them() -> None:
    """A pod may present what it likes, and another is made in its place: 1,024 chains of 100 KiB were remembered."""
    key = pki.ec_key()
    huge = [ROOT.leaf(f"a{number}", "x" * 40_000, key=key).der for number in range(20)]

    def look(*ders: bytes) -> None:
        """Read a chain and assess it, as bytes that nobody else holds."""
        chain = read_chain([bytes(bytearray(der)) for der in ders])
        assert verified_until(chain.der, (ROOT.der,)) == END

    look(ROOT.leaf("a", key=key).der)
    tracemalloc.start()
    try:
        for presented in pairwise(huge):
            look(*presented)
        assert tracemalloc.get_traced_memory()[0] < MAX_REMEMBERED
    finally:
        tracemalloc.stop()


@pytest.mark.thorough
def test_a_chain_of_large_keys_is_remembered() -> None:
    key = pki.rsa_key(4096)
    root = pki.authority("root", key=key)
    leaf = root.intermediate("middle", key=key).intermediate("lower", key=key).leaf("svc.example", key=key)
    assert sum(map(len, leaf.chain)) + len(root.der) < MAX_REMEMBERED
    assert max(map(len, leaf.chain)) < MAX_SHARED
    first, second = (read_chain(tuple(bytes(bytearray(der)) for der in leaf.chain)) for _ in range(2))
    assert first.der[1] is second.der[1]


# --- hostile bytes --------------------------------------------------------------------------------


def read_everything(ders: tuple[bytes, ...], bundle: bytes) -> None:
    """Go every way that bytes from outside take, as far as it goes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for read in (
            lambda: read_chain(ders),
            lambda: read_issued(bundle, ROOT.pem),
            lambda: read_issued(LEAF.chain_pem, bundle),
            lambda: verified_until(read_chain(ders).der, (ROOT.der,)),
            lambda: verified_until(LEAF.chain, split_pem(bundle)),
        ):
            try:
                read()
            except InvalidCertificateError:
                continue


@pytest.mark.fault("H5")
@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_in_one_way_only(data: bytes) -> None:
    read_everything((data,), data)
    read_everything((LEAF.der, data), pki.pem(data))


@pytest.mark.fault("H5")
@settings(max_examples=1500)
@given(st.integers(0, len(LEAF.der) - 1), st.integers(1, 255))
@pytest.mark.thorough
def test_a_certificate_with_one_changed_byte_is_read_or_refused_in_one_way_only(place: int, change: int) -> None:
    mutant = bytearray(LEAF.der)
    mutant[place] ^= change
    read_everything((bytes(mutant), MIDDLE.der), pki.pem(bytes(mutant)) + MIDDLE.pem)
    read_everything((LEAF.der, bytes(mutant)), LEAF.pem + pki.pem(bytes(mutant)))


@pytest.mark.fault("H5")
@settings(max_examples=300)
@given(st.integers(0, len(LEAF.chain_pem) - 1), st.integers(0, 255))
def test_a_pem_with_one_changed_byte_is_read_or_refused_in_one_way_only(place: int, byte: int) -> None:
    mutant = bytearray(LEAF.chain_pem)
    mutant[place] = byte
    read_everything((LEAF.der,), bytes(mutant))


def test_every_changed_byte_of_a_certificate_changes_its_fingerprint_or_is_refused() -> None:
    own = read_leaf(LEAF.der).fingerprint_sha256
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        for place in range(len(LEAF.der)):
            mutant = bytearray(LEAF.der)
            mutant[place] ^= 0x01
            try:
                assert read_leaf(bytes(mutant)).fingerprint_sha256 != own
            except InvalidCertificateError:
                continue
