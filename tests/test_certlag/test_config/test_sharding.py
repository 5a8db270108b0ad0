"""Shards: every namespace is in exactly one, the same for everybody, and what is another's is not read."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certlag.config.schema import Configuration, opschain
from certlag.config.shard import WHOLE, Shard
from certlag.model import Discovery
from tests.benchmark.in_process import Exporter
from tests.metrics import Metrics


@given(st.text(), st.integers(1, 50))
def test_a_namespace_is_in_exactly_one_shard(namespace: str, count: int) -> None:
    assert sum(Shard(index, count).owns(namespace) for index in range(count)) == 1


def test_who_owns_what_stays_so_for_ever() -> None:
    owners = {name: next(i for i in range(5) if Shard(i, 5).owns(name)) for name in ("opschain", "default", "team-042")}
    assert owners == {"opschain": 0, "default": 4, "team-042": 0}, "a release that changes this reshuffles every series"


def test_a_thousand_namespaces_are_dealt_about_evenly() -> None:
    shares = Counter(index for name in range(1000) for index in range(4) if Shard(index, 4).owns(f"team-{name}"))
    assert len(shares) == 4
    assert all(200 < share < 300 for share in shares.values())


@pytest.mark.parametrize("text", ["", "1", "1/1", "3/3", "-1/3", "a/3", "0/0", "1/2/3", "0/"])
def test_what_names_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="INDEX/COUNT"):
        Shard.parse(text)


def test_the_only_shard_is_the_whole() -> None:
    assert Shard.parse("0/1") is WHOLE
    assert WHOLE.owns("anything")


def test_of_a_configuration_a_shard_has_the_targets_and_namespaces_that_it_owns() -> None:
    configuration = Configuration((opschain("opschain"),), Discovery(frozenset({"*", "default", "team-042"})))
    parts = [Shard(index, 5).part_of(configuration) for index in range(5)]
    assert [len(part.targets) for part in parts] == [1, 0, 0, 0, 0]
    assert [sorted(part.discovery.namespaces - {"*"}) for part in parts] == [["team-042"], [], [], [], ["default"]]
    assert all("*" in part.discovery.namespaces for part in parts), "what it finds is then asked for, one by one"


@pytest.mark.thorough
def test_every_series_is_in_exactly_one_shard() -> None:
    shards = [set(judged_samples(Shard(index, 3))) for index in range(3)]
    assert all(shards), "each has a share"
    assert sum(map(len, shards)) == len(set().union(*shards)), "none comes twice"
    assert set().union(*shards) == set(judged_samples(WHOLE))


def judged_samples(shard: Shard) -> list[str]:
    """The samples that a shard publishes of certificates and pods, without those of the exporter itself."""
    exporter = Exporter(shard)
    exporter.list()
    exporter.judge()
    metrics = Metrics.parse(b"".join(exporter.snapshot.scrape(gzip=False)).decode())
    return [str(sample) for sample in metrics.samples if sample.labels.get("namespace", "").startswith("team-")]
