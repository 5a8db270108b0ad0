"""TLS servers as workloads of the cluster: each requires client certificates and loads its key pair once.

Certificates come from a CA issuer in the same namespace; a Secret is mounted under /tls/<its name>.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench import images
from tests.bench.cluster import Cluster, Object

PORT = 8443
ISSUER = "authority"

BUILDKITD = (
    *("buildkitd", "--addr", f"tcp://0.0.0.0:{PORT}", "--root", "/var/lib/buildkit"),
    *("--tlscert", "{tls}/tls.crt", "--tlskey", "{tls}/tls.key", "--tlscacert", "{tls}/ca.crt"),
)
NGINX = """
daemon off; error_log /dev/stderr info; pid /tmp/nginx.pid; events {{}}
http {{
  access_log off;
  client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
  uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e;
  server {{
    listen {port} ssl; return 204;
    ssl_certificate {tls}/tls.crt; ssl_certificate_key {tls}/tls.key;
    ssl_client_certificate {tls}/ca.crt; ssl_verify_client on;
  }}
}}
"""
HAPROXY = """
global
  log stdout format raw daemon
defaults
  mode tcp
  log global
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend tls
  bind :{port} ssl crt /tmp/both.pem ca-file {tls}/ca.crt verify required
  default_backend nowhere
backend nowhere
  server nowhere 127.0.0.1:9
"""
STUNNEL = """
foreground = yes
pid =
[tls]
accept = {port}
connect = 127.0.0.1:9
cert = {tls}/tls.crt
key = {tls}/tls.key
CAfile = {tls}/ca.crt
verifyChain = yes
requireCert = yes
"""


@dataclass(frozen=True)
class Server:
    """A container: how it is started, which Secrets it mounts, which ports it declares."""

    command: tuple[str, ...]
    secrets: tuple[str, ...]
    ports: tuple[int, ...] = (PORT,)
    image: str = images.SERVERS
    name: str = "server"
    privileged: bool = False

    def container(self) -> Object:
        """As the API wants it."""
        mounts = [{"name": secret, "mountPath": f"/tls/{secret}"} for secret in self.secrets]
        return {
            "name": self.name,
            "image": self.image,
            "imagePullPolicy": "Never",
            "command": list(self.command),
            "ports": [{"containerPort": port} for port in self.ports],
            "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in a container
            "readinessProbe": {"tcpSocket": {"port": self.ports[0]}, "periodSeconds": 1} if self.ports else None,
            "securityContext": {"privileged": self.privileged},
        }


def buildkitd(secret: str) -> Server:
    """The real build service."""
    command = tuple(word.format(tls=f"/tls/{secret}") for word in BUILDKITD)
    return Server(command, (secret,), image=images.BUILDKIT, privileged=True)


def configured(program: str, configuration: str, secret: str) -> Server:
    """A program of Debian's that is started with a configuration file."""
    text = configuration.format(tls=f"/tls/{secret}", port=PORT)
    before = f"cat /tls/{secret}/tls.crt /tls/{secret}/tls.key > /tmp/both.pem" if program == "haproxy" else "true"
    start = {"nginx": "nginx -c", "haproxy": "haproxy -f", "stunnel": "stunnel4"}[program]
    script = f"{before}; cat > /tmp/configuration <<'END'\n{text}END\nexec {start} /tmp/configuration"
    return Server(("/bin/sh", "-c", script), (secret,))


def go(secret: str, *, versions: str = "any", **changes: Any) -> Server:
    """A server of Go's crypto/tls."""
    return Server(("tlsserve", f"{PORT}:{versions}:/tls/{secret}"), (secret,), **changes)


def deployment(name: str, servers: Sequence[Server], *, replicas: int = 1, kind: str = "Deployment") -> Object:
    """A workload of these containers."""
    secrets = dict.fromkeys(secret for server in servers for secret in server.secrets)
    volumes: list[Object] = [{"name": secret, "secret": {"secretName": secret}} for secret in secrets]
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {
            "dnsPolicy": "Default",
            "terminationGracePeriodSeconds": 1,
            "containers": [server.container() for server in servers],
            "volumes": [*volumes, {"name": "tmp", "emptyDir": {}}],
        },
    }
    spec: Object = {"selector": {"matchLabels": {"app": name}}, "template": template}
    if kind != "DaemonSet":
        spec["replicas"] = replicas
    if kind == "StatefulSet":
        spec["serviceName"] = name
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def certificate(name: str, *, issuer: str = ISSUER, **spec: Any) -> Object:
    """A cert-manager Certificate of 90 days, renewed 30 before, whose Secret has its name."""
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": {"name": name},
        "spec": {
            "secretName": name,
            "duration": "2160h",
            "renewBefore": "720h",
            "dnsNames": [name],
            "privateKey": {"algorithm": "ECDSA", "size": 256},
            "usages": ["server auth"],
            "issuerRef": {"name": issuer},
            **spec,
        },
    }


def authority(name: str = ISSUER) -> list[Object]:
    """A CA of cert-manager's own, and the Issuer that signs with it."""
    root = certificate(name, issuer="self-signed", isCA=True, commonName=name, dnsNames=None, usages=None)
    return [
        _issuer("self-signed", {"selfSigned": {}}),
        {**root, "spec": {**root["spec"], "duration": "87600h"}},
        _issuer(name, {"ca": {"secretName": name}}),
    ]


def apply(cluster: Cluster, namespace: str, objects: Iterable[Object]) -> None:
    """Put objects into a namespace."""
    listed = {"apiVersion": "v1", "kind": "List", "items": [_without_nothing(each) for each in objects]}
    cluster.kubectl("apply", "--filename=-", stdin=json.dumps(listed), namespace=namespace)


def _issuer(name: str, spec: Object) -> Object:
    return {"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": name}, "spec": spec}


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nothing(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nothing(part) for part in value]
    return value
