"""Database migrations of djq."""
