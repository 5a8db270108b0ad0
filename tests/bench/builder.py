"""BuildKit's daemon on this machine, to build images with: its own folder, its own socket, gone with the block."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from release.image import Build
from tests.bench import image_bases, needs, parts, waiting

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Builder:
    """A running daemon."""

    address: str
    folder: Path

    @property
    def buildctl(self) -> tuple[str, ...]:
        """The program that talks to it."""
        return (str(parts.binary("buildctl")), f"--addr={self.address}")

    def python_layout(self) -> Path:
        """The base as an OCI layout."""
        layout = self.folder / "base"
        source = image_bases.python_root()
        if not layout.exists():
            argv = (
                *(*self.buildctl, "build", "--frontend=dockerfile.v0", f"--local=context={source}"),
                *(f"--local=dockerfile={source}", f"--output=type=oci,tar=false,dest={layout}"),
            )
            subprocess.run(argv, check=True, capture_output=True)
        return layout

    def build(self, tree: Path = ROOT, *, version: str = "0.1.0", revision: str = "", cached: bool = True) -> Build:
        """Describe a build of the image on the bases that this machine has."""
        layout = self.python_layout()
        (base,) = json.loads((layout / "index.json").read_text())["manifests"]
        return Build(
            tree=tree,
            version=version,
            revision=revision,
            contexts={"python": f"oci-layout://python@{base['digest']}", "wheels": "local:wheels"},
            layouts={"python": layout},
            folders={"wheels": image_bases.wheels()},
            cached=cached,
        )


@contextmanager
def builder() -> Iterator[Builder]:
    """Run a daemon."""
    with tempfile.TemporaryDirectory(prefix="certlag-buildkit-") as name:
        folder = Path(name)
        address = f"unix://{folder}/buildkitd.sock"
        argv = (
            *(parts.binary("buildkitd"), f"--addr={address}", f"--root={folder / 'root'}"),
            *(f"--oci-worker-binary={needs.tool('runc')}", "--containerd-worker=false"),
        )
        with (folder / "log").open("wb") as log, subprocess.Popen(argv, stderr=log, stdout=log) as process:
            try:
                waiting.until(
                    "buildkitd", lambda: (folder / "buildkitd.sock").exists() or process.poll() is not None, 30
                )
                assert process.poll() is None, (folder / "log").read_text()
                yield Builder(address, folder)
            finally:
                # All that it keeps is thrown away with its folder, so it need not put anything in order.
                process.kill()
