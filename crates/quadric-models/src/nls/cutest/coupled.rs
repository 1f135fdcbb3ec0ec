//! Any size, terms of unknowns that are far apart. Minima that are not 0 and have no formula are computed by several methods
//! that agree to eight digits; noncvxu2 agrees with its file.

use super::super::problem::{Minimum, Row, Sizes};
use super::{Jet, TermSum, ZERO, pairs, scalable, singles};

pub(super) fn rows() -> Vec<Row> {
    let mut all = arrows();
    all.extend(dixmaan());
    all.extend(scattered());
    all
}

/// One unknown, or two, in every term.
fn arrows() -> Vec<Row> {
    vec![
        scalable(
            "arwhead",
            Sizes::from(2, 1000),
            |_, _| 1.0,
            ZERO,
            |n, sum| {
                sum.each((0..n - 1).map(move |i| [i, n - 1]), |_, x| {
                    (x[0].square() + x[1].square()).square() - &x[0] * 4.0 + 3.0
                })
            },
        ),
        scalable(
            "liarwhd",
            Sizes::from(2, 500),
            |_, _| 4.0,
            ZERO,
            |n, sum| {
                sum.each((0..n).map(|i| [0, i]), |_, x| {
                    (x[1].square() - &x[0]).square() * 4.0 + (&x[1] - 1.0).square()
                })
            },
        ),
        scalable(
            "nondia",
            Sizes::from(2, 500),
            |_, _| -1.0,
            ZERO,
            |n, sum| {
                sum.each([[0]], |_, x| (&x[0] - 1.0).square())
                    .each((0..n - 1).map(|i| [0, i]), |_, x| {
                        (&x[0] - x[1].square()).square() * 100.0
                    })
            },
        ),
        scalable(
            "nondquar",
            Sizes::from(3, 100),
            |j, _| if j % 2 == 1 { 1.0 } else { -1.0 },
            ZERO,
            |n, sum| {
                sum.each([[0, 1], [n - 2, n - 1]], |_, x| (&x[0] - &x[1]).square())
                    .each((0..n - 2).map(move |i| [i, i + 1, n - 1]), |_, x| {
                        (&x[0] + &x[1] + &x[2]).power(4.0)
                    })
            },
        ),
        scalable(
            "sinquad",
            Sizes::from(3, 10),
            |_, _| 0.1,
            Minimum::At(&[(10, -60.27605948)]),
            |n, sum| {
                sum.each([[0]], |_, x| (&x[0] - 1.0).power(4.0))
                    .each((1..n - 1).map(move |i| [0, i, n - 1]), |_, x| {
                        (&x[1] - &x[2]).sin() - x[0].square() + x[1].square()
                    })
                    .each([[0, n - 1]], |_, x| {
                        (x[1].square() - x[0].square()).square()
                    })
            },
        ),
        scalable(
            "tquartic",
            Sizes::from(2, 500),
            |_, _| 0.1,
            ZERO,
            |n, sum| {
                sum.each([[0]], |_, x| (&x[0] - 1.0).square())
                    .each((1..n).map(|i| [0, i]), |_, x| {
                        (x[0].square() - x[1].square()).square()
                    })
            },
        ),
    ]
}

/// The family of Dixon and Maany: `1 + Σ α x_i² (i/n)^a + β x_i² (x_{i+1} + x_{i+1}²)² (i/n)^b + γ x_i² x_{i+m}⁴ (i/n)^c +
/// δ x_i x_{i+2m} (i/n)^d` with n = 3 m.
fn dixmaan_sum(n: usize, sum: TermSum, weights: [f64; 4], powers: [i32; 4]) -> TermSum {
    let m = n / 3;
    let weight = move |which: usize, k: usize| {
        weights[which] * ((k + 1) as f64 / n as f64).powi(powers[which])
    };
    sum.each([[0]], |_, _| Jet::constant(1.0))
        .each(singles(n), move |k, x| x[0].square() * weight(0, k))
        .each(pairs(n), move |k, x| {
            (&x[0] * (&x[1] + x[1].square())).square() * weight(1, k)
        })
        .each((0..2 * m).map(move |i| [i, i + m]), move |k, x| {
            (&x[0] * x[1].square()).square() * weight(2, k)
        })
        .each((0..m).map(move |i| [i, i + 2 * m]), move |k, x| {
            &x[0] * &x[1] * weight(3, k)
        })
}

