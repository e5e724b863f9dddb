"""Trains the fault classifier and writes `../weights.bin`.

Simulates windows, lets the Rust crate compute their features, trains a small network in floating point, rounds it to
8 bits and writes it in the format of `coracle_vibration::net`. Same machine, same numpy: same bytes. Another
processor may round matrix products differently and give weights of equal quality with another hash.
"""

import os

# One thread: the order of additions in a matrix product must not depend on the number of cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import struct
import sys

import numpy as np

import product
import simulate

SEED = 20_260_001
WINDOWS = 24_000
HIDDEN = [24, 16]
EPOCHS = 40
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 3e-4

MAGIC = b"CVNN"
FORMAT_VERSION = 1
FEATURES_VERSION = 1
MULTIPLIER_BITS = 30


def forward(layers, inputs):
    """Activations of every layer, the inputs first; the last are the scores."""
    activations = [inputs]
    for number, (weights, biases) in enumerate(layers):
        sums = activations[-1] @ weights + biases
        activations.append(np.maximum(sums, 0) if number + 1 < len(layers) else sums)
    return activations


def gradients(layers, inputs, labels):
    """Gradients of cross entropy with weight decay, for each layer."""
    activations = forward(layers, inputs)
    scores = activations[-1] - activations[-1].max(axis=1, keepdims=True)
    error = np.exp(scores)
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(labels)), labels] -= 1
    error /= len(labels)
    result = []
    for (weights, _), layer_inputs in zip(reversed(layers), reversed(activations[:-1])):
        result.append((layer_inputs.T @ error + WEIGHT_DECAY * weights, error.sum(axis=0)))
        error = (error @ weights.T) * (layer_inputs > 0)
    return result[::-1]


def train(inputs, labels, rng):
    """Adam with a cosine schedule."""
    widths = [inputs.shape[1], *HIDDEN, len(simulate.CLASSES)]
    layers = [
        [rng.standard_normal((a, b)) * np.sqrt(2 / a), np.zeros(b)] for a, b in zip(widths, widths[1:])
    ]
    first = [[np.zeros_like(p) for p in layer] for layer in layers]
    second = [[np.zeros_like(p) for p in layer] for layer in layers]
    step = 0
    for epoch in range(EPOCHS):
        rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(inputs))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            step += 1
            for l, layer_gradients in enumerate(gradients(layers, inputs[batch], labels[batch])):
                for p, gradient in enumerate(layer_gradients):
                    first[l][p] = 0.9 * first[l][p] + 0.1 * gradient
                    second[l][p] = 0.999 * second[l][p] + 0.001 * gradient**2
                    mean = first[l][p] / (1 - 0.9**step)
                    spread = np.sqrt(second[l][p] / (1 - 0.999**step))
                    layers[l][p] -= rate * mean / (spread + 1e-8)
    return layers


def quantise(layers, inputs):
    """The weights file: symmetric 8-bit weights, one scale a layer, activation scales from the training windows."""
    activations = forward(layers, inputs)
    file = MAGIC + bytes([FORMAT_VERSION, FEATURES_VERSION, len(layers), 0])
    input_scale = 1 / product.STEPS_PER_OCTAVE
    for (weights, biases), outputs in zip(layers, activations[1:]):
        weight_scale = np.abs(weights).max() / 127
        # The few values beyond saturate, which costs less than coarser steps for all.
        output_scale = np.quantile(np.abs(outputs), 0.9995) / 127
        rounded = np.clip(np.round(weights / weight_scale), -127, 127).astype(np.int8)
        sum_scale = input_scale * weight_scale
        multiplier, exponent = np.frexp(sum_scale / output_scale)
        file += struct.pack(
            "<HHIB3x",
            weights.shape[0],
            weights.shape[1],
            int(multiplier * 2**MULTIPLIER_BITS),
            MULTIPLIER_BITS - exponent,
        )
        file += np.round(biases / sum_scale).astype("<i4").tobytes() + rounded.T.tobytes()
        input_scale = output_scale
    return file


def main():
    records, labels = simulate.data_set(SEED, WINDOWS, simulate.TRAINING_BALLS)
    rows = product.features(records, WINDOWS)
    inputs = rows.astype(np.float64) / product.STEPS_PER_OCTAVE
    layers = train(inputs, labels, np.random.default_rng(SEED))
    print(f"training windows, floating point: {np.mean(forward(layers, inputs)[-1].argmax(axis=1) == labels):.2%}")
    file = quantise(layers, inputs)
    product.WEIGHTS.write_bytes(file)
    right = np.mean(product.classify(product.WEIGHTS, rows).argmax(axis=1) == labels)
    print(f"training windows, 8 bits:         {right:.2%}")
    print(f"{product.WEIGHTS.name}: {len(file)} bytes, sha256 {product.sha256(product.WEIGHTS)}")


if __name__ == "__main__":
    sys.exit(main())
