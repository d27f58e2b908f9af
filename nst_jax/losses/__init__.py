"""The loss terms: content, Gram matrix, style, total variation."""

from nst_jax.losses.gram import content_loss, gram_matrix, style_loss, total_variation

__all__ = ["content_loss", "gram_matrix", "style_loss", "total_variation"]
