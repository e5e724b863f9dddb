//! Reads the guest's report.

use std::collections::BTreeMap;

use coracle_kernel_guest::{CHECKS, Line};

/// What is wrong with a report, one line each; nothing if every check is there once and passed.
#[must_use]
pub fn judge(console: &str) -> Vec<String> {
    let mut results: BTreeMap<String, Vec<(bool, String)>> = BTreeMap::new();
    let mut ended = false;
    for line in console.lines().filter_map(Line::parse) {
        match line {
            Line::Check { name, passed, detail } => results.entry(name).or_default().push((passed, detail)),
            Line::End => ended = true,
        }
    }
    let mut wrong = Vec::new();
    for name in CHECKS.iter().copied() {
        match results.remove(name).as_deref() {
            Some([(true, _)]) => {}
            Some([(false, detail)]) => wrong.push(format!("{name}: {detail}")),
            Some(several) => wrong.push(format!("{name}: reported {} times", several.len())),
            None => wrong.push(format!("{name}: not reported")),
        }
    }
    wrong.extend(results.keys().map(|name| format!("{name}: reported, but is no check")));
    if !ended {
        wrong.push("the report has no end".into());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(without: &str) -> String {
        let lines = CHECKS.iter().filter(|name| **name != without).map(|name| {
            let line = Line::Check { name: (*name).into(), passed: true, detail: String::new() };
            format!("{line}\r\n")
        });
        lines.collect::<String>() + &format!("{}\r\n", Line::End)
    }

    #[test]
    fn a_whole_report_is_right() {
        assert_eq!(judge(&report("")), Vec::<String>::new());
    }

    #[test]
    fn a_silent_guest_fails_every_check() {
        assert_eq!(judge("").len(), CHECKS.len() + 1);
        assert_eq!(judge("[    0.0] Booting Linux\nKernel panic").len(), CHECKS.len() + 1);
    }

    #[test]
    fn each_missing_failed_doubled_or_unknown_check_is_told() {
        for name in CHECKS.iter().copied() {
            assert_eq!(judge(&report(name)), [format!("{name}: not reported")]);
            let failed = Line::Check { name: name.into(), passed: false, detail: "why".into() }.to_string();
            assert_eq!(judge(&(report(name) + &failed)), [format!("{name}: why")]);
            assert_eq!(judge(&(report("") + &failed)), [format!("{name}: reported 2 times")]);
        }
        let unknown = Line::Check { name: "new".into(), passed: true, detail: String::new() }.to_string();
        assert_eq!(judge(&(report("") + &unknown)), ["new: reported, but is no check"]);
    }
}
