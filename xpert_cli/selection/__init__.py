"""Where a person's writing lies (summarize.py, place.py), and which adapter is nearest to it (select.py, score.py)."""
