"""`python -m tests.dry_release`: `make release` where nothing can be pulled, with the bench's BuildKit and bases."""

import os
import sys
from dataclasses import replace

from release import build, files
from tests.bench import parts
from tests.bench.builder import builder


def main() -> int:
    """Make the release."""
    of = files.commit()
    folders = (parts.binary("helm").parent, parts.binary("buildctl").parent)
    os.environ["PATH"] = ":".join([*map(str, folders), os.environ["PATH"]])
    with builder() as daemon:
        os.environ["BUILDKIT_HOST"] = daemon.address
        return build.main(replace(daemon.build(version=of.version, revision=of.revision), epoch=of.epoch))


if __name__ == "__main__":
    sys.exit(main())
