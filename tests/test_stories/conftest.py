"""Gives each story its ground."""

from pathlib import Path

import pytest

from tests.bench import certlag_image, servers
from tests.bench.cluster import Cluster
from tests.test_stories.ground import Ground


@pytest.fixture(scope="session")
def our_image(cluster: Cluster) -> None:
    """The cluster has the image of this tree, as if it had been pulled."""
    certlag_image.give(cluster, certlag_image.built())


@pytest.fixture
def ground(cluster: Cluster, namespace: str, tmp_path: Path) -> Ground:
    """A new namespace of the whole cluster, with an authority that issues in it."""
    made = Ground(cluster, namespace, tmp_path)
    made.apply(*servers.authority())
    return made
