"""The connection to the API server: the only module that knows the `kubernetes` package.

The package finds the cluster (kubeconfig, in-cluster files), keeps credentials fresh and holds the connection
pool. Its typed models and its Watch are not used: docs/decisions/0004-watch.md has the figures. Whatever it or
urllib3 raises is translated here, once, into `ClusterError`.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import urllib3
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from urllib3.exceptions import HTTPError, ReadTimeoutError

from exporter.errors import ClusterConfigError, ClusterError, ClusterErrorReason

POOL = 32
"""Connections that are kept; more watches than that are served all the same."""
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 75.0
"""Seconds without a byte before a watch is given up: the server sends bookmarks about once a minute."""

MAX_LINE = 16 * 1024 * 1024
"""Bytes of one watch event: etcd's own limit of an object is 1.5 MiB."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

_STATUS_REASONS = {
    401: ClusterErrorReason.UNAUTHORIZED,
    403: ClusterErrorReason.FORBIDDEN,
    404: ClusterErrorReason.NOT_FOUND,
    410: ClusterErrorReason.EXPIRED,
    429: ClusterErrorReason.THROTTLED,
}


class ClusterClient:
    """GET requests to one API server, from any thread."""

    def __init__(self, load: Callable[[], Configuration], namespace: str) -> None:
        """Connect by what `load` returns; it is called again for fresh credentials when they are refused."""
        self._load = load
        self._configuration = load()
        self._pool = RESTClientObject(self._configuration).pool_manager
        self.server: str = self._configuration.host
        self.namespace = namespace
        self._open: set[urllib3.BaseHTTPResponse] = set()

    @classmethod
    def connect(cls, *, kubeconfig: str | None = None, context: str | None = None) -> "ClusterClient":
        """Find the cluster as kubectl does: in a pod its own, else the kubeconfig.

        Args:
            kubeconfig: path of a kubeconfig; default: $KUBECONFIG, then ~/.kube/config.
            context: a context in it; default: its current one.

        Raises:
            ClusterConfigError: there is no way to a cluster.
        """
        in_cluster = kubeconfig is None and context is None and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        with _config_errors():
            namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip() if in_cluster else None
            if namespace is None:
                contexts, current = kubernetes_config.list_kube_config_contexts(config_file=kubeconfig)
                chosen = next((entry for entry in contexts if entry["name"] == context), current)
                namespace = chosen["context"].get("namespace") or "default"
        return cls(lambda: _configuration(kubeconfig, context, in_cluster=in_cluster), namespace)

    def get(self, path: str, parameters: Mapping[str, str], *, accept: str = "application/json") -> Any:
        """Return the JSON answer to one GET.

        Raises:
            ClusterError: there is none.
        """
        with self._request(path, parameters, accept) as response:
            body = response.read()
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ClusterError(ClusterErrorReason.GARBLED, f"{path}: not JSON: {error}") from error

    @contextmanager
    def stream(
        self, path: str, parameters: Mapping[str, str], *, accept: str = "application/json"
    ) -> Iterator[Iterator[bytes]]:
        """Open a watch: yields an iterator over its lines, which ends when the server ends the watch.

        Raises:
            ClusterError: it cannot be opened; or, while iterating, it broke or was silent for 75 s.
        """
        with self._request(path, parameters, accept) as response:
            yield _lines(response)

    def close(self) -> None:
        """End every answer that is being read: whoever waits for it gets a `ClusterError` now."""
        for response in tuple(self._open):
            with suppress(ValueError, RuntimeError, OSError):  # it has just ended by itself
                response.shutdown()

    @contextmanager
    def _request(self, path: str, parameters: Mapping[str, str], accept: str) -> Iterator[urllib3.BaseHTTPResponse]:
        try:
            response = self._pool.request(
                "GET",
                self.server + path,
                fields=dict(parameters),
                headers={"Accept": accept, **self._authorization()},
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=READ_TIMEOUT),
                preload_content=False,
                redirect=False,
            )
        except HTTPError as error:
            raise _unreachable(path, error) from error
        self._open.add(response)
        try:
            if response.status == 401:
                self._refresh_credentials()
            if response.status != 200:
                raise _refused(path, response)
            yield response
        except HTTPError as error:
            raise _unreachable(path, error) from error
        finally:
            self._open.discard(response)
            # A response that was read to its end gives its connection back; any other is of no more use.
            if response.isclosed():
                response.release_conn()
            else:
                response.close()

    def _refresh_credentials(self) -> None:
        """Read tokens and run exec plugins anew: the package does so only when its copy is a minute old, or never."""
        with suppress(ClusterConfigError):  # the request that was refused says all there is to say
            self._configuration = self._load()

    def _authorization(self) -> dict[str, str]:
        """Return the Authorization header; the package re-reads tokens and runs exec plugins here."""
        try:
            settings = self._configuration.auth_settings()
        except (kubernetes_config.ConfigException, OSError, ValueError) as error:
            raise ClusterError(ClusterErrorReason.UNAUTHORIZED, f"no credentials: {error}") from error
        # A token file's last newline comes along with the token (measured with release 37).
        headers = {entry["key"]: str(entry["value"]).strip() for entry in settings.values() if entry["value"]}
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise ClusterError(ClusterErrorReason.UNAUTHORIZED, "no credentials: the token is not one line of ASCII")
        return headers


def _configuration(kubeconfig: str | None, context: str | None, *, in_cluster: bool) -> Configuration:
    """Load the way to the cluster, with fresh credentials.

    Raises:
        ClusterConfigError: there is none.
    """
    configuration = Configuration()
    with _config_errors():
        if in_cluster:
            kubernetes_config.load_incluster_config(client_configuration=configuration)
        else:
            kubernetes_config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration
            )
    configuration.connection_pool_maxsize = POOL
    # The package re-sends a request as often as Retry-After asks, inside the call. The watch loop's backoff is the
    # one place that waits.
    configuration.retries = False
    configuration.keep_alive = True
    return configuration


@contextmanager
def _config_errors() -> Iterator[None]:
    """Translate what the package raises: of a file that is YAML but no kubeconfig, whatever it stumbles over."""
    try:
        yield
    except (kubernetes_config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, LookupError) as error:
        raise ClusterConfigError(f"no way to a cluster: {error}") from error


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """Split a stream into lines, in time linear in its length however it is cut into pieces."""
    pending: list[bytes] = []
    size = 0
    while data := response.read1(65536):
        *complete, rest = data.split(b"\n")
        for piece in complete:
            yield b"".join((*pending, piece))
            pending, size = [], 0
        pending.append(rest)
        size += len(rest)
        if size > MAX_LINE:
            raise ClusterError(ClusterErrorReason.GARBLED, f"a watch event of more than {MAX_LINE} bytes")
    if size:
        raise ClusterError(ClusterErrorReason.GARBLED, "the watch ended within an event")


def _refused(path: str, response: urllib3.BaseHTTPResponse) -> ClusterError:
    reason = _STATUS_REASONS.get(response.status, ClusterErrorReason.SERVER_ERROR)
    detail = response.read(2048, decode_content=True).decode(errors="replace")
    retry_after = response.headers.get("Retry-After", "")
    return ClusterError(
        reason,
        f"{path}: HTTP {response.status}: {detail}",
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )


def _unreachable(path: str, error: HTTPError) -> ClusterError:
    timed_out = isinstance(error, ReadTimeoutError)
    reason = ClusterErrorReason.TIMEOUT if timed_out else ClusterErrorReason.UNREACHABLE
    return ClusterError(reason, f"{path}: {error}")
