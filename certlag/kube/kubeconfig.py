"""The way to the cluster, as kubectl finds it: touches kubeconfig files, a pod's own files, and exec plugins.

The only module that knows the `kubernetes` package, which reads all these, keeps tokens fresh, and makes connection
pools and TLS of them. Its typed models and its Watch are not used: docs/decisions/0004-watch.md has the figures.
"""

import os
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import urllib3
import yaml
from kubernetes import config as kubernetes_config
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject, should_bypass_proxies
from kubernetes.config import incluster_config
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigLoader, KubeConfigMerger
from urllib3.exceptions import HTTPError
from urllib3.util import create_urllib3_context

from certlag.config.urls import http_url, is_private, without_credentials
from certlag.errors import ClusterConfigError, ClusterError, ClusterErrorReason
from certlag.kube.credential import Credential, describe
from certlag.kube.deadline import PlainConnection

POOL = 32
"""Connections that are kept; more watches than that are served anyway."""

_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Access:
    """A way to a cluster, loaded once; its tokens are kept fresh by the package where it does so.

    Attributes:
        namespace: where the user works by default.
        context: the kubeconfig's context; None in a pod.
        user: the context's user; None in a pod, or if it has none.
        settings: the user's, in a kubeconfig's words.
    """

    configuration: Configuration
    namespace: str
    context: str | None
    user: str | None
    settings: Mapping[str, Any]
    loader: KubeConfigLoader | None = None

    @property
    def server(self) -> str:
        """The API server's URL, which is shown."""
        return str(self.configuration.host)

    @property
    def in_cluster(self) -> bool:
        """Whether this is a pod's own way."""
        return self.loader is None

    @property
    def credential(self) -> Credential:
        """What requests are authenticated with at present."""
        certificate = None
        with suppress(OSError, TypeError):  # there is no client certificate, or its file is gone
            certificate = Path(self.configuration.cert_file).read_bytes()
        return describe(
            self.settings,
            token=self.configuration.api_key.get("BearerToken"),
            certificate=certificate,
            expires_at=getattr(self.loader, "expiry", None),
        )

    def authorization(self) -> dict[str, str]:
        """Return the Authorization header; the package re-reads tokens and runs exec plugins here.

        Without TLS there is none, as of kubectl (client-go, clientcmd/client_config.go), unless it stays on this
        machine.

        Raises:
            ClusterError: there is no token that can be sent.
        """
        if not is_private(urlsplit(self.server)):
            return {}
        try:
            settings = self.configuration.auth_settings()
        except (kubernetes_config.ConfigException, OSError, ValueError) as error:
            raise ClusterError(ClusterErrorReason.UNAUTHORIZED, f"no credentials: {error}") from error
        # A token file's last newline comes along with the token (measured with release 37).
        headers = {entry["key"]: str(entry["value"]).strip() for entry in settings.values() if entry["value"]}
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise ClusterError(ClusterErrorReason.UNAUTHORIZED, "no credentials: the token is not one line of ASCII")
        return headers

    def pool(self) -> urllib3.PoolManager:
        """Make a pool of connections.

        Raises:
            ClusterConfigError: the kubeconfig's proxy-url can't be used; it may hold a password, and is not repeated.
        """
        try:
            made: urllib3.PoolManager = RESTClientObject(self.configuration).pool_manager
        except HTTPError as error:
            raise ClusterConfigError("no way to a cluster: proxy-url must be one of http:// or https://") from error
        return made

    def connect(self, timeout: float) -> socket.socket:
        """Connect a socket as the pool does: through the same proxy, by the same certificates.

        Args:
            timeout: seconds for each step; a proxy's answer keeps the `Deadline` under which this is called.

        Raises:
            HTTPError, HTTPException: not connected, or a proxy that did not answer as one.
            OSError, ValueError: the same; certificates that can't be read, or a proxy that can't be used.
        """
        url, proxy = urlsplit(self.server), self._proxy()
        host, port = str(url.hostname), url.port or {"http": 80, "https": 443}[url.scheme]
        name = self.configuration.tls_server_name or host
        connection = PlainConnection(*(proxy or (host, port)), timeout=timeout)
        if proxy:
            connection.set_tunnel(host, port)
        with ExitStack() as failed:
            failed.callback(connection.close)
            connection.connect()
            connected: socket.socket = connection.sock
            if url.scheme == "https":
                connected = self._tls().wrap_socket(connected, server_hostname=name)
            failed.pop_all()
        return connected

    def _tls(self) -> ssl.SSLContext:
        """Return what the pool makes of the same configuration."""
        given = self.configuration
        context = create_urllib3_context(cert_reqs=ssl.CERT_REQUIRED if given.verify_ssl else ssl.CERT_NONE)
        if given.ssl_ca_cert:
            context.load_verify_locations(given.ssl_ca_cert)
        else:
            context.load_default_certs()
        if given.cert_file:
            context.load_cert_chain(given.cert_file, given.key_file)
        return context

    def _proxy(self) -> tuple[str, int] | None:
        """Return the host and port of the proxy, if there is one on the way."""
        given = self.configuration
        if not given.proxy or should_bypass_proxies(given.host, given.no_proxy or ""):
            return None
        url = urlsplit(given.proxy)
        if url.scheme == "https":
            raise ValueError("a port-forward cannot pass a proxy that wants TLS itself")
        return str(url.hostname), url.port or 80


