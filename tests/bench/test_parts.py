"""Where parts are kept, and what is said about missing ones. Nothing is built here."""

from pathlib import Path

import pytest

from tests.bench import needs, parts
from tests.bench.needs import Kind, Missing


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/elsewhere")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("CERTLAG_CACHE", raising=False)
    assert parts.cache() == Path("/elsewhere/.cache/certlag/bench")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache/someone")
    assert parts.cache() == Path("/var/cache/someone/certlag/bench")
    monkeypatch.setenv("CERTLAG_CACHE", "/var/cache/ours")
    assert parts.cache() == Path("/var/cache/ours/bench")


def test_every_part_has_a_version_from_its_module_and_a_folder_of_its_own() -> None:
    for part in parts.PARTS.values():
        assert part.version.startswith("v")
        assert part.directory.name.startswith(f"{part.name}-{part.version}-")
    assert len({part.directory for part in parts.PARTS.values()}) == len(parts.PARTS)


def test_a_missing_part_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CERTLAG_CACHE", str(tmp_path))
    kubernetes = parts.PARTS["kubernetes"]
    assert Missing(f"kubernetes {kubernetes.version}", parts.BUILD) in parts.missing(Kind.SMALL)
    with pytest.raises(FileNotFoundError, match=parts.BUILD):
        parts.binary("kubelet")
    with pytest.raises(LookupError, match="no part has a program kubeleft"):
        parts.binary("kubeleft")


def test_what_is_missing_is_told_by_remedy() -> None:
    lacking = [Missing("runc", "apt-get install runc"), Missing("a", "build"), Missing("b", "build")]
    assert needs.explain(lacking) == "no runc: apt-get install runc; no a, b: build"
