"""The wheel as a user gets it: alone, in a clean environment, run from a foreign folder."""

import json
import subprocess
import zipfile
from pathlib import Path

import pytest

from tests import installed_wheel
from tests.installed_wheel import ROOT, run

pytestmark = pytest.mark.thorough

PACKAGES = ("certlag", "exporter", "runbook", "rehearsal")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_wheel.built(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_wheel.installed(wheel, tmp_path_factory.mktemp("environment"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == set(PACKAGES)
    data = ("runbook/report/json/output.schema.json", "certlag/alert_pages/CertlagExporterDown.md")
    assert {*(f"{package}/py.typed" for package in PACKAGES), *data} <= set(names)
    on_disk = {str(file.relative_to(ROOT)) for package in PACKAGES for file in ROOT.glob(f"{package}/**/*.py")}
    on_disk |= {
        str(file.relative_to(ROOT))
        for folder in ("templates", "assets")
        for file in (ROOT / "exporter/status_page" / folder).iterdir()
    }
    assert on_disk <= set(names), "a package is missing in pyproject.toml"


@pytest.mark.parametrize("command", ["certlag-exporter", "runbook"])
def test_its_commands_run_from_a_foreign_folder(commands: Path, command: str, tmp_path: Path) -> None:
    version = run(commands / command, "--version", folder=tmp_path)
    assert version.startswith(f"{command}, version ")
    assert "Usage: " in run(commands / command, "--help", folder=tmp_path)


def test_it_brings_the_schema_of_its_configuration(commands: Path, tmp_path: Path) -> None:
    printed = json.loads(run(commands / "certlag-exporter", "--print-schema", folder=tmp_path))
    assert printed == json.loads((ROOT / "docs" / "configuration.schema.json").read_text(encoding="utf-8"))


def test_it_ends_with_2_and_one_line_without_a_cluster(commands: Path, tmp_path: Path) -> None:
    argv = (str(commands / "certlag-exporter"), "--kubeconfig", str(tmp_path / "none"))
    ended = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("certlag-exporter: no way to a cluster: ")
    assert ended.stderr.count("\n") == 1
