"""What is fuzzed: each subject runs one input, says in few words how that came out, and raises what must never be.

A subject lets through exactly the errors that its callers expect; any other exception is a finding, and so is an
answer that breaks a promise (a chain that nobody proved, an exposition that Prometheus can't parse).
"""

import base64
import functools
import json
import random
import re
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from certlag import run_record
from certlag.config import schema as configuration
from certlag.config.schema import ConfigurationError
from certlag.errors import ClusterError
from certlag.kube import schema as documents
from certlag.kube.client import READ_TIMEOUT, _lines
from certlag.kube.deadline import Deadline
from certlag.kube.decode import UndecodableError
from certlag.kube.reflector import Changed, Listed, WatchHealth
from certlag.kube.resources import FOR_CERTIFICATES, LEASES, RUN_RECORDS, WORKLOADS, Resource, watches
from certlag.kube.transport import Answer
from certlag.model import ObjectKey, Probe, ProbeError, ProbeFailure
from certlag.run_record import RecordError
from certlag.tls.handshake import Handshake
from certlag.x509 import certificates
from certlag.x509.certificates import InvalidCertificateError
from exporter.http.routes import pages
from exporter.http.server import Request
from exporter.reconciler import Reconciler
from exporter.snapshot import Snapshot
from runbook.guard import record
from tests import pki
from tests.benchmark.population import Population
from tests.fake_clock import FakeClock
from tests.metrics import Metrics

ROOT = Path(__file__).parents[2]
NAMESPACE = "team-000"
LONGEST_MESSAGE, LONGEST_WORD = 1000, 12


@dataclass(frozen=True)
class Subject:
    """Something that reads what others wrote."""

    name: str
    run: Callable[[bytes], str]
    seeds: Callable[[], Sequence[bytes]]


def came_out(error: Exception) -> str:
    """Say how it was refused: the kind of error, and its words without what came from the input."""
    words = re.sub(r"'.*'|\".*\"|`[^`]*`|[^a-zA-Z ]", "", str(error)[:2000], flags=re.DOTALL)
    short = [word for word in words.split() if len(word) <= LONGEST_WORD]
    return f"{type(error).__name__} {' '.join(short[-2:])}"


# --- X.509 ------------------------------------------------------------------------------------------------


def read_pem(data: bytes) -> str:
    """Read what a CertificateRequest says was issued."""
    try:
        issued = certificates.read_issued(data, data)
    except InvalidCertificateError as error:
        return came_out(error)
    return f"issued {bool(issued.leaf.names)}"


def read_der(data: bytes) -> str:
    """Read what a server presents."""
    try:
        chain = certificates.read_chain((data,))
    except InvalidCertificateError as error:
        return came_out(error)
    return f"chain {bool(chain.leaf.names)} {len(chain.leaf.serial_number) // 8}"


@functools.cache
def _issued() -> pki.Issued:
    return pki.authority("root").intermediate("middle").leaf("svc.example", "*.svc.example")


# --- the API's documents -------------------------------------------------------------------------------------

RESOURCES: dict[str, Resource] = {
    **{resource.name: resource for resource in (*FOR_CERTIFICATES, RUN_RECORDS, LEASES)},
    "deployments": WORKLOADS["deployment"],
}


def decode(data: bytes) -> str:
    """Read one document as each kind of object that is watched."""
    outcomes = []
    for name, resource in RESOURCES.items():
        try:
            outcomes.append(f"{name} {resource.decode(msgspec.Raw(data)) is not None}")
        except UndecodableError as error:
            outcomes.append(error.reason)
    return " ".join(outcomes)


@functools.cache
def _documents() -> tuple[dict[str, Any], ...]:
    """A certificate that was renewed, its request, and the pod that mounts it with its ReplicaSet."""
    population = Population(1, 1, namespaces=1)
    (member,) = population.members()
    pod = population.pod(member)
    pod["metadata"]["annotations"] = {"certlag.dev/port": "8443, tls"}
    request = population.request(member, 2, population.issue(member, 2))
    return population.certificate(member, 2), request, population.replica_set(member), pod


def _document_seeds() -> Sequence[bytes]:
    lease = {"metadata": _documents()[0]["metadata"], "spec": {"holderIdentity": "ann@x/m/1/r", "leaseTransitions": 1}}
    held = {"metadata": _documents()[0]["metadata"], "data": {run_record.RECORD_KEY: _RECORD}}
    spec = {"replicas": 2, "template": {"spec": {"terminationGracePeriodSeconds": 3600}}}
    workload = {"metadata": _documents()[0]["metadata"], "spec": spec, "status": {"replicas": 2}}
    return [json.dumps(each).encode() for each in (*_documents(), lease, held, workload)]


