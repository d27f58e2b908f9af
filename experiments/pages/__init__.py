"""Pages of the experiments: NAME.py finds the facts, NAME.md.jinja has the words."""
