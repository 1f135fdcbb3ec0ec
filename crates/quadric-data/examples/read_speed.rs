//! Speed of the svmlight reader on a made file: `cargo run --release -p quadric-data --example read_speed [FILE]`.
//!
//! With a file name the file is timed instead; without, one is made of the embedded set a9a and of real numbers.
#![allow(clippy::print_stdout, reason = "the speed is what this example is for")]

use quadric_data::{Format, ReadOptions, embedded, encode, read_bytes, synth};
use std::time::Instant;

fn main() -> quadric_linalg::Result<()> {
    let options = ReadOptions {
        format: Some(Format::Svmlight),
        ..ReadOptions::default()
    };
    let mut texts = Vec::new();
    match std::env::args().nth(1) {
        Some(path) => {
            let bytes =
                std::fs::read(&path).map_err(|e| quadric_linalg::Error::io("read", &path, e))?;
            texts.push((path, bytes));
        }
        None => {
            let a9a = encode(&embedded("a9a")?, Format::Svmlight)?;
            texts.push(("a9a, 10 times".to_owned(), a9a.repeat(10)));
            let made = synth::generate(&synth::Options {
                rows: 50_000,
                columns: 200,
                density: 0.1,
                ..synth::Options::default()
            })?;
            texts.push(("17 digits".to_owned(), encode(&made, Format::Svmlight)?));
        }
    }
    for (name, text) in texts {
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let copy = text.clone();
            let begin = Instant::now();
            let data = read_bytes("speed.svm", copy, &options)?;
            best = best.min(begin.elapsed().as_secs_f64());
            assert!(data.rows() > 0);
        }
        let megabytes = text.len() as f64 / 1e6;
        println!(
            "{name}: {megabytes:.1} MB in {best:.4} s, {:.0} MB/s",
            megabytes / best
        );
    }
    Ok(())
}