@dataclass
class _Pieces:
    """An answer of the API server that comes in pieces of one size."""

    data: bytes
    size: int

    def read1(self, _: int) -> bytes:
        piece, self.data = self.data[: self.size], self.data[self.size :]
        return piece


def split_lines(data: bytes) -> str:
    """Split a stream into lines, in pieces as long as its first byte says, and read each as an event."""
    size, stream = 1 + (data[0] if data else 0), data[1:]
    read_all, *_, rest = (*stream.rsplit(b"\n", 1), b"")[:2] if b"\n" in stream else (None, stream)
    lines: list[bytes] = []
    try:
        deadline = Deadline(FakeClock(), READ_TIMEOUT)
        lines.extend(_lines(Answer("/", _Pieces(stream, size), deadline)))  # type: ignore[arg-type]
        outcome = "read_all"
    except ClusterError as error:
        outcome = came_out(error)
    assert lines == (read_all.split(b"\n") if read_all is not None else []), "the pieces make a difference"
    assert (outcome == "read_all") == (not rest), "a line that broke off counts"
    return f"{outcome} {min(len(lines), 5)} {sorted({_event(line) for line in lines})[:2]}"


def _event(line: bytes) -> str:
    try:
        kind = documents.read(line, documents.Event).type
    except documents.MalformedError as error:
        return type(error.__cause__).__name__
    return kind if kind in ("ADDED", "BOOKMARK", "ERROR") else "other"


def _line_seeds() -> Sequence[bytes]:
    events = [json.dumps({"type": kind, "object": {"metadata": {}}}) for kind in ("ADDED", "BOOKMARK", "ERROR")]
    return [bytes([size]) + "\n".join([*events, ""]).encode() for size in (0, 6, 255)]


# --- the whole exporter ---------------------------------------------------------------------------------------


def exporter(data: bytes) -> str:
    """Show the exporter one object among sound ones: what it serves is sound, and speaks of the others as before."""
    clock = FakeClock(datetime.now(UTC))
    told = configuration.parse(_DISCOVERY, source="fuzz", default_namespace=NAMESPACE)
    health = {watch: WatchHealth(synced=True) for watch in watches(told)}
    publication = Snapshot(clock, version="0", revision="0")
    rounds = Reconciler(told, publication, clock, health, interval=60, jitter=random.Random(1))  # noqa: S311
    listed = [Listed(watch, tuple(_sound(watch.resource)), frozenset()) for watch in health]
    rounds.round(listed)
    changes = []
    for watch in health:
        try:
            found = watch.resource.decode(msgspec.Raw(data))
        except UndecodableError:
            continue
        if found is not None:
            changes.append(Changed(watch, found))
    failed = ProbeError(ProbeFailure.TIMEOUT, "no answer")
    asked = rounds.round(changes)
    rounds.round([Probe(endpoint, failed, clock.now(), _NO_TIME) for endpoint in asked])
    served = {path: page(Request(path, {})) for path, page in pages(publication).items() if path in _SERVED}
    metrics = Metrics.parse(b"".join(served["/metrics"].more).decode())
    assert metrics.value("certlag_certificate_info", namespace=NAMESPACE, certificate="beside") == 1
    assert json.loads(served["/api/v1/status"].body)
    assert all(response.status == 200 for response in served.values())
    return f"{len(changes)} {min(len(asked), 9)} {sorted({each.name for each in metrics.samples})}"


_SERVED = ("/metrics", "/api/v1/status", "/")
_NO_TIME = datetime.now(UTC) - datetime.now(UTC)
_DISCOVERY = """
targets: [{name: build, workload: deployment/service-00000, certificate: service-00000, clientAuth: true}]
discovery: {namespaces: ["*"], probe: annotated}
"""


@functools.cache
def _beside() -> tuple[tuple[Resource, Any], ...]:
    """A certificate and its request that nobody touches, read."""
    texts = (json.dumps(document).replace("service-00000", "beside").encode() for document in _documents()[:2])
    return tuple(
        (resource, resource.decode(msgspec.Raw(text)))
        for resource, text in zip(FOR_CERTIFICATES[:2], texts, strict=True)
    )


def _sound(resource: Resource) -> Iterator[Any]:
    for number, document in enumerate(_documents()):
        if FOR_CERTIFICATES[(0, 1, 3, 2)[number]] == resource:
            yield resource.decode(msgspec.Raw(json.dumps(document).encode()))
    yield from (found for of, found in _beside() if of == resource)


# --- handshakes -----------------------------------------------------------------------------------------------


def handshake(data: bytes) -> str:
    """Answer a ClientHello with bytes that were not made for it, in pieces as long as their first byte says."""
    shake = Handshake("svc.example")
    size, flight = 1 + (data[0] if data else 0), data[1:]
    try:
        for start in range(0, len(flight), size):
            shake.receive(flight[start : start + size])
            assert shake.chain is None, "a chain without proof"
        shake.receive(b"")
    except ssl.SSLError as error:
        return f"{type(error).__name__} {error.reason}"
    except OverflowError:
        return "too large"
    raise AssertionError("the end of the connection was not noticed")


