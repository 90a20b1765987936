"""Is it a ticket: trained alone, beside the dense network and controls, over seeds; and statistics.

Imports `training` and what is below it, and no search: a ticket is judged by what its file says.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
