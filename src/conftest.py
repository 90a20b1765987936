"""What is left out where pytest looks for doctests."""

# They have none, and importing the libraries takes seconds in each of pytest's processes.
collect_ignore = ["prac/loops/lightning.py", "prac/loops/transformers.py"]
