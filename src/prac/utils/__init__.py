"""Small things that belong to no part of the method: text, seeds, functions by name, extras.

Imports `errors` alone.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
