"""What stands for the image's base and for a package index, where neither can be pulled from.

The base is an OCI layout with this machine's own Python under /usr/local, as python:slim has it, and a pip; the index
is a folder of the locked wheels. Both are kept in the cache under a hash of what they are made of.
"""

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench import needs, parts

ROOT = Path(__file__).parents[2]
LOCKS = (ROOT / "image" / "requirements.lock", ROOT / "image" / "build.lock")
LEFT_OUT = {"__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3", "tkinter"}
WHERE = Path("usr/local")
OF_WHEELS = (
    *("libdl.so.2", "libgcc_s.so.1", "libm.so.6", "libpthread.so.0"),
    *("librt.so.1", "libstdc++.so.6", "libutil.so.1", "libz.so.1"),
)
"""Libraries that wheels for any Linux may count on (PEP 513), and that every base has."""
VERSION = "3"
"""Of how these are made: another one is another place in the cache."""


def wheels() -> Path:
    """A folder of the wheels that the image's locks name, for this machine's Python."""
    digest = hashlib.sha256(b"".join(lock.read_bytes() for lock in LOCKS) + sys.version.encode())

    def download(folder: Path) -> None:
        requirements = [f"--requirement={lock}" for lock in LOCKS]
        asked = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes", *requirements, f"--dest={folder}")
        subprocess.run((_python(), "-m", "pip", "download", *asked), check=True)

    return _kept("wheels", digest.hexdigest(), download)


def python_root() -> Path:
    """The base's files, as the archive that a build adds to nothing."""
    made_of = (VERSION, sys.version, sys.base_prefix, str(_python().stat().st_mtime_ns))

    def pack(folder: Path) -> None:
        with tarfile.open(folder / "root.tar", "w") as archive:
            for name, source in sorted(_files()):
                archive.add(source.resolve(), name, recursive=False)
            link = tarfile.TarInfo(str(WHERE / "bin" / "python3"))
            link.type, link.linkname = tarfile.SYMTYPE, _python().name
            archive.addfile(link)
        (folder / "Dockerfile").write_text("FROM scratch\nADD root.tar /\nENV PATH=/usr/local/bin\n")

    return _kept("base", hashlib.sha256(repr(made_of).encode()).hexdigest(), pack)


def _files() -> Iterator[tuple[str, Path]]:
    """Yield path in the base and file here: the interpreter, its library with pip, and what both are linked to."""
    python, library = _python(), Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    home = WHERE / "lib" / library.name
    yield str(WHERE / "bin" / python.name), python
    linked = [python]
    pip = Path(sysconfig.get_path("purelib", vars={"base": sys.base_prefix})) / "pip"
    for folder, at in ((library, home), (pip, home / "site-packages" / "pip")):
        for file in folder.rglob("*"):
            inside = file.relative_to(folder)
            if file.is_file() and not LEFT_OUT.intersection(inside.parts):
                yield str(at / inside), file
                linked += [file] if file.suffix == ".so" else []
    found: dict[str, Path] = {}
    for program in linked:
        listed = subprocess.run((needs.tool("ldd"), program), check=False, capture_output=True, text=True).stdout
        for line in listed.splitlines():
            name, _, place = line.strip().partition(" => ")
            path = Path((place or name).partition(" (")[0])
            if path.is_absolute():
                found[name if place else str(path)] = path
    libc = found["libc.so.6"].parent
    found |= {name: libc / name for name in OF_WHEELS if (libc / name).exists()}
    for name, path in found.items():
        # The loader has its one path; a library goes to where libc is, whatever place it has here.
        yield str(name if name.startswith("/") else libc / name).lstrip("/"), path


def _python() -> Path:
    """The interpreter that this environment was made from."""
    return Path(sys.executable).resolve()


def _kept(name: str, digest: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, made now if it is not there: complete, or not at all."""
    folder = parts.cache() / f"image-{name}-{digest[:12]}"
    if not folder.exists():
        parts.cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parts.cache(), prefix=f".{name}-") as scratch:
            unfinished = Path(scratch) / name
            unfinished.mkdir()
            make(unfinished)
            shutil.move(unfinished, folder)
    return folder
