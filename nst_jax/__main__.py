"""`python -m nst_jax` is the `nst-jax` command."""

import sys

from nst_jax.cli import main

sys.exit(main())
