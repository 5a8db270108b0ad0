"""What the gauges must say: worked out from what was issued when and what each container loaded, by rules of its own.

Nothing of the exporter is used here, so that it and this can only agree if both are right, or both wrong in the same
way; the words are those of the design. What is issued is what cert-manager has put into the Secret: `Ledger` keeps
what the cluster forgets, and reads no CertificateRequest, since anyone may write those. `Acquaintance` is what one
exporter process can know: what it had a chance to see.

There is one right answer, and more only where no evidence of the cluster's own can tell: while cert-manager is between
the writes of an issuance, and where two certificates have the same dates and a forged request speaks for one of them.
"""

import base64
import itertools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography import x509

from certlag.model import Target
from rehearsal.api.resources import CERTIFICATE_REQUESTS, CERTIFICATES, CONFIG_MAPS, LEASES, PODS, SECRETS
from rehearsal.objects import (
    Document,
    annotations_of,
    controller_uid,
    instant,
    is_ending,
    is_true,
    labels_of,
    name_of,
    uid_of,
)
from tests.simulation.place import RESOURCES, Place

REVISION = "cert-manager.io/certificate-revision"
FORGED = "forged"
"""The label of requests that somebody forged. Only the simulation looks at it."""
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
    """One certificate that was in the Secret of a Certificate: the chain (PEM), and the authority at its top (PEM).

    `order` counts what was in that Secret before it.
    """

    certificate: str
    order: int
    chain: bytes
    authority: bytes

    @property
    def dates(self) -> tuple[datetime, datetime]:
        """Not-before and not-after of its leaf."""
        return dates(self.chain)


@lru_cache(maxsize=2000)
def ends(chain: bytes) -> tuple[datetime, ...]:
    """Return the not-after of each certificate in a PEM, leaf first."""
    return tuple(each.not_valid_after_utc for each in x509.load_pem_x509_certificates(chain))


@lru_cache(maxsize=2000)
def dates(chain: bytes) -> tuple[datetime, datetime]:
    """Return not-before and not-after of the first certificate in a PEM."""
    leaf = x509.load_pem_x509_certificate(chain)
    return leaf.not_valid_before_utc, leaf.not_valid_after_utc


@dataclass
class Ledger:
    """All that was ever in a Certificate's Secret, in that order, and what each revision was of each Certificate.

    It is told of every write, so that nothing is missed that is overwritten at once. A revision is what is in the
    Secret when cert-manager writes its number.
    """

    place: Place
    by_chain: dict[bytes, Issuance] = field(default_factory=dict)
    by_revision: dict[tuple[str, int], Issuance] = field(default_factory=dict)
    stored: defaultdict[str, list[Issuance]] = field(default_factory=lambda: defaultdict(list))
    _version: int = -1

    def __post_init__(self) -> None:
        self.place.cluster.api.storage.on_change(self.read)
        self.read()

    def read(self) -> None:
        """Take in what was written since."""
        storage = self.place.cluster.api.storage
        if max(storage.changed(CERTIFICATES), storage.changed(SECRETS)) <= self._version:
            return
        self._version = storage.version
        for certificate in self.place.everything(CERTIFICATES):
            stored = self.in_secret(certificate)
            revision = certificate["status"].get("revision")
            if stored is not None and revision is not None:
                self.by_revision.setdefault((uid_of(certificate), revision), stored)

    def in_secret(self, certificate: Document) -> Issuance | None:
        """Return what is in the Secret of a Certificate now."""
        secret = self.place.get(SECRETS, certificate["spec"]["secretName"])
        data = (secret or {}).get("data") or {}
        if "tls.crt" not in data:
            return None
        chain = base64.b64decode(data["tls.crt"])
        if chain not in self.by_chain:
            name, authority = name_of(certificate), base64.b64decode(data.get("ca.crt", ""))
            self.by_chain[chain] = Issuance(name, len(self.stored[name]), chain, authority)
            self.stored[name].append(self.by_chain[chain])
        return self.by_chain[chain]

    def issued(self, name: str) -> Issuance | None:
        """Return what is issued now: of the revision in the status, or the content of a Secret that was adopted."""
        certificate = self.place.get(CERTIFICATES, name)
        if certificate is None:
            return None
        if "revision" in certificate["status"]:
            return self.by_revision.get((uid_of(certificate), certificate["status"]["revision"]))
        return self.in_secret(certificate) if is_true(certificate, "Ready") else None

    def renewal_at(self, name: str) -> datetime | None:
        """Return when cert-manager says that it will renew it."""
        found = self.place.get(CERTIFICATES, name)
        text = found["status"].get("renewalTime") if found else None
        return instant(text) if text else None


def status_dates(certificate: Document) -> tuple[datetime, datetime] | None:
    """Return the dates that a Certificate's status has."""
    status = certificate["status"]
    return (instant(status["notBefore"]), instant(status["notAfter"])) if "notAfter" in status else None


