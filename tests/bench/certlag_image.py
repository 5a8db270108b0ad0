"""This project's own image on the bench: built once for each state of the tree, and given to a cluster's containerd."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from release.image import Image
from tests.bench import image_bases, parts
from tests.bench.builder import ROOT, builder
from tests.bench.cluster import Cluster

NAME = "certlag.dev/certlag:0.1.0"
"""As the chart's defaults have it."""
KEPT = 5
MADE_OF = (
    "certlag",
    "exporter",
    "runbook",
    "rehearsal",
    "image",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "Dockerfile",
)


def built(tree: Path = ROOT) -> Image:
    """The image of a tree as it is, built now if the cache does not have it."""
    folder = _folder()
    archive = folder / f"certlag-{_digest(tree)}.tar"
    with _alone(folder):
        if not archive.exists():
            unfinished = archive.with_suffix(f".{os.getpid()}")
            with builder() as daemon:
                daemon.build(tree).run(daemon.buildctl, unfinished, NAME)
            unfinished.rename(archive)
            # Every state of the tree that was ever tested would be many.
            for old in sorted(folder.glob("certlag-*.tar"), key=lambda file: file.stat().st_mtime)[:-KEPT]:
                old.unlink()
    return Image(archive)


def give(cluster: Cluster, image: Image) -> None:
    """Import the image into a cluster, once, as if it had been pulled."""
    given = cluster.directory / "given-image"
    argv = (parts.binary("ctr"), f"--address={cluster.directory / 'containerd.sock'}", "--namespace=k8s.io")
    with _alone(_folder()):
        if not given.exists() or given.read_text() != image.archive.name:
            subprocess.run((*argv, "images", "import", image.archive), check=True, capture_output=True)
            given.write_text(image.archive.name)


def copied(folder: Path) -> Path:
    """Copy what the image is made of, which somebody may be working on, into a folder that nobody touches."""
    shutil.copy(ROOT / ".dockerignore", folder)
    for name in MADE_OF:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def _digest(tree: Path) -> str:
    """A hash of all that goes into the image."""
    made_of = hashlib.sha256(f"{image_bases.python_root()} {image_bases.wheels()}".encode())
    for name in MADE_OF:
        top = tree / name
        for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if file.is_file() and "__pycache__" not in file.parts:
                made_of.update(str(file.relative_to(tree)).encode() + file.read_bytes())
    return made_of.hexdigest()[:16]


def _folder() -> Path:
    """Where built images are kept."""
    folder = parts.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process build at a time: the others find what it built."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
