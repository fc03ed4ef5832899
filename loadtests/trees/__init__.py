"""The speed table of the trees engine; `run.py` is the way in."""
