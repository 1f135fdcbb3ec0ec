//! The 35 test problems of Moré, Garbow, Hillstrom, "Testing unconstrained optimization software", ACM Transactions on
//! Mathematical Software 7, 1981. Problem 11 in the form that its authors' code has; the formula in print has a misprint.

use super::mgh_data::{BARD, GAUSSIAN, KOWALIK, MEYER, OSBORNE_1, OSBORNE_2};
use super::problem::{Collection, Minimum, Row, Sizes};
use super::{Jet, TermSum};
use std::f64::consts::PI;

/// All of them, in the order of the collection.
pub(super) fn rows() -> Vec<Row> {
    let mut all = small();
    all.extend(fits());
    all.extend(scalable());
    all.sort_by_key(|r| r.number);
    all
}

/// A problem of one size.
fn row(
    number: usize,
    name: &'static str,
    start: Vec<f64>,
    minimum: f64,
    others: &'static [f64],
    residuals: fn(&[Jet]) -> Vec<Jet>,
) -> Row {
    Row {
        collection: Collection::Mgh,
        number: Some(number),
        name,
        sizes: Sizes::only(start.len()),
        make: Box::new(move |n| (start.clone(), TermSum::of_squares(name, n, residuals))),
        minimum: Minimum::Everywhere(minimum),
        others,
    }
}

/// A problem of any size that is a multiple of the length of `start`, by groups of unknowns; its minimum is 0.
fn grouped<const K: usize>(
    number: usize,
    name: &'static str,
    start: [f64; K],
    times: usize,
    residuals: fn(&[Jet]) -> Vec<Jet>,
) -> Row {
    let rule = if K == 2 {
        "an even number"
    } else {
        "a multiple of 4"
    };
    Row {
        collection: Collection::Mgh,
        number: Some(number),
        name,
        sizes: Sizes::from(K, times * K).that(rule, |n| n.is_multiple_of(K)),
        make: Box::new(move |n| {
            let groups = (0..n / K).map(move |g| (g * K..(g + 1) * K).collect::<Vec<_>>());
            let term = move |_: usize, x: &[Jet]| Jet::sum(residuals(x).iter().map(Jet::square));
            (
                start.repeat(n / K),
                TermSum::new(name, n).each(groups, term),
            )
        }),
        minimum: Minimum::Everywhere(0.0),
        others: &[],
    }
}

/// `f(1), ..., f(m)`.
fn count(m: usize, f: impl Fn(f64) -> Jet) -> Vec<Jet> {
    (1..=m).map(|i| f(i as f64)).collect()
}

fn rosenbrock(x: &[Jet]) -> Vec<Jet> {
    let pair = |x: &[Jet]| [(&x[1] - x[0].square()) * 10.0, 1.0 - &x[0]];
    x.chunks_exact(2).flat_map(pair).collect()
}

fn powell_singular(x: &[Jet]) -> Vec<Jet> {
    let four = |x: &[Jet]| {
        [
            &x[0] + &x[1] * 10.0,
            (&x[2] - &x[3]) * 5f64.sqrt(),
            (&x[1] - &x[2] * 2.0).square(),
            (&x[0] - &x[3]).square() * 10f64.sqrt(),
        ]
    };
    x.chunks_exact(4).flat_map(four).collect()
}

/// The angle of problem 7, in turns.
fn turns(x: &Jet, y: &Jet) -> Jet {
    let angle = (y / x).atan() / (2.0 * PI);
    if x.value < 0.0 { angle + 0.5 } else { angle }
}

