"""Writes `../onset.wav`, the trace that the demo replays: a healthy machine, then a defect on the inner race.

Made by the same simulator as the training windows, for the bearing and the healthy level that the example's manifest
states. One LSB is 0.0005 g.
"""

import wave

import numpy as np

import product
import simulate

SEED = 20_260_801
SECONDS = 5
ONSET_SECONDS = 3.0
FAULT_TO_NOISE_DB = 8

# SKF 6205-2RS at 1797 turns a minute, as in the manifest.
BEARING = simulate.Bearing(balls=9, outer_race=3.5848, inner_race=5.4152, ball_spin=2.357, cage=0.39828)
SHAFT_HZ = 29.95

# The manifest's baseline, in LSB: 0.0715 g, and the first difference half as large again.
HEALTHY_RMS = 143
DIFFERENCE_TO_RMS = 1.5
OFFSET = 25


def machine(rng, samples):
    """Draws machines until one has its noise where the baseline wants it."""
    while True:
        noise = simulate.healthy(rng, SHAFT_HZ, samples)
        kurtosis = np.mean(noise**4)
        if abs(np.diff(noise).std() / DIFFERENCE_TO_RMS - 1) < 0.02 and 2.6 < kurtosis < 3.1:
            return noise


def main():
    rng = np.random.default_rng(SEED)
    samples = SECONDS * simulate.RATE_HZ
    onset = int(ONSET_SECONDS * simulate.RATE_HZ)
    defect = simulate.fault(rng, "inner race", BEARING, SHAFT_HZ, samples, onset)
    signal = machine(rng, samples) + simulate.decibels(FAULT_TO_NOISE_DB) * defect
    path = product.EXAMPLE / "onset.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(simulate.RATE_HZ)
        file.writeframes(simulate.to_samples(signal * HEALTHY_RMS + OFFSET).tobytes())
    print(f"{path.name}: {samples} samples, onset at sample {onset}, sha256 {product.sha256(path)}")


if __name__ == "__main__":
    main()
