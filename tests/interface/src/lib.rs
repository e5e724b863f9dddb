//! The guest interface, read from its specification (`shared-ipc/guest-abi/wit/coracle.wit`), and what is made from it:
//! the C header ([`header`]) and the page of documentation ([`page`]).
//!
//! The test `golden` compares both with the files in the tree, and every declaration with the table that the cores link
//! by. `cargo xtask bless` writes the files anew. Not for products: it panics on nothing, but reports with `anyhow`.
#![forbid(unsafe_code)]

pub mod header;
pub mod page;
mod wit;

pub use wit::{Case, Field, Function, Interface, Package, Parameter, Record, Scalar, Type};
