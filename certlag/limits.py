"""How much is kept of what others wrote: the bounds that several modules share. Pure.

Anyone who may write an object, serve a certificate or forge a record decides what we read; what we keep of it, and so
what stands in the exposition, on the page, in `/api/v1/status` and in the logs, is bounded. Texts that are compared or
only shown are cut. An object with a longer one where the API server lets none pass is not read (`kube.schema`), nor is
a record with one (`run_record`).

What one module alone bounds stands there: a pod's ports and Secrets in `kube.decode`, its endpoints in `endpoints`,
chains in `certificates`, what a Certificate had before in `certificate_index`, a run's numbers in `run_record`.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

MAX_TEXT = 1024
"""Characters of a text of an object or a record. The API's names have at most 253."""
MAX_NAMES = 200
"""Names of one kind in a certificate."""
MAX_NAME = 255
"""Characters of a name in a certificate: those of a DNS name (RFC 1035 §2.3.4)."""
MAX_SERIAL = 20
"""Octets of a serial number (RFC 5280 §4.1.2.2)."""
MAX_LOGGED = 8 * 1024
"""Characters of one field of a log line."""


def truncate(text: str, most: int) -> str:
    """Return a text of at most this many characters, and a mark if it had more."""
    return text if len(text) <= most else f"{text[:most]}…"


def names(given: Iterable[str]) -> Iterator[str]:
    """Yield a certificate's names of one kind: so many of them, so much of each. One that was cut fits no real name."""
    return (name[:MAX_NAME] for name in islice(given, MAX_NAMES))
