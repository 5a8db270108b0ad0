"""A running cluster as a test sees it: kubectl, the API, its network, its certificates and its components."""

import base64
import datetime as dt
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.bench import needs, network, parts, waiting
from tests.bench.api import Api, ApiError
from tests.bench.needs import Kind

Object = dict[str, Any]
CONFLICT = 409


@dataclass(frozen=True)
class Cluster:
    """A cluster that is ready. `client` speaks as the administrator; `netns` is None for the small bench."""

    kind: Kind
    directory: Path
    netns: Path | None
    node_address: str
    kubeconfig: Path
    audit_log: Path
    supervisor: int
    client: Api

    @classmethod
    def load(cls, directory: Path) -> "Cluster":
        """The cluster whose supervisor has written its state into this folder."""
        state = json.loads((directory / "state.json").read_text())
        netns = None if state["netns"] is None else Path(state["netns"])
        return cls(
            kind=Kind(state["kind"]),
            directory=directory,
            netns=netns,
            node_address=state["node_address"],
            kubeconfig=Path(state["kubeconfig"]),
            audit_log=Path(state["audit_log"]),
            supervisor=state["supervisor"],
            client=Api(state["node_address"], state["api_port"], state["token"], Path(state["authority"]), netns),
        )

    def inside(self, argv: Sequence[str | Path]) -> list[str]:
        """The command that runs another command in the cluster's network: the same process, not a child of it."""
        entering = [] if self.netns is None else [str(needs.tool("nsenter")), f"--net={self.netns}", "--"]
        return [*entering, *(str(word) for word in argv)]

    def connect(self, host: str, port: int, timeout: float = 10) -> socket.socket:
        """A connected socket in the cluster's network: to a pod, a Service or the node."""
        return network.connect(self.netns, host, port, timeout)

    def entered(self) -> AbstractContextManager[None]:
        """Have this thread in the cluster's network for a while, to try code in it that makes its own connections."""
        return network.entered(self.netns)

    def kubectl(self, *arguments: str, stdin: str | None = None, namespace: str | None = None) -> str:
        """Run kubectl as the administrator, and return what it printed."""
        scope = [] if namespace is None else [f"--namespace={namespace}"]
        argv = [str(parts.binary("kubectl")), f"--kubeconfig={self.kubeconfig}", *scope, *arguments]
        ran = subprocess.run(
            self.inside(argv), input=stdin, capture_output=True, text=True, check=False, env=self.environment
        )
        if ran.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} ended with {ran.returncode}: {ran.stderr}")
        return ran.stdout

    def kubectl_json(self, *arguments: str, stdin: str | None = None, namespace: str | None = None) -> Any:
        """Run kubectl with `--output=json`, and return what it printed, decoded."""
        return json.loads(self.kubectl(*arguments, "--output=json", stdin=stdin, namespace=namespace))

    @property
    def environment(self) -> dict[str, str]:
        """The environment for a program that is to find this cluster, and no cluster of the developer's."""
        # kubectl caches discovery in HOME: one cluster's must not be another's.
        return os.environ | {"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.directory)}

    def api(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Ask the API server directly: milliseconds, where kubectl takes a tenth of a second."""
        return self.client.call(method, path, body, content_type)

    def token(self, namespace: str, service_account: str, hours: int = 1) -> str:
        """A new token of a service account, good for so long."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        return str(self.api("POST", path, {"spec": {"expirationSeconds": hours * 3600}})["status"]["token"])

    def client_of(self, token: str) -> Api:
        """The API as the bearer of another token may use it."""
        return Api(self.client.host, self.client.port, token, self.client.authority, self.netns)

    def wait(self, path: str, reached: Callable[[Object], Any], seconds: float = 60) -> Object:
        """Watch one object until it is as wanted, and return it. It need not exist yet, nor the API server run."""
        last: Object = {}
        for kind, seen in self._changes(path, seconds):
            last = seen
            if kind != "DELETED" and reached(seen):
                return seen
        raise AssertionError(
            f"waited {seconds:g} s for {path}; last seen: {json.dumps(last.get('status', last))[:2000]}"
        )

    def wait_gone(self, path: str, seconds: float = 60) -> None:
        """Watch one object until it is deleted; one that is not there is gone already."""
        for kind, _ in self._changes(path, seconds):
            if kind == "DELETED":
                return
        raise AssertionError(f"waited {seconds:g} s for {path} to be gone")

    def wait_condition(self, path: str, condition: str, seconds: float = 60) -> Object:
        """Watch one object until it has this condition with status True, for its present generation."""

        def holds(seen: Object) -> bool:
            generation = seen.get("status", {}).get("observedGeneration", seen["metadata"].get("generation"))
            return generation == seen["metadata"].get("generation") and any(
                each["type"] == condition and each["status"] == "True"
                for each in seen.get("status", {}).get("conditions") or []
            )

        return self.wait(path, holds, seconds)

    def _changes(self, path: str, seconds: float) -> Iterator[tuple[str, Object]]:
        """What happens to one object until the deadline: as it is now, then each change, over lost connections."""
        end = time.monotonic() + seconds
        collection, _, name = path.rpartition("/")
        selected = f"{collection}?fieldSelector=metadata.name%3D{name}"
        while (left := end - time.monotonic()) > 0:
            try:
                listed = self.api("GET", selected)
                for item in listed["items"]:
                    yield "ADDED", item
                if not listed["items"]:
                    yield "DELETED", {}
                version = listed["metadata"]["resourceVersion"]
                # At least a second, and at the most one second late.
                for event in self.client.watch(f"{selected}&resourceVersion={version}", max(1, round(left))):
                    if event["type"] == "ERROR":
                        break
                    yield event["type"], event["object"]
            except ConnectionError:
                waiting.until("the API server to be ready", self._ready, max(1, end - time.monotonic()))

    def _ready(self) -> bool:
        try:
            return bool(self.api("GET", "/readyz") == "ok")
        except ApiError:
            return False

    def ask_renewal(self, namespace: str, certificate: str) -> int:
        """Do as `cmctl renew` does, which is only a status write; returns the revision so far."""
        path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates/{certificate}"

        def asked() -> Object | None:
            try:
                return self._write_issuing(path)
            except ApiError as error:
                # cert-manager may be writing the same status.
                if error.status != CONFLICT:
                    raise
                return None

        return int(waiting.until(f"{path}/status to be written", asked, 10)["status"].get("revision", 0))

    def _write_issuing(self, path: str) -> Object:
        """Write the condition by which cert-manager renews, and return the Certificate as it was."""
        found: Object = self.api("GET", path)
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        others = [each for each in found["status"].get("conditions", []) if each["type"] != "Issuing"]
        found["status"]["conditions"] = [
            *others,
            {
                "type": "Issuing",
                "status": "True",
                "reason": "ManuallyTriggered",
                "message": "Certificate re-issuance manually triggered",
                "lastTransitionTime": now,
                "observedGeneration": found["metadata"]["generation"],
            },
        ]
        self.api("PUT", f"{path}/status", found)
        return found

    def renew(self, namespace: str, certificate: str, seconds: float = 60) -> Object:
        """Renew a certificate and return its Certificate once its revision, dates and Secret are of the new issuance.

        cert-manager writes the dates (its readiness controller) and the revision (its issuing controller) in any order.
        """
        before = self.ask_renewal(namespace, certificate)
        path = f"/apis/cert-manager.io/v1/namespaces/{namespace}/certificates/{certificate}"

        def dates_of_secret(seen: Object) -> bool:
            secret = self.api("GET", f"/api/v1/namespaces/{namespace}/secrets/{seen['spec']['secretName']}")
            leaf = x509.load_pem_x509_certificate(base64.b64decode(secret["data"]["tls.crt"]))
            not_before: str = seen["status"]["notBefore"]
            return dt.datetime.fromisoformat(not_before) == leaf.not_valid_before_utc

        def issued(seen: Object) -> bool:
            conditions = {each["type"]: each["status"] for each in seen["status"].get("conditions", [])}
            revision: int = seen["status"].get("revision", 0)
            return (
                revision > before
                and conditions.get("Ready") == "True"
                and "Issuing" not in {kind for kind, status in conditions.items() if status == "True"}
                and dates_of_secret(seen)
            )

        return self.wait(path, issued, seconds)

    def presented(self, host: str, port: int, server_name: str) -> x509.Certificate:
        """The certificate that a server presents, seen in a TLS 1.3 handshake without a client's key."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            self.connect(host, port) as plain,
            context.wrap_socket(plain, server_hostname=server_name) as encrypted,
        ):
            der = encrypted.getpeercert(binary_form=True)
        assert der is not None
        return x509.load_der_x509_certificate(der)

    def audit_events(self, user: str | None = None) -> list[Object]:
        """What was asked of the API server so far, by all or by one user: the proof of what was never read."""
        with self.audit_log.open() as lines:
            # The server may be in the midst of writing the last line.
            events = [json.loads(line) for line in lines if line.endswith("\n")]
        # Nobody is named where who asked could not be told: 401.
        return [event for event in events if user in (None, event["user"].get("username"))]

    def kill(self, component: str) -> None:
        """End a component with SIGKILL. Mark such a test `serial`, and start the component again."""
        self._control("kill", component)

    def start(self, component: str) -> int:
        """Start a killed component, wait until it answers, and return its process number."""
        return int(self._control("start", component))

    def pid(self, component: str) -> int:
        """The process number of a component."""
        pids = self._control("pids", "")
        if component not in pids:
            raise AssertionError(f"{component} does not run; those that do: {', '.join(pids)}")
        return int(pids[component])

    def restore(self) -> list[str]:
        """Start every component that does not run, and return their names."""
        return list(self._control("restore", ""))

    def _control(self, what: str, component: str) -> Any:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.directory / "control.sock"))
            with connection.makefile("rw") as stream:
                stream.write(json.dumps({"do": what, "component": component}) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
        if "error" in answer:
            raise AssertionError(f"{what} {component}: {answer['error']}")
        return answer["answer"]
