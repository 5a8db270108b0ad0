"""`python -m release.build`: writes all that is released into build/release, and says what it left out.

Needs uv, helm and buildctl on PATH, and a BuildKit that $BUILDKIT_HOST names; cosign signs, where it is. Nothing is
sent anywhere.
"""

import shutil
import sys

from release import files
from release.files import Commit, released
from release.image import Build

FOLDER = files.TREE / "build" / "release"
ADDRESS = "https://certlag.dev/releases"
"""Where krew finds the plugin's archive."""


def main(build: Build | None = None) -> int:
    """Write the release; `build` is how the image is built, if not on its own bases."""
    of = files.commit()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    files.python_packages(of, FOLDER, tool("uv"))
    files.chart(of, FOLDER, tool("helm"))
    files.image(build or image(of), FOLDER, (tool("buildctl"),))
    files.bill_of_materials(of, FOLDER, tool("uv"))
    files.krew(of, FOLDER, ADDRESS)
    files.notes(of, FOLDER)
    files.checksums(FOLDER)
    for file in released(FOLDER):
        sys.stdout.write(f"{file.stat().st_size:>12,}  {file.name}\n")
    cosign = shutil.which("cosign")
    if cosign:
        files.sign(FOLDER, cosign)
    sys.stdout.write(f"{files.CHECKSUMS}: {'signed' if cosign else 'not signed, there is no cosign'}\n")
    return 0


def image(of: Commit) -> Build:
    """Return how the image of a commit is built on its own bases."""
    return Build(files.TREE, of.version, of.revision, of.epoch)


def tool(name: str) -> str:
    """Return the program of this name.

    Raises:
        files.ReleaseError: there is none.
    """
    found = shutil.which(name)
    if found is None:
        raise files.ReleaseError(f"a release needs {name} on PATH")
    return found


if __name__ == "__main__":
    sys.exit(main())
