"""What leaves this machine: publishing a cache, and looking through it for private data and memorized text first."""
