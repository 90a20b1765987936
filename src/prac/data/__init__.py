"""Examples: where they come from, how they are indexed, split and augmented.

A set of examples gives batches by index, so that who was forgotten has a name. `sources` reads what
lies on disk. Imports `config` and what is below it.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
