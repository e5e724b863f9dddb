//! What `--trace` and `--expect` make of a manifest's scenario.

use std::path::PathBuf;

use crate::types::{Diagnosis, Expect, Scenario};

/// The command-line options that replace parts of a scenario.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScenarioOverride {
    /// `--trace FILE`: replay this recording instead.
    pub trace: Option<PathBuf>,
    /// `--expect WORD`: expect this instead.
    pub expect: Option<Diagnosis>,
}

impl ScenarioOverride {
    /// The scenario to run, or `None` if neither the manifest nor the options name a recording.
    ///
    /// With any option the scenario judges the wakes and the diagnosis only (none expected: no wake; otherwise
    /// exactly one), and that the containers which must be lossless are. The moves and the time of the first wake
    /// belong to the manifest's own recording. A recording without `--expect` must bring any diagnosis.
    pub fn apply(&self, scenario: Option<&Scenario>) -> Option<Scenario> {
        if *self == Self::default() {
            return scenario.cloned();
        }
        let trace = self.trace.clone().or(scenario.map(|own| own.trace.clone()))?;
        let diagnosis = self.expect.clone().unwrap_or(Diagnosis::Any);
        Some(Scenario {
            trace,
            queued_at_move: scenario.map_or(0, |own| own.queued_at_move),
            expect: Expect {
                wakes: Some(u32::from(diagnosis != Diagnosis::None)),
                wake_after: None,
                diagnosis: Some(diagnosis),
                moves: Vec::new(),
                lossless: scenario.map_or_else(Vec::new, |own| own.expect.lossless.clone()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ScenarioOverride;
    use crate::types::{Diagnosis, Expect, Scenario};
    use coracle_policy::Name;
    use std::path::PathBuf;
    use std::time::Duration;

    fn own() -> Scenario {
        let tracker = Name::try_from("tracker").unwrap();
        Scenario {
            trace: PathBuf::from("onset.wav"),
            queued_at_move: 2,
            expect: Expect {
                wakes: Some(3),
                wake_after: Some(Duration::from_secs(3)),
                diagnosis: Some(Diagnosis::from("inner race")),
                moves: vec![(tracker.clone(), 2)],
                lossless: vec![tracker],
            },
        }
    }

    fn given(trace: Option<&str>, expect: Option<&str>) -> ScenarioOverride {
        ScenarioOverride { trace: trace.map(PathBuf::from), expect: expect.map(Diagnosis::from) }
    }

    #[test]
    fn without_options_the_manifest_decides() {
        assert_eq!(given(None, None).apply(Some(&own())), Some(own()));
        assert_eq!(given(None, None).apply(None), None);
        assert_eq!(given(None, Some("any")).apply(None), None);
    }

    #[test]
    fn options_replace_the_recording_and_the_expectation() {
        let cases = [
            (Some("foreign.wav"), None, "foreign.wav", 1, Diagnosis::Any),
            (Some("foreign.wav"), Some("none"), "foreign.wav", 0, Diagnosis::None),
            (Some("foreign.wav"), Some("ball"), "foreign.wav", 1, Diagnosis::Class("ball".into())),
            (None, Some("any"), "onset.wav", 1, Diagnosis::Any),
        ];
        for (trace, expect, trace_used, wakes, diagnosis) in cases {
            let scenario = given(trace, expect).apply(Some(&own())).unwrap();
            assert_eq!(scenario.trace, PathBuf::from(trace_used));
            assert_eq!(scenario.queued_at_move, 2);
            let expected = Expect {
                wakes: Some(wakes),
                wake_after: None,
                diagnosis: Some(diagnosis),
                moves: Vec::new(),
                lossless: own().expect.lossless,
            };
            assert_eq!(scenario.expect, expected);
        }
    }

    #[test]
    fn a_recording_is_enough_for_a_manifest_without_a_scenario() {
        let scenario = given(Some("foreign.csv"), None).apply(None).unwrap();
        assert_eq!(scenario.trace, PathBuf::from("foreign.csv"));
        assert_eq!((scenario.queued_at_move, scenario.expect.wakes), (0, Some(1)));
    }
}
