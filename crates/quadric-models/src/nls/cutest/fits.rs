//! Problems with data. Minima: himmelbf, hatfldd, hatflde, tointgor, tointpsp, tointqor from the files, the others computed by
//! several methods that agree to eight digits. For palmer1c and palmer5c the files name other numbers (0.097605 and 0.050311),
//! which their data do not have as least sums of squares (solved by a QR factorisation too).

use super::super::problem::Row;
use super::data::{
    GROWTH, HATFLDD_T, HATFLDD_Z, HATFLDE_Z, HIMMELBF_A, HIMMELBF_B, JUDGE_A, JUDGE_B, JUDGE_Y,
    PALMER_1_X, PALMER_1_Y, PALMER_5_X, PALMER_5_Y, TOINT_ALPHA, TOINT_BALANCES, TOINT_BETA,
    TOINT_D, YFITU,
};
use super::{Jet, TermSum, fixed, singles, squares};

pub(super) fn rows() -> Vec<Row> {
    let mut all = curves();
    all.extend(networks());
    all
}

fn curves() -> Vec<Row> {
    vec![
        squares("expfit", vec![0.0; 2], 0.240510594, &[], |x| {
            let part = |i: i32| {
                let t = 0.25 * f64::from(i);
                &x[0] * (&x[1] * t).exp() - t
            };
            (1..=10).map(part).collect()
        }),
        squares(
            "growthls",
            vec![100.0, 0.0, 0.0],
            1.004040584,
            &[12.452301],
            |x| {
                let part = |(t, y): (f64, f64)| {
                    let power = &x[1] + &x[2] * t.ln();
                    &x[0] * (power * t.ln()).exp() - y
                };
                GROWTH.map(part).into()
            },
        ),
        squares("hatfldd", vec![1.0, -1.0, 0.0], 6.615114e-8, &[], |x| {
            let data = HATFLDD_T.iter().zip(&HATFLDD_Z);
            data.map(|(t, z)| hatfld(x, *t, *z)).collect()
        }),
        squares("hatflde", vec![1.0, -1.0, 0.0], 5.120377e-7, &[], |x| {
            let data = HATFLDE_Z.iter().enumerate();
            data.map(|(i, z)| hatfld(x, 0.3 + 0.05 * i as f64, *z))
                .collect()
        }),
        squares(
            "himmelbf",
            vec![2.7, 90.0, 1500.0, 10.0],
            318.572,
            &[],
            |x| {
                let part = |(a, b): (&f64, &f64)| {
                    let u = x[0].square() + x[1].square() * *a + x[2].square() * (a * a);
                    (u / ((x[3].square() * *a + 1.0) * *b) - 1.0) * 100.0
                };
                HIMMELBF_A.iter().zip(&HIMMELBF_B).map(part).collect()
            },
        ),
        squares("judge", vec![1.0, 5.0], 16.08173013, &[20.48233700], |x| {
            let part = |i: usize| &x[0] + &x[1] * JUDGE_A[i] + x[1].square() * JUDGE_B[i];
            (0..20).map(|i| part(i) - JUDGE_Y[i]).collect()
        }),
        squares("palmer1c", vec![1.0; 8], 9.759799126e-2, &[], |x| {
            let part = |(t, y): (&f64, &f64)| {
                // A polynomial in t².
                let inner = |sum: Jet, c: &Jet| sum * (t * t) + c;
                x.iter().rev().fold(Jet::constant(0.0), inner) - *y
            };
            PALMER_1_X.iter().zip(&PALMER_1_Y).map(part).collect()
        }),
        squares("palmer5c", vec![1.0; 6], 2.128086666, &[], |x| {
            let part = |(t, y): (&f64, &f64)| {
                // Chebyshev polynomials of even degree.
                let angle = (t / PALMER_5_X[1]).acos();
                let terms = x.iter().enumerate();
                Jet::sum(terms.map(|(k, c)| c * (2.0 * k as f64 * angle).cos())) - *y
            };
            PALMER_5_X.iter().zip(&PALMER_5_Y).map(part).collect()
        }),
        squares("yfitu", vec![0.6, -0.6, 20.0], 0.0, &[], |x| {
            let part = |(i, y): (usize, &f64)| {
                let t = i as f64 / 16.0;
                &x[2] * (&x[0] * (1.0 - t) + &x[1] * t).tan() - *y
            };
            YFITU.iter().enumerate().map(part).collect()
        }),
    ]
}

fn hatfld(x: &[Jet], t: f64, z: f64) -> Jet {
    (&x[2] * t).exp() - &x[0] * (&x[1] * t).exp() + z
}

/// Flows through a network: a cost of each unknown and of each balance.
fn networks() -> Vec<Row> {
    let network = |name, minimum, cost: fn(Jet) -> Jet, balance: fn(Jet) -> Jet| {
        let build = move |sum| toint(sum, cost, balance);
        fixed(name, vec![0.0; 50], minimum, &[], build)
    };
    let growing = |t: Jet| {
        let size = t.abs();
        (&size + 1.0).ln() * size
    };
    let one_sided = |t: Jet| {
        if t.value < 0.0 {
            t.square()
        } else {
            t.square() * (&t + 1.0).ln()
        }
    };
    let barrier = |t: Jet| {
        if t.value >= 0.1 {
            1.0 / t
        } else {
            20.0 - t * 100.0
        }
    };
    vec![
        network("tointgor", 1373.90546067, growing, one_sided),
        network("tointpsp", 225.56040942, |t| (t - 5.0).square(), barrier),
        network("tointqor", 1175.4722221, |t| t.square(), |t| t.square()),
    ]
}

fn toint(sum: TermSum, cost: fn(Jet) -> Jet, balance: fn(Jet) -> Jet) -> TermSum {
    let index = |j: &i32| j.unsigned_abs() as usize - 1;
    let unknowns = TOINT_BALANCES.map(|b| b.iter().map(index).collect::<Vec<_>>());
    sum.each(singles(50), move |k, x| cost(x[0].clone()) * TOINT_ALPHA[k])
        .each(unknowns, move |k, x| {
            let signs = TOINT_BALANCES[k].iter().map(|j| f64::from(j.signum()));
            let flow = Jet::sum(x.iter().zip(signs).map(|(x, sign)| x * sign));
            balance(flow - TOINT_D[k]) * TOINT_BETA[k]
        })
}
