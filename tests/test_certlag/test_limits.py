"""What others wrote, from where it is read to all places where it is shown: it stays bounded, and it stays text.

Certificates of real DER with names and serial numbers of 64 KiB, presented by real servers, and objects full of such
texts: through decoders, rounds and renderers as they are in the exporter.
"""

import copy
import json
import logging
import random
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from certlag import logs
from certlag.clock import SystemClock
from certlag.config.schema import Configuration
from certlag.kube.decode import UndecodableError
from certlag.kube.reflector import Change, Changed, Listed, WatchHealth
from certlag.kube.resources import Watch, watches
from certlag.limits import MAX_LOGGED, MAX_NAME, MAX_SERIAL
from certlag.model import Discovery, DiscoveryProbe
from certlag.run_record import RecordError, parse, record_key
from certlag.tls.handshake import probe
from certlag.x509.certificates import read_leaf
from exporter.metrics.samples import FAMILIES
from exporter.reconciler import Reconciler
from exporter.snapshot import Snapshot
from exporter.status_page.render import Renderer
from tests import pki
from tests.bench import needs
from tests.builders import a_target, resource_of
from tests.fake_clock import FakeClock
from tests.field.record import case
from tests.figures import Figures
from tests.metrics import Metrics
from tests.test_certlag.test_kube.test_decode import KINDS, Path, changed, encoded, paths
from tests.test_exporter.test_status_page import Text
from tests.tls_servers import HOST, server_context, tls_server

LONG = 64 * 1024
ROOT = pki.authority("root")
HOSTILE = {
    "PromQL": '"} or vector(1) #',
    "a sample": 'x"} 1\ncertlag_needs_restart{namespace="ns"} 1\n# ',
    "a template": "{{ $labels.namespace }}{{ template `x` }}{{ 7*7 }}",
    "markup": '</code><script>alert(1)</script><img src=x onerror="alert(2)">',
    "escapes": "\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnorw\x7f",
    "line ends": "one\r\ntwo\u2028three\x85four level=error",
    "backslashes": '\\\\n\\"\\',
    "64 KiB": "x" * LONG,
}


@dataclass(frozen=True)
class Shown:
    """All that one exporter shows."""

    exposition: bytes
    status: bytes
    html: str

    def labels(self, family: str) -> dict[str, str]:
        """The labels of the only sample of a family."""
        (sample,) = Metrics.parse(self.exposition.decode()).all(family)
        return sample.labels

    def form(self) -> list[str]:
        """The series' names and labels' names, whatever these hold."""
        samples = Metrics.parse(self.exposition.decode()).samples
        own = (sample for sample in samples if sample.name.startswith("certlag_"))
        return sorted(f"{sample.name} {sorted(sample.labels)}" for sample in own)

    def size(self) -> int:
        """The bytes of all of it."""
        return len(self.exposition) + len(self.status) + len(self.html.encode())


def shown(objects: Sequence[tuple[str, Any]], port: int | None = None) -> Shown:
    """Let an exporter read these objects, probe whom they name, and show what it makes of them."""
    configuration = Configuration((), Discovery(frozenset({"*"}), DiscoveryProbe.DECLARED_PORTS))
    health = {watch: WatchHealth() for watch in watches(configuration)}
    clock = FakeClock(pki.NOW)
    snapshot = Snapshot(clock, version="1", revision="r")
    reconciler = Reconciler(configuration, snapshot, clock, health, interval=300, jitter=random.Random(1))  # noqa: S311
    messages: list[Change] = [Listed(watch, (), frozenset()) for watch in health]
    told = [KINDS[kind][0](document) for kind, document in objects]
    messages += [Changed(Watch(resource_of(item), "*"), item) for item in told]
    due = reconciler.round(messages)
    assert bool(due) == bool(port)
    reconciler.round([replace(probe(each, SystemClock()), started_at=clock.now()) for each in due])
    exposition = b"".join(snapshot.scrape(gzip=False))
    return Shown(exposition, snapshot.status_json(), Renderer().page(snapshot.status()))


