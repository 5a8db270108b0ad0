"""TLS contexts from PEM in memory. The ssl module reads key pairs only from files: they are on disk for an instant."""

import ssl
import tempfile
from pathlib import Path

from rehearsal.node.network import KeyPair


def server_context(pair: KeyPair) -> ssl.SSLContext:
    """Make the server side of TLS; with a client authority it requires client certificates.

    Raises:
        OSError: certificate and key cannot be read, or do not belong together.
        ValueError: there is something else than certificates where the client authority should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as directory:
        certificate, key = Path(directory, "tls.crt"), Path(directory, "tls.key")
        certificate.write_bytes(pair.certificate)
        key.touch(mode=0o600)
        key.write_bytes(pair.key)
        context.load_cert_chain(certificate, key)
    if pair.client_authority:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=pair.client_authority.decode())
    return context