/// Problems in two to four unknowns that fit no data.
fn small() -> Vec<Row> {
    vec![
        row(1, "rosenbrock", vec![-1.2, 1.0], 0.0, &[], rosenbrock),
        row(
            2,
            "freudenstein-roth",
            vec![0.5, -2.0],
            0.0,
            &[48.98425367924],
            |x| {
                vec![
                    &x[0] - 13.0 + ((5.0 - &x[1]) * &x[1] - 2.0) * &x[1],
                    &x[0] - 29.0 + ((&x[1] + 1.0) * &x[1] - 14.0) * &x[1],
                ]
            },
        ),
        row(3, "powell-badly-scaled", vec![0.0, 1.0], 0.0, &[], |x| {
            vec![
                &x[0] * &x[1] * 1e4 - 1.0,
                (-&x[0]).exp() + (-&x[1]).exp() - 1.0001,
            ]
        }),
        row(4, "brown-badly-scaled", vec![1.0, 1.0], 0.0, &[], |x| {
            vec![&x[0] - 1e6, &x[1] - 2e-6, &x[0] * &x[1] - 2.0]
        }),
        row(5, "beale", vec![1.0, 1.0], 0.0, &[], |x| {
            let part = |(i, y): (i32, f64)| y - &x[0] * (1.0 - x[1].clone().power(f64::from(i)));
            [(1, 1.5), (2, 2.25), (3, 2.625)].map(part).into()
        }),
        row(
            6,
            "jennrich-sampson",
            vec![0.3, 0.4],
            124.362182,
            &[],
            |x| {
                count(10, |i| {
                    2.0 + 2.0 * i - (&x[0] * i).exp() - (&x[1] * i).exp()
                })
            },
        ),
        row(7, "helical-valley", vec![-1.0, 0.0, 0.0], 0.0, &[], |x| {
            let radius = (x[0].square() + x[1].square()).power(0.5);
            vec![
                (&x[2] - turns(&x[0], &x[1]) * 10.0) * 10.0,
                (radius - 1.0) * 10.0,
                x[2].clone(),
            ]
        }),
        row(
            13,
            "powell-singular",
            vec![3.0, -1.0, 0.0, 1.0],
            0.0,
            &[],
            powell_singular,
        ),
        row(14, "wood", vec![-3.0, -1.0, -3.0, -1.0], 0.0, &[], |x| {
            vec![
                (&x[1] - x[0].square()) * 10.0,
                1.0 - &x[0],
                (&x[3] - x[2].square()) * 90f64.sqrt(),
                1.0 - &x[2],
                (&x[1] + &x[3] - 2.0) * 10f64.sqrt(),
                (&x[1] - &x[3]) / 10f64.sqrt(),
            ]
        }),
        row(
            16,
            "brown-dennis",
            vec![25.0, 5.0, -5.0, -1.0],
            85822.2,
            &[],
            |x| {
                count(20, |i| {
                    let t = i / 5.0;
                    let first = &x[0] + &x[1] * t - t.exp();
                    let second = &x[2] + &x[3] * t.sin() - t.cos();
                    first.square() + second.square()
                })
            },
        ),
    ]
}

/// Problems that fit data.
fn fits() -> Vec<Row> {
    vec![
        row(8, "bard", vec![1.0; 3], 8.21487e-3, &[17.4286], |x| {
            count(15, |u| {
                let v = 16.0 - u;
                let model = &x[0] + u / (&x[1] * v + &x[2] * u.min(v));
                BARD[u as usize - 1] - model
            })
        }),
        row(9, "gaussian", vec![0.4, 1.0, 0.0], 1.12793e-8, &[], |x| {
            count(15, |i| {
                let from_end = (i as usize).min(16 - i as usize);
                let away = (8.0 - i) / 2.0 - &x[2];
                &x[0] * (&x[1] * away.square() * -0.5).exp() - GAUSSIAN[from_end - 1]
            })
        }),
        row(10, "meyer", vec![0.02, 4000.0, 250.0], 87.9458, &[], |x| {
            count(16, |i| {
                let t = 45.0 + 5.0 * i;
                &x[0] * (&x[1] / (&x[2] + t)).exp() - MEYER[i as usize - 1]
            })
        }),
        row(11, "gulf", vec![5.0, 2.5, 0.15], 0.0, &[], |x| {
            count(99, |i| {
                let t: f64 = i / 100.0;
                let y = 25.0 + (-50.0 * t.ln()).powf(2.0 / 3.0);
                let away = (y - &x[1]).abs();
                (-((away.ln() * &x[2]).exp() / &x[0])).exp() - t
            })
        }),
        row(12, "box", vec![0.0, 10.0, 20.0], 0.0, &[], |x| {
            count(10, |i| {
                let t = i / 10.0;
                let known = (-t).exp() - (-10.0 * t).exp();
                (&x[0] * -t).exp() - (&x[1] * -t).exp() - &x[2] * known
            })
        }),
        row(
            15,
            "kowalik-osborne",
            vec![0.25, 0.39, 0.415, 0.39],
            3.07505e-4,
            &[1.02734e-3],
            |x| {
                let part = |(y, u): (f64, f64)| {
                    y - &x[0] * (u * u + &x[1] * u) / (&x[2] * u + &x[3] + u * u)
                };
                KOWALIK.map(part).into()
            },
        ),
        row(
            17,
            "osborne-1",
            vec![0.5, 1.5, -1.0, 0.01, 0.02],
            5.46489e-5,
            &[],
            |x| {
                count(33, |i| {
                    let t = 10.0 * (i - 1.0);
                    let decays = &x[1] * (&x[3] * -t).exp() + &x[2] * (&x[4] * -t).exp();
                    OSBORNE_1[i as usize - 1] - (&x[0] + decays)
                })
            },
        ),
        row(
            18,
            "biggs-exp6",
            vec![1.0, 2.0, 1.0, 1.0, 1.0, 1.0],
            0.0,
            &[5.65565e-3],
            |x| {
                count(13, |i| {
                    let t = i / 10.0;
                    let y = (-t).exp() - 5.0 * (-10.0 * t).exp() + 3.0 * (-4.0 * t).exp();
                    let decay = |j: usize| (&x[j] * -t).exp();
                    &x[2] * decay(0) - &x[3] * decay(1) + &x[5] * decay(4) - y
                })
            },
        ),
        row(
            19,
            "osborne-2",
            vec![1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5],
            4.01377e-2,
            &[1.78981],
            |x| {
                count(65, |i| {
                    let t = (i - 1.0) / 10.0;
                    let peak = |j: usize| {
                        let away = t - &x[j + 7];
                        &x[j] * (-(away.square() * &x[j + 4])).exp()
                    };
                    let model = &x[0] * (&x[4] * -t).exp() + peak(1) + peak(2) + peak(3);
                    OSBORNE_2[i as usize - 1] - model
                })
            },
        ),
        row(20, "watson", vec![0.0; 6], 2.28767e-3, &[], watson),
    ]
}

