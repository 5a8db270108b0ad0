"""The grounds as fixtures: each test runs on the embedded cluster and on a real one."""

from collections.abc import Iterator

import pytest

from tests.bench.cluster import Cluster
from tests.cluster_contract.grounds import Ground, embedded

EMBEDDED = "embedded"


@pytest.fixture(scope="session")
def embedded_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One embedded cluster for all tests of the suite."""
    with embedded(tmp_path_factory.mktemp("embedded")) as (_, cluster):
        yield cluster


@pytest.fixture(params=[EMBEDDED, pytest.param("real", marks=pytest.mark.small_bench)])
def control_plane(request: pytest.FixtureRequest) -> Ground:
    """A namespace of a cluster in which no pod needs to run."""
    return _ground(request, "small_bench", "small_namespace")


@pytest.fixture(params=[EMBEDDED, pytest.param("real", marks=pytest.mark.cluster)])
def ground(request: pytest.FixtureRequest) -> Ground:
    """A namespace of a cluster in which pods run."""
    return _ground(request, "cluster", "namespace")


def _ground(request: pytest.FixtureRequest, cluster: str, namespace: str) -> Ground:
    if request.param != EMBEDDED:
        return Ground(request.getfixturevalue(cluster), request.getfixturevalue(namespace), real=True)
    fake: Cluster = request.getfixturevalue("embedded_cluster")
    made = fake.api("POST", "/api/v1/namespaces", {"metadata": {"generateName": "test-"}})
    return Ground(fake, made["metadata"]["name"], real=False)
