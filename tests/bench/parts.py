"""The parts of the bench: which there are, where they are, and how to build the missing ones.

`python -m tests.bench.parts build` builds what is missing into the cache; `python -m tests.bench.parts missing`
says what a machine lacks, with the remedy. Nothing is ever built unasked: a test that finds a part missing
is left out, with the remedy as its reason.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from tests.bench import needs, schemas
from tests.bench.needs import Kind, Missing

SOURCES = Path(__file__).parent / "parts"
BUILD = "python -m tests.bench.parts build"


@dataclass(frozen=True)
class Part:
    """Programs built from one Go module: its own `go.mod` in `parts/<name>` pins every version."""

    name: str
    packages: tuple[str, ...]
    module: str | None = None
    ldflags: str = "-s -w"
    cgo: bool = True
    kinds: frozenset[Kind] = frozenset({Kind.SMALL, Kind.WHOLE})

    @property
    def source(self) -> Path:
        """The folder with its `go.mod`."""
        return SOURCES / self.name

    @property
    def version(self) -> str:
        """The version of the module it is built from, as its `go.mod` requires it; ours have none: `v1`."""
        if self.module is None:
            return "v1"
        required = re.search(
            rf"^\s*(?:require )?{re.escape(self.module)} (v\S+)", (self.source / "go.mod").read_text(), re.MULTILINE
        )
        if required is None:
            raise LookupError(f"{self.source / 'go.mod'} requires no {self.module}: name the module it is for")
        return required[1]

    @property
    def flags(self) -> tuple[str, ...]:
        """What `go build` is given. -buildvcs=false: a commit here must not change what is built."""
        return ("-trimpath", "-buildvcs=false", "-ldflags", self.ldflags)

    @property
    def directory(self) -> Path:
        """Where it is in the cache: a new folder for each change of what it is made of."""
        digest = hashlib.sha256(repr((self.flags, self.packages, self.cgo)).encode())
        for file in sorted(self.source.iterdir()):
            if file.suffix == ".go" or file.name in {"go.mod", "go.sum"}:
                digest.update(file.read_bytes())
        return cache() / f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    @property
    def binaries(self) -> tuple[Path, ...]:
        """The programs it consists of."""
        return tuple(
            self.directory / (self.name if package == "." else package.rpartition("/")[2]) for package in self.packages
        )


def _kubernetes_ldflags() -> str:
    # Without these, the programs say v0.0.0-master+$Format:%H$, which clients misread.
    version = Part("kubernetes", (), "k8s.io/kubernetes").version
    major, minor, _ = version.removeprefix("v").split(".")
    name = "k8s.io/component-base/version"
    return f"-s -w -X {name}.gitVersion={version} -X {name}.gitMajor={major} -X {name}.gitMinor={minor}"


PARTS = {
    part.name: part
    for part in (
        Part(
            "kubernetes",
            tuple(
                f"k8s.io/kubernetes/cmd/{program}"
                for program in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-scheduler",
                    "kubelet",
                    "kube-proxy",
                    "kubectl",
                )
            ),
            "k8s.io/kubernetes",
            _kubernetes_ldflags(),
        ),
        Part("etcd", (".",), "go.etcd.io/etcd/server/v3"),
        Part("cert-manager", (".",), "github.com/cert-manager/cert-manager"),
        Part(
            "containerd",
            tuple(
                f"github.com/containerd/containerd/v2/cmd/{program}"
                for program in ("containerd", "containerd-shim-runc-v2", "ctr")
            ),
            "github.com/containerd/containerd/v2",
            kinds=frozenset({Kind.WHOLE}),
        ),
        Part(
            "buildkit",
            tuple(f"github.com/moby/buildkit/cmd/{program}" for program in ("buildctl", "buildkitd")),
            "github.com/moby/buildkit",
            kinds=frozenset({Kind.WHOLE}),
        ),
        # No cgo in ours: they run in images that hold nothing else.
        Part("pause", (".",), cgo=False, kinds=frozenset({Kind.WHOLE})),
        Part("apiread", (".",), cgo=False, kinds=frozenset({Kind.WHOLE})),
        Part("tlsserve", (".",), cgo=False, kinds=frozenset({Kind.WHOLE})),
        Part("httpload", (".",), cgo=False, kinds=frozenset({Kind.SMALL})),
        Part("helm", ("helm.sh/helm/v4/cmd/helm",), "helm.sh/helm/v4", kinds=frozenset({Kind.TOOLS, Kind.WHOLE})),
        Part(
            "kubeconform",
            ("github.com/yannh/kubeconform/cmd/kubeconform",),
            "github.com/yannh/kubeconform",
            kinds=frozenset({Kind.TOOLS}),
        ),
        # Nothing is built of these: what they say of their API is read.
        Part("api-schemas", (), "k8s.io/kubernetes", kinds=frozenset({Kind.TOOLS, Kind.WHOLE})),
    )
}


def cache() -> Path:
    """The folder that holds all that was built: `$CERTLAG_CACHE`, else the user's cache folder."""
    own = os.environ.get("CERTLAG_CACHE")
    root = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "certlag"
    return root / "bench"


