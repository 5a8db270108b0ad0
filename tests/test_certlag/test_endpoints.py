"""How many endpoints a pod may have, no matter who made it."""

from collections.abc import Iterator

import pytest

from certlag.endpoints import MAX_ENDPOINTS, endpoints
from certlag.kube.decode import MAX_PORTS, MAX_PROBE_PORTS
from certlag.model import DiscoveryProbe, Port
from tests.builders import a_certificate, a_container, a_pod
from tests.field.record import case


@pytest.mark.fault("H8")
@pytest.mark.parametrize("probe", [DiscoveryProbe.ANNOTATED, DiscoveryProbe.DECLARED_PORTS])
def test_ports_that_every_container_declares_cost_64_handshakes(probe: DiscoveryProbe) -> None:
    """One word of the annotation names a port of each container; declared, all of them count without any word."""
    ports = tuple(Port("tls", number) for number in range(1, 101))
    containers = tuple(a_container(f"c{number}", id=f"id-{number}", ports=ports) for number in range(100))
    found = endpoints(a_pod("wide", *containers, probe_ports=("tls",)), a_certificate(), None, probe)
    assert found is not None
    assert len(found) == MAX_ENDPOINTS == 64


@case(
    "W40",
    kind="Found by tests: a peer that used up time or memory",
    situation="A container declares 65,535 ports.",
    says="The first 64 are probed. Before: nothing was assessed for minutes.",
    found_by="test",
    since="2026-11-25",
)
@pytest.mark.fault("H8")
def test_a_container_that_declares_all_ports_is_read_in_a_moment() -> None:
    """Compared port by port with itself for each of its ports, it would take minutes."""
    every = a_container(ports=tuple(Port("", number) for number in range(1, 65536)))
    found = endpoints(a_pod("wide", every), a_certificate(), None, DiscoveryProbe.DECLARED_PORTS)
    assert found is not None
    assert [each.port for each in found] == list(range(1, 65))


class Counted(tuple[Port, ...]):  # noqa: SLOT001 - a tuple has no slots for it
    """Ports that count how often somebody goes through them."""

    looks = 0

    def __iter__(self) -> Iterator[Port]:
        self.looks += 1
        return super().__iter__()


@pytest.mark.fault("H8")
def test_ports_are_looked_through_once_however_many_are_looked_for() -> None:
    """A second for each assessment it was, of a pod with 100,000 ports and 64 in its annotation."""
    ports = Counted(Port(f"p{number}", number) for number in range(1, MAX_PORTS + 1))
    wanted = tuple(map(str, range(2000, 2000 + MAX_PROBE_PORTS)))
    found = endpoints(
        a_pod("wide", a_container(ports=ports), probe_ports=wanted), a_certificate(), None, DiscoveryProbe.ANNOTATED
    )
    assert found is not None
    assert [str(each.port) for each in found] == [*wanted]
    assert ports.looks == 1


def test_a_port_that_is_named_twice_is_asked_once() -> None:
    pod = a_pod(
        "wide", a_container(ports=(Port("tls", 443), Port("tls2", 444))), probe_ports=("443", "tls", "444", "tls")
    )
    found = endpoints(pod, a_certificate(), None, DiscoveryProbe.ANNOTATED)
    assert found is not None
    assert [each.port for each in found] == [443, 444]
