"""`python -m nst_jax` is the `nst-jax` command."""

from nst_jax.command.main import main

main()
