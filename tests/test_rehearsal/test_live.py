"""The embedded cluster on sockets."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from certlag.errors import ClusterError
from certlag.kube.client import ClusterClient
from rehearsal.cluster import EmbeddedCluster
from rehearsal.live.cluster import LiveCluster, background
from rehearsal.live.loopback import KUBELET_PORT, LoopbackNetwork

NODES = "/api/v1/nodes"


def client_of(live: LiveCluster, folder: Path) -> ClusterClient:
    live.write_kubeconfig(folder / "kubeconfig", "default")
    return ClusterClient.connect(kubeconfig=str(folder / "kubeconfig"))


def test_its_kubeconfig_is_for_its_owner_only(tmp_path: Path) -> None:
    with background() as live:
        client_of(live, tmp_path).close()
    assert (tmp_path / "kubeconfig").stat().st_mode & 0o077 == 0


def test_nothing_of_it_is_left_when_it_ends(tmp_path: Path) -> None:
    with background() as live:
        client = client_of(live, tmp_path)
        assert len(client.get(NODES, {})["items"]) == 2
        port = live.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    with pytest.raises(ClusterError):
        client.get(NODES, {})


def test_a_watch_is_cut_when_all_connections_are_dropped(tmp_path: Path) -> None:
    with background() as live:
        client = client_of(live, tmp_path)
        with pytest.raises(ClusterError):
            watch_and(client, lambda: live.call(lambda _cluster: live.http.drop_connections()))
        assert len(client.get(NODES, {})["items"]) == 2


def watch_and(client: ClusterClient, act: Callable[[], None]) -> None:
    """Watch, and do something after the first event."""
    with client.stream(NODES, {"watch": "1"}) as lines:
        next(lines)
        act()
        list(lines)


def test_a_watch_ends_when_the_server_ends_it(tmp_path: Path) -> None:
    with background() as live:
        client = client_of(live, tmp_path)
        with client.stream(NODES, {"watch": "1"}) as lines:
            next(lines)
            live.call(lambda cluster: cluster.api.drop_watches())
            assert len(list(lines)) <= 1
        client.close()


def test_two_clusters_do_not_take_the_same_addresses() -> None:
    def first(cluster: EmbeddedCluster) -> str:
        return cluster.network.assign()

    with background() as one, background() as other:
        addresses = {live.call(first).rpartition(".")[0] for live in (one, other)}
    assert len(addresses) == 2


def test_a_block_of_addresses_is_free_again_when_its_cluster_has_ended() -> None:
    with background() as live:
        prefix = live.call(lambda cluster: cluster.network.assign()).rpartition(".")[0]
        with pytest.raises(OSError, match="in use"):
            socket.create_server((f"{prefix}.1", KUBELET_PORT))
    socket.create_server((f"{prefix}.1", KUBELET_PORT)).close()


def test_an_address_is_given_again_only_after_all_others() -> None:
    def twice(cluster: EmbeddedCluster) -> tuple[str, str]:
        network = cluster.network
        assert isinstance(network, LoopbackNetwork)
        taken = network.assign()
        network.release(taken)
        return taken, network.assign()

    with background() as live:
        before, after = live.call(twice)
    assert before != after
