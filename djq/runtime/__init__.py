"""What touches the operating system: clocks, pipes, forks, signals, limits. Nothing else does."""
