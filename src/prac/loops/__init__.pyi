from .attaching import Attachment as Attachment
from .attaching import attach as attach
from .attaching import detach as detach
