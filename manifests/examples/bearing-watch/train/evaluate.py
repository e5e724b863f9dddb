"""Prints the confusion matrices of `../weights.bin`: bearings never seen in training, then real recordings.

Features and network are the product's own Rust code. The recordings are only looked at: nothing is trained on them.
"""

import argparse
import wave
from pathlib import Path

import numpy as np

import product
import simulate

# Neither the seed nor a ball count of these windows occurs in training.
SEED = 20_261_122
WINDOWS = 8_000

# SKF 6205-2RS, drive end, no load: 1797 turns a minute.
RECORDINGS_HEAD = np.array([29.95, 3.5848, 5.4152, 2.357, 0.39828], dtype="<f4")
RECORDINGS = {
    "normal": "normal_0hp.wav",
    "inner race": "inner_race_007_0hp.wav",
    "outer race": "outer_race_007_0hp.wav",
    "ball": "ball_007_0hp.wav",
}


def recordings(folder):
    """Records and labels of half-overlapping windows through every recording."""
    records, labels = [], []
    for label, kind in enumerate(simulate.CLASSES):
        with wave.open(str(folder / RECORDINGS[kind])) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (1, 2, simulate.RATE_HZ):
                raise SystemExit(f"{RECORDINGS[kind]}: expected 16-bit mono at {simulate.RATE_HZ} Hz")
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        for start in range(0, len(samples) - simulate.WINDOW + 1, simulate.WINDOW // 2):
            records.append(RECORDINGS_HEAD.tobytes() + samples[start : start + simulate.WINDOW].tobytes())
            labels.append(label)
    return b"".join(records), np.array(labels)


def print_matrix(title, records, labels):
    answers = product.classify(product.WEIGHTS, product.features(records, len(labels))).argmax(axis=1)
    count = len(simulate.CLASSES)
    matrix = np.zeros((count, count), int)
    np.add.at(matrix, (labels, answers), 1)
    print(f"\n{title}: {np.trace(matrix) / len(labels):.1%} of {len(labels)} windows\n")
    print("| true \\ named | " + " | ".join(simulate.CLASSES) + " | right |")
    print("| --- |" + " ---: |" * (count + 1))
    for kind, row in zip(simulate.CLASSES, matrix):
        right = row[simulate.CLASSES.index(kind)] / row.sum()
        print(f"| {kind} | " + " | ".join(map(str, row)) + f" | {right:.1%} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, default=product.ROOT / "../shared/data/vibration")
    folder = parser.parse_args().recordings
    print(f"{product.WEIGHTS.name}: sha256 {product.sha256(product.WEIGHTS)}")
    print_matrix("Hold-out (simulated)", *simulate.data_set(SEED, WINDOWS, simulate.HOLD_OUT_BALLS))
    missing = [name for name in RECORDINGS.values() if not (folder / name).is_file()]
    if missing:
        print(f"\nSKIPPED: real recordings: {', '.join(missing)} not in {folder}")
    else:
        print_matrix("Real recordings", *recordings(folder))


if __name__ == "__main__":
    main()
