"""The method's algorithms: pure functions on tensors and numbers, usable in anyone's own loop.

Imports nothing of the package but its table of retired names.
"""

from typing import Any

import lazy_loader

from prac import retired

# Loaded when first used: what asks for one name of a room does not wait for the others.
_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    return _loaded(retired.current_name(__name__, name))
