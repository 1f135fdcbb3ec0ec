//! What several tests of the readers share.
#![allow(dead_code, reason = "each test file uses a part")]

use quadric_data::{Dataset, Format, ReadOptions, read_bytes};
use quadric_linalg::Result;
use quadric_linalg::random::SeedTree;

/// Options with a format and nothing else.
pub(crate) fn text_options(format: Format) -> ReadOptions {
    ReadOptions {
        format: Some(format),
        ..ReadOptions::default()
    }
}

/// A number of cases from a fixed seed.
pub(crate) fn seeded(cases: u32) -> proptest::test_runner::Config {
    proptest::test_runner::Config {
        cases,
        rng_seed: proptest::test_runner::RngSeed::Fixed(2026),
        failure_persistence: None,
        ..proptest::test_runner::Config::default()
    }
}

/// Reads text.
pub(crate) fn parse(text: &str, options: &ReadOptions) -> Result<Dataset> {
    read_bytes("test", text.as_bytes().to_vec(), options)
}

/// Calls `f` with damaged copies of valid files: flipped, inserted, removed, repeated and cut bytes.
pub(crate) fn mutate(name: &str, seeds: &[Vec<u8>], rounds: u64, f: impl Fn(&[u8])) {
    let tree = SeedTree::new(2026).child(name);
    for round in 0..rounds {
        let mut stream = tree.stream(round);
        let mut bytes = seeds[stream.below(seeds.len())].clone();
        for _ in 0..=stream.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = stream.below(bytes.len());
            let interesting = b"\0\t\n\r \"#+,-.0123456789:;?NaeinqxE\xef\xbb\xbf\xff";
            match stream.below(5) {
                0 => bytes[at] ^= 1 << stream.below(8),
                1 => bytes[at] = interesting[stream.below(interesting.len())],
                2 => bytes.insert(at, interesting[stream.below(interesting.len())]),
                3 => {
                    let end = (at + 1 + stream.below(8)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = stream.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => bytes.truncate(at),
            }
        }
        f(&bytes);
    }
}
