"""How tasks get their data: files of the package, the hub, and generators."""
