"""Error reporters: one module a service, with its own client library."""
