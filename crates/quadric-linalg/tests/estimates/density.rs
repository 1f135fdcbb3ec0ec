//! Spectral densities.

use super::krylov_support::*;
use quadric_linalg::algebra::{Dense, Diagonal, Identity};
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::estimate::{
    Density, DensityOptions, Eigenspace, Kernel, LanczosQuadrature, density, wasserstein,
};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{LinearOperator, Scalar};
use std::ops::ControlFlow;

fn quadrature(probes: usize, steps: usize) -> DensityOptions {
    DensityOptions {
        probes,
        steps,
        dense: 0,
        ..DensityOptions::default()
    }
}

fn run<T: Scalar>(op: &dyn LinearOperator<T>, options: &DensityOptions, seed: u64) -> Density {
    density(op, None, options, SeedTree::new(seed), |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

/// The Marchenko-Pastur law for ratio `g` < 1, as atoms on a cosine grid.
fn marchenko_pastur(g: f64) -> Vec<(f64, f64)> {
    let (low, high) = ((1.0 - g.sqrt()).powi(2), (1.0 + g.sqrt()).powi(2));
    let count = 20_000;
    let mut atoms: Vec<(f64, f64)> = (0..count)
        .map(|i| {
            let angle = std::f64::consts::PI * (f64::from(i) + 0.5) / f64::from(count);
            let t = 0.5 * (low + high) - 0.5 * (high - low) * angle.cos();
            let root = ((high - t) * (t - low)).sqrt();
            let width = std::f64::consts::PI / f64::from(count) * 0.5 * (high - low) * angle.sin();
            (t, root / (std::f64::consts::TAU * g * t) * width)
        })
        .collect();
    let sum: f64 = atoms.iter().map(|a| a.1).sum();
    assert!((sum - 1.0).abs() < 1e-6);
    atoms.iter_mut().for_each(|a| a.1 /= sum);
    atoms
}

/// A white Wishart matrix of order 1,000 from 4,000 samples: the distance to its law falls with the steps, down to what 16 starts
/// allow. The bounds are a half to three times above what independent runs gave.
#[test]
fn a_wishart_matrix_follows_its_law() {
    let (n, samples) = (1000, 4000);
    let x = faer::Mat::from_fn(samples, n, |_, _| 0.0f64);
    let mut x = x;
    quadric_linalg::parallel::by_columns(x.as_mut(), 0, &|j, column| {
        let mut stream = SeedTree::new(13).stream(j as u64);
        column.iter_mut().for_each(|v| *v = stream.normal());
    });
    let gram = x.transpose() * &x;
    let op = Dense::psd(faer::Mat::from_fn(n, n, |i, j| {
        gram[(i.min(j), i.max(j))] / samples as f64
    }))
    .unwrap();
    let law = marchenko_pastur(0.25);
    let mut found = Vec::new();
    let options = quadrature(16, 100);
    let last = density(&op, None, &options, SeedTree::new(1), |run| {
        if [10, 40].contains(&run.progress().0) {
            let atoms = run.density().unwrap().atoms();
            found.push(wasserstein(&atoms, &law).unwrap());
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    // Sixty-three steps of all starts see every dimension.
    assert_eq!(last.steps, 63);
    found.push(wasserstein(&last.atoms(), &law).unwrap());
    println!("{found:?}");
    assert!(found[0] <= 0.08 && found[1] <= 0.035 && found[2] <= 0.02);
    let outside = last.cdf(0.2).value + 1.0 - last.cdf(2.3).value;
    assert!(outside <= 1e-2, "{outside}");
    // The same number of products for the exact density.
    let exact = run(
        &op,
        &DensityOptions {
            probes: 16,
            ..DensityOptions::default()
        },
        1,
    );
    assert!(exact.exact);
    let near = wasserstein(&exact.atoms(), &last.atoms()).unwrap();
    assert!(near < 0.02, "{near}");
}

/// The rule of m steps has the moments of its start up to degree 2m - 1, in the mean over starts, with and without the basis.
#[test]
fn moments_of_the_starts() {
    let a = with_spectrum(&geometric(50, 30.0), 3);
    let op = spd::<f64>(&a);
    for steps in [1, 3, 7] {
        for store_basis in [true, false] {
            let options = DensityOptions {
                store_basis,
                ..quadrature(3, steps)
            };
            let mut start = None;
            let mut first =
                LanczosQuadrature::start(&op, None, &options, SeedTree::new(8)).unwrap();
            start.get_or_insert(first.state().vectors.clone());
            while first.step().unwrap() {}
            let density = first.density().unwrap();
            for (z, rule) in start.unwrap().chunks_exact(50).zip(&density.rules) {
                let mut power = z.to_vec();
                for degree in 0..2 * steps {
                    let moment: f64 = z.iter().zip(&power).map(|(a, b)| a * b).sum();
                    let found = rule.sum(|t| t.powi(degree as i32));
                    assert!((found - moment).abs() < 1e-12, "{steps} {degree}");
                    power = times(&a, &power);
                }
            }
            assert!((density.moment(0).unwrap().value - 1.0).abs() < 1e-14);
        }
    }
}

/// Everything there is to know, by decomposition, and by as many steps as dimensions.
#[test]
fn as_many_steps_as_dimensions() {
    let values: Vec<f64> = (0..30).map(|i| f64::from(i).sin()).collect();
    let a = with_spectrum(&values, 4);
    let op = Dense::symmetric(a.clone()).unwrap();
    let all = eigenvalues(&a);
    let exact = run(&op, &DensityOptions::default(), 0);
    assert!(exact.exact && exact.known.len() == 30);
    let log_det: f64 = all.iter().map(|v| (v + 2.0).ln()).sum();
    let dimension: f64 = all.iter().map(|v| v / (v + 2.0)).sum();
    let found = exact.log_det(2.0).unwrap();
    assert!((found.total.value - log_det).abs() < 1e-12 && found.total.half_width() == 0.0);
    let found = exact.effective_dimension(2.0).unwrap().total.value;
    assert!((found - dimension).abs() < 1e-12);
    assert!(exact.log_det(1.0).is_ok() == (all[0] > -1.0) && exact.log_det(0.5).is_err());
    // Every start finds every eigenvalue.
    let long = run(&op, &quadrature(2, 100), 0);
    for rule in &long.rules {
        assert_eq!(rule.nodes.len(), 30);
        for (node, value) in rule.nodes.iter().zip(&all) {
            assert!((node - value).abs() < 1e-12, "{node} {value}");
        }
    }
    let moment = long.moment(1).unwrap();
    assert!((moment.value - all.iter().sum::<f64>() / 30.0).abs() < moment.half_width() * 2.0);
}

/// Rank 0, one eigenvalue, few of them, pairs of both signs, and order 1: the Krylov spaces end, and the rules are exact.
#[test]
fn invariant_spaces() {
    let few = |i: usize| [0.0, 2.0, -3.0][i % 3];
    let cases: [(Vec<f64>, usize); 5] = [
        (vec![0.0; 50], 1),
        (vec![4.0; 50], 1),
        ((0..51).map(few).collect(), 3),
        (
            (0..50)
                .map(|i| if i % 2 == 0 { 1.0 } else { -1.0 })
                .collect(),
            2,
        ),
        (vec![7.0], 1),
    ];
    for (values, distinct) in cases {
        for store_basis in [true, false] {
            let options = DensityOptions {
                store_basis,
                ..quadrature(4, 20)
            };
            let op = Diagonal(values.clone());
            let found = run(&op, &options, 2);
            for rule in &found.rules {
                assert_eq!(rule.nodes.len(), distinct);
                let sum: f64 = rule.weights.iter().sum();
                assert!((sum - 1.0).abs() < 1e-13);
                for node in &rule.nodes {
                    assert!(values.iter().any(|v| (v - node).abs() < 1e-13));
                }
            }
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let cdf = found.cdf(low + 0.5);
            let exact = values.iter().filter(|v| **v <= low + 0.5).count() as f64;
            assert!(cdf.contains(exact / values.len() as f64));
            if distinct == 1 {
                assert!(found.pdf(&[0.0], Kernel::Gaussian { sigma: None }).is_err());
                assert!(found.pdf(&[0.0], Kernel::Jackson { degree: None }).is_err());
                let kernel = Kernel::Gaussian { sigma: Some(0.1) };
                let peak = found.pdf(&[low], kernel).unwrap()[0];
                assert!((peak - 10.0 / std::f64::consts::TAU.sqrt()).abs() < 1e-9);
            }
        }
    }
    let none = run(
        &Identity(0) as &dyn LinearOperator<f64>,
        &DensityOptions::default(),
        0,
    );
    assert!(none.exact && none.extremes().is_none() && none.grid(10).is_err());
}

/// A run that stops after any step goes on from its numbers to the same bits; other sizes are refused.
#[test]
fn runs_resume() {
    let op = Diagonal(normals(64, 1));
    for options in [
        quadrature(3, 9),
        DensityOptions {
            store_basis: true,
            ..quadrature(3, 9)
        },
        DensityOptions::default(),
    ] {
        let whole = run(&op, &options, 5);
        for stop in 0..9 {
            let seed = SeedTree::new(5);
            let mut first = LanczosQuadrature::start(&op, None, &options, seed).unwrap();
            for _ in 0..stop {
                first.step().unwrap();
            }
            let state = first.state().clone();
            let mut next = LanczosQuadrature::resume(&op, None, &options, state.clone()).unwrap();
            assert_eq!(next.progress(), first.progress());
            while next.step().unwrap() {}
            assert_eq!(next.density().unwrap(), whole);
            let mut broken = state.clone();
            broken.done += 1;
            assert!(LanczosQuadrature::resume(&op, None, &options, broken).is_err());
            let mut broken = state;
            broken.done = usize::MAX;
            broken.vectors.push(f64::NAN);
            assert!(LanczosQuadrature::resume(&op, None, &options, broken).is_err());
        }
    }
    // A watch that has seen enough ends the run.
    let options = quadrature(2, 50);
    let stopped = density(&op, None, &options, SeedTree::new(0), |run| {
        if run.progress().0 == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!(stopped.unwrap().steps, 3);
    // The starts, the blocks before and after them, and the image: vectors of 64 doubles; with bases, eight more blocks of two.
    assert_eq!(quadrature(2, 8).memory::<f64>(64), 6 * 64 * 8);
    let stored = DensityOptions {
        store_basis: true,
        ..quadrature(2, 8)
    };
    assert_eq!(stored.memory::<f64>(64), 20 * 64 * 8);
    let vast = quadrature(usize::MAX, usize::MAX).memory::<f64>(usize::MAX);
    assert_eq!(vast, u64::MAX);
}

/// Known eigenpairs count exactly, and the rest of the spectrum is seen without them.
#[test]
fn known_eigenpairs() {
    let mut values: Vec<f64> = (0..100).map(|i| f64::from(i) / 100.0).collect();
    values.extend([50.0, 60.0, 70.0]);
    let a = with_spectrum(&values, 6);
    let op = spd::<f64>(&a);
    let eigen = symmetric_eigen(a.as_ref()).unwrap();
    let top = eigen.vectors.as_ref().subcols(100, 3).to_owned();
    let known = Eigenspace::new(top, eigen.values[100..].to_vec()).unwrap();
    let options = quadrature(4, 15);
    let found = density(&op, Some(&known), &options, SeedTree::new(2), |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    for rule in &found.rules {
        assert!(rule.nodes.iter().all(|t| (-1e-9..1.0).contains(t)));
    }
    let plain = run(&op, &options, 2);
    let exact: f64 = values.iter().map(|v| (v + 1.0).ln()).sum();
    let (with, without) = (found.log_det(1.0).unwrap(), plain.log_det(1.0).unwrap());
    assert!(with.total.contains(exact) && with.total.half_width() < without.total.half_width());
    assert!((found.cdf(10.0).value - 100.0 / 103.0).abs() < 1e-12);
    // All of them.
    let all = Eigenspace::new(eigen.vectors, eigen.values).unwrap();
    let found = density(&op, Some(&all), &options, SeedTree::new(2), |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(found.exact && (found.log_det(1.0).unwrap().total.value - exact).abs() < 1e-10);
    let short = Eigenspace::new(faer::Mat::<f64>::identity(5, 2), vec![1.0, 2.0]).unwrap();
    assert!(
        density(&op, Some(&short), &options, SeedTree::new(2), |_| {
            ControlFlow::Continue(())
        })
        .is_err()
    );
}

/// Curves: each integrates to 1, and the rules of the widths are as they are published.
#[test]
fn curves() {
    let op = Diagonal((0..500).map(|i| f64::from(i) / 50.0).collect::<Vec<f64>>());
    let found = run(&op, &quadrature(4, 30), 3);
    let grid = found.grid(4001).unwrap();
    let step = grid[1] - grid[0];
    let mass = |values: &[f64]| values.iter().sum::<f64>() * step;
    let gauss = found.pdf(&grid, Kernel::Gaussian { sigma: None }).unwrap();
    let jackson = found.pdf(&grid, Kernel::Jackson { degree: None }).unwrap();
    assert!((mass(&gauss) - 1.0).abs() < 0.02 && (mass(&jackson) - 1.0).abs() < 1e-3);
    // Flat inside: 1/10 per unit.
    for curve in [&gauss, &jackson] {
        let inside = grid
            .iter()
            .zip(curve)
            .filter(|(t, _)| (2.0..8.0).contains(*t));
        let values: Vec<f64> = inside.map(|p| *p.1).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - 0.1).abs() < 0.015, "{mean}");
        assert!(curve.iter().all(|v| *v >= -1e-12));
    }
    // The default width, from what a single atom would show.
    let (low, high) = found.extremes().unwrap();
    let sigma = 1.1 * (high - low) / (29.0 * (8.0 * 3f64.ln()).sqrt());
    let same = found
        .pdf(&grid, Kernel::Gaussian { sigma: Some(sigma) })
        .unwrap();
    assert!(gauss.iter().zip(&same).all(|(a, b)| (a - b).abs() < 1e-12));
    assert!(
        found
            .pdf(&grid, Kernel::Gaussian { sigma: Some(0.0) })
            .is_err()
    );
    assert!(
        found
            .pdf(&grid, Kernel::Jackson { degree: Some(0) })
            .is_err()
    );
    let kernel = Kernel::Gaussian { sigma: None };
    assert!(found.pdf(&[0.0, f64::NAN], kernel).is_err());
    assert!(found.cdf(f64::NAN).value.is_nan());
    assert!(found.trace_of(|_| f64::MAX).is_err());
    // The other tool's rule, written out.
    let (places, values) = found.pyhessian(1000).unwrap();
    let mean = |end: fn(&[f64]) -> f64| {
        found.rules.iter().map(|r| end(&r.nodes)).sum::<f64>() / found.rules.len() as f64
    };
    let (low, high) = (mean(|t| t[0]) - 0.01, mean(|t| t[t.len() - 1]) + 0.01);
    assert!((places[0] - low).abs() < 1e-12 && (places[999] - high).abs() < 1e-12);
    let variance = 1e-5 * (high - low).max(1.0);
    let raw = |t: f64| -> f64 {
        let terms = found.rules.iter().map(|r| {
            let one = |node: f64| (-(t - node).powi(2) / (2.0 * variance)).exp();
            r.sum(one) / (std::f64::consts::TAU * variance).sqrt()
        });
        terms.sum::<f64>() / found.rules.len() as f64
    };
    let scale: f64 = places.iter().map(|t| raw(*t)).sum::<f64>() * (places[1] - places[0]);
    for (t, v) in places.iter().zip(&values) {
        assert!((v - raw(*t) / scale).abs() < 1e-9);
    }
}

#[test]
fn distances_between_distributions() {
    let a = [(0.0, 0.5), (1.0, 0.5)];
    let b = [(0.25, 0.5), (2.0, 0.5)];
    assert!((wasserstein(&a, &b).unwrap() - 0.625).abs() < 1e-15);
    assert_eq!(wasserstein(&a, &a).unwrap(), 0.0);
    assert_eq!(wasserstein(&[(3.0, 1.0)], &[(-1.0, 1.0)]).unwrap(), 4.0);
    assert!(wasserstein(&a, &[(0.0, 0.5)]).is_err());
    assert!(wasserstein(&[(1.0, 0.5), (0.0, 0.5)], &b).is_err());
}

/// A rigorous statement: the distribution of the start passes between the bounds of its rule everywhere.
#[test]
fn bounds_of_the_quadrature_are_rigorous() {
    let values: Vec<f64> = normals(200, 9);
    let op = Diagonal(values.clone());
    let options = quadrature(1, 12);
    let mut first = LanczosQuadrature::start(&op, None, &options, SeedTree::new(1)).unwrap();
    let z = first.state().vectors.clone();
    while first.step().unwrap() {}
    let rule = &first.density().unwrap().rules[0];
    for (i, t) in values.iter().enumerate() {
        let weight = |keep: &dyn Fn(f64) -> bool| -> f64 {
            let pairs = values.iter().zip(&z).filter(|(v, _)| keep(**v));
            pairs.map(|(_, z)| z * z).sum()
        };
        let truth = weight(&|v| v <= *t);
        let count = rule.nodes.partition_point(|node| node <= t);
        let sum = |k: usize| rule.weights[..k.min(12)].iter().sum::<f64>();
        assert!(sum(count.saturating_sub(1)) <= truth + 1e-12, "{i}");
        assert!(truth <= sum(count + 1) + 1e-12, "{i}");
    }
}

/// Several starts know more together than each alone: the density of 8 of them after 8 steps is as near to the spectrum as the mean
/// of 8 single ones after 24.
#[test]
fn starts_know_more_together() {
    let values: Vec<f64> = (1..=2000).map(|i| 5.0 * f64::from(i).powf(-1.2)).collect();
    let op = Diagonal(values.clone());
    let mut truth: Vec<(f64, f64)> = values.iter().map(|v| (*v, 5e-4)).collect();
    truth.reverse();
    let together = wasserstein(&run(&op, &quadrature(8, 8), 3).atoms(), &truth).unwrap();
    let alone = |steps: usize| {
        let singles = (10..18).flat_map(|seed| run(&op, &quadrature(1, steps), seed).atoms());
        let mut atoms: Vec<(f64, f64)> = singles.map(|(t, w)| (t, w / 8.0)).collect();
        atoms.sort_by(|a, b| a.0.total_cmp(&b.0));
        wasserstein(&atoms, &truth).unwrap()
    };
    let (short, long) = (alone(8), alone(24));
    assert!(
        together < 1.25 * long && together < 0.7 * short,
        "{together} {short} {long}, seeds 3 and 10 to 17"
    );
}

/// Beyond 2²³ entries in single precision, a unit vector is no longer than the rounding of a vector of signs.
#[test]
fn starts_of_very_long_vectors() {
    let n = 8_400_000;
    let op = Diagonal(
        (0..n)
            .map(|i| if i % 2 == 0 { 1f32 } else { 3.0 })
            .collect(),
    );
    let found = run(&op, &quadrature(1, 2), 0);
    let (low, high) = found.extremes().expect("two eigenvalues");
    assert!(
        (low - 1.0).abs() < 1e-5 && (high - 3.0).abs() < 1e-5,
        "{low} {high}"
    );
    let half = found.cdf(2.0);
    assert!((half.value - 0.5).abs() < 2e-3, "{half:?}");
}

/// In single precision without a stored basis, no node leaves the spectrum: most eigenvalues are zero, the others decay.
#[test]
fn nodes_stay_within_the_spectrum() {
    for seed in 0..6 {
        let value = |i: i32| if i < 300 { 0.6 * 0.98f32.powi(i) } else { 0.0 };
        let op = Diagonal((0..3466).map(value).collect());
        let found = run(&op, &quadrature(8, 60), seed);
        let (low, high) = found.extremes().expect("nodes");
        assert!(low > -1e-6 && high < 0.600_001, "seed {seed}: {low} {high}");
        let dimension = found
            .effective_dimension(0.006)
            .expect("nodes above -0.006");
        let exact: f64 = (0..300)
            .map(|i| f64::from(value(i)))
            .map(|v| v / (v + 0.006))
            .sum();
        let error = (dimension.total.value - exact).abs();
        assert!(error < 0.1 * exact, "seed {seed}: {dimension:?} {exact}");
    }
}
