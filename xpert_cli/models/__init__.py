"""Models and adapters as files: convert from Hugging Face and PEFT, quantize, merge, export."""
