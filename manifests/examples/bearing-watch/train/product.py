"""Calls the product's own Rust code, so that training and evaluation cannot drift from what runs on the board."""

import hashlib
import subprocess
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).resolve().parents[1]
ROOT = EXAMPLE.parents[2]
WEIGHTS = EXAMPLE / "weights.bin"
STEPS_PER_OCTAVE = 8
CLASS_COUNT = 4


def run(example, arguments, data):
    """Builds and runs one example of `coracle-vibration`."""
    command = ["cargo", "run", "--quiet", "--release", "--package", "coracle-vibration", "--example", example, "--"]
    result = subprocess.run(command + arguments, input=data, stdout=subprocess.PIPE, cwd=ROOT, check=True)
    return np.frombuffer(result.stdout, np.int8)


def features(records, count):
    """Features of `count` window records, one row each, in 1/8 octaves."""
    return run("features", [], records).reshape(count, -1)


def classify(weights, rows):
    """Scores of each row of features, by the network in the file `weights`."""
    return run("classify", [str(weights)], rows.tobytes()).reshape(-1, CLASS_COUNT)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()
