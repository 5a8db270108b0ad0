"""What each kind of bench needs of the machine, and the remedy for what is not there.

It only looks: nothing is ever installed by a test.
"""

import os
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

CNI_PLUGINS = Path("/usr/lib/cni")


class Kind(StrEnum):
    """How much of a cluster: `tools`, `browser` none, `small` no pods and no root, `whole` everything."""

    TOOLS = "tools"
    BROWSER = "browser"
    SMALL = "small"
    WHOLE = "whole"


@dataclass(frozen=True)
class Missing:
    """Something that this machine lacks, and what to do about it."""

    what: str
    remedy: str


# Programs of the system, with the Debian package that has each.
TOOLS = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}
BROWSER_TOOLS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
SMALL_TOOLS = {"setpriv": "util-linux"}
WHOLE_TOOLS = {
    "umount": "mount",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "mount": "mount",
    "busybox": "busybox-static",
    "ldd": "libc-bin",
    "nginx": "nginx",
    "haproxy": "haproxy",
    "stunnel4": "stunnel4",
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
}
PACKAGES = TOOLS | BROWSER_TOOLS | SMALL_TOOLS | WHOLE_TOOLS
OF_KIND = {
    Kind.TOOLS: TOOLS,
    Kind.BROWSER: BROWSER_TOOLS,
    Kind.SMALL: SMALL_TOOLS,
    Kind.WHOLE: TOOLS | SMALL_TOOLS | WHOLE_TOOLS,
}


def tool(name: str) -> Path:
    """The system's program of this name, also where PATH leaves out the system administrator's folders."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(f"no {name} on PATH: run `{_install(PACKAGES[name])}`")
    return Path(found)


def lacking(kind: Kind) -> list[Missing]:
    """What the machine lacks for a bench of this kind, besides the parts that are built."""
    if sys.platform != "linux":
        return [Missing("Linux", "run these tests on Linux: they start Kubernetes's own programs")]
    found = []
    if kind is Kind.WHOLE and os.geteuid() != 0:
        found.append(Missing("root", "run as root: pods need namespaces, mounts and cgroups"))
    for name, package in OF_KIND[kind].items():
        try:
            tool(name)
        except FileNotFoundError:
            found.append(Missing(name, _install(package)))
    if kind is Kind.WHOLE and not (CNI_PLUGINS / "bridge").exists():
        found.append(Missing(f"CNI plugins in {CNI_PLUGINS}", _install("containernetworking-plugins")))
    return found


def explain(missing: list[Missing]) -> str:
    """One line: what is missing, by remedy."""
    remedies = dict.fromkeys(each.remedy for each in missing)
    return "; ".join(
        f"no {', '.join(each.what for each in missing if each.remedy == remedy)}: {remedy}" for remedy in remedies
    )


def _install(package: str) -> str:
    return f"apt-get install {package}"
