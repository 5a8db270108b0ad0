"""Says whether each lock is what its source asks for: compiling it again changes nothing. `make lock` writes them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCKS = {
    "requirements.lock": ("pyproject.toml", "--extra", "dev"),
    "image/requirements.lock": ("pyproject.toml", "--constraint", "requirements.lock"),
    "image/build.lock": ("image/build.in",),
    "release/sbom.lock": ("release/sbom.in",),
}
"""Each with what `make lock` makes it from."""
OPTIONS = ("--universal", "--generate-hashes", "--python-version", "3.11", "--no-header", "--no-annotate", "--quiet")


def main() -> int:
    """Name each lock that does not fit; 0 if all do."""
    uv = shutil.which("uv") or str(ROOT / "build/uv/bin/uv")
    outdated = [lock for lock, source in LOCKS.items() if _compiled(uv, lock, source) != (ROOT / lock).read_bytes()]
    for lock in outdated:
        print(f"{lock} does not fit {LOCKS[lock][0]}; `make lock` writes it")
    return 1 if outdated else 0


def _compiled(uv: str, lock: str, source: tuple[str, ...]) -> bytes:
    """Return what compiling makes of a copy of the lock, which keeps the versions that fit."""
    copy = ROOT / "build" / "locks" / lock
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / lock, copy)
    compile_ = (uv, "pip", "compile", *source, *OPTIONS, "--output-file", str(copy))
    subprocess.run(compile_, cwd=ROOT, check=True, env=os.environ)
    return copy.read_bytes()


if __name__ == "__main__":
    sys.exit(main())
