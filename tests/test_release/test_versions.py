"""What must be said in several files is said alike."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAYS_THE_VERSION = {
    "pyproject.toml": r'^version = "(.+)"$',
    "chart/Chart.yaml": r"^(?:version|appVersion): (.+)$",
    "Dockerfile": r"^ARG VERSION=(.+)$",
    "tests/bench/certlag_image.py": r'^NAME = "certlag.dev/certlag:(.+)"$',
}


def test_wheel_chart_and_image_have_one_version() -> None:
    versions = {
        file: set(re.findall(pattern, (ROOT / file).read_text(), re.MULTILINE))
        for file, pattern in SAYS_THE_VERSION.items()
    }
    assert all(versions.values())
    assert len(set.union(*versions.values())) == 1, versions


def test_what_is_pinned_is_pinned_by_digest() -> None:
    text = (ROOT / "Dockerfile").read_text()
    bases = [line for line in text.splitlines() if line.startswith("ARG PYTHON_IMAGE=")]
    assert bases
    assert all("@sha256:" in line for line in bases)
    outside = [line.split()[1] for line in text.splitlines() if line.startswith("FROM ")]
    assert set(outside) == {"${PYTHON_IMAGE}", "python", "scratch"}
