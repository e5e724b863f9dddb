//! Reads traces: 16-bit mono WAV, or CSV with one sample a line.
//!
//! A CSV line is a whole number, or a time and a whole number (`0.25,-1200`). The first line may be a header. The time
//! column is for readers of the file; it is not used, the rate comes from the caller.

use std::io::{Cursor, Read as _};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: over six hours at 12 000 samples a second.
pub const FILE_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Fastest rate that a trace may have, in samples per second.
pub const RATE_HZ_MAX: u32 = 1_000_000;
/// Longest piece of a file's text that an error repeats, in characters.
const QUOTE_CHARS_MAX: usize = 40;

/// Samples of one channel at a fixed rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    samples: Vec<i16>,
    rate_hz: u32,
}

/// A trace that cannot be played: which file, and why.
#[derive(Debug, thiserror::Error)]
#[error("trace {}: {problem}", path.display())]
pub struct TraceError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a trace.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The file is over [`FILE_BYTES_MAX`].
    #[error("has more than {} MiB; cut it into pieces", FILE_BYTES_MAX / (1024 * 1024))]
    TooLarge,
    /// It starts like a WAV file but is damaged, or of a kind that nobody here reads.
    #[error("is no WAV file that can be read ({0}); expected 16-bit PCM, mono")]
    Wav(hound::Error),
    /// More than one channel.
    #[error("has {0} channels; expected a mono WAV file: extract one channel first")]
    NotMono(u16),
    /// Integers, but not of 16 bits.
    #[error("has {0} bits a sample; expected 16-bit PCM")]
    NotSixteenBit(u16),
    /// Floating-point samples.
    #[error("has floating-point samples; expected 16-bit PCM, so scale and convert it first")]
    Float,
    /// The data ends before its announced length.
    #[error("ends after sample {0} of {1}: the file is truncated")]
    Truncated(u32, u32),
    /// Neither WAV nor text.
    #[error("is neither a WAV file nor text; expected 16-bit mono WAV or CSV")]
    NotText,
    /// No samples at all.
    #[error("has no samples")]
    Empty,
    /// A rate of zero or above [`RATE_HZ_MAX`].
    #[error("has a rate of {0} Hz; expected 1 to {RATE_HZ_MAX}")]
    Rate(u32),
    /// A CSV file and nobody said its rate.
    #[error("is CSV, which does not say its rate; give the samples per second (--rate)")]
    RateUnknown,
    /// A CSV line with more than two columns.
    #[error("line {line}: {columns} columns; expected `sample` or `time,sample`")]
    Columns {
        /// Counted from 1.
        line: usize,
        /// How many there are.
        columns: usize,
    },
    /// A CSV field that is no number.
    #[error("line {line}: `{text}` is not a number; expected `sample` or `time,sample`")]
    NotANumber {
        /// Counted from 1.
        line: usize,
        /// The field.
        text: String,
    },
    /// A CSV sample with a fraction.
    #[error("line {line}: `{text}` is not a whole number; samples are 16-bit integers, so scale and round them first")]
    Fraction {
        /// Counted from 1.
        line: usize,
        /// The field.
        text: String,
    },
    /// A CSV sample that does not fit 16 bits.
    #[error("line {line}: {text} is outside -32768 to 32767; scale the samples to 16 bits first")]
    OutOfRange {
        /// Counted from 1.
        line: usize,
        /// The field.
        text: String,
    },
}

impl Trace {
    /// A trace of these samples.
    ///
    /// # Errors
    /// [`Problem::Empty`] and [`Problem::Rate`].
    pub fn new(samples: Vec<i16>, rate_hz: u32) -> Result<Self, Problem> {
        if !(1..=RATE_HZ_MAX).contains(&rate_hz) {
            return Err(Problem::Rate(rate_hz));
        }
        if samples.is_empty() {
            return Err(Problem::Empty);
        }
        Ok(Self { samples, rate_hz })
    }

    /// Reads a file. What starts with `RIFF` is WAV, everything else is CSV, whatever the name. `csv_rate_hz` is the
    /// rate of a CSV file, in samples per second; a WAV file says its own.
    ///
    /// # Errors
    /// Every [`Problem`], with the file's name.
    pub fn read(path: &Path, csv_rate_hz: Option<u32>) -> Result<Self, TraceError> {
        let parsed = read_limited(path).and_then(|bytes| Self::parse(&bytes, csv_rate_hz));
        parsed.map_err(|problem| TraceError { path: path.to_owned(), problem })
    }

