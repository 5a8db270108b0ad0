"""`make test-pythons`: the quick tests with every other supported Python, each in an environment of its own.

What differs between Pythons (TLS, asyncio, argument parsers, the standard library's messages) is in them. A version
that is not on this machine is left out, with the remedy; with CERTLAG_REQUIRE=all that is a failure for those in
`REQUIRED`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.tiers import PYTHON_ONLY, ROOT, Tier, run

LOCK = "requirements.lock"
BUILD_LOCK = "image/build.lock"

REQUIRED = ("3.12", "3.13")
"""Besides 3.11, with which `make test` runs."""
IF_THERE = ("3.14",)
"""Supported too, but there is no package of it yet for the machines on which changes are tested."""


def main() -> int:
    """Run them; 0 if all that there are passed."""
    failed = False
    required = os.environ.get("CERTLAG_REQUIRE") == "all"
    for version in (*REQUIRED, *IF_THERE):
        python = ROOT / "build" / f"python-{version}" / "bin/python"
        if _made(version, python):
            ended = run(quick(version, python), proof=False, required=required)
            print(ended.failures, end="")
            print(ended, flush=True)
            failed |= ended.failed
        else:
            print(f"left out: Python {version}: it is not on this machine; install it, with pyenv for instance")
            failed |= required and version in REQUIRED
    return 1 if failed else 0


def quick(version: str, python: Path) -> Tier:
    """Return the quick tests with another Python; how long something takes is measured once, so without `serial`."""
    expression = f"{PYTHON_ONLY} and not thorough and not proof and not serial"
    command = (str(python), "-m", "pytest", "-q", "-n2", "-m", expression)
    return Tier(f"py{version}", "the quick tests with another Python", commands=(command,))


def _made(version: str, python: Path) -> bool:
    """Make an environment with this Python; False if there is none on this machine."""
    find = ("uv", "python", "find", "--no-python-downloads", version)
    found = subprocess.run(find, cwd=ROOT, capture_output=True, text=True, check=False, env=_with_all_of_pyenv())
    if found.returncode != 0:
        return False
    itself = ("--python", str(python), "--editable", ".")
    environment = str(python.parents[1])
    for argv in (
        ("uv", "venv", "--quiet", "--allow-existing", "--python", found.stdout.strip(), environment),
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
