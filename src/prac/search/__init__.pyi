from .finding import check_search as check_search
from .finding import find as find
from .finding import parameters_of as parameters_of
from .parts import LevelStats as LevelStats
from .parts import Selection as Selection
