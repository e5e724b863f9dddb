"""Seeded physical simulation of rolling-element bearings seen by one accelerometer.

A defect is struck once per passing rolling element. The strikes are impulses on a fine time grid, with random slip
between them and random strength, modulated by the load zone through which the defect travels. They excite a few
damped structural resonances. Broad-band and coloured noise, shaft harmonics, tones and blows from elsewhere are
added, and the sum is scaled and rounded to 16 bits. Nothing here is computed from a recording.

It does not model growing or extended damage, gears, changes of speed, or several faults at once.
"""

from dataclasses import dataclass

import numpy as np

RATE_HZ = 12_000
WINDOW = 2048
CLASSES = ["normal", "inner race", "outer race", "ball"]

OVERSAMPLING = 4
# Simulated before the samples that are kept, so that resonances are ringing when the window starts.
WARM_UP = 1024

# Ball counts decide who may be seen in training: no bearing of the hold-out has a count that training knows.
TRAINING_BALLS = [7, 8, 10, 11, 13, 15, 16]
HOLD_OUT_BALLS = [9, 12, 14]
assert not set(TRAINING_BALLS) & set(HOLD_OUT_BALLS)

# As in the crate: closer pairs cannot be told apart in one window.
MIN_SEPARATION = 0.05


@dataclass
class Bearing:
    """Defect frequencies as multiples of the shaft speed."""

    balls: int
    outer_race: float
    inner_race: float
    ball_spin: float
    cage: float


def random_bearing(rng, ball_counts):
    """A deep-groove or angular-contact bearing whose balls fill half to nine tenths of the pitch circle."""
    while True:
        balls = int(rng.choice(ball_counts))
        fill = rng.uniform(0.5, 0.9)
        contact = np.cos(np.radians(rng.choice([0.0, 0.0, 15.0, 25.0, 40.0])))
        diameter = fill * np.pi / balls  # ball over pitch diameter
        gamma = diameter * contact
        if not 0.12 <= gamma <= 0.33:
            continue
        outer = balls / 2 * (1 - gamma)
        inner = balls / 2 * (1 + gamma)
        spin = (1 - gamma**2) / (2 * diameter)
        if min(abs(2 * spin / outer - 1), abs(2 * spin / inner - 1)) < MIN_SEPARATION * 1.02:
            continue
        return Bearing(balls, outer, inner, spin, (1 - gamma) / 2)


def load_zone(rng, angle):
    """Load at an angle from its direction (Stribeck), with a random extent and, at times, a second, opposite lobe.

    The extent is the fraction of the diameter under load: 0.5 loads half the ring; a large one is the even load of an
    axially preloaded bearing. Two lobes come from an oval housing or a misaligned shaft.
    """
    extent = 10 ** rng.uniform(np.log10(0.4), np.log10(4))
    load = np.clip(1 - (1 - np.cos(angle)) / (2 * extent), 0, None) ** 1.5
    if rng.random() < 0.3:
        opposite = np.clip(1 - (1 + np.cos(angle)) / (2 * extent), 0, None) ** 1.5
        load = load + rng.uniform(0.3, 1) * opposite
    return load


def strikes(rng, kind, bearing, shaft_hz, seconds):
    """Times in seconds and strengths of the impacts of one defect."""
    multiple = {
        "inner race": bearing.inner_race,
        "outer race": bearing.outer_race,
        "ball": 2 * bearing.ball_spin,
    }[kind]
    # The mean slip of all elements, the slip from strike to strike, and the scatter of a single contact.
    hz = multiple * shaft_hz * (1 + rng.uniform(-0.012, 0.004))
    count = int(seconds * hz * 1.1) + 4
    intervals = (1 + rng.uniform(0.002, 0.015) * rng.standard_normal(count)) / hz
    times = rng.uniform(0, 1 / hz) + np.cumsum(intervals)
    strengths = 1 + rng.uniform(0.05, 0.3) * rng.standard_normal(count)

    turn = 2 * np.pi * shaft_hz * times + rng.uniform(0, 2 * np.pi)
    cage = 2 * np.pi * bearing.cage * shaft_hz * times + rng.uniform(0, 2 * np.pi)
    if kind == "inner race":
        # The defect turns with the shaft through the load zone, and its path to the sensor changes on the way.
        path = 1 + rng.uniform(0, 0.4) * np.cos(turn + rng.uniform(0, 2 * np.pi))
        strengths = strengths * load_zone(rng, turn) * path
    elif kind == "ball":
        # The ball travels with the cage; every second strike hits the inner ring, farther from the sensor.
        floor = rng.uniform(0.05, 0.3)
        strengths = strengths * (floor + (1 - floor) * load_zone(rng, cage))
        strengths[1::2] *= rng.uniform(0.35, 1.0)
    else:
        # The defect stays in the load zone; unbalance and misalignment make the load breathe with the shaft.
        strengths = strengths * (1 + rng.uniform(0, 0.3) * np.cos(turn) + rng.uniform(0, 0.2) * np.cos(2 * turn))
    return times, np.clip(strengths, 0, None)


