"""The cheapest proven ticket: searches, dearer ones where they miss, and the proof by bisection.

Imports `comparison`, `evaluation`, `search` and what is below them.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
