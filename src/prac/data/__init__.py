"""Examples: where they come from, how they are indexed, split and augmented."""

from prac.data.augment import Pipeline
from prac.data.examples import Examples, MapExamples, TensorExamples

__all__ = ["Examples", "MapExamples", "Pipeline", "TensorExamples"]
