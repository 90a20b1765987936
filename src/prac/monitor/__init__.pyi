from .progress import Progress as Progress
from .trackers.tracker import TRACKERS as TRACKERS
from .trackers.tracker import Tracker as Tracker
from .trackers.tracker import Where as Where
from .tracking import Tracking as Tracking
