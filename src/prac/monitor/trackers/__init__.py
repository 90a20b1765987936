"""Other programs that show a run's values: what a tracker is, and one module for each."""
