"""`make test-pythons`: tier 0 with every supported Python that this machine has, each in an environment of its own.

A version that is not there is left out, with the remedy; with CERTLAG_REQUIRE=all that is a failure for those in
`REQUIRED`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.tiers import PYTHON_ONLY, ROOT

LOCK = "requirements.lock"
BUILD_LOCK = "image/build.lock"

REQUIRED = ("3.12", "3.13")
"""Besides 3.11, with which `make test` runs."""
IF_THERE = ("3.14",)
"""Supported too, but there is no package of it yet for the machines on which changes are tested."""


def main() -> int:
    """Run them; 0 if all that there are passed."""
    failed, left_out = [], []
    for version in (*REQUIRED, *IF_THERE):
        environment = ROOT / "build" / f"python-{version}"
        if not _made(version, environment):
            left_out.append(version)
            continue
        print(f"\n=== tier 0 with Python {version}", flush=True)
        which = f"{PYTHON_ONLY} and not proof and not serial"  # how long something takes is measured once
        argv = (environment / "bin/python", "-m", "pytest", "-q", "-n2", "-m", which)
        if subprocess.run(argv, cwd=ROOT, check=False).returncode != 0:
            failed.append(version)
    for version in left_out:
        print(f"left out: Python {version}: it is not on this machine; install it, with pyenv for instance")
    if os.environ.get("CERTLAG_REQUIRE") == "all":
        failed += [version for version in left_out if version in REQUIRED]
    print(f"failed: {', '.join(failed) or 'none'}")
    return 1 if failed else 0


def _made(version: str, environment: Path) -> bool:
    """Make an environment with this Python; False if there is none on this machine."""
    find = ("uv", "python", "find", "--no-python-downloads", version)
    found = subprocess.run(find, cwd=ROOT, capture_output=True, text=True, check=False, env=_with_all_of_pyenv())
    if found.returncode != 0:
        return False
    python = environment / "bin/python"
    itself = ("--python", str(python), "--editable", ".")
    for argv in (
        ("uv", "venv", "--quiet", "--allow-existing", "--python", found.stdout.strip(), str(environment)),
        ("uv", "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), LOCK),
        (*("uv", "pip", "install", "--quiet", "--no-deps", "--build-constraints", BUILD_LOCK), *itself),
    ):
        subprocess.run(argv, cwd=ROOT, check=True, env=_with_all_of_pyenv())
    return True


def _with_all_of_pyenv() -> dict[str, str]:
    """The environment, in which pyenv's commands stand for every version that it has, not only for the chosen one."""
    if shutil.which("pyenv") is None:
        return dict(os.environ)
    listed = subprocess.run(("pyenv", "versions", "--bare"), capture_output=True, text=True, check=True).stdout
    chosen = subprocess.run(("pyenv", "version-name"), capture_output=True, text=True, check=True).stdout
    return os.environ | {"PYENV_VERSION": ":".join([*chosen.strip().split(":"), *listed.split()])}


if __name__ == "__main__":
    sys.exit(main())