def ringing(rng, points, rate):
    """Impulse response of the structure between the bearing and the sensor."""
    t = np.arange(points) / rate
    response = np.zeros(points)
    for _ in range(rng.integers(1, 4)):
        hz = rng.uniform(1200, 5400)
        damping = rng.uniform(0.02, 0.1)
        omega = 2 * np.pi * hz
        response += rng.uniform(0.3, 1) * np.exp(-damping * omega * t) * np.sin(omega * np.sqrt(1 - damping**2) * t)
    return response


def ring(times, strengths, response, points, rate):
    """Impacts through the structure, sampled at RATE_HZ."""
    grid = np.zeros(points)
    position = times * rate
    inside = (position >= 0) & (position < points - 1)
    position, strengths = position[inside], strengths[inside]
    first = position.astype(int)
    np.add.at(grid, first, strengths * (1 - (position - first)))
    np.add.at(grid, first + 1, strengths * (position - first))
    spectrum = np.fft.rfft(grid) * np.fft.rfft(response)
    kept = points // OVERSAMPLING
    # Dropping the upper bins is an ideal anti-aliasing filter; the accelerometer loses the last 10 % by itself.
    spectrum = spectrum[: kept // 2 + 1]
    return np.fft.irfft(spectrum * sensor_roll_off(kept), kept)


def sensor_roll_off(samples):
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    return 1 / (1 + (hz / 5600) ** 16)


def machine_noise(rng, samples, shaft_hz):
    """A healthy machine: shaft harmonics, tones, broad-band and resonance-coloured noise, slow breathing."""
    hz = np.fft.rfftfreq(samples, 1 / RATE_HZ)
    colour = 1 / np.sqrt(1 + (hz / rng.uniform(500, 8000)) ** 2)
    for _ in range(rng.integers(0, 4)):
        centre, width = rng.uniform(300, 5600), rng.uniform(60, 700)
        colour = colour + rng.uniform(0.3, 4) / (1 + ((hz - centre) / width) ** 2)
    white = np.fft.rfft(rng.standard_normal(samples))
    noise = np.fft.irfft(white * colour * sensor_roll_off(samples), samples)
    noise /= noise.std()

    t = np.arange(samples) / RATE_HZ
    turn = 2 * np.pi * shaft_hz * t
    # Friction and load make the noise itself swell a little with shaft and twice the shaft, also in healthy machines.
    swell = 1 + rng.uniform(0, 0.3) * np.cos(turn + rng.uniform(0, 6.3))
    swell = swell + rng.uniform(0, 0.15) * np.cos(2 * turn + rng.uniform(0, 6.3))
    noise = noise * swell

    tones = np.zeros(samples)
    for harmonic in range(1, 9):
        tones += rng.exponential(0.25) / harmonic * np.sin(harmonic * turn + rng.uniform(0, 6.3))
    for _ in range(rng.integers(0, 6)):
        # Slot, blade or converter tones, some with shaft sidebands.
        tone = rng.exponential(0.2) * np.sin(2 * np.pi * rng.uniform(100, 5800) * t + rng.uniform(0, 6.3))
        tones += tone * (1 + rng.choice([0.0, 0.5]) * np.cos(turn))
    return noise + rng.uniform(0, 1.2) * tones


def healthy(rng, shaft_hz, samples):
    """A healthy machine, RMS 1."""
    noise = machine_noise(rng, WARM_UP + samples, shaft_hz)[WARM_UP:]
    return noise / noise.std()


def fault(rng, kind, bearing, shaft_hz, samples, onset=0):
    """The defect alone, RMS 1 from the sample `onset` on and silent before it."""
    rate = RATE_HZ * OVERSAMPLING
    total = WARM_UP + samples
    times, strengths = strikes(rng, kind, bearing, shaft_hz, total / RATE_HZ)
    if onset > 0:
        strengths = np.where(times >= (WARM_UP + onset) / RATE_HZ, strengths, 0)
    response = ringing(rng, total * OVERSAMPLING, rate)
    signal = ring(times, strengths, response, total * OVERSAMPLING, rate)[WARM_UP:]
    # The ideal filter rings ahead of the first strike; a sensor does not.
    signal[:onset] = 0
    return signal / signal[onset:].std()


def decibels(db):
    """Ratio of levels."""
    return 10 ** (db / 20)


def to_samples(signal):
    return np.clip(np.round(signal), -32768, 32767).astype("<i2")


def random_window(rng, label, ball_counts):
    """One labelled example: header numbers of the feature extractor, and 2048 samples."""
    kind = CLASSES[label]
    bearing = random_bearing(rng, ball_counts)
    shaft_hz = rng.uniform(20, 60)
    window = healthy(rng, shaft_hz, WINDOW)
    if kind != "normal":
        # A fault that woke the A core has raised the level by 3 dB (fault as strong as the noise) or is impulsive.
        window = window + decibels(rng.uniform(-5, 15)) * fault(rng, kind, bearing, shaft_hz, WINDOW)
    if kind == "normal":
        if rng.random() < 0.25:
            window = window + knocks(rng, foreign_knocks(rng, bearing, shaft_hz), rng.uniform(6, 22))
        if rng.random() < 0.1:
            window = window + knocks(rng, single_knocks(rng), rng.uniform(6, 40))
    elif rng.random() < 0.1:
        # A louder knock would hide the fault.
        window = window + knocks(rng, single_knocks(rng), rng.uniform(6, 20))
    window = window * 10 ** rng.uniform(np.log10(30), np.log10(1500)) + rng.uniform(-200, 200)
    # The speed in the manifest is nominal.
    nominal_hz = np.clip(shaft_hz * (1 + rng.uniform(-0.005, 0.005)), 20, 60)
    head = np.array(
        [nominal_hz, bearing.outer_race, bearing.inner_race, bearing.ball_spin, bearing.cage], dtype="<f4"
    )
    return head.tobytes() + to_samples(window).tobytes()


def single_knocks(rng):
    """Times of one or two blows, early enough to ring inside the window."""
    return rng.uniform(0, 0.9 * WINDOW / RATE_HZ, rng.integers(1, 3))


def foreign_knocks(rng, bearing, shaft_hz):
    """Times of regular blows that are no bearing fault: looseness once or twice a turn, or some other machine."""
    multiple = rng.choice([1.0, 2.0, 0.0])
    lines = [m * h for m in (bearing.outer_race, bearing.inner_race, 2 * bearing.ball_spin) for h in (0.5, 1, 2, 3)]
    while multiple == 0.0 or min(abs(multiple * h / line - 1) for h in (1, 2, 3) for line in lines) < 0.07:
        multiple = rng.uniform(0.7, 8)
        if rng.random() < 0.02:  # no gap between the lines of this bearing is wide enough
            multiple = 1.0
            break
    hz = multiple * shaft_hz
    return np.arange(rng.uniform(0, 1 / hz), WINDOW / RATE_HZ, 1 / hz)


def knocks(rng, times, peak_db):
    """Blows from outside the bearing, through a structure of their own, with their peak over the noise's RMS."""
    rate = RATE_HZ * OVERSAMPLING
    points = WINDOW * OVERSAMPLING
    strengths = 1 + 0.2 * rng.standard_normal(len(times))
    blows = ring(times, strengths, ringing(rng, points, rate), points, rate)
    return blows / np.abs(blows).max() * decibels(peak_db)


def data_set(seed, count, ball_counts):
    """`count` records for the feature extractor and their labels, the classes in equal parts."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    return b"".join(random_window(rng, label, ball_counts) for label in labels), labels
