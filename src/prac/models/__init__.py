"""Networks by name, and surgery: a module as named tensors, which of them are prunable, masks.

Imports `config` and what is below it; nothing of data.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
