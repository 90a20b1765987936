"""Find winning lottery tickets with less data: sparse trainable subnetworks by PrAC.

`__init__.pyi` lists the library's surface; each name is loaded when first used, so that importing
the package, or asking the command for help, does not wait for torch.
"""

import importlib
from typing import Any

import lazy_loader

from prac import retired
from prac._version import __version__ as __version__

_loaded, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
retired.keep_old_modules()


def __getattr__(name: str) -> Any:
    if f"{__name__}.{name}" in retired.MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    return _loaded(retired.current_name(__name__, name))
