"""How the image is built: the one command line for buildctl, for releases and for tests. Starts a process.

Two builds of one tree give the same image: files have the time SOURCE_DATE_EPOCH, layers are rewritten to it, and
everything that is fetched has its hash in a lock. The provenance that stands beside it tells of this very build, so
only the image's own digest is the same, not that of the index which joins both.
"""

import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ATTESTATION = "vnd.docker.reference.type"


@dataclass(frozen=True)
class Build:
    """What is built, and how: `contexts` take the place of stages or images, each by its name."""

    tree: Path
    version: str
    revision: str = ""
    epoch: int = 0
    contexts: Mapping[str, str] = field(default_factory=dict)
    layouts: Mapping[str, Path] = field(default_factory=dict)
    folders: Mapping[str, Path] = field(default_factory=dict)
    cached: bool = True

    def arguments(self, archive: Path, name: str) -> Iterator[str]:
        """Yield the arguments of `buildctl` that write the image into an OCI archive."""
        folders = {"context": self.tree, "dockerfile": self.tree, **self.folders}
        yield from ("build", "--frontend=dockerfile.v0", "--progress=plain")
        yield from (f"--local={key}={folder}" for key, folder in folders.items())
        yield from (f"--oci-layout={key}={folder}" for key, folder in self.layouts.items())
        yield from (f"--opt=context:{stage}={source}" for stage, source in self.contexts.items())
        arguments = {"VERSION": self.version, "REVISION": self.revision, "SOURCE_DATE_EPOCH": str(self.epoch)}
        yield from (f"--opt=build-arg:{key}={value}" for key, value in arguments.items())
        yield "--opt=attest:provenance=mode=max"
        if not self.cached:
            yield "--no-cache"
        yield f"--output=type=oci,dest={archive},name={name},rewrite-timestamp=true"

    def run(self, buildctl: Sequence[str], archive: Path, name: str) -> "Image":
        """Build, and return what was built.

        Args:
            buildctl: the program, and how it finds its daemon.
            archive: the file to write.
            name: the image's name and tag.

        Raises:
            BuildError: it failed; the message is what it said last.
        """
        ran = subprocess.run(  # noqa: S603 - the command is ours
            (*buildctl, *self.arguments(archive, name)), capture_output=True, text=True, check=False
        )
        if ran.returncode != 0:
            raise BuildError(ran.stderr[-4000:])
        return Image(archive)


class BuildError(Exception):
    """The image could not be built."""


@dataclass(frozen=True)
class Layer:
    """A layer: what made it, and its bytes, compressed and not."""

    made_by: str
    compressed: int
    digest: str


@dataclass(frozen=True)
class Image:
    """An image in an OCI archive, for one platform."""

    archive: Path

    @property
    def digest(self) -> str:
        """The digest of the platform's manifest: the same for two builds of one tree."""
        return str(self._described[0]["digest"])

    @property
    def configuration(self) -> dict[str, Any]:
        """Its configuration: user, command, labels, environment."""
        return self._blob(self._manifest["config"]["digest"])

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Its layers, the lowest first."""
        made = [each["created_by"] for each in self.configuration["history"] if not each.get("empty_layer")]
        described = self._manifest["layers"]
        return tuple(Layer(by, each["size"], each["digest"]) for by, each in zip(made, described, strict=True))

    @property
    def provenance(self) -> dict[str, Any]:
        """The SLSA provenance that BuildKit attests."""
        _, attestation = self._described
        statement = self._blob(self._blob(attestation["digest"])["layers"][0]["digest"])
        return dict(statement["predicate"])

    def files(self, layer: Layer) -> Iterator[tarfile.TarInfo]:
        """Yield what a layer holds."""
        with tarfile.open(self.archive) as archive:
            blob = archive.extractfile(_path(layer.digest))
            with tarfile.open(fileobj=blob, mode="r:*") as files:
                yield from files

    @property
    def _manifest(self) -> dict[str, Any]:
        return self._blob(self.digest)

    @property
    def _described(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The descriptors of the platform's manifest and of what is attested of it."""
        (index,) = self._read("index.json")["manifests"]
        manifests = self._blob(index["digest"])["manifests"]
        attested = [each for each in manifests if ATTESTATION in each.get("annotations", {})]
        (platform,) = (each for each in manifests if each not in attested)
        return platform, attested[0]

    def _blob(self, digest: str) -> dict[str, Any]:
        return self._read(_path(digest))

    def _read(self, path: str) -> dict[str, Any]:
        with tarfile.open(self.archive) as archive:
            file = archive.extractfile(path)
            if file is None:
                raise BuildError(f"{self.archive}: {path} is no file")
            document: dict[str, Any] = json.load(file)
            return document


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"