fn dixmaan() -> Vec<Row> {
    let member = |name, build| {
        let sizes = Sizes::from(3, 300).that("a multiple of 3", |n| n.is_multiple_of(3));
        scalable(name, sizes, |_, _| 2.0, Minimum::Everywhere(1.0), build)
    };
    vec![
        member("dixmaana1", |n, sum| {
            dixmaan_sum(n, sum, [1.0, 0.0, 0.125, 0.125], [0; 4])
        }),
        member("dixmaanb", |n, sum| {
            dixmaan_sum(n, sum, [1.0, 0.0625, 0.0625, 0.0625], [0; 4])
        }),
        member("dixmaanh", |n, sum| {
            dixmaan_sum(n, sum, [1.0, 0.26, 0.26, 0.26], [1, 0, 0, 1])
        }),
        member("dixmaani1", |n, sum| {
            dixmaan_sum(n, sum, [1.0, 0.0, 0.125, 0.125], [2, 0, 0, 2])
        }),
        member("dixmaanp", |n, sum| {
            dixmaan_sum(n, sum, [1.0, 0.26, 0.26, 0.26], [2, 1, 1, 2])
        }),
    ]
}

/// For i from 1 to n: i, and `(f i - back) mod n + 1` for each (f, back).
fn remainders(n: usize, shifts: &'static [(usize, usize)]) -> impl Iterator<Item = Vec<usize>> {
    (1..=n).map(move |i| {
        let others = shifts.iter().map(|(factor, back)| (factor * i - back) % n);
        std::iter::once(i - 1).chain(others).collect()
    })
}

const FIVE: &[(usize, usize)] = &[(2, 1), (3, 1), (5, 1), (7, 1), (11, 1)];

/// Unknowns scattered by remainders, or each alone.
fn scattered() -> Vec<Row> {
    vec![
        scalable(
            "noncvxu2",
            Sizes::from(2, 100),
            |j, _| j as f64,
            Minimum::At(&[(10, 23.168084), (100, 231.68084), (1000, 2316.8084)]),
            |n, sum| {
                sum.each(remainders(n, &[(3, 2), (7, 3)]), |_, x| {
                    let v = &x[0] + &x[1] + &x[2];
                    v.square() + v.cos() * 4.0
                })
            },
        ),
        scalable(
            "sparsine",
            Sizes::from(2, 100),
            |_, _| 0.5,
            ZERO,
            |n, sum| {
                sum.each(remainders(n, FIVE), |k, x| {
                    let sines = Jet::sum(x.iter().map(|x| x.clone().sin()));
                    sines.square() * (0.5 * (k + 1) as f64)
                })
            },
        ),
        scalable(
            "sparsqur",
            Sizes::from(2, 500),
            |_, _| 0.5,
            ZERO,
            |n, sum| {
                sum.each(remainders(n, FIVE), |k, x| {
                    let squares = Jet::sum(x.iter().map(Jet::square));
                    squares.square() * (0.125 * (k + 1) as f64)
                })
            },
        ),
        scalable(
            "dqrtic",
            Sizes::from(1, 100),
            |_, _| 2.0,
            ZERO,
            |n, sum| sum.each(singles(n), |k, x| (&x[0] - (k + 1) as f64).power(4.0)),
        ),
        scalable(
            "qing",
            Sizes::from(1, 100),
            |_, _| 1.0,
            ZERO,
            |n, sum| sum.each(singles(n), |k, x| (x[0].square() - (k + 1) as f64).square()),
        ),
    ]
}
