"""Frozen, validated settings, and the methods, presets and recipes that are made of them.

No module here imports torch, so that the command can describe itself at once. Imports `io` and what
is below it.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
