"""The parent process: it plans cells, starts a child process for each, checks what comes back and stores it."""
