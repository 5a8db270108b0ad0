"""Of the `kubernetes` package only the parts that are used are imported, the others when somebody wants them.

The package itself imports all of its parts (streams, informers, dynamic clients), and its kubeconfig loader imports
requests_oauthlib, and by it requests, to refresh tokens by OpenID Connect, which a pod never does. Together they cost
6 MiB of each process (docs/performance.md). Touches `sys.modules`.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGE, _OPENID = "kubernetes", "requests_oauthlib"


def defer() -> None:
    """Let the package's parts be imported one by one, and something stand in for requests_oauthlib; once."""
    spec = importlib.util.find_spec(_PACKAGE)
    if _PACKAGE not in sys.modules and spec is not None:
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)  # without running it
    if _OPENID not in sys.modules:
        stand_in = ModuleType(_OPENID)
        vars(stand_in)["OAuth2Session"] = _session
        sys.modules[_OPENID] = stand_in


def _session(*arguments: Any, **named: Any) -> Any:
    """Return a session of the real package."""
    if getattr(sys.modules.get(_OPENID), "OAuth2Session", None) is _session:
        del sys.modules[_OPENID]
    return importlib.import_module(_OPENID).OAuth2Session(*arguments, **named)