@dataclass
class Acquaintance:
    """What one process has had a chance to see: each container that answered, each revision's request."""

    place: Place
    loaded: dict[str, bytes] = field(default_factory=dict)
    """What each container presented, by container ID."""
    identified: dict[str, Issuance] = field(default_factory=dict)
    """What it saw issued last of each Certificate, by UID: in the request of its revision, with the status' dates."""
    hearsay: set[str] = field(default_factory=set)
    """Certificates (by UID) that had a forged request, at whatever time."""
    heartbeats: dict[str, tuple[object, datetime | None]] = field(default_factory=dict)
    """What each Lease says, and when that was seen to change: the first that is seen of it is no change."""

    def look(self, ledger: Ledger, *, reaches: bool = True) -> None:
        """See what there is to see at this instant, and probe every endpoint that answers."""
        for pod in self.place.everything(PODS) if reaches else ():
            for container in running(pod):
                self.meet(container["containerID"], pod["status"].get("podIP", ""))
        for certificate in self.place.everything(CERTIFICATES):
            self._look_at_requests(certificate, ledger.issued(name_of(certificate)))
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

    def _look_at_requests(self, certificate: Document, issued: Issuance | None) -> None:
        """See what the requests of a Certificate say, and whether cert-manager made them."""
        for request in self.place.everything(CERTIFICATE_REQUESTS):
            if controller_uid(request) != uid_of(certificate):
                continue
            if is_forged(request):
                self.hearsay.add(uid_of(certificate))
            elif issued is not None and _says(request, certificate, issued):
                self.identified[uid_of(certificate)] = issued

    def identifies(self, certificate: Document, issued: Issuance) -> bool:
        """Tell whether it knows the very certificate that was issued, not only its dates."""
        return self.identified.get(uid_of(certificate)) == issued


def is_forged(request: Document) -> bool:
    """Tell whether a request is not what cert-manager wrote."""
    return FORGED in labels_of(request)


def _says(request: Document, certificate: Document, issued: Issuance) -> bool:
    """Tell whether a request says what was issued, and the status has its dates."""
    of_revision = annotations_of(request).get(REVISION) == str(certificate["status"].get("revision"))
    content = request["status"].get("certificate", "")
    return of_revision and base64.b64decode(content) == issued.chain and status_dates(certificate) == issued.dates


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


def gauges(place: Place, ledger: Ledger, known: Acquaintance, target: Target) -> Sequence[Gauges]:
    """Return what the gauges of a target may say now, the likeliest first. Nearly always that is one answer."""
    pods = [pod for pod in pods_of(place, target.workload.name) if running(pod)]
    verdicts = [_verdicts(ledger, known, target, pod) for pod in pods]
    answers = (
        _gauges(
            place, ledger, known, target, dict(zip(map(name_of, pods), combined, strict=True)), identified=identified
        )
        for combined in itertools.product(*verdicts)
        for identified in _identified(ledger, known, target)
    )
    return list(dict.fromkeys(answers))


def _identified(ledger: Ledger, known: Acquaintance, target: Target) -> tuple[bool, ...]:
    """Return whether the exporter knows the issued certificate and its authority; both where that can't be told."""
    certificate = known.place.get(CERTIFICATES, target.certificate or "")
    issued = ledger.issued(target.certificate or "")
    if certificate is None or issued is None:
        return (False,)
    is_certain = status_dates(certificate) == issued.dates and uid_of(certificate) not in known.hearsay
    return (known.identifies(certificate, issued),) if is_certain else (True, False)


