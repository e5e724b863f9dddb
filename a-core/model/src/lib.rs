//! (stub)

