"""Makes the root of the image: Python, the libraries that it is linked to, and nothing else; no shell, no packages.

Runs in the image that the result is taken from, and needs nothing but its standard library:
`python3 root.py FOLDER PROGRAMS`. Reads the running Python, the libraries that it and all below PROGRAMS are linked to,
and writes below FOLDER.
"""  # noqa: INP001 - a script

import compileall
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

LEFT_OUT = (
    *("__pycache__", "config-*", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages"),
    *("_curses*", "_dbm*", "_gdbm*", "_sqlite3*", "curses", "nis*", "readline*", "sqlite3"),
    *("test", "tests", "tkinter", "turtledemo", "_ctypes_test*", "_test*", "_tkinter*", "_xxtestfuzz*", "xxlimited*"),
)
"""Of the standard library: what no program of ours imports."""

ACCOUNTS = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n"
GROUP = "root:x:0:\nnonroot:x:65532:\n"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = Path("/var/lib/dpkg")


def main(root: Path, programs: Path) -> None:
    """Write it."""
    python = Path(sys.executable).resolve()
    library = Path(sysconfig.get_path("stdlib"))
    put(python, root / python.relative_to("/"))
    for name in ("python3", "python"):
        (root / sys.exec_prefix.lstrip("/") / "bin" / name).symlink_to(python.name)
    copied = root / library.relative_to("/")
    shutil.copytree(library, copied, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
    compileall.compile_dir(copied, quiet=1, stripdir=root, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
    extensions = [each for folder in (copied, programs) for each in folder.rglob("*.so*") if each.is_file()]
    found = dict(linked(loader(), [python, *extensions]))
    # What a wheel brings with it, it finds by itself.
    libraries = {name: path for name, path in found.items() if programs not in path.parents}
    (home,) = {path.parent for name, path in libraries.items() if name == "libc.so.6"}
    for name, path in libraries.items():
        # Beside libc: there the loader looks without a cache that says where.
        put(path, root / home.relative_to("/") / name)
    put(loader().resolve(), root / loader().relative_to("/"))
    for name, text in (("passwd", ACCOUNTS), ("group", GROUP)):
        write(root / "etc" / name, text)
    if AUTHORITIES.exists():
        put(AUTHORITIES, root / AUTHORITIES.relative_to("/"))
    for package, stanza in packages([loader(), *libraries.values(), AUTHORITIES]):
        write(root / "var/lib/dpkg/status.d" / package, stanza)
    (root / "tmp").mkdir(mode=0o1777)


def loader() -> Path:
    """Return the program that loads shared libraries, at the path that is written into every other program."""
    return next(path for folder in ("/lib64", "/lib") for path in sorted(Path(folder).glob("ld-linux-*.so.*")))


def linked(by: Path, programs: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    """Yield the name and place of each library that programs are linked to, directly or not."""
    for program in programs:
        listed = subprocess.run((by, "--list", program), capture_output=True, text=True, check=True)  # noqa: S603
        for name, path in re.findall(r"^\s(\S+) => (/\S+) \(", listed.stdout, re.MULTILINE):
            yield name, Path(path).resolve()


def packages(files: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield what Debian says of the packages that files are from, for scanners; nothing where it is not Debian."""
    wanted = {name for file in files for name in {str(file), str(file.resolve()), str(file.resolve())[len("/usr") :]}}
    status = (PACKAGES / "status").read_text(encoding="utf-8") if (PACKAGES / "status").exists() else ""
    for stanza in filter(None, status.split("\n\n")):
        fields = dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE))
        names = (fields["Package"], f"{fields['Package']}:{fields['Architecture']}")
        lists = [PACKAGES / "info" / f"{name}.list" for name in names]
        if any(wanted.intersection(file.read_text(encoding="utf-8").split("\n")) for file in lists if file.exists()):
            yield fields["Package"], stanza + "\n"


def put(source: Path, target: Path) -> None:
    """Copy one file with its mode, making the folders on the way."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)


def write(target: Path, text: str) -> None:
    """Write one file, making the folders on the way."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
