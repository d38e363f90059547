"""Files from the Hugging Face Hub or from a folder: where they are (sources.py), how they get here (download.py)."""
