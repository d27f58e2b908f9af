"""An open objective: any sum of named terms, over any number of pictures.

    L = sum_t a_t L_t,    L_t = sum_p v_tp L_tp

with the weights a_t of the terms and v_tp of their parts, mostly the layers of a network. A term
is three pure functions: `init` makes its targets of the pictures that it names, once; `measure`
gives statistics of an image as sums over locations; `loss` compares the sums of the whole image
with the targets. Because `measure` is a sum, parts of a picture, weights of locations and several
pictures as one style are one thing to a term.

    pictures = {
        "content": terms.view(feature_fn, photograph),
        "style": terms.view(feature_fn, painting),
    }
    objective = terms.compose(
        feature_fn,
        {"content": terms.content(("block4_conv2",)),
         "style": terms.wasserstein(("block1_conv1", "block2_conv1", "block3_conv1")),
         "smooth": terms.squared_variation()},
        pictures,
    )
    weights = terms.weigh(objective, {"content": 0.1, "style": 1.0, "smooth": 1e-4})
    total, found = objective(image, weights)

A term of your own is a function that returns a `Term`; nothing here has to know it.
"""

from nst_jax.terms.composition import (
    as_pytree,
    blend,
    check_weights,
    compose,
    feature_fn_of,
    image_seen,
    in_a_row,
    in_gray,
    losses_without_features,
    of_targets,
    relative,
    relative_parts,
    shared,
    targets_from,
    targets_of,
    terms_of,
    total_of,
    view,
    weigh,
)
from nst_jax.terms.features import content, covariance, gram, moments, wasserstein
from nst_jax.terms.kinds import KINDS, named, takes_region
from nst_jax.terms.pairs import adjacent_gram, cross_layer_gram, shifted_gram
from nst_jax.terms.pixels import (
    laplacian,
    nine_point_variation,
    of_pixels,
    pixel_content,
    power_variation,
    squared_variation,
    total_variation,
)
from nst_jax.terms.sums import of_sums
from nst_jax.terms.term import (
    IMAGE,
    FeatureFn,
    Losses,
    Objective,
    Source,
    Targets,
    Term,
    View,
    Weights,
)

__all__ = [
    "IMAGE",
    "KINDS",
    "FeatureFn",
    "Losses",
    "Objective",
    "Source",
    "Targets",
    "Term",
    "View",
    "Weights",
    "adjacent_gram",
    "as_pytree",
    "blend",
    "check_weights",
    "compose",
    "content",
    "covariance",
    "cross_layer_gram",
    "feature_fn_of",
    "gram",
    "image_seen",
    "in_a_row",
    "in_gray",
    "laplacian",
    "losses_without_features",
    "moments",
    "named",
    "nine_point_variation",
    "of_pixels",
    "of_sums",
    "of_targets",
    "pixel_content",
    "power_variation",
    "relative",
    "relative_parts",
    "shared",
    "shifted_gram",
    "squared_variation",
    "takes_region",
    "targets_from",
    "targets_of",
    "terms_of",
    "total_of",
    "total_variation",
    "view",
    "wasserstein",
    "weigh",
]
