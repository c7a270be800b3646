"""What acts: small classes with their ports in the constructor and one unit of work in `step`."""
