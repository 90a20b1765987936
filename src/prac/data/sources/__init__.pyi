from .by_name import is_data as is_data
from .by_name import load as load
from .types import LazyImages as LazyImages
from .types import Source as Source
from .types import Splits as Splits
from .types import Statistics as Statistics
