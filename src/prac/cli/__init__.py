"""The `prac` command: each subcommand a module, options made from the settings' own fields.

Imports everything; what waits for torch is imported when a command needs it.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
