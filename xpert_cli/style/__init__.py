"""The style space: axes by counting (measured.py) and by asking a model (described.py), and their metric (space.py)."""
