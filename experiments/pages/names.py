"""The optimizers as a page calls them."""

NAMES = {
    "adam": "Adam",
    "rmsprop": "RMSprop",
    "adagrad": "Adagrad",
    "sgd": "gradient descent",
    "lbfgs": "L-BFGS",
}
