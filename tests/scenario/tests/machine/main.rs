//! Whole machines as processes: the example on both boards, deaths, bad input, a bad neighbour.

mod bench;
mod deaths;
mod example;
mod neighbours;
mod refusals;
