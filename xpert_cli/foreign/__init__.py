"""What comes from elsewhere, made safe to use: text.py for screens and pages, data.py for JSON and arrays."""
