"""Which version this is, and of which commit, if the build said so in $CERTLAG_REVISION."""

import os
from importlib.metadata import version as installed

VERSION = installed("certlag")
REVISION = os.environ.get("CERTLAG_REVISION", "")
