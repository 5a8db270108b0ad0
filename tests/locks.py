"""Locks of dependencies as tests take them apart, and damage them."""

import re
from collections.abc import Mapping, Sequence

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})(?= |$)")


def hashes(lock: str) -> Mapping[str, Sequence[str]]:
    """Return the SHA-256 hashes of each requirement, by its name, version and marker."""
    requirements = lock.replace(" \\\n", " ").splitlines()
    return {each.partition(" --hash=")[0]: _HASH.findall(each) for each in requirements if each.strip()}


def altered(lock: str, name: str) -> str:
    """Return a lock in which all hashes of one requirement are those of another content."""
    requirements = lock.replace(" \\\n", " ").splitlines()
    assert any(each.startswith(f"{name}==") for each in requirements)
    damaged = (
        _HASH.sub(f"--hash=sha256:{'0' * 64}", each) if each.startswith(f"{name}==") else each for each in requirements
    )
    return "".join(f"{each}\n" for each in damaged)
