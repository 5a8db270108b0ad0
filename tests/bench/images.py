"""Container images made from files, without a registry: docker-archive tars that containerd imports.

An archive is one layer.tar, a config and a manifest. They are kept in the cache under a hash of what they
are made of. Add an image by adding a line to `table`.
"""

import hashlib
import io
import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import needs, parts

REPOSITORY = "certlag.dev/bench"
PAUSE = f"{REPOSITORY}/pause:{parts.PARTS['pause'].version}"
BUILDKIT = f"{REPOSITORY}/buildkit:{parts.PARTS['buildkit'].version}"
WORKER = f"{REPOSITORY}/worker:{parts.PARTS['buildkit'].version}"
APIREAD = f"{REPOSITORY}/apiread:{parts.PARTS['apiread'].version}"
SERVERS = f"{REPOSITORY}/servers:{parts.PARTS['tlsserve'].version}"
WORKER_SCRIPT = Path(__file__).parent / "worker.sh"
SHELL_PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """A name, its files (path in the image to a file here, or the content itself), links and start command."""

    name: str
    files: dict[str, Path | bytes]
    command: tuple[str, ...]
    links: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A hash of what it is made of; files of the machine by size and time, since some are large."""
        made_of = hashlib.sha256(repr((self.name, self.command, sorted(self.links.items()))).encode())
        for path, source in sorted(self.files.items()):
            made_of.update(path.encode())
            if isinstance(source, bytes):
                made_of.update(source)
            else:
                facts = source.stat()
                made_of.update(f"{source} {facts.st_size} {facts.st_mtime_ns}".encode())
        return made_of.hexdigest()[:16]


def table() -> tuple[Image, ...]:
    """Every image of the bench."""
    busybox = needs.tool("busybox")
    shell = {f"bin/{applet}": "busybox" for applet in _applets(busybox)}
    runc = needs.tool("runc")
    others = [needs.tool(name) for name in ("nginx", "haproxy", "stunnel4")]
    return (
        Image(PAUSE, {"pause": parts.binary("pause")}, ("/pause",)),
        Image(
            BUILDKIT,
            {
                "bin/busybox": busybox,
                "usr/bin/buildkitd": parts.binary("buildkitd"),
                "usr/bin/buildctl": parts.binary("buildctl"),
                # Debian's, since one built by Go lacks seccomp: with the libraries that they are linked to.
                "usr/bin/runc": runc,
                **_libraries(runc, parts.binary("buildkitd"), parts.binary("buildctl")),
            },
            ("/usr/bin/buildkitd",),
            shell,
        ),
        Image(
            WORKER,
            {
                "bin/busybox": busybox,
                "usr/bin/buildctl": parts.binary("buildctl"),
                **_libraries(parts.binary("buildctl")),
                "worker.sh": WORKER_SCRIPT.read_bytes(),
                "context/Dockerfile": _DOCKERFILE,
                "context/rootfs.tar": _busybox_root(busybox),
            },
            ("/bin/sh", "/worker.sh"),
            shell,
        ),
        Image(
            APIREAD,
            {"bin/busybox": busybox, "usr/bin/apiread": parts.binary("apiread")},
            ("/usr/bin/apiread", "/version"),
            shell,
        ),
        Image(
            SERVERS,
            {
                "bin/busybox": busybox,
                "usr/bin/tlsserve": parts.binary("tlsserve"),
                **{f"usr/bin/{each.name}": each for each in others},
                **_libraries(*others),
                # nginx asks for its own account's name.
                "etc/passwd": b"root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n",
                "etc/group": b"root:x:0:\nnogroup:x:65534:\n",
            },
            ("/usr/bin/tlsserve",),
            shell,
        ),
    )


# A base image can't be pulled, so the build brings its own root. NONCE makes every build a new one.
_DOCKERFILE = b"""FROM scratch
ADD rootfs.tar /
ARG SECONDS
ARG NONCE
RUN ["/bin/busybox", "sh", "-c", "echo build $NONCE; exec /bin/busybox sleep $SECONDS"]
"""


def archives() -> list[Path]:
    """The archive of every image, written now where the cache has none."""
    return [_archive(image) for image in table()]


def _archive(image: Image) -> Path:
    folder = parts.cache() / "images"
    name = image.name.rpartition("/")[2].replace(":", "-")
    archive = folder / f"{name}-{image.digest}.tar"
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}-") as scratch:
            layer = Path(scratch) / "layer.tar"
            _write_layer(image, layer)
            _write_archive(image, layer, Path(scratch) / "image.tar")
            (Path(scratch) / "image.tar").rename(archive)
    return archive


def _write_layer(image: Image, layer: Path) -> None:
    with tarfile.open(layer, "w") as tar:
        folders = {str(parent) for path in (*image.files, *image.links) for parent in Path(path).parents}
        for folder in sorted(folders - {"."} | {"tmp", "etc"}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            tar.addfile(entry)
        for path, source in image.files.items():
            content = source if isinstance(source, bytes) else source.read_bytes()
            _add(tar, path, content)
        for path, target in image.links.items():
            if path in image.files:
                continue
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)


def _write_archive(image: Image, layer: Path, archive: Path) -> None:
    with layer.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}[_machine()]
    configuration = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": list(image.command), "Env": [SHELL_PATH]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [image.name], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        _add(tar, "config.json", json.dumps(configuration).encode())
        _add(tar, "manifest.json", json.dumps(manifest).encode())
        tar.add(layer, "layer.tar")


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(content), 0o755
    tar.addfile(entry, io.BytesIO(content))


def _busybox_root(busybox: Path) -> bytes:
    """The root of a build's container: one static program."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        _add(tar, "bin/busybox", busybox.read_bytes())
    return written.getvalue()


def _applets(busybox: Path) -> list[str]:
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return [applet for applet in listed.stdout.split() if applet != "busybox"]


def _libraries(*programs: Path) -> dict[str, Path | bytes]:
    """The shared libraries of programs, the loader among them, at the paths where they look for them."""
    found: dict[str, Path | bytes] = {}
    for program in programs:
        # Fails for a static program, which has none.
        linked = subprocess.run([needs.tool("ldd"), program], check=False, capture_output=True, text=True)
        paths = re.findall(r"(/\S+) \(0x", linked.stdout)
        found |= {path.lstrip("/"): Path(path) for path in paths}
    return found


def _machine() -> str:
    return subprocess.run(["uname", "-m"], check=True, capture_output=True, text=True).stdout.strip()
