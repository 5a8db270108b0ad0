"""What anybody may write who may make a pod or a Certificate: no part of it ends the exporter, or costs it much."""

import json
import logging
import warnings

import msgspec
import pytest

from certlag import logs
from certlag.clock import SystemClock
from certlag.endpoints import endpoints
from certlag.kube import decode
from certlag.model import DiscoveryProbe, Endpoint, ProbeError, ProbeFailure
from certlag.tls.handshake import probe
from tests.builders import a_certificate, a_pod, an_endpoint
from tests.field.record import case

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "two\nlines level=error",
    "\r\x00\x08\x7f",
    "\u202egnorw",
    "\x9b31m",
    'quote" and \\ and =',
    "<script>alert(1)</script>",
    "\ud800",
]
NO_ADDRESSES = ["a" * 70, "..", "\ud800", "\x00", "localhost", "10.0.0.1:80", "10.0.0", "http://10.0.0.1", "fe80::1%zz"]


@case(
    "W28",
    kind="Found by tests: an input that stopped a program",
    situation="A pod has the annotation `certlag.dev/port` with a number of thousands of digits.",
    says="No port. Before: the exporter ended.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("H8")
@pytest.mark.parametrize("reference", ["0", "65536", "9" * 6, "9" * 5000, "٣" * 5000, "-1", "1e3", "²"])
def test_what_is_no_port_in_an_annotation_has_no_endpoint(reference: str) -> None:
    pod = a_pod(probe_ports=(reference,))
    assert endpoints(pod, a_certificate(), None, DiscoveryProbe.ANNOTATED) == ()


@pytest.mark.fault("H8")
def test_an_annotation_of_all_ports_costs_64_handshakes() -> None:
    every = ",".join(map(str, range(1, 65536)))
    document = {"metadata": {"namespace": "ns", "name": "pod", "uid": "u", "annotations": {"certlag.dev/port": every}}}
    assert len(decode.pod(msgspec.Raw(json.dumps(document).encode())).probe_ports) == decode.MAX_PROBE_PORTS


@case(
    "W29",
    kind="Found by tests: an input that stopped a program",
    situation="The address of a pod is a name.",
    says="Unreachable, and no name is looked up. Before: a long name ended the exporter, a short one was looked up.",
    found_by="test",
    since="2026-11-24",
)
@pytest.mark.fault("F18")
@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_pods_address_that_is_none_is_unreachable_and_no_name_is_looked_up(address: str) -> None:
    asked: Endpoint = an_endpoint()._replace(address=address)
    outcome = probe(asked, SystemClock(), timeout=2).outcome
    assert isinstance(outcome, ProbeError)
    assert (outcome.failure, outcome.detail.startswith("no address")) == (ProbeFailure.UNREACHABLE, True) or (
        "%" in address and outcome.failure is ProbeFailure.UNREACHABLE
    )


@pytest.mark.fault("H4")
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_logged_is_one_line_of_printable_ascii(
    form: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root = logging.getLogger()
    kept = root.handlers[:], root.level
    try:
        logs.configure(form, "info")
        logging.getLogger("certlag").warning("watch failed", extra={"path": text, "error": text})
        logging.getLogger("certlag").error("a page failed", exc_info=ValueError(text))
        warnings.showwarning(text, UserWarning, "certificates.py", 1)
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], level = kept
        root.setLevel(level)
    lines = capsys.readouterr().err.split("\n")
    assert (len(lines), lines[-1]) == (4, "")
    assert all(line.isascii() and line.isprintable() for line in lines)
    if form == "json":
        assert json.loads(lines[0])["error"] == text
