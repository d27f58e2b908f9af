"""What the experiments measure: pictures, logs, runs, ways down a loss, and their statistics."""
