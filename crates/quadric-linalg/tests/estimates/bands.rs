//! Bands of smoothed densities against the densities of all eigenvalues, over many seeds.

use crate::{N, diagonal, spectra};
use quadric_linalg::estimate::{DensityOptions, Kernel, density};
use quadric_linalg::random::SeedTree;
use std::ops::ControlFlow;

const SEEDS: u64 = 40;
const SIGMA: f64 = 0.04;

/// Place by place, about 95 % of the bands hold what they are about; where nothing is estimated they have no width.
#[test]
fn bands_hold_the_smoothed_density() {
    for (name, values) in spectra() {
        let op = diagonal(&values);
        let options = |dense| DensityOptions {
            steps: if dense > 0 { N } else { 30 },
            dense,
            ..DensityOptions::default()
        };
        let run = |dense, seed| {
            let seeds = SeedTree::new(seed);
            density(&op, None, &options(dense), seeds, |_| {
                ControlFlow::Continue(())
            })
            .unwrap()
        };
        let exact = run(N, 0);
        let grid = exact.grid(101).unwrap();
        let kernel = Kernel::Gaussian { sigma: Some(SIGMA) };
        let truth = exact.pdf(&grid, kernel).unwrap();
        for (band, truth) in exact
            .pdf_with_bands(&grid, Some(SIGMA))
            .unwrap()
            .iter()
            .zip(&truth)
        {
            assert!((band.value - truth).abs() <= 1e-12 * truth.max(1.0));
            assert!(band.high - band.low <= 1e-12 * truth.max(1.0) && band.level == 1.0);
        }
        let rounding = 1e-9 * truth.iter().copied().fold(0.0, f64::max);
        let mut inside = 0;
        for seed in 0..SEEDS {
            let found = run(0, seed);
            let bands = found.pdf_with_bands(&grid, Some(SIGMA)).unwrap();
            let curve = found.pdf(&grid, kernel).unwrap();
            for ((band, value), truth) in bands.iter().zip(&curve).zip(&truth) {
                assert!((band.value - value).abs() <= 1e-9 * value.max(1.0));
                assert!(band.low >= 0.0 && band.low <= band.value && band.value <= band.high);
                let holds = (band.low - rounding..=band.high + rounding).contains(truth);
                inside += u64::from(holds);
            }
        }
        let share = inside as f64 / (SEEDS * 101) as f64;
        println!("{name}: {share:.3} of the bands hold (seeds 0 to {SEEDS})");
        assert!(share > 0.92, "{name}: {share}");
    }
}

/// From a single start nothing is known of the error.
#[test]
fn a_single_start_has_no_band() {
    let values: Vec<f64> = (0..N).map(|i| i as f64).collect();
    let options = DensityOptions {
        probes: 1,
        steps: 30,
        dense: 0,
        ..DensityOptions::default()
    };
    let seeds = SeedTree::new(1);
    let op = diagonal(&values);
    let found = density(&op, None, &options, seeds, |_| ControlFlow::Continue(())).unwrap();
    let band = found.pdf_with_bands(&[100.0], None).unwrap()[0];
    assert!(band.value > 0.0 && band.high == f64::INFINITY);
    assert!(found.pdf_with_bands(&[f64::NAN], None).is_err());
    assert!(found.pdf_with_bands(&[1.0], Some(0.0)).is_err());
}
