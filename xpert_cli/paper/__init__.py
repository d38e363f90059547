"""Algorithm 1 of the XPerT paper as published: adapters named in words, and selection by them."""
