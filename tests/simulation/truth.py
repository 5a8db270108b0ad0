"""What the gauges must say: worked out from what was issued when and what each container loaded, by rules of its own.

Nothing of the exporter is used here, so that it and this can only agree if both are right, or both wrong in the same
way; the words are those of the design. `Ledger` keeps what the cluster forgets: what each revision was, and by whom it
was signed. `Acquaintance` is what one exporter process can know: what it had a chance to see.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509

from exporter.model import Target
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, CONFIG_MAPS, LEASES, PODS
from rehearsal.objects import Document, annotations_of, instant, is_ending, labels_of, name_of
from tests.simulation.place import RESOURCES, Place

REVISION = "cert-manager.io/certificate-revision"
STATES = {
    "recorded": "draining",
    "paused_autoscaler": "draining",
    "scaled_down": "draining",
    "drained": "restarting",
    "restarting": "restarting",
    "restarted": "verifying",
    "verified": "restoring",
    "scaled_up": "restoring",
    "unpaused": "restoring",
}
"""What a run is doing, by the step that its record says was reached."""


@dataclass(frozen=True, slots=True)
class Issuance:
    """One certificate that was signed: the presented chain (PEM), and the authority at its top (PEM)."""

    certificate: str
    revision: int
    chain: bytes
    authority: bytes

    @property
    def not_after(self) -> datetime:
        """When its leaf ends."""
        return ends(self.chain)[0]


@lru_cache(maxsize=2000)
def ends(chain: bytes) -> tuple[datetime, ...]:
    """Return the not-after of each certificate in a PEM, leaf first."""
    return tuple(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(chain))


@dataclass
class Ledger:
    """All that was ever signed, by its chain, and for each certificate by its revision."""

    place: Place
    by_chain: dict[bytes, Issuance] = field(default_factory=dict)
    by_revision: dict[tuple[str, int], Issuance] = field(default_factory=dict)

    def read(self) -> None:
        """Take in what was signed since."""
        for request in self.place.everything(CERTIFICATE_REQUESTS):
            status = request["status"]
            revision = int(annotations_of(request)[REVISION])
            certificate = name_of(request).removesuffix(f"-{revision}")
            if status.get("certificate") and (certificate, revision) not in self.by_revision:
                chain, authority = (base64.b64decode(status[part]) for part in ("certificate", "ca"))
                made = Issuance(certificate, revision, chain, authority)
                self.by_chain[chain] = self.by_revision[certificate, revision] = made

    def issued(self, certificate: str) -> Issuance | None:
        """Return what is issued now: the certificate of the revision in the Certificate's status."""
        found = self.place.get(CERTIFICATES, certificate)
        return self.by_revision.get((certificate, found["status"].get("revision", 0))) if found else None

    def renewal_at(self, certificate: str) -> datetime | None:
        """Return when cert-manager says that it will renew it."""
        found = self.place.get(CERTIFICATES, certificate)
        text = found["status"].get("renewalTime") if found else None
        return instant(text) if text else None


@dataclass
class Acquaintance:
    """What one process has had a chance to see: each container that answered, each revision's request."""

    place: Place
    loaded: dict[str, bytes] = field(default_factory=dict)
    """What each container presented, by container ID."""
    identified: dict[str, int] = field(default_factory=dict)
    """The latest revision of each certificate whose request it saw while that was the current one."""
    heartbeats: dict[str, tuple[object, datetime | None]] = field(default_factory=dict)
    """What each Lease says, and when that was seen to change: the first that is seen of it is no change."""

    def look(self) -> None:
        """See what there is to see at this instant, and shake hands with whoever answers."""
        for pod in self.place.everything(PODS):
            for container in running(pod):
                self.meet(container["containerID"], pod["status"].get("podIP", ""))
        requests = {name_of(request) for request in self.place.everything(CERTIFICATE_REQUESTS)}
        for certificate in self.place.everything(CERTIFICATES):
            revision = certificate["status"].get("revision", 0)
            if f"{name_of(certificate)}-{revision}" in requests:
                self.identified[name_of(certificate)] = revision
        leases = {name_of(lease): lease["spec"] for lease in self.place.everything(LEASES)}
        self.heartbeats = {name: beat for name, beat in self.heartbeats.items() if name in leases}
        for name, spec in leases.items():
            says = (spec["holderIdentity"], spec["renewTime"])
            before, _ = self.heartbeats.get(name, (None, None))
            if before != says:
                self.heartbeats[name] = (says, self.place.clock.now() if before else None)

    def meet(self, container_id: str, address: str) -> None:
        """Shake hands with one container."""
        if address in self.place.network.served:
            self.loaded.setdefault(container_id, self.place.network.served[address])

    def identifies(self, issued: Issuance) -> bool:
        """Tell whether it knows the very certificate, not only its dates."""
        return self.identified.get(issued.certificate) == issued.revision


def running(pod: Document) -> list[Document]:
    """Return the containers (their statuses) that run in a pod which was not asked to end."""
    if is_ending(pod):
        return []
    return [each for each in pod["status"].get("containerStatuses") or () if "running" in each["state"]]


@dataclass(frozen=True, slots=True)
class Gauges:
    """The gauges of one target that are compared; None is an absent series."""

    needs_restart: float | None
    state: str | None
    deadline: float | None
    issuer_changed: float | None
    pods: tuple[tuple[str, float], ...]
    runbook_state: str
    heartbeat: float | None
    expected: tuple[tuple[str, float], ...]
    replicas: tuple[tuple[str, float], ...]


