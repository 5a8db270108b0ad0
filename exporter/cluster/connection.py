"""The connection to the API server: the only module that knows the `kubernetes` package and urllib3.

The package finds the cluster (kubeconfig, in-cluster files), keeps credentials fresh and holds the connection
pool. Its typed models and its Watch are not used: docs/decisions/0004-watch.md has the figures. Whatever it or
urllib3 raises is translated here, once, into `ClusterError`. Reading is `cluster.client`'s; `send` is for those few
modules of the runbook that the import contract names.
"""

import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import urllib3
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject, should_bypass_proxies
from kubernetes.config import incluster_config
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigLoader, KubeConfigMerger
from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.util import create_urllib3_context
from websocket import WebSocketBadStatusException, WebSocketException, WebSocketTimeoutException

from exporter.clock import Clock, SystemClock
from exporter.cluster.credential import Credential, describe
from exporter.cluster.port_forward import ForwardedConnection, open_websocket
from exporter.errors import ClusterConfigError, ClusterError, ClusterErrorReason
from exporter.version import VERSION

POOL = 32
"""Connections that are kept; more watches than that are served all the same."""
CONNECT_TIMEOUT = 5.0
MAX_BODY = 256 * 1024 * 1024
"""Bytes of one answer: far more than a page of a list can have, far less than would exhaust a machine."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_USER_AGENT = f"certlag/{VERSION}"

_STATUS_REASONS = {
    401: ClusterErrorReason.UNAUTHORIZED,
    403: ClusterErrorReason.FORBIDDEN,
    404: ClusterErrorReason.NOT_FOUND,
    410: ClusterErrorReason.EXPIRED,
    429: ClusterErrorReason.THROTTLED,
}

Given = TypeVar("Given")

Response = urllib3.BaseHTTPResponse
"""An answer whose body may still be on its way."""


@dataclass(frozen=True)
class _Access:
    """A way to a cluster, as it was found: `settings` are the user's, in a kubeconfig's words."""

    configuration: Configuration
    namespace: str
    context: str | None
    user: str | None
    settings: Mapping[str, Any]
    loader: KubeConfigLoader | None = None


class Connection:
    """Requests to one API server, from any thread."""

    def __init__(self, load: Callable[[], _Access], clock: Clock) -> None:
        """Connect by what `load` returns; it is called again for fresh credentials when they are refused."""
        self._load = load
        self._clock = clock
        self._access = load()
        self._pool = _pool(self._access.configuration)
        self._open: set[Response] = set()
        self.server: str = self._access.configuration.host
        self.namespace = self._access.namespace
        self.context = self._access.context
        self.user = self._access.user
        self.in_cluster = self._access.loader is None
        self.clock_skew: timedelta | None = None
        """The server's `Date` less our clock, at the last answer; None before the first.

        `Date` has whole seconds, and is as old as the answer took to come (RFC 9110 §6.6.1): it tells a wrong clock,
        not a late one.
        """

    @classmethod
    def find(
        cls, *, kubeconfig: str | None = None, context: str | None = None, clock: Clock | None = None
    ) -> "Connection":
        """Find the cluster as kubectl does: in a pod its own, else the kubeconfig.

        Args:
            kubeconfig: path of a kubeconfig; default: $KUBECONFIG, then ~/.kube/config.
            context: a context in it; default: its current one.
            clock: what the server's clock is compared with; default: the machine's.

        Raises:
            ClusterConfigError: there is no way to a cluster.
        """
        in_cluster = kubeconfig is None and context is None and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
        load = _from_a_pod if in_cluster else lambda: _from_a_kubeconfig(kubeconfig, context)
        return cls(load, clock or SystemClock())

    @property
    def credential(self) -> Credential:
        """What requests are authenticated with at present."""
        configuration, loader = self._access.configuration, self._access.loader
        certificate = None
        with suppress(OSError, TypeError):  # no client certificate, or its file is gone
            certificate = Path(configuration.cert_file).read_bytes()
        return describe(
            self._access.settings,
            token=configuration.api_key.get("BearerToken"),
            certificate=certificate,
            expires_at=getattr(loader, "expiry", None),
        )

    @contextmanager
    def request(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, str],
        *,
        accept: str = "application/json",
        body: bytes | None = None,
        content_type: str | None = None,
        timeout: float,
    ) -> Iterator[Response]:
        """Ask once and yield the answer, whose body was not read yet; any 2xx is one.

        Args:
            method: of HTTP.
            path: on the server.
            parameters: the query.
            accept: the media type that is wanted.
            body: what is sent along.
            content_type: its media type.
            timeout: seconds without a byte before it is given up.

        Raises:
            ClusterError: there is no answer, it is a refusal, or it broke off while it was read. Refused credentials
                are loaded anew for the next request.
        """
        headers = {"Accept": accept, "User-Agent": _USER_AGENT, **self._authorization()}
        if content_type is not None:
            headers["Content-Type"] = content_type
        try:
            response = self._pool.request(
                method,
                _url(self.server, path, parameters),
                body=body,
                headers=headers,
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, timeout), read=timeout),
                preload_content=False,
                redirect=False,
            )
        except HTTPError as error:
            raise _unreachable(path, error) from error
        self._open.add(response)
        try:
            self._compare_clocks(response.headers.get("Date", ""))
            if response.status == 401:
                self._refresh_credentials()
            if not 200 <= response.status < 300:
                raise _refused(path, response)
            yield response
        except HTTPError as error:
            raise _unreachable(path, error, status=response.status) from error
        finally:
            self._open.discard(response)
            # A response that was read to its end gives its connection back; any other is of no more use.
            if response.closed:
                response.release_conn()
            else:
                response.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Any,
        content_type: str,
        parameters: Mapping[str, str] | None = None,
        timeout: float = 10.0,
    ) -> Any:
        """Change something: JSON in and out.

        Sent once; only if the credentials were refused, which means that nothing was done, once more with fresh ones.

        Args:
            method: of HTTP.
            path: on the server.
            body: a JSON document.
            content_type: its media type: which kind of patch it is.
            parameters: the query.
            timeout: seconds without a byte before it is given up.

        Raises:
            ClusterError: it was refused (`refused`), or it may or may not have been done.
        """
        encoded = json.dumps(body).encode()

        def exchange() -> Any:
            with self.request(
                method, path, parameters or {}, body=encoded, content_type=content_type, timeout=timeout
            ) as response:
                return document(path, response)

        return _twice_if_unauthorized(exchange)

    def port_forward(self, namespace: str, pod: str, port: int, *, timeout: float) -> ForwardedConnection:
        """Connect to a port of a pod, through the API server. Needs `get` and `create` on pods/portforward.

        Args:
            namespace: the pod's.
            pod: its name.
            port: the number on which something listens on the pod's loopback.
            timeout: seconds for each step of connecting, and for later calls until they are given others.

        Raises:
            ClusterError: the API server was not reached or refused.
        """
        path = f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(pod)}/portforward"

        def connect() -> ForwardedConnection:
            configuration = self._access.configuration
            url = _url(self.server, path, {"ports": str(port)}).replace("http", "ws", 1)
            headers = {"User-Agent": _USER_AGENT, **self._authorization()}
            try:
                websocket = open_websocket(
                    url,
                    headers,
                    tls=_tls(configuration),
                    proxy=_proxy(configuration),
                    timeout=min(CONNECT_TIMEOUT, timeout),
                )
            except WebSocketBadStatusException as error:
                if error.status_code == 401:
                    self._refresh_credentials()
                raise _not_upgraded(path, error) from error
            except (WebSocketException, OSError, ValueError) as error:
                raise _not_forwarded(path, error) from error
            return ForwardedConnection(websocket, timeout)

        return _twice_if_unauthorized(connect)

    def close(self) -> None:
        """End every answer that is being read: whoever waits for it gets a `ClusterError` now."""
        for response in tuple(self._open):
            with suppress(ValueError, RuntimeError, OSError):  # it has just ended by itself
                response.shutdown()

    def _compare_clocks(self, date: str) -> None:
        with suppress(ValueError, TypeError):  # no date, or none that can be read
            said = parsedate_to_datetime(date)
            self.clock_skew = said.replace(tzinfo=said.tzinfo or UTC) - self._clock.now()

    def _refresh_credentials(self) -> None:
        """Read tokens and run exec plugins anew: the package does so only when its copy is a minute old, or never.

        New connections too: a client certificate belongs to the old ones.
        """
        with suppress(ClusterConfigError):  # the request that was refused says all there is to say
            access = self._load()
            former, self._access, self._pool = self._pool, access, _pool(access.configuration)
            former.clear()

    def _authorization(self) -> dict[str, str]:
        """Return the Authorization header; the package re-reads tokens and runs exec plugins here."""
        try:
            settings = self._access.configuration.auth_settings()
        except (kubernetes_config.ConfigException, OSError, ValueError) as error:
            raise ClusterError(ClusterErrorReason.UNAUTHORIZED, f"no credentials: {error}") from error
        # A token file's last newline comes along with the token (measured with release 37).
        headers = {entry["key"]: str(entry["value"]).strip() for entry in settings.values() if entry["value"]}
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise ClusterError(ClusterErrorReason.UNAUTHORIZED, "no credentials: the token is not one line of ASCII")
        return headers


def document(path: str, response: Response) -> Any:
    """Read an answer as JSON.

    Raises:
        ClusterError: it has more than `MAX_BODY` bytes, or is no JSON.
    """
    body = response.read(MAX_BODY + 1)
    if len(body) > MAX_BODY:
        raise _garbled(f"{path}: more than {MAX_BODY} bytes", response)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _garbled(f"{path}: not JSON: {error}", response) from error


# --- the way to the cluster -----------------------------------------------------------------------


def _from_a_pod() -> _Access:
    """Load what the kubelet puts into a pod.

    Raises:
        ClusterConfigError: it is not there.
    """
    configuration = Configuration()
    with _config_errors():
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        kubernetes_config.load_incluster_config(client_configuration=configuration)
    settings = {"tokenFile": incluster_config.SERVICE_TOKEN_FILENAME}
    return _Access(_ours(configuration), namespace, context=None, user=None, settings=settings)


def _from_a_kubeconfig(file: str | None, context: str | None) -> _Access:
    """Load a context; exec plugins run.

    Raises:
        ClusterConfigError: there is none.
    """
    configuration = Configuration()
    with _config_errors():
        merged = KubeConfigMerger(file or KUBE_CONFIG_DEFAULT_LOCATION)
        if merged.config is None:
            raise ClusterConfigError("no way to a cluster: there is no kubeconfig")
        loader = KubeConfigLoader(
            config_dict=merged.config,
            active_context=context,
            config_base_path=None,
            config_persister=merged.save_changes,  # an identity provider may take back the token that it replaces
        )
        loader.load_and_set(configuration)
        chosen = loader.current_context
        user = chosen["context"].get("user")
        found = merged.config["users"].get_with_name(user, safe=True) if user else None
        return _Access(
            _ours(configuration),
            namespace=chosen["context"].get("namespace") or "default",
            context=chosen["name"],
            user=user,
            settings=found.value["user"] or {} if found else {},
            loader=loader,
        )


def _ours(configuration: Configuration) -> Configuration:
    configuration.connection_pool_maxsize = POOL
    # The package re-sends a request as often as Retry-After asks, inside the call. Whoever calls is the one place
    # that waits.
    configuration.retries = False
    configuration.keep_alive = True
    return configuration


def _pool(configuration: Configuration) -> urllib3.PoolManager:
    pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager
    return pool


@contextmanager
def _config_errors() -> Iterator[None]:
    """Translate what the package raises: of a file that is YAML but no kubeconfig, whatever it stumbles over."""
    try:
        yield
    except (
        kubernetes_config.ConfigException,
        yaml.YAMLError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        raise ClusterConfigError(f"no way to a cluster: {error}") from error


# --- the same way for a WebSocket -----------------------------------------------------------------


def _tls(configuration: Configuration) -> dict[str, Any]:
    """Return `sslopt` of websocket-client: what the pool makes of the same configuration."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE)
    if configuration.ssl_ca_cert:
        context.load_verify_locations(configuration.ssl_ca_cert)
    else:
        context.load_default_certs()
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return {"context": context, "server_hostname": configuration.tls_server_name}


