"""How many endpoints a pod may have, whoever made it."""

import pytest

from exporter.model import DiscoveryProbe, Port
from exporter.targets import MAX_ENDPOINTS, endpoints
from tests.builders import a_certificate, a_container, a_pod


@pytest.mark.fault("H8")
@pytest.mark.parametrize("probe", [DiscoveryProbe.ANNOTATED, DiscoveryProbe.DECLARED_PORTS])
def test_ports_that_every_container_declares_cost_64_handshakes(probe: DiscoveryProbe) -> None:
    """One word of the annotation names a port of each container; declared, all of them count without any word."""
    ports = tuple(Port("tls", number) for number in range(1, 101))
    containers = tuple(a_container(f"c{number}", id=f"id-{number}", ports=ports) for number in range(100))
    found = endpoints(a_pod("wide", *containers, probe_ports=("tls",)), a_certificate(), None, probe)
    assert found is not None
    assert len(found) == MAX_ENDPOINTS == 64


@pytest.mark.fault("H8")
def test_a_container_that_declares_all_ports_is_read_in_a_moment() -> None:
    """Compared port by port with itself for each of its ports, it would take minutes."""
    every = a_container(ports=tuple(Port("", number) for number in range(1, 65536)))
    found = endpoints(a_pod("wide", every), a_certificate(), None, DiscoveryProbe.DECLARED_PORTS)
    assert found is not None
    assert [each.port for each in found] == list(range(1, 65))
