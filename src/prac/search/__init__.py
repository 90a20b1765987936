"""The search for tickets: `algorithm` is the method on a page, the rest are its parts.

Imports `training` and what is below it; neither verdicts nor reports.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
