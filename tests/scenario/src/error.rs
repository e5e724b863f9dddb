//! Why a machine could not be built, started or run.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use coracle_api::ClientError;
use coracle_manifest::ManifestErrors;
use coracle_sensor_feed::trace::TraceError;

/// Why a machine could not be built, started or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// Something did not happen in time.
    #[error("waited {} s in vain for {what}", waited.as_secs())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// Cargo could not be run, or said something unexpected.
    #[error("cannot use cargo to {what}: {said}")]
    Cargo {
        /// What it was asked to do.
        what: String,
        /// What it or the system said.
        said: String,
    },
    /// Something does not compile.
    #[error("building {what} failed:\n{said}")]
    Build {
        /// What was built.
        what: String,
        /// The compiler's output.
        said: String,
    },
    /// A file of the run could not be read or written.
    #[error("cannot use {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A process could not be started at all.
    #[error("cannot start {program}")]
    Start {
        /// The executable.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The emulator could not be started.
    #[error(transparent)]
    Emulator(#[from] coracle_test_qemu::LaunchError),
    /// A process ended that should be running.
    #[error("{name} ended unexpectedly ({how}); its last words:\n{last_words}")]
    Ended {
        /// Which.
        name: String,
        /// Its exit status.
        how: String,
        /// The end of its log.
        last_words: String,
    },
    /// The M core dies again and again.
    #[error("the M core died {deaths} times; it is not started again. Its last words:\n{last_words}")]
    MCoreKeepsDying {
        /// How often it died.
        deaths: u32,
        /// The end of its log.
        last_words: String,
    },
    /// The manifest is wrong.
    #[error("{0}")]
    Manifest(Box<ManifestErrors>),
    /// There is nothing to play.
    #[error("the manifest has no [scenario]; name a recording with --trace FILE")]
    NoScenario,
    /// Nothing on the machine takes a recording.
    #[error("the manifest has no [sensor.NAME] that could take the recording")]
    NoSensor,
    /// The recording cannot be played.
    #[error("{0}")]
    Trace(TraceError),
    /// The recording is not one of this sensor.
    #[error(
        "{trace} has {trace_hz} samples a second, but sensor `{sensor}` has {sensor_hz}: resample the recording, or \
         change [sensor.{sensor}] rate_hz in the manifest"
    )]
    WrongRate {
        /// The recording.
        trace: PathBuf,
        /// Its rate, in hertz.
        trace_hz: u32,
        /// The sensor.
        sensor: String,
        /// The sensor's rate, in hertz.
        sensor_hz: u32,
    },
    /// `coracled` does not answer, or refuses.
    #[error(transparent)]
    Daemon(#[from] ClientError),
    /// `coracled` answered a request with the reply to another one.
    #[error("coracled answered {request} with {reply}")]
    WrongReply {
        /// What was asked.
        request: String,
        /// What came.
        reply: String,
    },
}

impl From<ManifestErrors> for Error {
    fn from(errors: ManifestErrors) -> Self {
        Self::Manifest(Box::new(errors))
    }
}

impl From<TraceError> for Error {
    fn from(error: TraceError) -> Self {
        Self::Trace(error)
    }
}
