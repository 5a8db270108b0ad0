"""Stands in for cmctl, which no Debian package has: `renew` writes the same condition into a Certificate's status.

    python -m tests.bench.cmctl FOLDER renew -n NAMESPACE CERTIFICATE

The folder is that of the cluster's supervisor.
"""

import sys
from pathlib import Path

from tests.bench.cluster import Cluster


def main(folder: str, *words: str) -> None:
    """Do the only thing that it can do.

    Raises:
        SystemExit: it was asked for anything else.
    """
    match words:
        case ("renew", "-n", namespace, certificate):
            Cluster.load(Path(folder)).ask_renewal(namespace, certificate)
        case _:
            raise SystemExit(f"cmctl {' '.join(words)}: this one only renews")


if __name__ == "__main__":
    main(*sys.argv[1:])
