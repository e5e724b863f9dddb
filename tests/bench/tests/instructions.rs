//! Instruction counts come from the emulator's count, not from a clock: they repeat exactly.

use coracle_bench::instructions;
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