def _gauges(
    place: Place, ledger: Ledger, known: Acquaintance, target: Target, verdicts: dict[str, str], *, identified: bool
) -> Gauges:
    """Return what the gauges say if these are the verdicts on its pods (by name)."""
    now = place.clock.now()
    certificate = place.get(CERTIFICATES, target.certificate or "")
    issued = ledger.issued(target.certificate or "")
    pods = [pod for pod in pods_of(place, target.workload.name) if running(pod)]
    shown = [(verdicts[name_of(pod)], chain) for pod in pods for chain in _chains(known, pod)]
    stale = [ledger.by_chain[chain] for verdict, chain in shown if verdict == "stale"]
    judged = not pods or any(verdict != "pending" for verdict in verdicts.values())
    all_verdicts = list(verdicts.values())
    record = _record(place, target)
    run = record.get("run")
    workers = sorted(run["workers"].items()) if run else []
    presented = [chain for _, chain in shown]
    return Gauges(
        needs_restart=_needs_restart(issued, all_verdicts) if judged else None,
        state=_state(certificate, issued, all_verdicts, presented, now) if judged else None,
        deadline=min((_end(issued if identified else None, old).timestamp() for old in stale), default=None),
        issuer_changed=_issuer_changed(issued, stale) if judged and identified else None,
        pods=tuple((name, float(all_verdicts.count(name))) for name in ("current", "stale", "unknown", "unprobed")),
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


def _verdicts(ledger: Ledger, known: Acquaintance, target: Target, pod: Document) -> tuple[str, ...]:
    """Return the verdicts on a pod that are right, the likeliest first."""
    (container,) = running(pod)
    loaded = known.loaded.get(container["containerID"])
    if loaded is None:
        return ("unknown",) if container["ready"] else ("pending",)  # what is not ready is not asked yet
    certificate = known.place.get(CERTIFICATES, target.certificate or "")
    issued, now = ledger.issued(target.certificate or ""), ledger.by_chain[loaded]
    if certificate is None:
        return ("unknown",)
    in_status = status_dates(certificate)
    if issued is None:
        is_older = in_status is not None and now.dates[0] < in_status[0]
        return ("unknown", "stale") if is_older else ("unknown",)
    if in_status != issued.dates:
        return _between_two_writes(now, issued, in_status)
    if "revision" not in certificate["status"] and is_true(certificate, "Issuing"):
        return (_by_order(now, issued), "unknown")  # it looks like a temporary certificate
    if uid_of(certificate) in known.hearsay:
        return _beside_hearsay(now, issued, twins=_twins(known.place, certificate, issued))
    return (_by_order(now, issued),)


def _by_order(loaded: Issuance, issued: Issuance) -> str:
    """What was in the Secret before is stale; what came after is newer than its status says."""
    if loaded.order == issued.order:
        return "current"
    return "stale" if loaded.order < issued.order else "unknown"


def _between_two_writes(
    loaded: Issuance, issued: Issuance, in_status: tuple[datetime, datetime] | None
) -> tuple[str, ...]:
    """The status has the dates of another certificate than that of its revision, or none.

    cert-manager is between two writes, or somebody has restored the Secret from a backup. Which of the two it is
    nobody can tell; but what is in the Secret is never stale, and what is older than both never current.
    """
    if in_status is None:
        return (_by_order(loaded, issued), "unknown")
    if loaded.dates == in_status:
        return ("current", "unknown")
    if loaded.order == issued.order:
        # By the dates alone, where no request is left, it is older than what the status is already about.
        return ("current", "unknown", "stale") if loaded.dates[0] < in_status[0] else ("current", "unknown")
    return ("stale", "unknown") if loaded.order < issued.order else ("unknown", "current")


def _beside_hearsay(loaded: Issuance, issued: Issuance, *, twins: bool) -> tuple[str, ...]:
    """Requests were forged, so only dates count. Where they can order two certificates, they must."""
    right = _by_order(loaded, issued)
    if loaded.dates == issued.dates:
        return (right, "unknown") if right == "current" and twins else (right, "unknown", "current")
    if loaded.dates[0] == issued.dates[0] and right == "stale":
        return (right, "unknown")
    return (right,)


def _twins(place: Place, certificate: Document, issued: Issuance) -> bool:
    """Tell whether a forged request of the current revision has a leaf of the same dates."""
    return any(
        is_forged(request)
        and controller_uid(request) == uid_of(certificate)
        and annotations_of(request).get(REVISION) == str(certificate["status"].get("revision"))
        and (content := base64.b64decode(request["status"].get("certificate", ""))) != issued.chain
        and bool(content)
        and dates(content) == issued.dates
        for request in place.everything(CERTIFICATE_REQUESTS)
    )


def _chains(known: Acquaintance, pod: Document) -> Iterator[bytes]:
    for container in running(pod):
        if container["containerID"] in known.loaded:
            yield known.loaded[container["containerID"]]


def _needs_restart(issued: Issuance | None, verdicts: list[str]) -> float | None:
    if "stale" in verdicts:
        return 1.0
    return None if issued is None or {"unknown", "pending"} & set(verdicts) else 0.0


def _state(
    certificate: Document | None,
    issued: Issuance | None,
    verdicts: list[str],
    presented: list[bytes],
    now: datetime,
) -> str:
    """Name the state; where several hold: expired, needs_restart, renewal_disabled, renewal_due, unknown, settled."""
    over = [ends(chain)[0] <= now for chain in presented]
    if not verdicts and issued is not None:
        over = [issued.dates[1] <= now]
    if any(over):
        return "expired"
    if "stale" in verdicts:
        return "needs_restart"
    if certificate is not None and (certificate["spec"].get("renewal") or {}).get("policy") == "Disabled":
        return "renewal_disabled"
    renewal_at = certificate["status"].get("renewalTime") if certificate is not None else None
    if renewal_at is not None and instant(renewal_at) <= now:
        return "renewal_due"
    return "unknown" if issued is None or {"unknown", "pending"} & set(verdicts) else "settled"


def _end(issued: Issuance | None, old: Issuance) -> datetime:
    """Return when a stale chain is refused: the first end on its path to the issued authority, else its leaf's."""
    if issued is None or issued.authority != old.authority:
        return old.dates[1]
    return min(*ends(old.chain), *ends(issued.authority))


def _issuer_changed(issued: Issuance | None, stale: list[Issuance]) -> float | None:
    if issued is None:
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