fn watson(x: &[Jet]) -> Vec<Jet> {
    let mut out = count(29, |i| {
        let t = i / 29.0;
        let power = |j: usize| t.powi(i32::try_from(j).unwrap_or(i32::MAX));
        let terms =
            |f: &dyn Fn(usize) -> f64| Jet::sum(x.iter().enumerate().map(|(j, x)| x * f(j)));
        let slope = terms(&|j| if j == 0 { 0.0 } else { j as f64 * power(j - 1) });
        slope - terms(&power).square() - 1.0
    });
    out.push(x[0].clone());
    out.push(&x[1] - x[0].square() - 1.0);
    out
}

/// Problems of any size, at the usual one.
fn scalable() -> Vec<Row> {
    let ten = |f: fn(f64) -> f64| (1..=10).map(|j| f(f64::from(j))).collect::<Vec<f64>>();
    let boundary = || ten(|j| j / 11.0 * (j / 11.0 - 1.0));
    vec![
        grouped(21, "extended-rosenbrock", [-1.2, 1.0], 5, rosenbrock),
        grouped(
            22,
            "extended-powell",
            [3.0, -1.0, 0.0, 1.0],
            3,
            powell_singular,
        ),
        row(
            23,
            "penalty-1",
            vec![1.0, 2.0, 3.0, 4.0],
            2.24997e-5,
            &[],
            |x| {
                let mut out: Vec<Jet> = x.iter().map(|x| (x - 1.0) * 1e-5f64.sqrt()).collect();
                out.push(Jet::sum(x.iter().map(Jet::square)) - 0.25);
                out
            },
        ),
        row(24, "penalty-2", vec![0.5; 4], 9.37629e-6, &[], penalty_2),
        row(
            25,
            "variably-dimensioned",
            ten(|j| 1.0 - j / 10.0),
            0.0,
            &[],
            |x| {
                let mut out: Vec<Jet> = x.iter().map(|x| x - 1.0).collect();
                let sum = Jet::sum(
                    x.iter()
                        .enumerate()
                        .map(|(j, x)| (x - 1.0) * (j + 1) as f64),
                );
                out.extend([sum.clone(), sum.square()]);
                out
            },
        ),
        row(
            26,
            "trigonometric",
            vec![0.1; 10],
            0.0,
            &[2.79506e-5],
            |x| {
                let n = x.len();
                let cosines = Jet::sum(x.iter().map(|x| x.clone().cos()));
                let part = |(i, x): (usize, &Jet)| {
                    (1.0 - x.clone().cos()) * (i + 1) as f64 - x.clone().sin() - &cosines + n as f64
                };
                x.iter().enumerate().map(part).collect()
            },
        ),
        row(27, "brown-almost-linear", vec![0.5; 10], 0.0, &[1.0], |x| {
            let (n, sum) = (x.len(), Jet::sum(x.iter().cloned()));
            let linear = x[..n - 1].iter().map(|x| x + &sum - (n + 1) as f64);
            let product = x.iter().fold(Jet::constant(1.0), |p, x| p * x);
            linear.chain([product - 1.0]).collect()
        }),
        row(28, "discrete-boundary-value", boundary(), 0.0, &[], |x| {
            let (n, h) = (x.len(), 1.0 / (x.len() + 1) as f64);
            let at = |j: usize| x.get(j).cloned().unwrap_or_else(|| Jet::constant(0.0));
            let part = |i: usize| {
                let t = (i + 1) as f64 * h;
                let bend = (&x[i] + (t + 1.0)).power(3.0) * (h * h / 2.0);
                &x[i] * 2.0 - at(i.wrapping_sub(1)) - at(i + 1) + bend
            };
            (0..n).map(part).collect()
        }),
        row(
            29,
            "discrete-integral-equation",
            boundary(),
            0.0,
            &[],
            integral_equation,
        ),
        row(30, "broyden-tridiagonal", vec![-1.0; 10], 0.0, &[], |x| {
            let at = |j: usize| x.get(j).cloned().unwrap_or_else(|| Jet::constant(0.0));
            let part = |i: usize| {
                (3.0 - &x[i] * 2.0) * &x[i] - at(i.wrapping_sub(1)) - at(i + 1) * 2.0 + 1.0
            };
            (0..x.len()).map(part).collect()
        }),
        row(31, "broyden-banded", vec![-1.0; 10], 0.0, &[], |x| {
            let part = |i: usize| {
                let near = (i.saturating_sub(5)..=(i + 1).min(x.len() - 1)).filter(|j| *j != i);
                let others = Jet::sum(near.map(|j| &x[j] * (&x[j] + 1.0)));
                &x[i] * (x[i].square() * 5.0 + 2.0) + 1.0 - others
            };
            (0..x.len()).map(part).collect()
        }),
        row(32, "linear-full-rank", vec![1.0; 10], 10.0, &[], |x| {
            let m = 20;
            let mean = Jet::sum(x.iter().cloned()) * (2.0 / f64::from(m)) + 1.0;
            let own = |i: usize| x.get(i).cloned().unwrap_or_else(|| Jet::constant(0.0));
            (0..m as usize).map(|i| own(i) - &mean).collect()
        }),
        row(
            33,
            "linear-rank-one",
            vec![1.0; 10],
            20.0 * 19.0 / 82.0,
            &[],
            |x| {
                let sum = Jet::sum(x.iter().enumerate().map(|(j, x)| x * (j + 1) as f64));
                count(20, |i| &sum * i - 1.0)
            },
        ),
        row(
            34,
            "linear-rank-one-zeros",
            vec![1.0; 10],
            454.0 / 74.0,
            &[],
            |x| {
                let inner = x.iter().enumerate().take(x.len() - 1).skip(1);
                let sum = Jet::sum(inner.map(|(j, x)| x * (j + 1) as f64));
                count(20, |i| {
                    if i < 20.0 {
                        &sum * (i - 1.0) - 1.0
                    } else {
                        &sum * 0.0 - 1.0
                    }
                })
            },
        ),
        row(
            35,
            "chebyquad",
            (1..=8).map(|j| f64::from(j) / 9.0).collect(),
            3.51687e-3,
            &[],
            chebyquad,
        ),
    ]
}

