"""A cache: its catalogue, how it is built, who signed it, which of its files llama.cpp may see.

open_cache(source) -> OpenCache          (catalogue.py)      build(adapters, out, base) -> Built    (build.py)
trust, signing: whose catalogue it is     screening, outliers: which adapters look odd     gains: likelihood gains
"""
