"""Bytes on disk: files written whole or not at all, strict JSON and YAML, checked tensor files.

It knows nothing of runs or tickets. Imports `errors` and `utils`.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
