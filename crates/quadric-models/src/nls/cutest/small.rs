//! Two to six unknowns without data. Minima that are not 0: brkmcc, cliff, hairy, himmelbh, s308 from the files, the rest
//! computed by several methods that agree to eight digits.

use super::super::problem::Row;
use super::{Jet, cube, humps, squares, whole};
use std::f64::consts::PI;

pub(super) fn rows() -> Vec<Row> {
    let mut all = sums_of_squares();
    all.extend(others());
    all
}

fn sums_of_squares() -> Vec<Row> {
    vec![
        squares("cube", vec![-1.2, 1.0], 0.0, &[], |x| {
            vec![&x[0] - 1.0, (&x[1] - cube(&x[0])) * 10.0]
        }),
        squares("denschnb", vec![1.0; 2], 0.0, &[], |x| {
            let away = &x[0] - 2.0;
            vec![away.clone(), away * &x[1], &x[1] + 1.0]
        }),
        squares("denschnc", vec![2.0, 3.0], 0.0, &[], |x| {
            vec![
                x[0].square() + x[1].square() - 2.0,
                (&x[0] - 1.0).exp() + cube(&x[1]) - 2.0,
            ]
        }),
        squares("denschnd", vec![10.0; 3], 0.0, &[], |x| {
            vec![
                x[0].square() + cube(&x[1]) - x[2].square().square(),
                &x[0] * &x[1] * &x[2] * 2.0,
                &x[0] * &x[1] * 2.0 - &x[1] * &x[2] * 3.0 + &x[0] * &x[2],
            ]
        }),
        squares("denschne", vec![2.0, 3.0, -8.0], 0.0, &[1.0], |x| {
            vec![
                x[0].clone(),
                &x[1] + x[1].square(),
                x[2].clone().exp() - 1.0,
            ]
        }),
        squares("denschnf", vec![2.0, 0.0], 0.0, &[], |x| {
            vec![
                (&x[0] + &x[1]).square() * 2.0 + (&x[0] - &x[1]).square() - 8.0,
                x[0].square() * 5.0 + (&x[1] - 3.0).square() - 9.0,
            ]
        }),
        squares("engval2", vec![1.0, 2.0, 0.0], 0.0, &[], |x| {
            let disc = x[0].square() + x[1].square() - 1.0;
            let last = &x[2] * 5.0 - &x[0] + 1.0;
            vec![
                &disc + x[2].square(),
                disc + (&x[2] - 2.0).square(),
                &x[0] + &x[1] + &x[2] - 1.0,
                &x[0] + &x[1] - &x[2] + 1.0,
                x[1].square() * 3.0 + cube(&x[0]) + last.square() - 36.0,
            ]
        }),
        squares(
            "heart6ls",
            vec![0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
            0.0,
            &[],
            heart,
        ),
        squares("himmelbb", vec![-1.2, 1.0], 0.0, &[], |x| {
            let rest = 1.0 - &x[0];
            let fifth = rest.clone().power(5.0);
            vec![&x[0] * &x[1] * rest * (1.0 - &x[1] - &x[0] * fifth)]
        }),
        squares("sineval", vec![4.712389, -1.0], 0.0, &[], |x| {
            let curve = &x[1] - x[0].clone().sin();
            vec![curve * 1000f64.sqrt(), &x[0] * 0.5]
        }),
    ]
}

/// The moments of a dipole pair: unknowns a, c, t, u, v, w.
fn heart(x: &[Jet]) -> Vec<Jet> {
    let (a, c, t, u, v, w) = (&x[0], &x[1], &x[2], &x[3], &x[4], &x[5]);
    let (b, d) = (-0.816 - a, -0.017 - c);
    let turned = |p: &Jet, q: &Jet| p * (p.square() - q.square() * 3.0);
    let (tv, uw) = (t.square() - v.square(), u.square() - w.square());
    vec![
        t * a + u * &b - v * c - w * &d + 1.826,
        v * a + w * &b + t * c + u * &d + 0.754,
        a * &tv - c * t * v * 2.0 + &b * &uw - &d * u * w * 2.0 + 4.839,
        c * tv + a * t * v * 2.0 + &d * uw + &b * u * w * 2.0 + 3.259,
        a * turned(t, v) + c * turned(v, t) + &b * turned(u, w) + &d * turned(w, u) + 14.023,
        c * turned(t, v) - a * turned(v, t) + d * turned(u, w) - b * turned(w, u) - 15.467,
    ]
}

fn others() -> Vec<Row> {
    vec![
        whole("allinitu", vec![0.0; 4], 5.744384910, &[], allinit),
        whole("brkmcc", vec![2.0; 2], 0.16904, &[], |x| {
            let ellipse = 1.0 - x[0].square() * 0.25 - x[1].square();
            (&x[0] - 2.0).square()
                + (&x[1] - 1.0).square()
                + 0.04 / ellipse
                + (&x[0] - &x[1] * 2.0 + 1.0).square() * 5.0
        }),
        whole("cliff", vec![0.0, -1.0], 0.199786613, &[], |x| {
            let step = &x[0] - &x[1];
            (&x[0] * 0.01 - 0.03).square() - &step + (step * 20.0).exp()
        }),
        whole("denschna", vec![1.0; 2], 0.0, &[], |x| {
            let sum = &x[0] + &x[1];
            x[0].clone().power(4.0) + sum.square() + (x[1].clone().exp() - 1.0).square()
        }),
        whole("hairy", vec![-5.0, -7.0], 20.0, &[], |x| {
            let hair = ((&x[0] * 7.0).sin() * (&x[1] * 7.0).cos()).square();
            let cup = |v: Jet| (v.square() + 0.01).power(0.5);
            hair * 30.0 + (cup(&x[0] - &x[1]) + cup(x[0].clone())) * 100.0
        }),
        whole("himmelbg", vec![0.5; 2], 0.0, &[], |x| {
            let bowl = x[0].square() * 2.0 + x[1].square() * 3.0;
            (-(&x[0] + &x[1])).exp() * bowl
        }),
        whole("himmelbh", vec![0.0, 2.0], -1.0, &[], |x| {
            cube(&x[0]) + x[1].square() - &x[0] * 3.0 - &x[1] * 2.0 + 2.0
        }),
        whole("humps", vec![-506.0, -506.2], 0.0, &[], |x| {
            humps(&x[0], &x[1])
        }),
        whole("maratosb", vec![1.1, 0.1], -1.0000000625, &[], |x| {
            &x[0] + (x[0].square() + x[1].square() - 1.0).square() * 1e6
        }),
        whole("mexhat", vec![0.86, 0.72], -0.04001, &[], |x| {
            let away = (&x[0] - 1.0).square();
            let bent = (&x[1] - x[0].square()).square() * 1e4;
            (bent + &away - 0.02).square() * 1e5 - away * 2.0
        }),
        whole("s308", vec![3.0, 0.1], 0.773199, &[], |x| {
            let bowl = x[0].square() + &x[0] * &x[1] + x[1].square();
            bowl.square() + x[0].clone().sin().square() + x[1].clone().cos().square()
        }),
        whole("sisser", vec![1.0, 0.1], 0.0, &[], |x| {
            let corners = x[0].clone().power(4.0) + x[1].clone().power(4.0);
            corners / 0.333_333_3 + (&x[0] * &x[1]).square() * 2.0
        }),
        whole("snail", vec![10.0; 2], 0.0, &[], |x| {
            let square = x[0].square() + x[1].square();
            let radius = square.clone().power(0.5);
            let turned = (&radius - angle(&x[0], &x[1])).cos();
            let valley = &radius * (1.5 - turned * 0.5) + 1.0;
            &square / (&square + 1.0) * valley
        }),
        whole("zangwil2", vec![3.0, 8.0], -18.2, &[], |x| {
            let squares = (x[0].square() + x[1].square()) * 16.0;
            let rest = &x[0] * &x[1] * 8.0 + &x[0] * 56.0 + &x[1] * 256.0 - 991.0;
            (squares - rest) / 15.0
        }),
    ]
}

/// The polar angle of (x, y), in (-π, π].
fn angle(x: &Jet, y: &Jet) -> Jet {
    let mut angle = if x.value.abs() >= y.value.abs() {
        (y / x).atan()
    } else {
        PI / 2.0 - (x / y).atan()
    };
    // The branches differ by constants.
    angle.value = y.value.atan2(x.value);
    angle
}

fn allinit(x: &[Jet]) -> Jet {
    let waves = |j: usize| x[j].clone().sin().square();
    let nested = x[2].square() + (&x[3] + &x[0]).square();
    let mixed = &x[0] - 4.0 + waves(3) + (&x[1] * &x[2]).square();
    let plain = &x[2] - 1.0
        + x[0].square()
        + x[1].square()
        + (&x[2] + &x[3]).square()
        + waves(2) * 2.0
        + (&x[0] * &x[1]).square()
        + &x[3]
        - 3.0;
    plain
        + (&x[3] - 1.0).square()
        + x[1].clone().power(4.0)
        + nested.square()
        + mixed.square()
        + waves(3).square()
}
