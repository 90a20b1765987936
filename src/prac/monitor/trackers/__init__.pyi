from .tracker import Tracker as Tracker
from .tracker import Where as Where
