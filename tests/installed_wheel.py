"""The wheel as a user gets it: built from this tree, and installed alone in a clean environment."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv") or str(ROOT / "build/uv/bin/uv")


def built(folder: Path) -> Path:
    """Build the wheel into a folder; return its file."""
    backend = ("--require-hashes", "--build-constraints", ROOT / "image/build.lock")
    run(UV, "build", "--quiet", "--wheel", *backend, "--out-dir", folder, ROOT)
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, environment: Path) -> Path:
    """Install it with the locked dependencies into a new environment; return the folder of its commands."""
    python = environment / "bin/python"
    run(UV, "venv", "--quiet", "--allow-existing", "--python", sys.executable, environment)
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", ROOT / "requirements.lock", wheel)
    return environment / "bin"


def run(*argv: str | Path, folder: Path = ROOT) -> str:
    """Run a command that must succeed; return what it printed."""
    ended = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout
