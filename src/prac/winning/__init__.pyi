from .ladder import LADDER as LADDER
from .ladder import rungs as rungs
from .result import COUNTED as COUNTED
from .result import ENDED as ENDED
from .result import Tried as Tried
from .result import Win as Win
from .winning import check_proof as check_proof
from .winning import win as win
