"""What a release consists of, each as one function that writes it into a folder. Starts processes.

Versions come from pyproject.toml, times from the commit, so that one commit makes one set of files.
"""

import gzip
import hashlib
import io
import os
import re
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from release.image import Build, Image

TREE = Path(__file__).parents[1]
NAME = "certlag"
IMAGE = "certlag.dev/certlag"
CHECKSUMS = "SHA256SUMS"
LAUNCHER = TREE / "release" / "kubectl-certlag"
LOCK = TREE / "image" / "requirements.lock"
BUILD_LOCK = TREE / "image" / "build.lock"


@dataclass(frozen=True)
class Commit:
    """What is released: its version, which commit it is, and when that was made (seconds since 1970)."""

    version: str
    revision: str
    epoch: int


def commit() -> Commit:
    """Return what the tree is at."""
    version = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    revision, at = run("git", "show", "--no-patch", "--format=%H %ct", "HEAD").split()
    return Commit(version, revision, int(at))


def python_packages(of: Commit, folder: Path, uv: str, tree: Path = TREE) -> None:
    """Write sdist and wheel."""
    build = (uv, "build", "--quiet", "--require-hashes", "--build-constraints", str(BUILD_LOCK))
    run(*build, "--out-dir", str(folder), str(tree), SOURCE_DATE_EPOCH=str(of.epoch))
    (folder / ".gitignore").unlink(missing_ok=True)  # uv's own, for a folder in a tree


def chart(of: Commit, folder: Path, helm: str) -> None:
    """Write the packaged chart."""
    options = ("--version", of.version, "--app-version", of.version, "--destination", str(folder))
    run(helm, "package", str(TREE / "chart"), *options)


def image(build: Build, folder: Path, buildctl: tuple[str, ...]) -> Image:
    """Write the image as an OCI archive, and its digest beside it."""
    archive = folder / f"{NAME}-{build.version}-image.tar"
    built = build.run(buildctl, archive, f"{IMAGE}:{build.version}")
    (folder / f"{NAME}-{build.version}-image.digest").write_text(f"{built.digest}\n")
    return built


def bill_of_materials(of: Commit, folder: Path, uv: str) -> None:
    """Write what is installed with certlag, as CycloneDX has it: an environment is made of the lock, and looked at."""
    wheel = str(next(folder.glob("*.whl")))
    target = folder / f"{NAME}-{of.version}.cdx.json"
    options = ("--output-reproducible", "--pyproject", str(TREE / "pyproject.toml"), "--output-file", str(target))
    with tempfile.TemporaryDirectory() as work:
        installed, tool = Path(work) / "installed", Path(work) / "tool"
        for environment, lock in ((installed, LOCK), (tool, TREE / "release" / "sbom.lock")):
            run(uv, "venv", "--quiet", str(environment))
            run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(environment), str(lock))
        run(uv, "pip", "install", "--quiet", "--no-deps", "--python", str(installed), wheel)
        run(str(tool / "bin" / "cyclonedx-py"), "environment", *options, str(installed))


def krew(of: Commit, folder: Path, address: str) -> None:
    """Write kubectl's plugin as an archive, and the manifest by which krew installs it from an address."""
    archive = folder / f"kubectl-certlag-{of.version}.tar.gz"
    members = {"kubectl-certlag": LAUNCHER, "requirements.lock": LOCK, "LICENSE": TREE / "LICENSE"}
    members |= {wheel.name: wheel for wheel in folder.glob("*.whl")}
    with (
        archive.open("wb") as file,
        gzip.GzipFile("", "wb", fileobj=file, mtime=of.epoch) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, source in sorted(members.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = source.stat().st_size, of.epoch
            entry.mode = 0o755 if source == LAUNCHER else 0o644
            tar.addfile(entry, io.BytesIO(source.read_bytes()))
    manifest = (TREE / "release" / "krew.yaml").read_text(encoding="utf-8")
    filled = {"VERSION": of.version, "ADDRESS": f"{address}/{archive.name}", "SHA256": digest(archive)}
    for mark, value in filled.items():
        manifest = manifest.replace(f"@{mark}@", value)
    (folder / "certlag.krew.yaml").write_text(manifest, encoding="utf-8")


def notes(of: Commit, folder: Path) -> None:
    """Write what CHANGELOG.md says of this version, or of what is not released yet.

    Raises:
        ValueError: it says nothing.
    """
    sections = re.split(r"^## ", (TREE / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    wanted = [text for text in sections if text.startswith((of.version, f"[{of.version}]"))]
    wanted = wanted or [text for text in sections if text.startswith(("Unreleased", "[Unreleased]"))]
    if not wanted:
        raise ValueError(f"CHANGELOG.md has no section for {of.version}")
    _, _, body = wanted[0].partition("\n")
    (folder / "NOTES.md").write_text(f"# certlag {of.version}\n\n{body.strip()}\n", encoding="utf-8")


def checksums(folder: Path) -> None:
    """Write the SHA-256 of every file, in the form that `sha256sum --check` reads."""
    lines = (f"{digest(file)}  {file.name}\n" for file in released(folder))
    (folder / CHECKSUMS).write_text("".join(lines))


def sign(folder: Path, cosign: str) -> None:
    """Sign the checksums, and so all that they are of, with the identity that the machine has."""
    target = folder / CHECKSUMS
    run(cosign, "sign-blob", "--yes", f"--bundle={target}.sigstore.json", str(target))


def released(folder: Path) -> Iterator[Path]:
    """Yield the files of a release but for their checksums and what signs those."""
    yield from (file for file in sorted(folder.iterdir()) if not file.name.startswith(CHECKSUMS))


def digest(file: Path) -> str:
    """Return a file's SHA-256."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def run(*argv: str, **environment: str) -> str:
    """Run a program in the tree and return what it printed.

    Raises:
        ReleaseError: it failed; the message is what it said.
    """
    ran = subprocess.run(  # noqa: S603 - the programs are ours to name
        argv, cwd=TREE, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if ran.returncode != 0:
        raise ReleaseError(f"{' '.join(argv)} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
    return ran.stdout


class ReleaseError(Exception):
    """A part of the release could not be made."""
