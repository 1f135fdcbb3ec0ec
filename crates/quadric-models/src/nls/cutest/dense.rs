//! Any size, Hessians without zeros. The minima of sensors are computed by several methods that agree to eight
//! digits.

use super::super::problem::{Minimum, Row, Sizes};
use super::{Jet, TermSum, ZERO, scalable};

pub(super) fn rows() -> Vec<Row> {
    let square = |n: usize| n.isqrt().pow(2) == n;
    let oblong = |n: usize| n.isqrt() * (n.isqrt() + 1) == n;
    let eigen_sizes = Sizes::from(2, 42).up_to(2550).that("k (k + 1)", oblong);
    vec![
        scalable("eigenals", eigen_sizes, eigen_start, ZERO, |n, sum| {
            eigen(n, sum, |i, j| if i == j { (i + 1) as f64 } else { 0.0 })
        }),
        scalable("eigenbls", eigen_sizes, eigen_start, ZERO, |n, sum| {
            eigen(n, sum, |i, j| match i.abs_diff(j) {
                0 => 2.0,
                1 => -1.0,
                _ => 0.0,
            })
        }),
        scalable(
            "fminsurf",
            Sizes::from(4, 49).up_to(400).that("a square", square),
            surface_start,
            Minimum::Everywhere(1.0),
            surface,
        ),
        scalable(
            "mancino",
            Sizes::from(2, 20).up_to(50),
            mancino_start,
            ZERO,
            mancino,
        ),
        scalable(
            "power",
            Sizes::from(1, 50).up_to(400),
            |_, _| 1.0,
            ZERO,
            |n, sum| {
                let all: Vec<usize> = (0..n).collect();
                sum.each([all], |_, x| {
                    let weighted = |(j, x): (usize, &Jet)| x.square() * (j + 1) as f64;
                    Jet::sum(x.iter().enumerate().map(weighted)).square()
                })
            },
        ),
        Row {
            others: &[-20.25],
            ..scalable(
                "sensors",
                Sizes::from(2, 10).up_to(1000),
                |j, n| j as f64 / n as f64,
                Minimum::At(&[(10, -21.09375)]),
                |n, sum| {
                    let all = (0..n).flat_map(move |j| (0..n).map(move |i| [i, j]));
                    sum.each(all, |_, x| {
                        let (a, b) = (x[0].clone().sin(), x[1].clone().sin());
                        -(a * b * (&x[0] - &x[1]).sin()).square()
                    })
                },
            )
        },
    ]
}

/// Eigenvalues 1 and the identity; unknowns are eigenvalue and eigenvector, one pair after another.
fn eigen_start(j: usize, n: usize) -> f64 {
    let (column, row) = ((j - 1) / (n.isqrt() + 1), (j - 1) % (n.isqrt() + 1));
    f64::from(row == 0 || row == column + 1)
}

/// `QᵀDQ = A` and `QᵀQ = I` in the sense of least squares, upper triangles.
fn eigen(n: usize, sum: TermSum, a: fn(usize, usize) -> f64) -> TermSum {
    let rank = n.isqrt();
    let value = move |k: usize| k * (rank + 1);
    let vector = move |i: usize, j: usize| j * (rank + 1) + 1 + i;
    let places: Vec<(usize, usize)> = (0..rank)
        .flat_map(|j| (0..=j).map(move |i| (i, j)))
        .collect();
    let factors = |(i, j): &(usize, usize)| -> Vec<usize> {
        let (i, j) = (*i, *j);
        (0..rank)
            .flat_map(|k| [vector(k, i), vector(k, j), value(k)])
            .collect()
    };
    let unknowns: Vec<Vec<usize>> = places.iter().map(factors).collect();
    sum.each(unknowns, move |t, x| {
        let (i, j) = places[t];
        let product = |x: &[Jet]| &x[0] * &x[1];
        let orthogonal = Jet::sum(x.chunks_exact(3).map(product)) - f64::from(i == j);
        let weighted = Jet::sum(x.chunks_exact(3).map(|x| product(x) * &x[2])) - a(i, j);
        orthogonal.square() + weighted.square()
    })
}

/// Heights on the edges of a square of points, by columns; 0 inside.
fn surface_start(j: usize, n: usize) -> f64 {
    let last = n.isqrt() - 1;
    let (i, j) = ((j - 1) % (last + 1), (j - 1) / (last + 1));
    let (x, y) = (i as f64 / last as f64, j as f64 / last as f64);
    if i == 0 {
        1.0 + 4.0 * y
    } else if i == last {
        9.0 + 4.0 * y
    } else if j == last {
        5.0 + 8.0 * x
    } else if j == 0 {
        1.0 + 8.0 * x
    } else {
        0.0
    }
}

/// The area over the squares between the points, and the square of the mean height.
fn surface(n: usize, sum: TermSum) -> TermSum {
    let p = n.isqrt();
    let at = move |i: usize, j: usize| j * p + i;
    let squares = (0..p - 1).flat_map(move |j| {
        (0..p - 1).map(move |i| [at(i, j), at(i + 1, j + 1), at(i + 1, j), at(i, j + 1)])
    });
    let cells = ((p - 1) * (p - 1)) as f64;
    let all: Vec<usize> = (0..n).collect();
    sum.each(squares, move |_, x| {
        let slopes = (&x[0] - &x[1]).square() + (&x[2] - &x[3]).square();
        (slopes * (0.5 * cells) + 1.0).power(0.5) / cells
    })
    .each([all], move |_, x| {
        (Jet::sum(x.iter().cloned()) / n as f64).square()
    })
}

/// `√v (sin⁵ ln √v + cos⁵ ln √v)`.
fn mancino_part(v: Jet) -> Jet {
    let root = v.power(0.5);
    let angle = root.clone().ln();
    root * (angle.clone().sin().power(5.0) + angle.cos().power(5.0))
}

fn mancino_shift(i: usize, n: usize) -> f64 {
    (i as f64 - 0.5 * n as f64).powi(3)
}

fn mancino_start(i: usize, n: usize) -> f64 {
    let b = 14.0 * n as f64;
    let scale = -b / (b * b - 36.0 * ((n - 1) as f64).powi(2));
    let others = (1..=n).filter(|j| *j != i);
    let part = |j: usize| mancino_part(Jet::constant(i as f64 / j as f64)).value;
    scale * (others.map(part).sum::<f64>() + mancino_shift(i, n))
}

fn mancino(n: usize, sum: TermSum) -> TermSum {
    let all: Vec<usize> = (0..n).collect();
    sum.each([all], move |_, x| {
        let residual = |i: usize| {
            let others = (1..=n).filter(|j| *j != i);
            let part = |j: usize| mancino_part(x[j - 1].square() + i as f64 / j as f64);
            let own = &x[i - 1] * (14.0 * n as f64);
            own - mancino_shift(i, n) + Jet::sum(others.map(part))
        };
        Jet::sum((1..=n).map(|i| residual(i).square()))
    })
}
