"""An external issuer of cert-manager that dates certificates as a story wants them, and signs nothing else.

cert-manager hands it the CertificateRequests whose `issuerRef` has its group. Time that a story can't wait for is in
the dates: a certificate of 90 days that ends in two was issued 88 days ago.
"""

import base64
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from tests import pki
from tests.bench.api import MERGE_PATCH
from tests.bench.cluster import Object
from tests.test_stories.ground import Ground

GROUP = "issuers.example.org"
REF = {"group": GROUP, "kind": "DatedIssuer", "name": "dated"}
"""The `issuerRef` of a Certificate that it signs."""
NAME_ANNOTATION = "cert-manager.io/certificate-name"
YEAR = timedelta(days=365)

Dates = tuple[float, float]
"""Days from now: when it begins to be good, and when it ends."""


@dataclass
class DatedIssuer:
    """One that runs."""

    ground: Ground
    root: pki.Authority = field(default_factory=lambda: pki.authority("dated", not_before=datetime.now(UTC) - YEAR))
    _dates: dict[str, deque[Dates]] = field(default_factory=lambda: defaultdict(deque))
    _failures: dict[str, str] = field(default_factory=dict)

    def sign(self, *names: str, dates: Dates) -> None:
        """Sign the next request for each of these Certificates."""
        for name in names:
            self._dates[name].append(dates)

    def fail(self, name: str, message: str) -> None:
        """Answer the open request for a Certificate as an issuer does that cannot sign."""
        self._failures[name] = message

    def answer(self) -> None:
        """Answer the requests that are open."""
        collection = self.ground.path("certificaterequests")
        for request in self.ground.cluster.api("GET", collection)["items"]:
            conditions = {each["type"]: each["status"] for each in request.get("status", {}).get("conditions", ())}
            name = request["metadata"]["annotations"][NAME_ANNOTATION]
            if request["spec"]["issuerRef"].get("group") != GROUP or "Ready" in conditions:
                continue
            if name in self._failures:
                self._write(request, {"status": "False", "reason": "Failed", "message": self._failures.pop(name)})
            elif self._dates[name]:
                self._write(
                    request,
                    {"status": "True", "reason": "Issued", "message": "signed"},
                    certificate=self._signed(request, self._dates[name].popleft()),
                    ca=self.root.pem,
                )

    def _write(self, request: Object, ready: Object, **parts: bytes) -> None:
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        approved = {"type": "Approved", "status": "True", "reason": "Story", "message": "approved"}
        status: Object = {name: base64.b64encode(pem).decode() for name, pem in parts.items()}
        if ready["status"] == "False":
            status["failureTime"] = at
        path = self.ground.path("certificaterequests", request["metadata"]["name"])
        # cert-manager's webhook lets an approval stand in no other change.
        for change in ([approved], [approved, {"type": "Ready", **ready}]):
            dated = [{**each, "lastTransitionTime": at} for each in change]
            body = {"status": {**(status if len(change) > 1 else {}), "conditions": dated}}
            self.ground.cluster.api("PATCH", f"{path}/status", body, MERGE_PATCH)

    def _signed(self, request: Object, dates: Dates) -> bytes:
        asked = x509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))
        begins, ends = (datetime.now(UTC) + timedelta(days=days) for days in dates)
        builder = (
            x509.CertificateBuilder()
            .subject_name(asked.subject)
            .issuer_name(self.root.certificate.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        for extension in asked.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        signed = builder.sign(self.root.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)


@contextmanager
def dated_issuer(ground: Ground) -> Iterator[DatedIssuer]:
    """Answer the requests of a namespace until the block ends."""
    issuer, ended = DatedIssuer(ground), threading.Event()

    def answer() -> None:
        while not ended.wait(0.2):
            issuer.answer()

    with ThreadPoolExecutor(1) as pool:
        answering = pool.submit(answer)
        try:
            yield issuer
        finally:
            ended.set()
        answering.result()