def gauges(place: Place, ledger: Ledger, known: Acquaintance, target: Target) -> Gauges:
    """Return what the gauges of a target must say now."""
    now = place.clock.now()
    certificate = target.certificate or ""
    issued, renewal_at = ledger.issued(certificate), ledger.renewal_at(certificate)
    pods = [pod for pod in pods_of(place, target.workload.name) if running(pod)]
    verdicts = [_verdict(ledger, known, issued, pod) for pod in pods]
    presented = [(verdict, chain) for pod, verdict in zip(pods, verdicts, strict=True) for chain in _chains(known, pod)]
    stale = [ledger.by_chain[chain] for verdict, chain in presented if verdict == "stale"]
    judged = not pods or any(verdict != "pending" for verdict in verdicts)
    record = _record(place, target)
    run = record.get("run")
    workers = sorted(run["workers"].items()) if run else []
    return Gauges(
        needs_restart=_needs_restart(issued, verdicts) if judged else None,
        state=_state(issued, renewal_at, verdicts, [chain for _, chain in presented], now) if judged else None,
        deadline=min((at.timestamp() for old in stale for at in _ends(known, issued, old)), default=None),
        issuer_changed=_issuer_changed(known, issued, stale) if judged else None,
        pods=tuple((name, float(verdicts.count(name))) for name in ("current", "stale", "unknown", "unprobed")),
        runbook_state=_runbook_state(run),
        heartbeat=_heartbeat(known, target) if run else None,
        expected=tuple((name, float(replicas)) for name, replicas in workers),
        replicas=tuple((name, float(replicas_of(place, name) or 0)) for name, _ in workers),
    )


def pods_of(place: Place, name: str) -> Iterator[Document]:
    """Yield the pods of a workload."""
    return (pod for pod in place.everything(PODS) if labels_of(pod).get("app") == name)


def replicas_of(place: Place, worker: str) -> int | None:
    """Return what a worker (`type/name`) is scaled to, None if it does not exist."""
    kind, name = worker.split("/")
    found = place.get(RESOURCES[kind], name)
    return None if found is None else int(found["spec"]["replicas"])


def all_current(place: Place, ledger: Ledger, target: Target) -> bool:
    """Tell whether every running pod of a target has loaded what is issued, and there is one."""
    issued = ledger.issued(target.certificate or "")
    loaded = [
        place.network.loaded.get(pod["status"].get("podIP", ""))
        for pod in pods_of(place, target.workload.name)
        if running(pod)
    ]
    return issued is not None and bool(loaded) and all(chain == issued.chain for chain in loaded)


def _chains(known: Acquaintance, pod: Document) -> Iterator[bytes]:
    for container in running(pod):
        if container["containerID"] in known.loaded:
            yield known.loaded[container["containerID"]]


def _verdict(ledger: Ledger, known: Acquaintance, issued: Issuance | None, pod: Document) -> str:
    (container,) = running(pod)
    loaded = known.loaded.get(container["containerID"])
    if loaded is None:
        return "unknown" if container["ready"] else "pending"  # what is not ready is not asked yet
    if issued is None or ledger.by_chain[loaded].revision > issued.revision:
        return "unknown"
    return "current" if loaded == issued.chain else "stale"


def _needs_restart(issued: Issuance | None, verdicts: list[str]) -> float | None:
    if "stale" in verdicts:
        return 1.0
    return None if issued is None or {"unknown", "pending"} & set(verdicts) else 0.0


def _state(
    issued: Issuance | None, renewal_at: datetime | None, verdicts: list[str], presented: list[bytes], now: datetime
) -> str:
    """Name the state; where several hold: expired, needs_restart, renewal_due, unknown, settled."""
    over = [ends(chain)[0] <= now for chain in presented]
    if not verdicts and issued is not None:
        over = [issued.not_after <= now]
    if any(over):
        return "expired"
    if "stale" in verdicts:
        return "needs_restart"
    if renewal_at is not None and renewal_at <= now:
        return "renewal_due"
    return "unknown" if issued is None or {"unknown", "pending"} & set(verdicts) else "settled"


def _ends(known: Acquaintance, issued: Issuance | None, old: Issuance) -> Iterator[datetime]:
    """Yield the instants after which a stale chain is refused: its own end, and its authority's if that counts."""
    yield from ends(old.chain)
    if issued is not None and known.identifies(issued) and issued.authority == old.authority:
        yield from ends(issued.authority)


def _issuer_changed(known: Acquaintance, issued: Issuance | None, stale: list[Issuance]) -> float | None:
    if issued is None or not known.identifies(issued):
        return None
    return float(any(old.authority != issued.authority for old in stale))


def _record(place: Place, target: Target) -> dict[str, Any]:
    found = place.get(CONFIG_MAPS, f"certlag-run-{target.name}")
    document: dict[str, Any] = json.loads(found["data"]["record.json"]) if found else {}
    return document


def _runbook_state(run: dict[str, Any] | None) -> str:
    if run is None:
        return "idle"
    if run["ended"] is not None:
        return "left_drained"
    return "restoring" if run["put_back"] else STATES[run["step"]]


def _heartbeat(known: Acquaintance, target: Target) -> float | None:
    beat = known.heartbeats.get(f"certlag-{target.workload.type}-{target.workload.name}")
    return beat[1].timestamp() if beat and beat[1] else None
