//! Chains: terms of neighbouring unknowns, any size. Minima that are not 0 and have no formula are computed by several methods
//! that agree to eight digits, and agree with the digits that the files give for bdqrtic, cragglvy, curly10, edensch,
//! errinros and freuroth. Each term of tointgss is least at 0, so that F is least there.

use super::super::problem::{Minimum, Row, Sizes};
use super::data::TOINT_ALPHA;
use super::{Jet, ZERO, cube, humps, pairs, scalable, singles};
use std::f64::consts::PI;

pub(super) fn rows() -> Vec<Row> {
    let mut all = rosenbrocks();
    all.extend(chains());
    all.extend(wider());
    all
}

/// `100 (y - x²)² + (1 - z)²`.
fn banana(x: &Jet, y: &Jet, z: &Jet) -> Jet {
    (y - x.square()).square() * 100.0 + (1.0 - z).square()
}

/// The weight of term k in `chnrosnb` and `errinros`.
fn weight(k: usize) -> f64 {
    16.0 * TOINT_ALPHA[k + 1].powi(2)
}

/// The Rosenbrock family; `extended-rosenbrock` is in the other collection.
fn rosenbrocks() -> Vec<Row> {
    let fifty = Sizes::from(2, 50).up_to(50);
    vec![
        scalable(
            "chnrosnb",
            fifty,
            |_, _| -1.0,
            ZERO,
            |n, sum| {
                sum.each(pairs(n), |k, x| {
                    (&x[0] - x[1].square()).square() * weight(k) + (&x[1] - 1.0).square()
                })
            },
        ),
        scalable(
            "errinros",
            fifty,
            |_, _| -1.0,
            Minimum::At(&[(10, 6.69463214), (25, 18.4609060), (50, 39.9041540)]),
            |n, sum| {
                sum.each(pairs(n), |k, x| {
                    (&x[0] - x[1].square() * weight(k)).square() + (&x[1] - 1.0).square()
                })
            },
        ),
        scalable(
            "extrosnb",
            Sizes::from(2, 100),
            |_, _| -1.0,
            ZERO,
            |n, sum| {
                sum.each([[0]], |_, x| (&x[0] - 1.0).square())
                    .each(pairs(n), |_, x| (&x[1] - x[0].square()).square() * 100.0)
            },
        ),
        scalable(
            "fletchcr",
            Sizes::from(2, 100),
            |_, _| 0.0,
            ZERO,
            |n, sum| sum.each(pairs(n), |_, x| banana(&x[0], &x[1], &x[0])),
        ),
        scalable(
            "genrose",
            Sizes::from(2, 100),
            |j, n| j as f64 / (n + 1) as f64,
            Minimum::Everywhere(1.0),
            |n, sum| {
                sum.each([[0]], |_, _| Jet::constant(1.0))
                    .each(pairs(n), |_, x| banana(&x[0], &x[1], &x[1]))
            },
        ),
    ]
}