fn penalty_2(x: &[Jet]) -> Vec<Jet> {
    let (n, a) = (x.len(), 1e-5f64.sqrt());
    let grown = |j: usize| (&x[j] / 10.0).exp();
    let known = |j: usize| (j as f64 / 10.0).exp();
    let mut out = vec![&x[0] - 0.2];
    out.extend((1..n).map(|i| (grown(i) + grown(i - 1) - (known(i + 1) + known(i))) * a));
    out.extend((1..n).map(|i| (grown(i) - (-0.1f64).exp()) * a));
    out.push(
        Jet::sum(
            x.iter()
                .enumerate()
                .map(|(j, x)| x.square() * (n - j) as f64),
        ) - 1.0,
    );
    out
}

fn integral_equation(x: &[Jet]) -> Vec<Jet> {
    let (n, h) = (x.len(), 1.0 / (x.len() + 1) as f64);
    let t = |j: usize| (j + 1) as f64 * h;
    let cube = |j: usize| (&x[j] + (t(j) + 1.0)).power(3.0);
    let part = |i: usize| {
        let below = Jet::sum((0..=i).map(|j| cube(j) * t(j))) * (1.0 - t(i));
        let above = Jet::sum((i + 1..n).map(|j| cube(j) * (1.0 - t(j)))) * t(i);
        &x[i] + (below + above) * (h / 2.0)
    };
    (0..n).map(part).collect()
}

/// Chebyshev polynomials moved to [0, 1]: their means over the unknowns beside their integrals.
fn chebyquad(x: &[Jet]) -> Vec<Jet> {
    let n = x.len();
    let moved: Vec<Jet> = x.iter().map(|x| x * 2.0 - 1.0).collect();
    let mut before = vec![Jet::constant(1.0); n];
    let mut now = moved.clone();
    let mut out = Vec::with_capacity(n);
    for i in 1..=n {
        let integral = if i % 2 == 0 {
            -1.0 / ((i * i) as f64 - 1.0)
        } else {
            0.0
        };
        out.push(Jet::sum(now.iter().cloned()) / n as f64 - integral);
        let next = (0..n)
            .map(|j| &moved[j] * &now[j] * 2.0 - &before[j])
            .collect();
        before = std::mem::replace(&mut now, next);
    }
    out
}
