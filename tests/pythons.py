"""`make test-pythons`: tier 0 with every supported Python that this machine has, each in an environment of its own."""

import subprocess
import sys
from pathlib import Path

from tests.tiers import LOCK, ROOT

VERSIONS = ("3.12", "3.13", "3.14")
"""Besides 3.11, with which `make test` runs."""


def main() -> int:
    """Run them; 0 if all that there are passed."""
    failed, left_out = [], []
    for version in VERSIONS:
        environment = ROOT / "build" / f"python-{version}"
        if not _made(version, environment):
            left_out.append(version)
            continue
        print(f"\n=== tier 0 with Python {version}", flush=True)
        argv = (environment / "bin/python", "-m", "pytest", "-q", "-n2", "-m", "not small_bench and not cluster")
        if subprocess.run(argv, cwd=ROOT, check=False).returncode != 0:
            failed.append(version)
    for version in left_out:
        print(f"left out: Python {version}: it is not on this machine; install it, or let pyenv do so")
    print(f"failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _made(version: str, environment: Path) -> bool:
    """Make an environment with this Python; False if there is none on this machine."""
    find = ("uv", "python", "find", "--no-python-downloads", version)
    found = subprocess.run(find, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        return False
    python = environment / "bin/python"
    for argv in (
        ("uv", "venv", "--quiet", "--allow-existing", "--python", found.stdout.strip(), str(environment)),
        ("uv", "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), LOCK),
        ("uv", "pip", "install", "--quiet", "--no-deps", "--python", str(python), "--editable", "."),
    ):
        subprocess.run(argv, cwd=ROOT, check=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
