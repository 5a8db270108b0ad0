"""API documents as YAML, as cert-manager and Kubernetes write them; a test overrides what it is about."""

import base64
from datetime import datetime

from tests.field.exporter import NAMESPACE
from tests.pki import Authority, Issued, pem

CERTIFICATE_UID = "1b6f5f3e-0000-4000-8000-000000000001"


def base64_pem(*certificates: Issued | bytes) -> str:
    """Return what `status.certificate` holds: base64 of PEM."""
    return base64.b64encode(
        b"".join(one.chain_pem if isinstance(one, Issued) else pem(one) for one in certificates)
    ).decode()


def instant(at: datetime) -> str:
    """Write an instant as the API does."""
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def certificate(
    issued: Issued | None,
    *,
    name: str = "svc",
    uid: str = CERTIFICATE_UID,
    revision: int | None = 1,
    ready: bool | None = True,
    dns_names: tuple[str, ...] = ("svc.shop.svc",),
    spec: str = "",
    status: str = "",
    namespace: str = NAMESPACE,
) -> str:
    """A Certificate whose status is that of this leaf; `spec` and `status` are further lines of YAML."""
    lines = [
        "apiVersion: cert-manager.io/v1",
        "kind: Certificate",
        f"metadata: {{name: {name}, namespace: {namespace}, uid: {uid}}}",
        "spec:",
        f"  secretName: {name}-tls",
        *([f"  dnsNames: [{', '.join(map(repr, dns_names))}]"] if dns_names else []),
        "  issuerRef: {name: ca}",
        *(f"  {line}" for line in spec.splitlines()),
        "status:",
        *([f"  revision: {revision}"] if revision is not None else []),
    ]
    if ready is not None:
        lines.append(f"  conditions: [{{type: Ready, status: '{ready}', reason: Ready}}]")
    if issued is not None:
        begins, ends = issued.certificate.not_valid_before_utc, issued.certificate.not_valid_after_utc
        lines += [f"  notBefore: '{instant(begins)}'", f"  notAfter: '{instant(ends)}'"]
        if "renewalTime" not in status and "policy: Disabled" not in spec:
            lines.append(f"  renewalTime: '{instant(ends - (ends - begins) / 3)}'")
    return "\n".join([*lines, *(f"  {line}" for line in status.splitlines())])


def request(
    issued: Issued | None,
    *,
    name: str = "svc-1",
    certificate_name: str = "svc",
    revision: int = 1,
    owner_uid: str | None = CERTIFICATE_UID,
    authority: Authority | None = None,
    namespace: str = NAMESPACE,
) -> str:
    """A CertificateRequest that is signed, unless `issued` is None; without an owner if `owner_uid` is None."""
    owner = f"{{apiVersion: cert-manager.io/v1, kind: Certificate, name: {certificate_name}, uid: {owner_uid}"
    lines = [
        "apiVersion: cert-manager.io/v1",
        "kind: CertificateRequest",
        "metadata:",
        f"  name: {name}",
        f"  namespace: {namespace}",
        f"  uid: uid-of-{name}",
        "  annotations:",
        f"    cert-manager.io/certificate-name: {certificate_name}",
        f"    cert-manager.io/certificate-revision: '{revision}'",
        *([f"  ownerReferences: [{owner}, controller: true, blockOwnerDeletion: true}}]"] if owner_uid else []),
        "spec: {issuerRef: {name: ca}}",
    ]
    if issued is not None:
        since = instant(issued.certificate.not_valid_before_utc)
        lines += [
            "status:",
            f"  certificate: {base64_pem(issued)}",
            *([f"  ca: {base64_pem(authority)}"] if authority is not None else []),
            f"  conditions: [{{type: Ready, status: 'True', lastTransitionTime: '{since}'}}]",
        ]
    return "\n".join(lines)


def pod(
    *,
    name: str = "svc-0",
    address: str = "10.88.0.7",
    secret: str | None = "svc-tls",  # noqa: S107 - a Secret's name
    port: int | None = 8443,
    started: str = "2026-03-01T00:00:00Z",
    owner: str = "{kind: StatefulSet, name: svc, uid: uid-of-svc, controller: true}",
    spec: str = "",
    status: str = "",
    annotations: str = "",
    namespace: str = NAMESPACE,
) -> str:
    """A running pod whose one container `server` mounts the Secret; `spec`, `status` are further lines of YAML."""
    return "\n".join(
        [
            "apiVersion: v1",
            "kind: Pod",
            "metadata:",
            f"  name: {name}",
            f"  namespace: {namespace}",
            f"  uid: uid-of-{name}",
            f"  ownerReferences: [{owner}]",
            *([f"  annotations: {{{annotations}}}"] if annotations else []),
            "spec:",
            "  containers:",
            "    - name: server",
            *([f"      ports: [{{containerPort: {port}}}]"] if port is not None else []),
            *(["      volumeMounts: [{name: tls, mountPath: /tls}]"] if secret else []),
            *([f"  volumes: [{{name: tls, secret: {{secretName: {secret}}}}}]"] if secret else []),
            *(f"  {line}" for line in spec.splitlines()),
            "status:",
            f"  podIP: {address}",
            "  containerStatuses:",
            "    - name: server",
            f"      containerID: containerd://{name}-server",
            "      ready: true",
            f"      state: {{running: {{startedAt: '{started}'}}}}",
            *(f"  {line}" for line in status.splitlines()),
        ]
    )
