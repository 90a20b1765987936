from . import lightning as lightning
from . import transformers as transformers
from .attaching import Attachment as Attachment
from .attaching import attach as attach
from .attaching import detach as detach
from .examples import with_ids as with_ids
from .ranks import from_rank_0 as from_rank_0
