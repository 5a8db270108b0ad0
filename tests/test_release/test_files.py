"""What a release consists of, but for the image, which has tests of its own."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from release import files
from release.files import Commit
from tests.bench import certlag_image, parts
from tests.locks import altered

pytestmark = pytest.mark.tools

UV = shutil.which("uv") or str(files.TREE / "build/uv/bin/uv")
VERSION = "0.1.0"
COMMIT = Commit(VERSION, "0" * 40, 1_700_000_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release without its image."""
    made = tmp_path_factory.mktemp("release")
    files.python_packages(COMMIT, made, UV)
    files.chart(COMMIT, made, str(parts.binary("helm")))
    files.bill_of_materials(COMMIT, made, UV)
    files.krew(COMMIT, made, "https://releases.example.org")
    files.notes(COMMIT, made)
    files.checksums(made)
    return made


def test_all_of_it_is_there_and_has_its_checksum(folder: Path) -> None:
    ran = subprocess.run(
        ("sha256sum", "--check", files.CHECKSUMS), cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout
    assert {line.partition(":")[0] for line in ran.stdout.splitlines()} == {
        f"certlag-{VERSION}-py3-none-any.whl",
        f"certlag-{VERSION}.tar.gz",
        f"certlag-{VERSION}.tgz",
        f"certlag-{VERSION}.cdx.json",
        f"kubectl-certlag-{VERSION}.tar.gz",
        "certlag.krew.yaml",
        "NOTES.md",
    }


def test_one_commit_makes_the_same_wheel_again(tmp_path: Path) -> None:
    tree = certlag_image.copied(tmp_path)
    digests = set()
    for number in ("once", "again"):
        files.python_packages(COMMIT, tmp_path / number, UV, tree)
        digests.add(files.digest(tmp_path / number / f"certlag-{VERSION}-py3-none-any.whl"))
    assert len(digests) == 1


def test_the_packaged_chart_has_what_users_need_and_nothing_of_its_tests(folder: Path) -> None:
    with tarfile.open(folder / f"certlag-{VERSION}.tgz") as archive:
        names = set(archive.getnames())
    assert {"certlag/Chart.yaml", "certlag/values.schema.json", "certlag/README.md"} <= names
    assert not any(name.startswith("certlag/ci/") for name in names)


def test_the_bill_of_materials_names_every_dependency_with_its_version(folder: Path) -> None:
    document = json.loads((folder / f"certlag-{VERSION}.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    listed = {each["name"].lower().replace("_", "-"): each["version"] for each in document["components"]}
    locked = dict(line.split()[0].split("==") for line in files.LOCK.read_text().splitlines() if "==" in line)
    assert listed.items() >= {name: locked[name] for name in ("cryptography", "kubernetes", "pydantic")}.items()
    assert document["metadata"]["component"]["name"] == "certlag"


def test_krew_finds_the_archive_by_its_checksum_and_the_program_in_it(folder: Path) -> None:
    manifest = yaml.safe_load((folder / "certlag.krew.yaml").read_text())
    assert (manifest["kind"], manifest["metadata"]["name"], manifest["spec"]["version"]) == (
        *("Plugin", "certlag"),
        f"v{VERSION}",
    )
    (platform,) = manifest["spec"]["platforms"]
    archive = folder / platform["uri"].rpartition("/")[2]
    assert platform["sha256"] == files.digest(archive)
    with tarfile.open(archive) as packed:
        program = packed.getmember(platform["bin"])
    assert program.mode & 0o111


def test_kubectls_plugin_runs_from_its_archive(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(folder / f"kubectl-certlag-{VERSION}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    for _ in range(2):  # it is installed by the first of them
        ran = run_plugin(tmp_path)
        assert ran.returncode == 0, ran.stderr
        assert VERSION in ran.stdout


@pytest.mark.fault("P5")
def test_kubectls_plugin_installs_no_dependency_of_another_content(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(folder / f"kubectl-certlag-{VERSION}.tar.gz") as packed:
        packed.extractall(tmp_path, filter="data")
    lock = tmp_path / "requirements.lock"
    lock.write_text(altered(lock.read_text(), "h11"))
    ran = run_plugin(tmp_path)
    assert ran.returncode != 0
    assert "Hash mismatch for `h11==" in ran.stderr


def run_plugin(unpacked: Path) -> subprocess.CompletedProcess[str]:
    """Run the plugin where it was unpacked to, with a folder of its own for what it keeps."""
    kept = subprocess.run((UV, "cache", "dir"), capture_output=True, text=True, check=True).stdout.strip()
    environment = os.environ | {
        "PATH": f"{Path(UV).parent}:{os.environ['PATH']}",
        "XDG_CACHE_HOME": str(unpacked / "kept"),
        "UV_CACHE_DIR": kept,
    }
    argv = (unpacked / "kubectl-certlag", "--version")
    return subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)


def test_its_notes_are_what_the_changelog_says(folder: Path) -> None:
    text = (folder / "NOTES.md").read_text()
    assert text.startswith(f"# certlag {VERSION}\n")
    assert "### Added" in text
    assert "# Changelog" not in text
