"""The parent process: it plans cells, starts a child process for each, judges what comes back and stores it."""
