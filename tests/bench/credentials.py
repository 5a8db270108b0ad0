"""Keys, certificates and tokens of one cluster, and the kubeconfig files made of them.

Each component has a token of its own, with its own user name: the audit log then says who read what. All of
them are in system:masters, since what a component of Kubernetes may do is not what is tested here.
"""

import datetime as dt
import ipaddress
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADMIN = "bench:admin"
USERS = (
    ADMIN,
    "bench:supervisor",
    "bench:kube-controller-manager",
    "bench:kube-scheduler",
    "bench:kubelet",
    "bench:kube-proxy",
    "bench:cert-manager",
)


@dataclass(frozen=True)
class Credentials:
    """The files of one cluster's credentials, all in one folder."""

    directory: Path

    @property
    def authority(self) -> Path:
        """The certificate that signs the API server's."""
        return self.directory / "ca.crt"

    @property
    def serving_certificate(self) -> Path:
        """The API server's certificate."""
        return self.directory / "apiserver.crt"

    @property
    def serving_key(self) -> Path:
        """The API server's key."""
        return self.directory / "apiserver.key"

    @property
    def service_account_key(self) -> Path:
        """The key that signs the tokens of service accounts."""
        return self.directory / "service-account.key"

    @property
    def tokens(self) -> Path:
        """The API server's file of tokens."""
        return self.directory / "tokens.csv"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one of the users."""
        return self.directory / f"{user.removeprefix('bench:')}.kubeconfig"

    def token(self, user: str) -> str:
        """The token of one of the users."""
        for line in self.tokens.read_text().splitlines():
            token, name, *_ = line.split(",")
            if name == user:
                return token
        raise LookupError(f"{self.tokens} has no token of {user}: see USERS in {__file__}")


def make(directory: Path, server: str, addresses: tuple[str, ...]) -> Credentials:
    """Write new credentials for an API server with this URL and these addresses."""
    directory.mkdir(mode=0o700, parents=True)
    made = Credentials(directory)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    serving_key = ec.generate_private_key(ec.SECP256R1())
    names: list[x509.GeneralName] = [
        x509.DNSName(name) for name in ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")
    ]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    authority = (
        _certificate("certlag-bench-ca", authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    serving = (
        _certificate("kube-apiserver", serving_key)
        .issuer_name(authority.subject)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    made.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    made.serving_certificate.write_bytes(serving.public_bytes(serialization.Encoding.PEM))
    _write_key(made.serving_key, serving_key)
    _write_key(made.service_account_key, ec.generate_private_key(ec.SECP256R1()))
    made.tokens.write_text("".join(f"{secrets.token_hex(16)},{user},{user},system:masters\n" for user in USERS))
    for user in USERS:
        _write_kubeconfig(made, user, server)
    return made


def _certificate(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=7))
    )
    return builder if name == "kube-apiserver" else builder.issuer_name(subject)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )


def _write_kubeconfig(credentials: Credentials, user: str, server: str) -> None:
    # JSON is YAML: every reader of a kubeconfig takes it.
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "bench",
                "cluster": {"server": server, "certificate-authority": str(credentials.authority)},
            }
        ],
        "users": [{"name": user, "user": {"token": credentials.token(user)}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": user}}],
        "current-context": "bench",
    }
    credentials.kubeconfig(user).write_text(json.dumps(document, indent=1))