    /// Parses the content of a file; see [`Trace::read`].
    ///
    /// # Errors
    /// Every [`Problem`] but those of reading.
    pub fn parse(bytes: &[u8], csv_rate_hz: Option<u32>) -> Result<Self, Problem> {
        if bytes.starts_with(b"RIFF") { wav(bytes) } else { csv(bytes, csv_rate_hz) }
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Samples per second.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }
}

fn read_limited(path: &Path) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    // One byte more than allowed shows that there is more; the size that the file system reports may be 0 for a pipe.
    std::fs::File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX { Err(Problem::TooLarge) } else { Ok(bytes) }
}

fn wav(bytes: &[u8]) -> Result<Trace, Problem> {
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(Problem::Wav)?;
    let spec = reader.spec();
    if spec.channels != 1 {
        return Err(Problem::NotMono(spec.channels));
    }
    if spec.sample_format == hound::SampleFormat::Float {
        return Err(Problem::Float);
    }
    if spec.bits_per_sample != 16 {
        return Err(Problem::NotSixteenBit(spec.bits_per_sample));
    }
    let announced = reader.len();
    let mut samples = Vec::new();
    for (read, sample) in (0u32..).zip(reader.samples::<i16>()) {
        samples.push(sample.map_err(|_| Problem::Truncated(read, announced))?);
    }
    Trace::new(samples, spec.sample_rate)
}

fn csv(bytes: &[u8], rate_hz: Option<u32>) -> Result<Trace, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::NotText)?;
    // Spreadsheets write a byte order mark.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let mut samples = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() {
            continue;
        }
        match csv_line(line, content) {
            Ok(sample) => samples.push(sample),
            // A header.
            Err(Problem::NotANumber { line: 1, .. }) => {}
            Err(problem) => return Err(problem),
        }
    }
    if samples.is_empty() {
        return Err(Problem::Empty);
    }
    Trace::new(samples, rate_hz.ok_or(Problem::RateUnknown)?)
}