def objects(leaf: pki.Issued, port: int, text: str = "svc") -> Iterator[tuple[str, Any]]:
    """A Certificate, its request and a pod that serves it; a text stands wherever the API server checks nothing."""
    metadata = {"namespace": "ns", "name": "svc", "uid": "u"}
    reference = {"kind": text, "name": text, "group": text}
    names = {"dnsNames": ["svc.example", text], "commonName": text, "uris": [text]}
    spec = {"secretName": text, "issuerRef": reference, **names}
    begins, ends = leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc
    status = {"revision": 1, "notBefore": begins.isoformat(), "notAfter": ends.isoformat()}
    yield "Certificate", {"metadata": metadata, "spec": spec, "status": status}
    container = {
        "name": text,
        "ports": [{"name": text, "containerPort": port}],
        "env": [{"valueFrom": {"secretKeyRef": {"name": text}}}],
    }
    state = {
        "name": text,
        "containerID": text,
        "ready": True,
        "state": {"running": {"startedAt": "2026-05-01T00:00:00Z"}},
    }
    yield (
        "Pod",
        {
            "metadata": metadata | {"annotations": {"certlag.dev/port": text}},
            "spec": {"containers": [container]},
            "status": {"podIP": HOST, "containerStatuses": [state]},
        },
    )
    annotations = {"cert-manager.io/certificate-name": "svc", "cert-manager.io/certificate-revision": "1"}
    owners = [{"kind": "Certificate", "name": "svc", "uid": "u", "controller": True}]
    yield (
        "CertificateRequest",
        {
            "metadata": metadata | {"name": "svc-1", "annotations": annotations, "ownerReferences": owners},
            "status": {"certificate": encoded(leaf.pem), "ca": encoded(ROOT.pem)},
        },
    )


# --- hostile texts in objects -----------------------------------------------------------------------


@pytest.mark.fault("H1", "H2")
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items() if name != "64 KiB"])
def test_a_hostile_text_is_a_label_in_the_exposition_and_text_on_the_page(text: str) -> None:
    leaf = ROOT.leaf("svc.example")
    with tls_server(server_context(leaf)) as server:
        plain = shown([*objects(leaf, server.port)], server.port)
        hostile = shown([*objects(leaf, server.port, text)], server.port)
    info = hostile.labels("certlag_certificate_info")
    assert [info[name] for name in ("secret", "issuer_kind", "issuer_name", "issuer_group")] == [text] * 4
    assert hostile.labels("certlag_loaded_info")["container"] == text
    assert hostile.form() == plain.form()
    assert json.loads(hostile.status)["certificates"][0]["secret"] == text
    assert [tag for tag, _ in Text(hostile.html).tags] == [tag for tag, _ in Text(plain.html).tags]


@pytest.mark.fault("H1")
@pytest.mark.tools
@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items() if name != "64 KiB"])
def test_promtool_accepts_what_is_exposed_of_hostile_texts(text: str) -> None:
    leaf = ROOT.leaf("svc.example")
    with tls_server(server_context(leaf)) as server:
        exposition = shown([*objects(leaf, server.port, text)], server.port).exposition
    linted = subprocess.run(
        (needs.tool("promtool"), "check", "metrics"), input=exposition, capture_output=True, check=False
    )
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, b"", b"")


PLACES = [(kind, path) for kind, (_, document) in KINDS.items() for path in paths(document)]


@pytest.mark.fault("H8")
@pytest.mark.parametrize(
    ("kind", "path"), PLACES, ids=lambda part: part if isinstance(part, str) else ".".join(map(str, part))
)
@pytest.mark.parametrize("many", [False, True], ids=["one text of 64 KiB", "300 texts of 64 KiB"])
def test_of_64_kib_in_any_place_of_an_object_little_is_kept(kind: str, path: Path, *, many: bool) -> None:
    read, document = KINDS[kind]
    text = "x" * LONG
    try:
        kept = repr(read(changed(copy.deepcopy(document), path, [text + str(n) for n in range(300)] if many else text)))
    except UndecodableError as error:
        kept = str(error)
    assert len(kept) < LONG