def _proxy(configuration: Configuration) -> dict[str, Any]:
    """Return websocket-client's options for a proxy. It is kept from looking for one by itself: it has other rules."""
    if not configuration.proxy or should_bypass_proxies(configuration.host, configuration.no_proxy or ""):
        return {"http_no_proxy": ["*"]}
    url = urlsplit(configuration.proxy)
    if url.scheme == "https":
        raise ValueError("a port-forward cannot pass a proxy that wants TLS itself")
    return {
        "proxy_type": url.scheme,
        "http_proxy_host": url.hostname,
        "http_proxy_port": url.port or 80,
        "http_no_proxy": ["-"],  # no host's name, but not nothing: that would mean $NO_PROXY
    }


# --- answers and errors ---------------------------------------------------------------------------


def _url(server: str, path: str, parameters: Mapping[str, str]) -> str:
    return f"{server}{path}?{urlencode(parameters)}" if parameters else server + path


def _twice_if_unauthorized(attempt: Callable[[], Given]) -> Given:
    try:
        return attempt()
    except ClusterError as error:
        if error.status != 401:
            raise
    return attempt()


def _refused(path: str, response: Response) -> ClusterError:
    body = response.read(2048, decode_content=True)
    return _refusal(path, response.status, body, response.headers.get("Retry-After", ""))


