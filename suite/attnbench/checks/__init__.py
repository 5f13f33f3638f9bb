"""The checks of a variant, a module a theme; `attnbench.check` lists them all."""
