"""Where a person's writing lies (project.py, summarize.py), and which adapter is nearest (select.py, score.py)."""