fn csv_line(line: usize, content: &str) -> Result<i16, Problem> {
    let quote = |field: &str| field.chars().take(QUOTE_CHARS_MAX).collect::<String>();
    let number = |field: &str| match field.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err(Problem::NotANumber { line, text: quote(field) }),
    };
    let mut fields = content.split(',').map(str::trim);
    let (first, second) = (fields.next().unwrap_or_default(), fields.next());
    let further = fields.count();
    if further > 0 {
        return Err(Problem::Columns { line, columns: 2 + further });
    }
    let sample = match second {
        None => first,
        Some(second) => {
            number(first)?;
            second
        }
    };
    if let Ok(sample) = sample.parse() {
        return Ok(sample);
    }
    let value = number(sample)?;
    if value < f64::from(i16::MIN) || value > f64::from(i16::MAX) {
        return Err(Problem::OutOfRange { line, text: quote(sample) });
    }
    if value.fract() != 0.0 {
        return Err(Problem::Fraction { line, text: quote(sample) });
    }
    // Whole and in range: "12.0" and "1e3" are what spreadsheets write.
    Ok(value as i16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav_bytes(spec: hound::WavSpec, write: impl FnOnce(&mut hound::WavWriter<Cursor<&mut Vec<u8>>>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = hound::WavWriter::new(Cursor::new(&mut bytes), spec).unwrap();
        write(&mut writer);
        writer.finalize().unwrap();
        bytes
    }

    fn spec(channels: u16, bits_per_sample: u16, sample_format: hound::SampleFormat) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate: 12_000, bits_per_sample, sample_format }
    }

    const INT: hound::SampleFormat = hound::SampleFormat::Int;

    fn good_wav() -> Vec<u8> {
        let samples = [1i16, -2, i16::MAX, i16::MIN];
        wav_bytes(spec(1, 16, INT), |w| samples.into_iter().for_each(|s| w.write_sample(s).unwrap()))
    }

    fn problem(bytes: &[u8], rate_hz: Option<u32>) -> String {
        Trace::parse(bytes, rate_hz).unwrap_err().to_string()
    }

    #[test]
    fn wav_and_csv_give_the_same_samples() {
        let expected = Trace::new(vec![1, -2, i16::MAX, i16::MIN], 12_000).unwrap();
        assert_eq!(Trace::parse(&good_wav(), None).unwrap(), expected);
        for text in [
            "1\n-2\n32767\n-32768\n",
            "1\r\n-2\r\n32767\r\n-32768",
            "acceleration\n1\n-2\n\n32767\n-32768\n\n",
            "time,value\n0,1\n0.1,-2\n0.2, 32767\n3e-1,-32768\n",
            "\u{FEFF}t,v\n0,1.0\n1,-2\n2,3.2767e4\n3,-32768.0\n",
        ] {
            assert_eq!(Trace::parse(text.as_bytes(), Some(12_000)).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn wav_problems_say_what_is_expected() {
        let stereo = wav_bytes(spec(2, 16, INT), |w| (0..4).for_each(|s: i16| w.write_sample(s).unwrap()));
        assert_eq!(problem(&stereo, None), "has 2 channels; expected a mono WAV file: extract one channel first");
        let wide = wav_bytes(spec(1, 24, INT), |w| w.write_sample(70_000).unwrap());
        assert_eq!(problem(&wide, None), "has 24 bits a sample; expected 16-bit PCM");
        let float = wav_bytes(spec(1, 32, hound::SampleFormat::Float), |w| w.write_sample(0.5f32).unwrap());
        assert!(problem(&float, None).starts_with("has floating-point samples; expected 16-bit PCM"));
        assert_eq!(problem(&wav_bytes(spec(1, 16, INT), |_| ()), None), "has no samples");
        let mut cut = good_wav();
        cut.truncate(cut.len() - 3);
        assert_eq!(problem(&cut, None), "ends after sample 2 of 4: the file is truncated");
        assert!(problem(b"RIFF\x10\0\0\0AVI LIST", None).starts_with("is no WAV file that can be read ("));
        let mut still = good_wav();
        still[24..32].fill(0);
        assert_eq!(problem(&still, None), "has a rate of 0 Hz; expected 1 to 1000000");
    }

    #[test]
    fn csv_problems_name_the_line() {
        let csv = |text: &str| problem(text.as_bytes(), Some(12_000));
        assert_eq!(csv(""), "has no samples");
        assert_eq!(csv("time,value\n\n"), "has no samples");
        assert_eq!(csv("1\n2\nx7\n"), "line 3: `x7` is not a number; expected `sample` or `time,sample`");
        assert_eq!(csv("1\n\n,2"), "line 3: `` is not a number; expected `sample` or `time,sample`");
        assert_eq!(csv("t,v\nnoon,2"), "line 2: `noon` is not a number; expected `sample` or `time,sample`");
        assert_eq!(csv("1\nNaN"), "line 2: `NaN` is not a number; expected `sample` or `time,sample`");
        assert_eq!(csv("1\n2,3,4"), "line 2: 3 columns; expected `sample` or `time,sample`");
        assert!(csv("5\n32768").starts_with("line 2: 32768 is outside -32768 to 32767"));
        assert!(csv("5\n-32769").starts_with("line 2: -32769 is outside"));
        assert!(csv("5\n1e30").starts_with("line 2: 1e30 is outside"));
        assert!(csv("5\n0.25").starts_with("line 2: `0.25` is not a whole number"));
        let long = csv(&format!("1\n{}", "é".repeat(1000)));
        assert!(long.chars().count() < 120, "{long}");
        assert!(problem(b"1\n2\n", None).contains("--rate"));
        assert_eq!(problem(b"1\n2\n", Some(0)), "has a rate of 0 Hz; expected 1 to 1000000");
        assert!(problem(b"\xFF\xFE1", Some(1)).starts_with("is neither a WAV file nor text"));
    }

    #[test]
    fn errors_name_the_file() {
        let missing = Trace::read(Path::new("/nonexistent/x.wav"), None).unwrap_err().to_string();
        assert!(missing.starts_with("trace /nonexistent/x.wav: cannot be read: "), "{missing}");
        let directory = Trace::read(Path::new("/"), None).unwrap_err().to_string();
        assert!(directory.starts_with("trace /: cannot be read: "), "{directory}");
    }
}
