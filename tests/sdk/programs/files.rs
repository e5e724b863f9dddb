//! A program of the standard library for WASI that works with files in the folder `/data`.

use std::fs;
use std::io::Write as _;

fn main() -> std::io::Result<()> {
    println!("before: {:?}", fs::read_to_string("/data/in.txt"));
    fs::create_dir("/data/sub")?;
    let mut file = fs::File::create("/data/sub/new")?;
    file.write_all(b"one\n")?;
    file.sync_all()?;
    drop(file);
    fs::rename("/data/sub/new", "/data/out.txt")?;
    let mut names: Vec<_> =
        fs::read_dir("/data")?.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>()?;
    names.sort();
    println!("names: {names:?}, {} bytes", fs::metadata("/data/out.txt")?.len());
    println!("outside: {:?}", fs::read_to_string("/data/../etc/passwd").map_err(|error| error.kind()));
    fs::remove_file("/data/in.txt")
}
