//! The bytes of everything that crosses between the cores or outlives the build that wrote it, pinned: version 3 of the
//! link and of its messages, version 2 of the snapshots.
//!
//! If one of these tests fails, do not change the test: the change is wrong. Cores of different builds talk to each
//! other, and snapshots outlive the build that wrote them. A new variant goes at the end of its enum and gets a new
//! line here; a changed meaning is a new variant. Versions 1 and 2 of the link and version 1 of the snapshots were never
//! released.
//!
//! The bytes are written by hand from the rules of postcard, so that they can be checked by eye:
//! - `u8` and `bool` are one byte; wider integers are varints, 7 bits a byte, lowest first, bit 7 = more follow;
//! - `i32` and `i64` are zigzag (0, -1, 1, -2, ...) and then a varint;
//! - text, lists and byte strings are their length as a varint, then their elements; arrays have no length;
//! - `Option` is 0, or 1 and the value; `Result` is 0 and the value, or 1 and the error; an enum is the number of its
//!   variant as a varint, then its fields.
//!
//! Some numbers that return: 300 = `AC 02`, 1 000 000 = `C0 84 3D`, 65 538 = `82 80 04`.

#[macro_use]
mod tools;
mod frames;
mod hostile;
mod memory;
mod messages;
mod spec;
mod state;
