//! The remote role's code: how large it is, and that nothing in it ends the program. Both repeat exactly.

use coracle_bench::{REMOTE_CODE_BYTES_MAX, remote_size};

#[test]
fn the_remote_role_is_small_and_cannot_panic() {
    let size = remote_size().expect("the program builds");
    assert!(size.role > 1000 && size.runtime > 100, "is that the role? {size:#?}");
    assert!(size.role <= REMOTE_CODE_BYTES_MAX, "{} of {REMOTE_CODE_BYTES_MAX} bytes: {size:#?}", size.role);
    assert_eq!(size.panics().collect::<Vec<_>>(), [""; 0], "an index, a division or an unwrap can fail");
}