def binary(name: str) -> Path:
    """The built program of this name."""
    for part in PARTS.values():
        for program in part.binaries:
            if program.name == name:
                if not program.exists():
                    raise FileNotFoundError(f"{name} is not built ({program}): run `{BUILD}`")
                return program
    raise LookupError(f"no part has a program {name}: see PARTS in {__file__}")


def custom_resource_definitions() -> Path:
    """Cert-manager's CustomResourceDefinitions: a JSON list."""
    return PARTS["cert-manager"].directory / "crds.json"


def monitoring_definitions() -> Path:
    """prometheus-operator's CustomResourceDefinitions: a List, as kubectl applies it."""
    return PARTS["api-schemas"].directory / "crds.json"


def schemas_folder() -> Path:
    """The JSON Schemas of the API and of prometheus-operator's resources, one file for each kind."""
    return PARTS["api-schemas"].directory / "schemas"


def missing(kind: Kind = Kind.WHOLE) -> list[Missing]:
    """What this machine lacks for a cluster of this kind, each with its remedy."""
    unbuilt = [
        Missing(f"{part.name} {part.version}", BUILD)
        for part in PARTS.values()
        if kind in part.kinds and not part.directory.exists()
    ]
    return [*needs.lacking(kind), *unbuilt]


def build() -> None:
    """Build every part that is missing, one after the other, and print the seconds that each took."""
    for part in PARTS.values():
        if part.directory.exists():
            sys.stdout.write(f"{part.name} {part.version}: there already, {part.directory}\n")
            continue
        began = time.monotonic()
        _build(part)
        sys.stdout.write(f"{part.name} {part.version}: {time.monotonic() - began:.0f} s, {part.directory}\n")
        sys.stdout.flush()


def _build(part: Part) -> None:
    """Build into a folder beside the final one and rename it: what is in the cache is always complete."""
    cache().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache(), prefix=f".{part.name}-") as scratch:
        unfinished = Path(scratch) / "part"
        unfinished.mkdir()
        if part.packages:
            _compile(part, unfinished)
        if part.name == "cert-manager":
            _collect_crds(part, unfinished)
        if part.name == "api-schemas":
            _collect_schemas(part, unfinished)
        unfinished.rename(part.directory)


def _compile(part: Part, into: Path) -> None:
    # A package of the module itself would be named after its last path element: the part's name.
    output = f"{into / part.name}" if part.packages == (".",) else f"{into}/"
    subprocess.run(
        ["go", "build", *part.flags, "-o", output, *part.packages],
        cwd=part.source,
        env=os.environ | {"GOWORK": "off"} | ({} if part.cgo else {"CGO_ENABLED": "0"}),
        check=True,
    )


def _collect_crds(part: Part, into: Path) -> None:
    """Take the CRDs out of the module, as JSON: parsing a megabyte of YAML would cost each start a second."""
    module = _source(part, str(part.module))
    documents = [
        document
        for file in sorted((module / "deploy" / "crds").glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text())
        if document and document.get("kind") == "CustomResourceDefinition"
    ]
    (into / "crds.json").write_text(json.dumps(documents))


def _collect_schemas(part: Part, into: Path) -> None:
    """Write what the chart's objects are checked against."""
    swagger = json.loads((_source(part, "k8s.io/kubernetes") / "api" / "openapi-spec" / "swagger.json").read_text())
    operator = _source(part, "github.com/prometheus-operator/prometheus-operator")
    files = sorted((operator / "jsonnet" / "prometheus-operator").glob("*-crd.json"))
    definitions = [json.loads(file.read_text()) for file in files]
    listed = {"apiVersion": "v1", "kind": "List", "items": definitions}
    (into / "crds.json").write_text(json.dumps(listed))
    schemas.write(swagger, definitions, into / "schemas")


def _source(part: Part, module: str) -> Path:
    """Where a module of a part is, downloaded if it is not there: of the version that the part's `go.mod` requires."""
    version = replace(part, module=module).version
    downloaded = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{version}"],
        cwd=part.source,
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"GOWORK": "off"},
    )
    return Path(json.loads(downloaded.stdout)["Dir"])


def main(arguments: list[str]) -> int:
    """Build, or say what is missing."""
    match arguments:
        case ["build"]:
            build()
            return 0
        case ["missing"]:
            lacking = missing()
            for item in lacking:
                sys.stdout.write(f"missing: {item.what}: {item.remedy}\n")
            return 1 if lacking else 0
    sys.stderr.write("usage: python -m tests.bench.parts build|missing\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
