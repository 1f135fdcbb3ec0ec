//! For `cargo xtask bench read`: `read_speed FILE ROUNDS` prints the seconds that reading a file takes, as one line of
//! JSON; `read_speed NAME FILE` writes an embedded set to a file first.
#![allow(clippy::print_stdout, reason = "the speed is what this example is for")]

use quadric_data::{ReadOptions, WriteOptions, embedded, read, write};
use quadric_linalg::{Error, ErrorKind, Result};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(what), Some(how)) = (arguments.next(), arguments.next()) else {
        let usage = "name a file and how often it is read, or an embedded set and a file";
        return Err(Error::new(ErrorKind::Argument, usage));
    };
    match how.parse() {
        Ok(rounds) => time(Path::new(&what), rounds),
        Err(_) => {
            let options = WriteOptions {
                overwrite: true,
                ..WriteOptions::default()
            };
            write(Path::new(&how), &embedded(&what)?, &options)
        }
    }
}

fn time(path: &Path, rounds: usize) -> Result<()> {
    let mut seconds = Vec::new();
    let mut shape = (0, 0);
    for _ in 0..rounds {
        let begin = Instant::now();
        let data = read(path, &ReadOptions::default())?;
        seconds.push(begin.elapsed().as_secs_f64());
        shape = (data.rows(), data.features());
    }
    let (rows, columns) = shape;
    println!("{{\"seconds\":{seconds:?},\"rows\":{rows},\"columns\":{columns}}}");
    Ok(())
}
