"""Of the `kubernetes` package only the parts that are used are imported, the others when somebody wants them.

The package itself imports all of its parts (streams, informers, dynamic clients). Its kubeconfig loader imports
requests_oauthlib, and by it requests, to refresh tokens by OpenID Connect, which a pod never does; its typed models,
which are not used, import dateutil's parser. Together they cost 7 MiB of each process (docs/performance.md). Touches
`sys.modules`.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGE = "kubernetes"
_FUNCTIONS = {"requests_oauthlib": "OAuth2Session", "dateutil.parser": "parse"}
"""Of each module what the package takes of it."""


def defer() -> None:
    """Let the package's parts be imported one by one, and something stand in for what they take of others; once."""
    spec = importlib.util.find_spec(_PACKAGE)
    if _PACKAGE not in sys.modules and spec is not None:
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)  # without running it
    for module, function in _FUNCTIONS.items():
        if module not in sys.modules:
            sys.modules[module] = _stand_in(module, function)


def _stand_in(name: str, function: str) -> ModuleType:
    """Return a module whose one function makes way for the real module when it is called."""
    module = ModuleType(name)

    def call(*arguments: Any, **named: Any) -> Any:
        if sys.modules.get(name) is module:
            del sys.modules[name]
        return getattr(importlib.import_module(name), function)(*arguments, **named)

    vars(module)[function] = call
    return module
