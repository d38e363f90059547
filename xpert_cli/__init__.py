"""xpert: your own LLM on a phone or laptop, started from the nearest adapter instead of from scratch."""

__version__ = "0.1.0"