def _flight_seeds() -> Sequence[bytes]:
    from tests.tls_servers import server_context  # noqa: PLC0415 - only this subject needs servers

    return [
        bytes([255]) + _flight(server_context(_issued(), versions=(version, version)))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
    ] + [b"\xffHTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\x15\x03\x03\x00\x02\x02\x28", b""]


def _flight(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(Handshake("svc.example").to_send())
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a server that waits for nothing")


# --- files and records ----------------------------------------------------------------------------------------


def configure(data: bytes) -> str:
    """Read a configuration file."""
    try:
        found = configuration.parse(data.decode("latin-1"), source="fuzz", default_namespace="ns")
    except ConfigurationError as refusal:
        if len(str(refusal)) > LONGEST_MESSAGE:
            raise AssertionError("a message that nobody reads") from refusal
        # What stood there may be words too: an unknown key.
        return " ".join(
            re.findall(r"missing|must be|unknown|is not an? \w+|twice|at most|at least|YAML", str(refusal))[:3]
        )
    return f"{len(found.targets)} targets"


def _configuration_seeds() -> Sequence[bytes]:
    text = (ROOT / "docs" / "configuration.md").read_bytes()
    example = text.partition(b"```yaml\n")[2].partition(b"```")[0]
    return [
        example,
        _DISCOVERY.encode(),
        b"{}",
        b"targets: []\n",
        b"a: !!bool x\n",
        b"a: &a {b: 1:1.0}\nc: {<<: [*a]}\n",
    ]


def read_record(data: bytes) -> str:
    """Read a run's record as both programs do: what the runbook takes, the exporter must take too."""
    text = data.decode("latin-1")
    try:
        read: object = record.loads(text)
    except RecordError as error:
        read = error
    try:
        seen: object = run_record.parse(ObjectKey("ns", "record"), text)
    except RecordError as error:
        seen = error
    assert isinstance(read, RecordError) or not isinstance(seen, RecordError), f"only the runbook takes it: {seen}"
    return f"{_why(read)}, {_why(seen)}"


def _why(read: object) -> str:
    """Say why something is no record: errors' names and what was expected, nothing of what stood there."""
    known = re.findall(r"KeyError|TypeError|ValueError|OverflowError|is no \w+|no offset", str(read)[:1000])
    return " ".join(known[-2:]) if isinstance(read, RecordError) else "read"


_RECORD = json.dumps(
    {
        "schema": 1,
        "run": {
            "id": "r1",
            "epoch": 1,
            "step": "scaled_down",
            "begun": "2026-06-01T12:00:00+00:00",
            "deadline": "2026-06-01T13:05:00+00:00",
            "workers": {"deployment/worker": 3},
            "ended": {"at": "2026-06-01T12:10:00+00:00", "outcome": "interrupted"},
            "put_back": None,
            "detail": "",
            "operator": {"user": "ann", "host": "laptop", "pid": 7, "version": "1", "reason": ""},
            "workload": "deployment/build",
            "workload_uid": "u",
            "worker_uids": {"deployment/worker": "w"},
            "worker_pods": {"deployment/worker": ["a"]},
            "paused": [{"path": "/x", "during": {"a": "b"}, "before": {"a": None}}],
            "silence": None,
            "attempts": 0,
            "revision": 2,
            "writes": [{"what": "scale", "state": "done", "at": "2026-06-01T12:00:01+00:00"}],
            "steps": [{"step": "recorded", "at": "2026-06-01T12:00:00+00:00"}],
        },
        "finished": [
            {
                "id": "r0",
                "begun": "2026-05-01T12:00:00+00:00",
                "finished": "2026-05-01T12:10:00+00:00",
                "outcome": "done",
                "operator": {"user": "ann", "host": "laptop", "pid": 7, "version": "1", "reason": ""},
                "seconds": [{"step": "recorded", "seconds": 0.1}],
                "detail": "",
            }
        ],
    }
)

SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("pem", read_pem, lambda: [_issued().chain_pem, pki.authority("other").pem, b""]),
        Subject("der", read_der, lambda: [*_issued().chain, base64.b64decode(b"MAA=")]),
        Subject("documents", decode, _document_seeds),
        Subject("lines", split_lines, _line_seeds),
        Subject("exporter", exporter, _document_seeds),
        Subject("handshake", handshake, _flight_seeds),
        Subject("configuration", configure, _configuration_seeds),
        Subject("record", read_record, lambda: [_RECORD.encode(), b'{"schema": 1, "run": null, "finished": []}']),
    )
}