@pytest.mark.fault("H8")
def test_a_record_with_a_word_of_64_kib_is_not_read() -> None:
    finished = {"id": "1", "begun": "2026-05-01T00:00:00Z", "finished": "2026-05-01T00:01:00Z", "outcome": "done"}
    key = record_key(a_target())
    for name in ("id", "outcome"):
        text = json.dumps({"schema": 1, "run": None, "finished": [finished | {name: "x" * LONG}]})
        with pytest.raises(RecordError, match="a text of 65536 characters"):
            parse(key, text)


# --- certificates that are all name, or all number --------------------------------------------------


def with_serial(issued: pki.Issued, octets: int) -> pki.Issued:
    """Return a certificate with a serial number of so many octets, which no library writes; its signature is wrong."""
    version, _, *rest = parts(content(content(issued.der)))
    number = b"\x7f" + b"\xff" * (octets - 1)
    tbs = wrap(0x30, b"".join((version, wrap(0x02, number), *rest)))
    _, *outer = parts(content(issued.der))
    der = wrap(0x30, b"".join((tbs, *outer)))
    return pki.Issued(x509.load_der_x509_certificate(der), issued.key)


def wrap(tag: int, value: bytes) -> bytes:
    """Write one element of DER."""
    if len(value) < 128:
        return bytes((tag, len(value))) + value
    size = len(value).to_bytes((len(value).bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(size))) + size + value


def header(der: bytes) -> tuple[int, int]:
    """Return how long an element's header and its value are."""
    if der[1] < 0x80:
        return 2, der[1]
    size = der[1] & 0x7F
    return 2 + size, int.from_bytes(der[2 : 2 + size])


def content(der: bytes) -> bytes:
    """Return the value of the first element."""
    start, length = header(der)
    return der[start : start + length]


def parts(der: bytes) -> list[bytes]:
    """Split DER into its elements."""
    found = []
    while der:
        end = sum(header(der))
        found.append(der[:end])
        der = der[end:]
    return found


def named(subject: str, issuer: str) -> pki.Issued:
    """Return a certificate with names of subject and issuer that are longer than X.520 allows."""
    key = pki.ec_key()

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text, _validate=False)])

    alternatives = x509.SubjectAlternativeName([x509.DNSName("svc.example")])
    builder = x509.CertificateBuilder(name(issuer), name(subject), key.public_key(), 7, pki.NOW, pki.NOW + 90 * pki.DAY)
    return pki.Issued(builder.add_extension(alternatives, critical=False).sign(ROOT.key, hashes.SHA256()), key)


CERTIFICATES_OF_64_KIB = {
    "a name": lambda: ROOT.leaf("svc.example", "x" * LONG),
    "4,000 names": lambda: ROOT.leaf("svc.example", *(f"name-{number}.x" for number in range(4000))),
    "the subject": lambda: named("x" * LONG, "root"),
    "the issuer": lambda: named("svc", "x" * LONG),
    "the serial": lambda: with_serial(ROOT.leaf("svc.example"), LONG),
    "PromQL and markup": lambda: named('"} or vector(1) #<script>\x1b[2J', "{{ $labels }}"),
}


