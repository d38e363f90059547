"""The only modules that touch llama.cpp, GGUF bytes, torch, the Hub and the user's files."""
