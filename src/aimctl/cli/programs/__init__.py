"""The programs that run until they are stopped: the manager, and the embedded cluster for development."""
