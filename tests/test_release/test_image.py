"""The image: what is in it, what it costs, and that two builds of one tree are one image."""

from pathlib import Path
from typing import Any

import pytest

from release.image import Image
from tests.bench import certlag_image
from tests.bench.builder import builder
from tests.figures import Figures

pytestmark = [pytest.mark.cluster, pytest.mark.serial]
MEBIBYTE = 2**20
SMALL = 80 * MEBIBYTE


@pytest.fixture(scope="module")
def image() -> Image:
    """The image of this tree."""
    return certlag_image.built()


def paths(image: Image) -> set[str]:
    """Every path in it."""
    return {entry.name.strip("/") for layer in image.layers for entry in image.files(layer)}


def test_two_builds_are_one_image(tmp_path: Path) -> None:
    tree = certlag_image.copied(tmp_path)
    once = certlag_image.built(tree)
    with builder() as daemon:
        again = daemon.build(tree).run(daemon.buildctl, tmp_path / "again.tar", certlag_image.NAME)
    assert again.digest == once.digest


def test_it_is_small_and_each_layer_says_what_it_costs(image: Image, figures: Figures) -> None:
    for layer in image.layers:
        size = sum(entry.size for entry in image.files(layer))
        what = layer.made_by.split(" # ")[0].removeprefix("COPY ")
        figures(f"{what}: {layer.compressed / MEBIBYTE:.1f} MiB, unpacked {size / MEBIBYTE:.1f} MiB")
    assert sum(layer.compressed for layer in image.layers) < SMALL
    assert len(image.layers) == 3


def test_it_runs_as_nobody_in_particular_and_says_what_it_is(image: Image) -> None:
    configuration: dict[str, Any] = image.configuration["config"]
    assert configuration["User"] == "65532:65532"
    assert configuration["Entrypoint"] == ["certlag-exporter"]
    labels = {name.rpartition(".")[2]: value for name, value in configuration["Labels"].items()}
    assert (labels["title"], labels["licenses"], labels["version"]) == ("certlag", "Apache-2.0", "0.1.0")


def test_there_is_no_shell_no_package_manager_and_no_installer_in_it(image: Image) -> None:
    names = {path.rpartition("/")[2] for path in paths(image)}
    assert names.isdisjoint({"sh", "bash", "dash", "busybox", "apt", "dpkg", "apk", "pip", "ensurepip", "setuptools"})
    assert {"certlag-exporter", "runbook", "python3"} <= names


def test_its_files_belong_to_root_and_nobody_else_may_write_them(image: Image) -> None:
    writable = [
        entry.name
        for layer in image.layers
        for entry in image.files(layer)
        if (entry.uid or entry.gid or entry.mode & 0o022) and not entry.issym() and entry.name.strip("/") != "tmp"
    ]
    assert writable == []


def test_buildkit_attests_what_it_was_built_from(image: Image) -> None:
    definition = image.provenance["buildDefinition"]
    assert "buildkit" in definition["buildType"]
    arguments = definition["externalParameters"]["request"]["args"]
    assert arguments["build-arg:SOURCE_DATE_EPOCH"] == "0"
