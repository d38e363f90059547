"""llama.cpp and nothing else: models, contexts, vocabularies, reading by layers, trial loads (trial_load.py)."""
