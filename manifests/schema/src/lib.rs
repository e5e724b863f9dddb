//! The manifest: which containers a machine runs, where, with which limits and grants, and when one core wakes
//! the other.
//!
//! A manifest is one TOML file. [`Manifest::load`] reads it, checks it as a whole and reports every error that it
//! finds with the line, a caret and what to do. What it returns is consistent: names refer to something,
//! placements are possible, limits are in range, files exist.
//!
//! What this crate does not do: it opens no module and no trace, knows no board (whether the memory suffices
//! there is the supervisors' question), and takes no decision at run time; the tables that the cores evaluate are
//! in `coracle-policy`.

mod check;
mod diagnostic;
mod grants;
mod limits;
mod load;
mod locate;
mod read;
mod scenario;
mod sections;
mod types;
mod units;

use std::path::Path;

use coracle_policy::{Name, WakePolicy};
use toml::de::DeTable;

use diagnostic::Document;
pub use diagnostic::{Diagnostic, MAX_PRINTED_ERRORS, ManifestErrors, Span};
pub use limits::{
    DEFAULT_FUEL_PER_EVENT, DEFAULT_FUEL_PER_SECOND, DEFAULT_HANDLES, DEFAULT_LOGS_PER_SECOND, DEFAULT_MEMORY_BYTES,
    DEFAULT_PAYLOAD_BYTES, DEFAULT_QUEUE_EVENTS, DEFAULT_STACK_BYTES, DEFAULT_SUBSCRIPTIONS, DEFAULT_TABLE_ELEMENTS,
    DEFAULT_TIMERS, DIAGNOSIS_TOPIC, MANIFEST_VERSION, MAX_ARG_BYTES, MAX_ARGS, MAX_BLOCK_SAMPLES, MAX_CONFIG_ENTRIES,
    MAX_CONFIG_VALUE_BYTES, MAX_CONTAINERS, MAX_DEBOUNCE, MAX_DIAGNOSIS_BYTES, MAX_FILES, MAX_FOLDER_PATH_BYTES,
    MAX_FUEL_PER_EVENT, MAX_FUEL_PER_SECOND, MAX_GRANTS, MAX_HANDLES, MAX_HOST_BYTES, MAX_I2C_ADDRESSES, MAX_KV_BYTES,
    MAX_LOGS_PER_SECOND, MAX_MANIFEST_BYTES, MAX_MEMORY_BYTES, MAX_PAYLOAD_BYTES, MAX_QUEUE_EVENTS, MAX_SENSOR_RATE_HZ,
    MAX_SENSORS, MAX_STACK_BYTES, MAX_SUBSCRIPTIONS, MAX_TABLE_ELEMENTS, MAX_TIMERS, MAX_WAKE_AFTER, MIN_STACK_BYTES,
};
pub use scenario::ScenarioOverride;
pub use types::{
    Container, Diagnosis, Expect, FileGrant, Grants, HostGrant, I2cGrant, Limits, PinGrant, PinMode, Placement,
    Scenario, Sensor, SensorGrant, SpiGrant,
};

/// A manifest without errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What the whole is called.
    pub name: Name,
    /// At least one, in the order of the text.
    pub containers: Vec<Container>,
    /// In the order of the text.
    pub sensors: Vec<Sensor>,
    /// When M may wake A.
    pub wake: WakePolicy,
    /// How a demo or test run feeds the sensor and judges; the manifest may have none.
    pub scenario: Option<Scenario>,
    document: Document,
}

impl Manifest {
    /// Reads a manifest from its text. `origin` is its file's path: reports name it, and relative paths in the
    /// manifest start at its directory. Accesses no file, so modules and traces may be missing.
    pub fn parse(source: &str, origin: &Path) -> Result<Self, ManifestErrors> {
        load::parse(Document::new(origin, source), load::Files::Unchecked)
    }

    /// Reads a manifest from a file and checks that its modules and its trace exist.
    ///
    /// A relative module path is looked up in `modules_dir` first, if given (where a build put the modules), then
    /// beside the manifest.
    pub fn load(path: &Path, modules_dir: Option<&Path>) -> Result<Self, ManifestErrors> {
        load::load(path, modules_dir)
    }

    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|container| container.name == name)
    }

    /// Where a part of a container stands in the text, for errors that show only later.
    ///
    /// `key_path` goes down from the container's table, such as `["grants", "wake"]`; an element of a list is named
    /// by its text, by the name in its table, or by its index. If the end of the path is not there, the nearest table above it is returned: the place
    /// where the missing line belongs. `None` if there is no such container.
    pub fn locate(&self, container: &str, key_path: &[&str]) -> Option<Span> {
        let mut path = vec!["container", container];
        path.extend(key_path);
        let container_depth = 2;
        let root = DeTable::parse(&self.document.text).ok()?;
        let found = locate::nearest(root.get_ref(), &path)?;
        (found.depth >= container_depth).then_some(found.span)
    }

    /// Turns an error that shows only later into a report that quotes the manifest, as if parsing had found it.
    /// [`Manifest::locate`] gives the spans.
    pub fn error(&self, diagnostic: Diagnostic) -> ManifestErrors {
        ManifestErrors::new(self.document.clone(), vec![diagnostic])
    }
}