@pytest.mark.fault("H8", "H5")
@pytest.mark.filterwarnings("ignore:Attribute's length must be")
@pytest.mark.parametrize("kind", CERTIFICATES_OF_64_KIB)
def test_a_certificate_of_64_kib_is_told_apart_and_little_of_it_is_shown(kind: str, figures: Figures) -> None:
    small = ROOT.leaf("svc.example")
    huge = CERTIFICATES_OF_64_KIB[kind]()
    with tls_server(server_context(small)) as one, tls_server(server_context(huge)) as other:
        plain = shown([*objects(small, one.port)], one.port)
        hostile = shown([*objects(small, other.port)], other.port)
    loaded = hostile.labels("certlag_loaded_info")
    assert loaded["fingerprint_sha256"] == huge.fingerprint
    assert len(loaded["serial_number"]) <= 2 * MAX_SERIAL + 1
    assert {series.partition(" ")[0] for series in hostile.form()} <= {family.name for family in FAMILIES}
    assert hostile.size() < plain.size() + 4096
    assert "x" * (MAX_NAME + 1) not in hostile.html + hostile.status.decode() + hostile.exposition.decode()
    grown = max(0, hostile.size() - plain.size())
    figures(f"certificate of {len(huge.der):,} bytes ({kind}): {grown} bytes more in exposition, status and page")


@pytest.mark.fault("H8")
def test_an_issued_certificate_with_a_serial_of_30_kib_is_read_and_its_serial_is_cut() -> None:
    huge = with_serial(ROOT.leaf("svc.example"), 30 * 1024)
    info = shown([*objects(huge, 443)][::2]).labels("certlag_certificate_info")
    assert info["fingerprint_sha256"] == huge.fingerprint
    assert info["serial_number"] == "7f" + "ff" * (MAX_SERIAL - 1) + "…"


@case(
    "W3",
    kind="Found by tests: wrong answers of the exporter",
    situation="The only name of a Certificate is a URI of more than 255 characters.",
    says="Its old leaf is stale. Before: `unknown`, as another certificate.",
    found_by="test",
    since="2026-11-25",
)
def test_a_name_that_is_cut_is_cut_alike_in_the_certificate_and_in_what_was_asked_for() -> None:
    """A SPIFFE ID may have 2,048 characters."""
    uri = f"spiffe://cluster.local/{'x' * 400}"
    asked = {"metadata": {"namespace": "ns", "name": "svc", "uid": "u"}, "spec": {"secretName": "s", "uris": [uri]}}
    assert KINDS["Certificate"][0](asked).names == read_leaf(ROOT.leaf(uri).der).names


@pytest.mark.parametrize("octets", [19, 20])
def test_a_serial_that_may_be_is_whole(octets: int) -> None:
    assert read_leaf(with_serial(ROOT.leaf("a"), octets).der).serial_number == "7f" + "ff" * (octets - 1)


# --- the log ----------------------------------------------------------------------------------------


@contextmanager
def logging_as(form: str) -> Iterator[logging.Logger]:
    """Have the exporter's log go to stderr for a while."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    try:
        logs.configure(form, "info")
        yield logging.getLogger("certlag")
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], level = kept
        root.setLevel(level)


@pytest.mark.fault("H4", "H8")
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_of_the_log_is_one_line_and_bounded(form: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as(form) as log:
        log.warning(text, extra={"path": text, "error": ValueError(text), "seconds": 1.5})
    line, end = capsys.readouterr().err.split("\n")
    assert end == ""
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 3 * (MAX_LOGGED + 100)


def fail_far_down(depth: int) -> None:
    """Raise from so deep, by two functions in turns: Python abbreviates the frames of one."""
    if not depth:
        raise RuntimeError("the last word")
    in_turns(depth)


def in_turns(depth: int) -> None:
    fail_far_down(depth - 1)


def test_of_a_long_traceback_the_log_has_the_beginning_and_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json") as log:
        try:
            fail_far_down(100)
        except RuntimeError:
            log.exception("a page failed")
    exception = json.loads(capsys.readouterr().err)["exception"]
    assert exception.startswith("Traceback")
    assert exception.endswith("RuntimeError: the last word")
    assert len(exception) <= MAX_LOGGED


def test_what_is_not_there_is_null_in_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    with logging_as("json") as log:
        log.info("asked", extra={"revision": None})
    assert json.loads(capsys.readouterr().err)["revision"] is None
