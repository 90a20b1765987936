"""A run as a value, and its folder: states to resume from, levels, tickets, sets, what they cost.

Who asks only for levels and costs does not wait for torch. Imports `models`, `data` and what is
below them.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
