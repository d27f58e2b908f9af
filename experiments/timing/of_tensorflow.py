"""The report's program (Chapter 6): `tf.function`, Keras's VGG19 and Adam, a clip."""

import tensorflow as tf

from timing.problem import (
    CONTENT_LAYER,
    CONTENT_WEIGHT,
    LEARNING_RATE,
    STYLE_LAYERS,
    STYLE_WEIGHT,
    Problem,
    Steps,
    layers,
)

# What is called float32 is float32.
tf.config.experimental.enable_tensor_float_32_execution(False)


def steps(problem: Problem, variants: int, precision: str) -> Steps:
    """Steps of one variant in float32, whatever is asked for."""
    del variants, precision
    model = _model_of(problem)
    wanted = _extract(model, tf.constant(problem["style"][None]))[0]
    kept = _extract(model, tf.constant(problem["content"][None]))[1]
    image = tf.Variable(problem["content"][None])
    optimizer = tf.keras.optimizers.Adam(learning_rate=LEARNING_RATE)

    @tf.function
    def train_step():
        with tf.GradientTape() as tape:
            grams, content = _extract(model, image)
            style = tf.add_n(
                [tf.reduce_mean((a - b) ** 2) for a, b in zip(grams, wanted, strict=True)]
            )
            loss = CONTENT_WEIGHT * tf.reduce_mean((content - kept) ** 2)
            loss += STYLE_WEIGHT / len(STYLE_LAYERS) * style
        optimizer.apply_gradients([(tape.gradient(loss, image), image)])
        image.assign(tf.clip_by_value(image, 0.0, 1.0))
        return loss

    return train_step, 1


def _model_of(problem: Problem) -> tf.keras.Model:
    vgg = tf.keras.applications.VGG19(include_top=False, weights=None)
    vgg.trainable = False
    for layer in layers():
        vgg.get_layer(layer).set_weights([problem[f"kernel/{layer}"], problem[f"bias/{layer}"]])
    names = (*STYLE_LAYERS, CONTENT_LAYER)
    return tf.keras.Model([vgg.input], [vgg.get_layer(name).output for name in names])


def _extract(model, image):
    """Gram matrices of the style layers, and the content layer."""
    *style, content = model(tf.keras.applications.vgg19.preprocess_input(image * 255.0))
    grams = [
        tf.linalg.einsum("bijc,bijd->bcd", x, x)
        / tf.cast(tf.shape(x)[1] * tf.shape(x)[2], tf.float32)
        for x in style
    ]
    return grams, content


def device() -> str:
    """cpu or gpu, as TensorFlow would have it."""
    return "gpu" if tf.config.list_physical_devices("GPU") else "cpu"


def peak_bytes() -> None:
    """TensorFlow does not tell."""
    return None