def _not_upgraded(path: str, error: WebSocketBadStatusException) -> ClusterError:
    headers = error.resp_headers or {}
    return _refusal(path, error.status_code, (error.resp_body or b"")[:2048], headers.get("retry-after", ""))


def _refusal(path: str, status: int, body: bytes, retry_after: str) -> ClusterError:
    return ClusterError(
        _STATUS_REASONS.get(status, ClusterErrorReason.SERVER_ERROR),
        f"{path}: HTTP {status}: {body.decode(errors='replace')}",
        status=status,
        retry_after=float(retry_after) if retry_after.isdecimal() else None,
    )


def _unreachable(path: str, error: HTTPError, *, status: int | None = None) -> ClusterError:
    timed_out = isinstance(error, ReadTimeoutError)
    reason = ClusterErrorReason.TIMEOUT if timed_out else ClusterErrorReason.UNREACHABLE
    return ClusterError(reason, f"{path}: {error}", status=status)


def _not_forwarded(path: str, error: Exception) -> ClusterError:
    timed_out = isinstance(error, TimeoutError | WebSocketTimeoutException)
    reason = ClusterErrorReason.TIMEOUT if timed_out else ClusterErrorReason.UNREACHABLE
    return ClusterError(reason, f"{path}: {error}")


def _garbled(detail: str, response: Response) -> ClusterError:
    return ClusterError(ClusterErrorReason.GARBLED, detail, status=response.status)
