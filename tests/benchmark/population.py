"""Certificates, their requests, and pods that serve some of them, as API documents with real X.509. Pure.

All is as cert-manager and the controllers would have left it: certificates of 90 days issued by a CA of each namespace,
revision 1 and, after `renewed`, revision 2. The first `served` certificates are mounted by one pod each, which belongs
to a Deployment by way of a ReplicaSet and has an address on loopback.
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from tests.pki import Authority, Issued, authority

Document = dict[str, Any]

FIRST_PORT = 14000
"""Below the ports that the kernel gives out by itself (32768 and above)."""
ADDRESS = "127.0.0.1"
LIFETIME, RENEW_BEFORE = timedelta(days=90), timedelta(days=30)


@dataclass(frozen=True)
class Member:
    """One certificate of the population; `port` is where it is served, None if no pod mounts it."""

    number: int
    namespace: str
    name: str
    port: int | None

    @property
    def dns_names(self) -> tuple[str, ...]:
        """The names that it is issued for: a Service's three."""
        host = f"{self.name}.{self.namespace}"
        return (host, f"{host}.svc", f"{host}.svc.cluster.local")


@dataclass(frozen=True)
class Population:
    """So many certificates over so many namespaces, of which so many are served by a pod."""

    certificates: int
    served: int
    namespaces: int = 100
    first_port: int = FIRST_PORT

    @cached_property
    def begun_at(self) -> datetime:
        """When everything was issued: an hour ago, to the second."""
        return datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)

    @cached_property
    def authorities(self) -> dict[str, Authority]:
        """The CA of each namespace."""
        year = timedelta(days=365)
        begin, end = self.begun_at - year, self.begun_at + 9 * year
        names = [f"team-{number:03}" for number in range(self.namespaces)]
        return {name: authority(f"ca.{name}", not_before=begin, not_after=end) for name in names}

    def members(self) -> Iterator[Member]:
        """Yield every certificate."""
        names = list(self.authorities)
        for number in range(self.certificates):
            port = self.first_port + number if number < self.served else None
            yield Member(number, names[number % len(names)], f"service-{number:05}", port)

    def issue(self, member: Member, revision: int) -> Issued:
        """Sign what a revision of a certificate is."""
        begin = self.issued_at(revision)
        return self.authorities[member.namespace].leaf(*member.dns_names, not_before=begin, not_after=begin + LIFETIME)

    def certificate(self, member: Member, revision: int) -> Document:
        """Return the Certificate after this revision was issued."""
        at = self.issued_at(revision)
        return {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": self._metadata(member, member.name),
            "spec": {
                "secretName": f"{member.name}-tls",
                "duration": "2160h0m0s",
                "renewBefore": "720h0m0s",
                "dnsNames": list(member.dns_names),
                "usages": ["server auth", "client auth"],
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
                "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"},
            },
            "status": {
                "revision": revision,
                "notBefore": _text(at),
                "notAfter": _text(at + LIFETIME),
                "renewalTime": _text(at + LIFETIME - RENEW_BEFORE),
                "conditions": [_ready(at, "Certificate is up to date and has not expired") | {"observedGeneration": 1}],
            },
        }

    def request(self, member: Member, revision: int, issued: Issued) -> Document:
        """Return the CertificateRequest of this revision."""
        at = self.issued_at(revision)
        metadata = self._metadata(member, f"{member.name}-{revision}")
        metadata["annotations"] = {
            "cert-manager.io/certificate-name": member.name,
            "cert-manager.io/certificate-revision": str(revision),
            "cert-manager.io/private-key-secret-name": f"{member.name}-key",
        }
        metadata["ownerReferences"] = [_owner("Certificate", member.name, member.name, "cert-manager.io/v1")]
        return {
            "apiVersion": "cert-manager.io/v1",
            "kind": "CertificateRequest",
            "metadata": metadata,
            "spec": {
                "duration": "2160h0m0s",
                "usages": ["server auth", "client auth"],
                "issuerRef": {"name": "ca", "kind": "Issuer", "group": "cert-manager.io"},
                # As long as a real request for three names; nobody reads it.
                "request": base64.b64encode(b"r" * 560).decode(),
                "username": "system:serviceaccount:cert-manager:cert-manager",
            },
            "status": {
                "certificate": base64.b64encode(issued.chain_pem).decode(),
                "ca": base64.b64encode(self.authorities[member.namespace].pem).decode(),
                "conditions": [
                    _condition("Approved", at, "cert-manager.io", "Certificate request has been approved"),
                    _ready(at, "Certificate fetched from issuer successfully"),
                ],
            },
        }

    def replica_set(self, member: Member) -> Document:
        """Return the ReplicaSet of the pod that serves a certificate."""
        metadata = self._metadata(member, f"{member.name}-rs")
        metadata["ownerReferences"] = [_owner("Deployment", member.name, f"d{member.number}")]
        template = {"metadata": {"labels": {"app": member.name}}, "spec": self._pod_spec(member)}
        return {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": metadata,
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": member.name}}, "template": template},
            "status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 1, "observedGeneration": 1},
        }

    def pod(self, member: Member) -> Document:
        """Return the pod that serves a certificate."""
        started = self.begun_at + timedelta(minutes=10)
        metadata = self._metadata(member, f"{member.name}-rs-pod")
        metadata["labels"] = {"app": member.name}
        metadata["ownerReferences"] = [_owner("ReplicaSet", f"{member.name}-rs", f"{member.name}-rs")]
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": self._pod_spec(member) | {"nodeName": "node"},
            "status": {
                "phase": "Running",
                "hostIP": ADDRESS,
                "podIP": ADDRESS,
                "podIPs": [{"ip": ADDRESS}],
                "startTime": _text(started),
                "conditions": [_ready(started, "")],
                "containerStatuses": [
                    {
                        "name": "server",
                        "image": "server",
                        "imageID": "server",
                        "containerID": f"containerd://{member.number:064x}",
                        "ready": True,
                        "started": True,
                        "restartCount": 0,
                        "state": {"running": {"startedAt": _text(started)}},
                    }
                ],
            },
        }

    def _pod_spec(self, member: Member) -> Document:
        container = {
            "name": "server",
            "image": "server",
            "ports": [{"name": "tls", "containerPort": member.port, "protocol": "TCP"}],
            "volumeMounts": [{"name": "tls", "mountPath": "/tls", "readOnly": True}],
        }
        volume = {"name": "tls", "secret": {"secretName": f"{member.name}-tls"}}
        return {"containers": [container], "volumes": [volume], "restartPolicy": "Always"}

    def issued_at(self, revision: int) -> datetime:
        """Return when a revision was issued."""
        return self.begun_at + timedelta(minutes=revision - 1)

    def _metadata(self, member: Member, name: str) -> Document:
        return {
            "name": name,
            "namespace": member.namespace,
            "uid": name,
            "generation": 1,
            "creationTimestamp": _text(self.begun_at),
            "labels": {"app.kubernetes.io/name": member.name, "app.kubernetes.io/part-of": member.namespace},
        }


def _owner(kind: str, name: str, uid: str, version: str = "apps/v1") -> Document:
    reference: Document = {"apiVersion": version, "kind": kind, "name": name, "uid": uid}
    return reference | {"controller": True, "blockOwnerDeletion": True}


def _ready(at: datetime, message: str) -> Document:
    return _condition("Ready", at, "Ready", message)


def _condition(kind: str, at: datetime, reason: str, message: str) -> Document:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": _text(at)}


def _text(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
