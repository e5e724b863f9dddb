//! Instruction counts come from the emulator's count, not from a clock: they repeat exactly.

use coracle_bench::{CONTAINER_BYTES_MAX, OWN_CALL_MAX, guest_costs, instructions};
use coracle_test_qemu::qemu_or_skip;

#[test]
fn counts_of_instructions_repeat_exactly() {
    if !qemu_or_skip() {
        return;
    }
    let first = instructions().expect("the firmware counts");
    assert_eq!(first, instructions().expect("the firmware counts"));
    let send = |payload| first.iter().find(|cost| cost.operation == "send" && cost.payload == payload);
    let (small, large) = (send(16).expect("a send is counted"), send(496).expect("a send is counted"));
    // Whatever the loop for the payload looks like: it is longer for 31 times as many bytes.
    assert!(0 < small.least && small.most < large.least, "{small:?} {large:?}");
}

/// Most instructions of our own code in each call that is measured: a little more than there are, so that a change that
/// costs shows.
const OWN_MAX: [(&str, u64); 9] = [
    ("config.version", 200),
    ("time.now", 200),
    ("log.write", 1300),
    ("event.read", 470),
    ("msg.publish", 1600),
    ("kv.get", 480),
    ("kv.set", 970),
    ("sensor.read_block, 256", 900),
    ("sensor.read_block, 512", 1450),
];

#[test]
fn guests_cost_what_they_may_and_every_time_the_same() {
    if !qemu_or_skip() {
        return;
    }
    let costs = guest_costs().expect("the firmware counts");
    assert_eq!(costs, guest_costs().expect("the firmware counts"));
    let own = |name| costs.call(name).unwrap_or_else(|| panic!("{name} is not measured")).own;
    assert!(own("config.version") <= OWN_CALL_MAX, "{costs:#?}");
    for (name, most) in OWN_MAX {
        assert!(0 < own(name) && own(name) <= most, "{name}: {} of {most}", own(name));
    }
    assert_eq!(costs.calls.len(), OWN_MAX.len(), "{:?}", costs.calls);
    // 256 samples more cost what one copy of 512 bytes more costs: there is no second one.
    let more = own("sensor.read_block, 512") - own("sensor.read_block, 256");
    let copy = costs.copy(1024).zip(costs.copy(512)).map(|(large, small)| large - small).expect("copies are measured");
    assert!(more <= copy + copy / 20, "{more} instructions for 512 bytes, of which a copy takes {copy}");
    for what in ["empty", "sensing", "publishing"] {
        let bytes = costs.bytes(&format!("{what}, after an event")).expect("memory is measured");
        assert!(1000 < bytes && bytes <= CONTAINER_BYTES_MAX, "{what}: {bytes} of {CONTAINER_BYTES_MAX} bytes");
    }
}
