//! Made data against the properties that were asked for, and against closed forms.

use super::*;

fn covariance(data: &Dataset) -> Vec<Vec<f64>> {
    let (n, d) = (data.rows(), data.features());
    let mut c = vec![vec![0.0; d]; d];
    for i in 0..n {
        let mut row = vec![0.0; d];
        data.x.for_row(i, |j, v| row[j] = v);
        for a in 0..d {
            for b in 0..d {
                c[a][b] += row[a] * row[b] / n as f64;
            }
        }
    }
    c
}

fn eigenvalues(c: &[Vec<f64>]) -> Vec<f64> {
    let d = c.len();
    let matrix = faer::Mat::from_fn(d, d, |i, j| c[i][j]);
    matrix
        .self_adjoint_eigenvalues(faer::Side::Lower)
        .expect("a small symmetric matrix")
}

#[test]
fn spectrum_is_the_one_asked_for() {
    let (n, d) = (40_000, 8);
    for spectrum in [Spectrum::Geometric, Spectrum::PowerLaw, Spectrum::TwoLevels] {
        for density in [1.0, 0.5] {
            let options = Options {
                rows: n,
                columns: d,
                condition: 1e4,
                spectrum,
                density,
                seed: 1,
                ..Options::default()
            };
            let values = eigenvalues(&covariance(&generate(&options).unwrap()));
            let (last, log) = ((d - 1) as f64, 1e4f64.ln());
            for (k, v) in values.iter().rev().enumerate() {
                let expected = density
                    * match spectrum {
                        Spectrum::Geometric => (-log * k as f64 / last).exp(),
                        Spectrum::PowerLaw => {
                            (-log * (k as f64 + 1.0).ln() / (d as f64).ln()).exp()
                        }
                        Spectrum::TwoLevels => {
                            if k < 4 {
                                1.0
                            } else {
                                1e-4
                            }
                        }
                    };
                // A sample of n rows has eigenvalues within (1 ± sqrt(d/n))² of the true ones, times the heavier tails of
                // a sparse product: 10 % is several deviations.
                assert!(
                    (v / expected - 1.0).abs() < 0.1,
                    "{spectrum:?} {density} {k}: {v} {expected}"
                );
            }
        }
    }
}

#[test]
fn neighbours_correlate_as_asked_for() {
    let options = Options {
        rows: 50_000,
        columns: 5,
        condition: 1.0,
        correlation: -0.7,
        seed: 2,
        ..Options::default()
    };
    let c = covariance(&generate(&options).unwrap());
    for a in 0..5 {
        for b in 0..5 {
            let expected = (-0.7f64).powi((a as i32 - b as i32).abs());
            // Five standard errors sqrt(2 / n).
            assert!(
                (c[a][b] - expected).abs() < 5.0 * (2.0 / 50_000f64).sqrt(),
                "{a} {b}"
            );
        }
    }
}

/// x·w has the standard deviation that was asked for, in every kind of design.
#[test]
fn signal_is_the_one_asked_for() {
    for (condition, correlation, density) in [(1e3, 0.0, 1.0), (1.0, 0.9, 1.0), (1e2, 0.0, 0.3)] {
        let options = Options {
            rows: 20_000,
            columns: 30,
            kind: Kind::Regression,
            noise: 0.0,
            signal: 2.0,
            condition,
            correlation,
            density,
            seed: 3,
            ..Options::default()
        };
        let data = generate(&options).unwrap();
        let mean_square = data.target.iter().map(|y| y * y).sum::<f64>() / 20_000.0;
        assert!(
            (mean_square / 4.0 - 1.0).abs() < 0.1,
            "{condition} {correlation} {density}: {mean_square}"
        );
    }
}

#[test]
fn classes_are_separable_as_asked_for() {
    for (kind, density) in [
        (Kind::Logistic, 1.0),
        (Kind::Logistic, 0.3),
        (Kind::Softmax, 1.0),
    ] {
        let options = Options {
            kind,
            density,
            separable: true,
            margin: 0.2,
            seed: 4,
            ..Options::default()
        };
        let (data, w) = generate_with_truth(&options).unwrap();
        for i in 0..data.rows() {
            let mut m = vec![0.0; w.len()];
            data.x.for_row(i, |j, v| {
                m.iter_mut().zip(&w).for_each(|(m, w)| *m += v * w[j]);
            });
            let y = data.target[i];
            if kind == Kind::Logistic {
                assert!(y * m[0] >= 0.2 - 1e-12, "row {i}");
            } else {
                let others = m.iter().enumerate().filter(|(k, _)| *k != y as usize);
                assert!(
                    others
                        .map(|(_, v)| m[y as usize] - v)
                        .all(|gap| gap >= 0.2 - 1e-12)
                );
            }
        }
    }
    let quasi = Options {
        quasi_separable: true,
        seed: 5,
        ..Options::default()
    };
    let (data, w) = generate_with_truth(&quasi).unwrap();
    assert_eq!(w[0][19], 0.0);
    let mut given = [0, 0];
    for i in 0..data.rows() {
        let mut last = 0.0;
        data.x.for_row(i, |j, v| {
            if j == 19 {
                last = v;
            }
        });
        assert!(last == 0.0 || (last == 1.0 && data.target[i] == 1.0));
        given[usize::from(last == 1.0)] += 1;
    }
    assert!(given[1] > 200 && given[0] > 500, "{given:?}");
    let hopeless = Options {
        density: 1e-6,
        separable: true,
        ..Options::default()
    };
    assert!(generate(&hopeless).is_err());
}

#[test]
fn groups_and_counts() {
    let options = Options {
        columns: 40,
        group_size: 5,
        active: 0.25,
        kind: Kind::Poisson,
        rows: 20_000,
        seed: 6,
        ..Options::default()
    };
    let (data, w) = generate_with_truth(&options).unwrap();
    let active: Vec<bool> = w[0]
        .chunks(5)
        .map(|g| g.iter().any(|v| *v != 0.0))
        .collect();
    assert_eq!(active.iter().filter(|a| **a).count(), 2);
    assert_eq!(data.feature_names[7], "g2_3");
    // E exp(m) = exp(signal² / 2) for a normal m; its variance is about 21 / n.
    let mean = data.target.iter().sum::<f64>() / 20_000.0;
    assert!((mean - 0.5f64.exp()).abs() < 0.1, "{mean}");
    assert!(data.target.iter().all(|y| y.fract() == 0.0 && *y >= 0.0));
}

#[test]
fn rows_do_not_depend_on_threads_or_on_their_number() {
    let options = Options {
        rows: 2000,
        columns: 7,
        density: 0.1,
        seed: 7,
        ..Options::default()
    };
    let whole = generate(&options).unwrap();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let again = pool.install(|| generate(&options)).unwrap();
        assert_eq!(whole.target, again.target);
        assert_eq!(format!("{:?}", whole.x), format!("{:?}", again.x));
    }
    let fewer = generate(&Options {
        rows: 500,
        ..options
    })
    .unwrap();
    assert_eq!(fewer.target, whole.target[..500]);
}

#[test]
fn all_faults_are_named_at_once() {
    let bad = Options {
        rows: 0,
        condition: 0.5,
        density: 2.0,
        margin: 1.0,
        ..Options::default()
    };
    let message = generate(&bad).unwrap_err().to_string();
    for word in ["rows", "condition", "density", "margin"] {
        assert!(message.contains(word), "{message}");
    }
    assert!("probit".parse::<Kind>().is_err());
}
