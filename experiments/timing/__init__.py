"""What the benchmark times, how, and its tables."""
