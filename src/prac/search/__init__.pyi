from .asked import AskedLevel as AskedLevel
from .finding import find as find
from .finding import parameters_of as parameters_of
from .finding import planned as planned
from .parts import LevelStats as LevelStats
from .parts import Selection as Selection
from .result import Search as Search
