"""What `qinfo` and `qmonitor` show, made of an overview; the commands print it."""
