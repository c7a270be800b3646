"""What decides: no clock, no I/O, no Django. Time and identity come in, effects go out as values."""
