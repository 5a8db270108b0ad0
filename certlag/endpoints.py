"""Which endpoints of a pod speak for a certificate? Pure.

A target's own port decides; without one, the annotation certlag.dev/port or the declared ports, as the target or
discovery says. Only started containers have endpoints.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice

from certlag.assessment import AssessmentInput
from certlag.model import Certificate, Container, DiscoveryProbe, Endpoint, Pod, Target

MAX_PORT_DIGITS = 5
"""Of 65535. Anyone who may make a pod writes its annotation, and Python refuses to read thousands of digits."""

MAX_ENDPOINTS = 64
"""Of one pod that speak for one certificate. A pod may declare thousands of ports, a name may stand at each container:
anyone who may make one would else decide how many handshakes it costs us. The first ones count."""


def endpoints(
    pod: Pod, certificate: Certificate | None, target: Target | None, probe: DiscoveryProbe
) -> tuple[Endpoint, ...] | None:
    """Return the endpoints to probe, at most `MAX_ENDPOINTS`; empty if there is no port to probe.

    Args:
        pod: a pod.
        certificate: the certificate that they would speak for.
        target: the target, if the pod belongs to one.
        probe: which ports to take if it does not.

    Returns:
        None if the target names a port that the pod's containers do not declare.
    """
    if target is not None and target.port is not None:
        ports = tuple(_find(pod, certificate, (str(target.port),)))
        if not ports and pod.running:
            return None
    elif target is not None or probe is DiscoveryProbe.DECLARED_PORTS:
        ports = tuple((container, port.number) for container in pod.running for port in container.ports)
    elif probe is DiscoveryProbe.ANNOTATED:
        ports = tuple(_find(pod, certificate, dict.fromkeys(pod.probe_ports)))
    else:
        ports = ()
    server_name = target.server_name if target is not None else None
    if server_name is None and certificate is not None:
        server_name = certificate.server_name
    # By the container's ID: to compare whole containers is to compare all their ports.
    found = {(container.id, number): container.name for container, number in ports if pod.address and container.id}
    return tuple(
        Endpoint(pod.key, pod.uid, pod.address, name, container_id, number, server_name)
        for (container_id, number), name in islice(found.items(), MAX_ENDPOINTS)
    )


def _find(pod: Pod, certificate: Certificate | None, references: Iterable[str]) -> Iterator[tuple[Container, int]]:
    """Find ports by name or number, each with the container that has it.

    A number that nobody declares (declaring is optional) is that of the container that uses the certificate's
    Secret, else of the first one: they share one network.
    """
    declared = _declared(pod)
    secret = certificate.secret if certificate is not None else None
    users = [container for container in pod.running if secret in container.secrets]
    for reference in references:
        if reference in declared:
            yield from declared[reference]
        elif reference.isdecimal() and len(reference) <= MAX_PORT_DIGITS and 1 <= int(reference) <= 65535:
            yield from ((container, int(reference)) for container in (users or list(pod.running))[:1])


def _declared(pod: Pod) -> dict[str, list[tuple[Container, int]]]:
    """Return what is declared, by name and by number: looked through once, however many are looked for."""
    declared: dict[str, list[tuple[Container, int]]] = defaultdict(list)
    for container in pod.running:
        for port in container.ports:
            for reference in {port.name, str(port.number)}:
                declared[reference].append((container, port.number))
    return declared


def wanted(subject: AssessmentInput) -> dict[Endpoint, bool]:
    """Return the endpoints to probe for a Certificate, each with whether its container is ready."""
    return {
        observed.endpoint: any(
            container.id == observed.endpoint.container_id and container.ready for container in view.pod.containers
        )
        for use in subject.uses
        for view in use.pods
        for observed in view.endpoints or ()
    }