/// Terms of two neighbours.
fn chains() -> Vec<Row> {
    vec![
        scalable(
            "cosine",
            Sizes::from(2, 100),
            |_, _| 1.0,
            Minimum::Formula(|n| 1.0 - n as f64),
            |n, sum| sum.each(pairs(n), |_, x| (x[0].square() - &x[1] * 0.5).cos()),
        ),
        scalable(
            "dixon3dq",
            Sizes::from(3, 100),
            |_, _| -1.0,
            ZERO,
            |n, sum| {
                sum.each([[0], [n - 1]], |_, x| (&x[0] - 1.0).square())
                    .each(pairs(n).skip(1), |_, x| (&x[0] - &x[1]).square())
            },
        ),
        scalable(
            "edensch",
            Sizes::from(2, 36),
            |_, _| 8.0,
            Minimum::At(&[(36, 219.284592)]),
            |n, sum| {
                sum.each([[0]], |_, _| Jet::constant(16.0))
                    .each(pairs(n), |_, x| {
                        (&x[0] - 2.0).power(4.0)
                            + (&x[0] * &x[1] - &x[1] * 2.0).square()
                            + (&x[1] + 1.0).square()
                    })
            },
        ),
        scalable(
            "engval1",
            Sizes::from(2, 500),
            |_, _| 2.0,
            Minimum::At(&[(2, 0.0), (500, 553.1355062)]),
            |n, sum| {
                sum.each(pairs(n), |_, x| {
                    (x[0].square() + x[1].square()).square() - &x[0] * 4.0 + 3.0
                })
            },
        ),
        scalable(
            "fletcbv2",
            Sizes::from(2, 100),
            |j, n| j as f64 / (n + 1) as f64,
            Minimum::At(&[(100, -0.5140067861)]),
            |n, sum| {
                let h = 1.0 / (n + 1) as f64;
                sum.each([[0], [n - 1]], |_, x| x[0].square() * 0.5)
                    .each(pairs(n), |_, x| (&x[0] - &x[1]).square() * 0.5)
                    .each([[n - 1]], |_, x| -&x[0])
                    .each(singles(n), move |_, x| {
                        (&x[0] * -2.0 - x[0].clone().cos()) * (h * h)
                    })
            },
        ),
        scalable(
            "freuroth",
            Sizes::from(2, 100),
            |j, _| [0.5, -2.0, 0.0][j.min(3) - 1],
            Minimum::At(&[(2, 0.0), (100, 11964.57735)]),
            |n, sum| {
                sum.each(pairs(n), |_, x| {
                    let (cube, square) = (cube(&x[1]), x[1].square());
                    (&x[0] - &x[1] * 2.0 + &square * 5.0 - &cube - 13.0).square()
                        + (&x[0] - &x[1] * 14.0 + square + cube - 29.0).square()
                })
            },
        ),
        scalable(
            "genhumps",
            Sizes::from(2, 10),
            |j, _| if j == 1 { -506.0 } else { -506.2 },
            ZERO,
            |n, sum| sum.each(pairs(n), |_, x| humps(&x[0], &x[1])),
        ),
        scalable(
            "tridia",
            Sizes::from(2, 1000),
            |_, _| 1.0,
            ZERO,
            |n, sum| {
                sum.each([[0]], |_, x| (&x[0] - 1.0).square())
                    .each(pairs(n), |k, x| {
                        (&x[1] * 2.0 - &x[0]).square() * (k + 2) as f64
                    })
            },
        ),
    ]
}

