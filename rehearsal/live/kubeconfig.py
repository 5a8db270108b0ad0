"""The kubeconfig of an embedded cluster. Pure."""

import base64

from rehearsal.objects import Document

CONTEXT = "rehearsal"


def kubeconfig(server: str, authority: bytes, *, user: str, token: str, namespace: str) -> Document:
    """Return a kubeconfig with one context.

    Args:
        server: the URL of the API server.
        authority: who signed its certificate, as PEM.
        user: the name of the user in it.
        token: that user's bearer token.
        namespace: the context's.
    """
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    context = {"cluster": CONTEXT, "user": user, "namespace": namespace}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": CONTEXT,
        "contexts": [{"name": CONTEXT, "context": context}],
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
    }
