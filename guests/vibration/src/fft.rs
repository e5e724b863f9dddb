//! A fast Fourier transform for the two fixed sizes that [`crate::features`] needs: radix 2, in place, forward only.

use core::f32::consts::TAU;

/// Largest transform, in points.
pub(crate) const MAX_POINTS: usize = crate::WINDOW_SAMPLES;

const _: () = assert!(MAX_POINTS.is_power_of_two());

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Complex {
    pub(crate) re: f32,
    pub(crate) im: f32,
}

impl Complex {
    pub(crate) const ZERO: Self = Self { re: 0.0, im: 0.0 };

    /// Squared magnitude.
    pub(crate) fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// The complex roots of unity of the largest transform; smaller ones take every second, fourth, ... of them.
pub(crate) struct Fft {
    roots: [Complex; MAX_POINTS / 2],
}

impl Fft {
    pub(crate) fn new() -> Self {
        let roots = core::array::from_fn(|k| {
            let angle = -TAU * k as f32 / MAX_POINTS as f32;
            Complex { re: libm::cosf(angle), im: libm::sinf(angle) }
        });
        Self { roots }
    }

    /// Replaces `data` by its transform. `N` is a power of two from 2 to [`MAX_POINTS`].
    pub(crate) fn forward<const N: usize>(&self, data: &mut [Complex; N]) {
        const { assert!(N.is_power_of_two() && N >= 2 && N <= MAX_POINTS) };
        let unused_bits = usize::BITS - N.trailing_zeros();
        for i in 0..N {
            // Reversing the low log2(N) bits of i < N stays below N.
            let j = i.reverse_bits() >> unused_bits;
            if i < j {
                data.swap(i, j);
            }
        }
        let mut half = 1;
        while half < N {
            let stride = MAX_POINTS / (2 * half);
            for butterfly in data.chunks_exact_mut(2 * half) {
                let (evens, odds) = butterfly.split_at_mut(half);
                let roots = self.roots.iter().step_by(stride);
                for ((even, odd), root) in evens.iter_mut().zip(odds).zip(roots) {
                    let turned =
                        Complex { re: odd.re * root.re - odd.im * root.im, im: odd.re * root.im + odd.im * root.re };
                    *odd = Complex { re: even.re - turned.re, im: even.im - turned.im };
                    even.re += turned.re;
                    even.im += turned.im;
                }
            }
            half *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the definition, on a signal without symmetry, for a small and a large size.
    #[test]
    fn agrees_with_the_definition() {
        fn check<const N: usize>(fft: &Fft) {
            let signal: [Complex; N] = core::array::from_fn(|i| Complex {
                re: ((i * i * 7 + 3 * i) % 31) as f32 - 15.0,
                im: ((i * 13) % 17) as f32 - 8.0,
            });
            let mut fast = signal;
            fft.forward(&mut fast);
            for bin in [0, 1, 2, N / 4 + 1, N / 2, N - 1] {
                let (mut re, mut im) = (0.0f64, 0.0f64);
                for (i, x) in signal.iter().enumerate() {
                    let angle = -core::f64::consts::TAU * ((i * bin) % N) as f64 / N as f64;
                    let (sin, cos) = (libm::sin(angle), libm::cos(angle));
                    re += f64::from(x.re) * cos - f64::from(x.im) * sin;
                    im += f64::from(x.re) * sin + f64::from(x.im) * cos;
                }
                let tolerance = 0.02 * N as f64 / 512.0;
                assert!((f64::from(fast[bin].re) - re).abs() < tolerance, "bin {bin} of {N}");
                assert!((f64::from(fast[bin].im) - im).abs() < tolerance, "bin {bin} of {N}");
            }
        }
        let fft = Fft::new();
        check::<8>(&fft);
        check::<512>(&fft);
        check::<2048>(&fft);
    }
}
