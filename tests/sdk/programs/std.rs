//! A program of the standard library for WASI, as one would write it anywhere: arguments, environment, input and output,
//! time, random numbers (of the hash map), allocation, exit code.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

fn main() {
    let start = Instant::now();
    println!("arguments: {:?}", std::env::args().collect::<Vec<_>>());
    println!("rate: {:?}, none: {:?}", std::env::var("rate").ok(), std::env::var("none").ok());
    let mut text = String::new();
    println!("input: {:?}", std::io::stdin().read_to_string(&mut text).ok());
    std::thread::sleep(Duration::from_millis(1500));
    println!("slept: {}", start.elapsed() >= Duration::from_millis(1500));
    let squares: HashMap<u32, u32> = (0..100).map(|n| (n, n * n)).collect();
    println!("sum: {}", squares.values().sum::<u32>());
    std::io::stderr().write_all(b"no end of line").expect("the log");
    std::process::exit(7);
}
