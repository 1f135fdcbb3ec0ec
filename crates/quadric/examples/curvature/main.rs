//! Our side of `cargo xtask bench curvature`.
//!
//! `curvature make mlp|resnet FOLDER [--tiny]` writes a trained network and a batch of examples to a folder, where the peers find
//! them; `curvature measure FOLDER SEED` times the analysis of its Hessian and prints one line of JSON per quantity;
//! `curvature grow WIDTH EXAMPLES VECTORS` times a product of a network of any size, for `cargo xtask bench scale`.

#![allow(clippy::print_stdout)]

mod case;
mod grow;
mod measure;

use quadric::prelude::*;
use std::path::Path;
use std::str::FromStr;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["make", name, folder] => case::make(name, Path::new(folder), false),
        ["make", name, folder, "--tiny"] => case::make(name, Path::new(folder), true),
        ["measure", folder, seed] => {
            let case = case::load(Path::new(folder))?;
            measure::measure(&case, number("SEED", seed)?)
        }
        ["grow", width, examples, vectors] => grow::grow(
            number("WIDTH", width)?,
            number("EXAMPLES", examples)?,
            number("VECTORS", vectors)?,
        ),
        _ => Err(Error::argument(
            "arguments",
            words.join(" "),
            "make mlp|resnet FOLDER [--tiny], measure FOLDER SEED, or grow WIDTH EXAMPLES VECTORS",
        )),
    }
}

fn number<N: FromStr>(name: &str, word: &str) -> Result<N> {
    word.parse()
        .map_err(|_| Error::argument(name, word, "a number"))
}
