"""Side by side with what one would otherwise write: `python -m benchmarks`."""
