//! Instructions and bytes of memory that guests cost the M core.

use crate::instructions::{Cost, measure, parse};

/// The program that measures.
const PROGRAM: &str = "guest-cost";
/// How often a guest makes the same call in the events that are compared.
const CALLS: [usize; 2] = [2, 10];
/// What a guest does between two calls, too.
const LOOP: &str = "a loop";

/// Most instructions of our own code in a host call that does nothing: the aim of the project.
pub const OWN_CALL_MAX: u64 = 400;
/// Most bytes of memory that a container takes beside its linear memory: the aim of the project.
pub const CONTAINER_BYTES_MAX: usize = 16 * 1024;

/// What guests cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCosts {
    /// Host calls.
    pub calls: Vec<CallCost>,
    /// What is no call: from an event to the next, and copying bytes (`payload` of them) for comparison.
    pub others: Vec<Cost>,
    /// Bytes of memory by what they are for.
    pub bytes: Vec<(String, usize)>,
}

/// Instructions of one host call, on average over eight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCost {
    /// The call.
    pub name: String,
    /// Of the engine: what a call of a function that does nothing costs, without the loop around it.
    pub engine: u64,
    /// Of our own code.
    pub own: u64,
}

impl GuestCosts {
    /// The call of that name.
    #[must_use]
    pub fn call(&self, name: &str) -> Option<&CallCost> {
        self.calls.iter().find(|call| call.name == name)
    }

    /// The bytes for that.
    #[must_use]
    pub fn bytes(&self, what: &str) -> Option<usize> {
        self.bytes.iter().find(|(name, _)| name == what).map(|(_, bytes)| *bytes)
    }

    /// Instructions of copying that many bytes.
    #[must_use]
    pub fn copy(&self, bytes: usize) -> Option<u64> {
        self.others.iter().find(|cost| cost.operation == "copy" && cost.payload == bytes).map(|cost| cost.most)
    }
}

/// What guests cost the M core, without what the measuring itself takes.
///
/// # Errors
/// What the build or the firmware said.
pub fn guest_costs() -> Result<GuestCosts, String> {
    measure(PROGRAM, costs)
}

fn costs(text: &str) -> Result<GuestCosts, String> {
    let (counted, others): (Vec<Cost>, _) = parse(text)?.into_iter().partition(|cost| CALLS.contains(&cost.payload));
    let one_call = |place: &str, name: &str| {
        let [few, many] = CALLS.map(|calls| {
            let found = counted.iter().find(|c| c.payload == calls && c.operation.strip_prefix(place) == Some(name));
            found.map(|cost| cost.most).ok_or_else(|| format!("{calls} calls were not counted: {place}{name}"))
        });
        let (few, many) = (few?, many?);
        let calls = (CALLS[1] - CALLS[0]) as u64;
        let more = many.checked_sub(few).ok_or_else(|| format!("more calls cost less: {place}{name}"))?;
        Ok::<u64, String>(more.div_ceil(calls))
    };
    let around = one_call("engine: ", LOOP)?;
    let mut calls: Vec<CallCost> = Vec::new();
    for name in counted.iter().filter_map(|cost| cost.operation.strip_prefix("sandbox: ")) {
        if name == LOOP || calls.iter().any(|call| call.name == name) {
            continue;
        }
        let (sandbox, engine) = (one_call("sandbox: ", name)?, one_call("engine: ", name)?);
        let own = sandbox.checked_sub(engine).ok_or_else(|| format!("{name} costs less than nothing"))?;
        calls.push(CallCost { name: name.to_owned(), engine: engine.saturating_sub(around), own });
    }
    let bytes = text.lines().filter_map(|line| {
        let (bytes, what) = line.strip_prefix("bytes ")?.split_once(' ')?;
        Some((what.to_owned(), bytes.parse().ok()?))
    });
    Ok(GuestCosts { calls, others, bytes: bytes.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_what_eight_more_of_them_cost() {
        let mut text = String::from("cost 0 0 0 nothing\n");
        let mut line = |calls: u64, instructions: u64, what: &str| {
            let ticks = instructions * 128 / 5;
            text.push_str(&format!("cost {calls} {ticks} {ticks} {what}\n"));
        };
        line(2, 1000, "engine: a loop");
        line(10, 1080, "engine: a loop");
        line(2, 1200, "engine: time.now");
        line(10, 2000, "engine: time.now");
        line(2, 2000, "sandbox: time.now");
        line(10, 4400, "sandbox: time.now");
        line(512, 600, "copy");
        text.push_str("bytes 5000 empty, fresh\nend\n");
        let costs = costs(&text).unwrap();
        assert_eq!(costs.calls, [CallCost { name: "time.now".to_owned(), engine: 90, own: 200 }]);
        assert_eq!((costs.copy(512), costs.copy(5)), (Some(600), None));
        assert_eq!((costs.bytes("empty, fresh"), costs.bytes("full")), (Some(5000), None));
    }
}