/// Terms of more than two neighbours.
fn wider() -> Vec<Row> {
    let even = |n: usize| n.is_multiple_of(2);
    vec![
        scalable(
            "bdqrtic",
            Sizes::from(5, 500),
            |_, _| 1.0,
            Minimum::At(&[(100, 378.769), (500, 1981.013085)]),
            |n, sum| {
                let five = (4..n).map(move |i| [i - 4, i - 3, i - 2, i - 1, n - 1]);
                sum.each(five, |_, x| {
                    let weighted = |(j, x): (usize, &Jet)| x.square() * (j + 1) as f64;
                    (3.0 - &x[0] * 4.0).square()
                        + Jet::sum(x.iter().enumerate().map(weighted)).square()
                })
            },
        ),
        scalable(
            "cragglvy",
            Sizes::from(4, 500).that("an even number", even),
            |j, _| if j == 1 { 1.0 } else { 2.0 },
            Minimum::At(&[(10, 1.886566), (500, 167.4491276)]),
            |n, sum| {
                let four = (0..n / 2 - 1).map(|i| [2 * i, 2 * i + 1, 2 * i + 2, 2 * i + 3]);
                sum.each(four, |_, x| {
                    let last = &x[2] - &x[3];
                    (x[0].clone().exp() - &x[1]).power(4.0)
                        + (&x[1] - &x[2]).power(6.0) * 100.0
                        + (last.clone().tan() + last).power(4.0)
                        + x[0].clone().power(8.0)
                        + (&x[3] - 1.0).square()
                })
            },
        ),
        scalable(
            "curly10",
            Sizes::from(11, 100),
            |j, n| 1e-4 * j as f64 / (n + 1) as f64,
            Minimum::At(&[(100, -10031.62902)]),
            |n, sum| {
                let bands = (0..n).map(move |i| (i..(i + 11).min(n)).collect::<Vec<_>>());
                sum.each(bands, |_, x| {
                    let q = Jet::sum(x.iter().cloned());
                    &q * (&q * (q.square() - 20.0) - 0.1)
                })
            },
        ),
        scalable(
            "modbeale",
            Sizes::from(2, 100).that("an even number", even),
            |_, _| 1.0,
            ZERO,
            |n, sum| {
                sum.each((0..n / 2).map(|i| [2 * i, 2 * i + 1]), |_, x| {
                    let part =
                        |(y, e): (f64, f64)| (y - &x[0] * (1.0 - x[1].clone().power(e))).square();
                    Jet::sum([(1.5, 1.0), (2.25, 2.0), (2.625, 3.0)].map(part))
                })
                .each((1..n / 2).map(|i| [2 * i - 1, 2 * i]), |_, x| {
                    (&x[0] * 6.0 - &x[1]).square() * 50.0
                })
            },
        ),
        scalable(
            "ncb20b",
            Sizes::from(20, 100),
            |_, _| 0.0,
            Minimum::At(&[(100, 196.6801491)]),
            |n, sum| {
                let bands = (0..n - 19).map(|i| (i..i + 20).collect::<Vec<_>>());
                let term = |k: usize, x: &[Jet]| {
                    let curved = x.iter().map(|x| x / (x.square() + 1.0));
                    let linear = Jet::sum(x.iter().cloned()) * 0.2;
                    Jet::sum(curved).square() * (10.0 / (k + 1) as f64) - linear
                };
                sum.each(bands, term)
                    .each(singles(n), |_, x| x[0].clone().power(4.0) * 100.0 + 2.0)
            },
        ),
        scalable(
            "schmvett",
            Sizes::from(3, 500),
            |_, _| 0.5,
            Minimum::Formula(|n| -3.0 * (n - 2) as f64),
            |n, sum| {
                sum.each((2..n).map(|i| [i - 2, i - 1, i]), |_, x| {
                    let wave = (&x[1] * PI + &x[2]) * 0.5;
                    let hill = -((&x[0] + &x[2]) / &x[1] - 2.0).square();
                    -(1.0 / ((&x[0] - &x[1]).square() + 1.0)) - wave.sin() - hill.exp()
                })
            },
        ),
        Row {
            others: &[10.10204081633],
            ..scalable(
                "tointgss",
                Sizes::from(3, 100),
                |_, _| 3.0,
                Minimum::Everywhere(10.0),
                |n, sum| {
                    let share = 10.0 / (n - 2) as f64;
                    sum.each((2..n).map(|i| [i - 2, i - 1, i]), move |_, x| {
                        let square = x[2].square();
                        let hill = -((&x[0] - &x[1]).square() / (&square + 0.1));
                        (square + share) * (2.0 - hill.exp())
                    })
                },
            )
        },
        scalable(
            "woods",
            Sizes::from(4, 1000).that("a multiple of 4", |n| n.is_multiple_of(4)),
            |j, _| if j % 2 == 1 { -3.0 } else { -1.0 },
            ZERO,
            |n, sum| {
                let four = (0..n / 4).map(|i| [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]);
                sum.each(four, |_, x| {
                    banana(&x[0], &x[1], &x[0])
                        + (&x[3] - x[2].square()).square() * 90.0
                        + (1.0 - &x[2]).square()
                        + (&x[1] + &x[3] - 2.0).square() * 10.0
                        + (&x[1] - &x[3]).square() * 0.1
                })
            },
        ),
    ]
}
