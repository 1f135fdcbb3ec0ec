//! Our side of `cargo xtask bench curvature`.
//!
//! `curvature make mlp|resnet FOLDER [--tiny]` writes a trained network and a batch of examples to a folder, where the peers find
//! them; `curvature measure FOLDER SEED` times the analysis of its Hessian and prints one line of JSON per quantity.

#![allow(clippy::print_stdout)]

mod case;
mod measure;

use quadric::prelude::*;
use std::path::Path;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["make", name, folder] => case::make(name, Path::new(folder), false),
        ["make", name, folder, "--tiny"] => case::make(name, Path::new(folder), true),
        ["measure", folder, seed] => {
            let wrong = |_| Error::argument("SEED", seed, "a number");
            measure::measure(
                &case::load(Path::new(folder))?,
                seed.parse().map_err(wrong)?,
            )
        }
        _ => Err(Error::argument(
            "arguments",
            words.join(" "),
            "make mlp|resnet FOLDER [--tiny], or measure FOLDER SEED",
        )),
    }
}
