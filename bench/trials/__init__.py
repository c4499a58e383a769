"""The trials of ``bench/truth.py``: what they record, the methods and conditions that they try, and their table."""
