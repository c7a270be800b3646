"""Where running clusters put up their statistics, for other processes to read."""
