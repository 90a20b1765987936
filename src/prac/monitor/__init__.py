"""What people see while a run goes on: lines, a live screen, curves in other programs.

All of it listens to events; nothing here is asked by what trains. Imports `runs`, `events` and what
is below them.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
