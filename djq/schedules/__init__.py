"""Where schedules are kept."""
