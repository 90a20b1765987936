"""The one training loop, and what a training needs: task, device, execution, run control.

Searches, retrainings and judgements train through `train_level`. Imports `runs` and what is below
it.
"""

import lazy_loader

# Loaded when first used: what asks for one name of a room does not wait for the others.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
