"""Fine-tuning on small machines: LoRA with hand-written gradients, in llama.cpp's own tensor layout."""