def finder(kubeconfig: str | None, context: str | None) -> Callable[[], Access]:
    """Return what loads the way to the cluster, each time again: in a pod its own, else the kubeconfig's.

    It raises ClusterConfigError if there is none.
    """
    if kubeconfig is None and context is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _from_a_pod
    return lambda: _from_a_kubeconfig(kubeconfig, context)


def _from_a_pod() -> Access:
    """Load what the kubelet puts into a pod.

    Raises:
        ClusterConfigError: it is not there.
    """
    configuration = Configuration()
    with _config_errors():
        namespace = _NAMESPACE_FILE.read_text(encoding="utf-8").strip()
        kubernetes_config.load_incluster_config(client_configuration=configuration)
    settings = {"tokenFile": incluster_config.SERVICE_TOKEN_FILENAME}
    return Access(_ours(configuration), namespace, context=None, user=None, settings=settings)


def _from_a_kubeconfig(file: str | None, context: str | None) -> Access:
    """Load a context; exec plugins run.

    Raises:
        ClusterConfigError: there is none.
    """
    configuration = Configuration()
    with _config_errors():
        place = file or os.environ.get("KUBECONFIG", KUBE_CONFIG_DEFAULT_LOCATION)
        merged = KubeConfigMerger(place)
        if merged.config is None:
            raise ClusterConfigError(f"no way to a cluster: there is no kubeconfig at {place}")
        loader = KubeConfigLoader(
            config_dict=merged.config,
            active_context=context,
            config_base_path=None,
            config_persister=merged.save_changes,  # an identity provider may take back the token that it replaces
        )
        chosen = loader.current_context
        cluster = merged.config["clusters"].get_with_name(chosen["context"]["cluster"]).value["cluster"]
        _server(str(cluster["server"]))  # before the package, which may repeat it
        loader.load_and_set(configuration)
        user = chosen["context"].get("user")
        found = merged.config["users"].get_with_name(user, safe=True) if user else None
        return Access(
            _ours(configuration),
            namespace=chosen["context"].get("namespace") or "default",
            context=chosen["name"],
            user=user,
            settings=found.value["user"] or {} if found else {},
            loader=loader,
        )


def _ours(configuration: Configuration) -> Configuration:
    """Put right what the package leaves as it stands in the kubeconfig.

    Raises:
        ClusterConfigError: the server is none; it may hold a password, and is not repeated.
    """
    configuration.host = _server(str(configuration.host))
    configuration.connection_pool_maxsize = POOL
    # The package re-sends a request as often as Retry-After asks, inside the call. The caller is the one place
    # that waits.
    configuration.retries = False
    configuration.keep_alive = True
    return configuration


def _server(host: str) -> str:
    """Return the API server's URL, without a password, which no request of ours would send.

    One without a scheme is of http, as that of `kubectl proxy`.

    Raises:
        ClusterConfigError: it is none.
    """
    url = http_url(host if "://" in host else f"http://{host}")
    if url is None:
        raise ClusterConfigError("no way to a cluster: server must be the http:// or https:// URL of a host")
    return without_credentials(url)


@contextmanager
def _config_errors() -> Iterator[None]:
    """Translate what the package raises: of a file that is YAML but no kubeconfig, whatever it stumbles over."""
    try:
        yield
    except yaml.YAMLError as error:  # which repeats what it stumbles over: it may be a token
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise ClusterConfigError(f"no way to a cluster: the kubeconfig is not YAML{where}") from error
    except (
        kubernetes_config.ConfigException,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
    ) as error:
        raise ClusterConfigError(f"no way to a cluster: {error}") from error


def contexts(kubeconfig: str | None) -> tuple[str, ...]:
    """Return the names of a kubeconfig's contexts; None for the one that kubectl would read.

    Raises:
        ClusterConfigError: it cannot be read.
    """
    with _config_errors():
        found, _ = kubernetes_config.list_kube_config_contexts(config_file=kubeconfig)
        return tuple(str(each["name"]) for each in found)
