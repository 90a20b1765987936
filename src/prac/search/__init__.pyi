from .finding import check_search as check_search
from .finding import find as find
from .parts import LevelStats as LevelStats
from .parts import Selection as Selection
