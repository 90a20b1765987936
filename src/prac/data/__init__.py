"""Examples: where they come from, how they are indexed, split and augmented."""
