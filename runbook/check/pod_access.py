"""How the pods of a target are reached for a handshake: directly, or through the API server's port-forward.

A laptop has no way to the pods' addresses, and one to the API server; inside the cluster it is the other way about.
"""

import socket
from enum import StrEnum

from certlag.kube.transport import Connection
from certlag.model import Endpoint
from certlag.tls.handshake import Connect, connect_tcp
from runbook.kube.port_forward import ForwardedConnection, port_forward


class Reach(StrEnum):
    """The ways to a pod."""

    AUTO = "auto"
    DIRECT = "direct"
    PORT_FORWARD = "port-forward"


def chosen(reach: Reach, connection: Connection) -> Reach:
    """Return the way that is taken: inside the cluster directly, else by port-forward."""
    if reach is not Reach.AUTO:
        return reach
    return Reach.DIRECT if connection.in_cluster else Reach.PORT_FORWARD


def connect_by(reach: Reach, connection: Connection) -> Connect:
    """Return what connects to an endpoint that way; see `certlag.tls.handshake.probe`."""

    def forward(endpoint: Endpoint, timeout: float) -> socket.socket | ForwardedConnection:
        pod = endpoint.pod
        return port_forward(connection, pod.namespace, pod.name, endpoint.port, timeout=timeout)

    return connect_tcp if chosen(reach, connection) is Reach.DIRECT else forward
