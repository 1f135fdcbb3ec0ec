//! Small problems, and an independent reference that knows nothing of the crate but the definition of the objective.

use quadric_core::random::{SeedTree, Stream};
use quadric_core::{DataMatrix, Problem, Scalar, Smooth, TwiceSmooth, vector};
use quadric_models::{Glm, GlmOptions, Loss};

/// A data set as plain vectors.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    pub(crate) x: Vec<Vec<f64>>,
    pub(crate) y: Vec<f64>,
    pub(crate) s: Vec<f64>,
}

pub(crate) const LOSSES: [Loss; 6] = [
    Loss::Squared,
    Loss::Logistic,
    Loss::Softmax,
    Loss::Poisson,
    Loss::Huber { delta: 0.7 },
    Loss::PseudoHuber { delta: 0.7 },
];

/// Random rows with columns of very different size and location, and about a third of the entries zero.
pub(crate) fn random_data(loss: Loss, n: usize, d: usize, stream: &mut Stream) -> Data {
    let sizes: Vec<f64> = (0..d).map(|j| 10f64.powi((j % 5) as i32 - 2)).collect();
    let offsets: Vec<f64> = (0..d).map(|j| if j % 2 == 0 { 3.0 } else { 0.0 }).collect();
    let x: Vec<Vec<f64>> = (0..n)
        .map(|_| {
            (0..d)
                .map(|j| {
                    if stream.uniform() < 0.3 {
                        0.0
                    } else {
                        sizes[j] * (stream.normal() + offsets[j])
                    }
                })
                .collect()
        })
        .collect();
    let y = (0..n)
        .map(|i| match loss {
            Loss::Logistic => (i % 2) as f64 * 3.0 + 2.0,
            Loss::Softmax => [1.0, 4.0, 9.0, 10.0][(i % 4).min(stream.below(4))],
            Loss::Poisson => stream.below(5) as f64,
            _ => stream.normal() * 2.0 + 1.0,
        })
        .collect();
    let s = (0..n).map(|_| 0.2 + stream.uniform()).collect();
    Data { x, y, s }
}

pub(crate) fn dense<T: Scalar>(x: &[Vec<f64>]) -> DataMatrix<T> {
    let d = x.first().map_or(0, Vec::len);
    let values = x.iter().flatten().map(|v| T::of(*v)).collect();
    DataMatrix::dense(values, x.len(), d).unwrap()
}

pub(crate) fn sparse<T: Scalar>(x: &[Vec<f64>]) -> DataMatrix<T> {
    let d = x.first().map_or(0, Vec::len);
    let (mut starts, mut indices, mut values) = (vec![0], vec![], vec![]);
    for row in x {
        for (j, v) in row.iter().enumerate().filter(|(_, v)| **v != 0.0) {
            indices.push(j as u32);
            values.push(T::of(*v));
        }
        starts.push(values.len() as u32);
    }
    DataMatrix::sparse(starts, indices, values, x.len(), d).unwrap()
}

pub(crate) fn glm(data: &Data, loss: Loss, l2: f64, intercept: bool) -> Glm<f64> {
    let options = GlmOptions {
        loss,
        l2,
        intercept,
    };
    Glm::new(dense(&data.x), &data.y, Some(&data.s), &options).unwrap()
}

pub(crate) fn stream(name: &str) -> Stream {
    println!("random numbers: seed 1, purpose `{name}`");
    SeedTree::new(1).child(name).stream(0)
}

pub(crate) fn normals(n: usize, size: f64, stream: &mut Stream) -> Vec<f64> {
    (0..n).map(|_| size * stream.normal()).collect()
}

/// The objective by its definition, from raw coefficients.
pub(crate) fn objective(
    data: &Data,
    loss: Loss,
    l2: f64,
    coef: &[Vec<f64>],
    intercept: &[f64],
) -> f64 {
    let mut classes = data.y.clone();
    classes.sort_by(f64::total_cmp);
    classes.dedup();
    let mut sum = 0.0;
    for ((x, y), s) in data.x.iter().zip(&data.y).zip(&data.s) {
        let eta: Vec<f64> = coef
            .iter()
            .zip(intercept)
            .map(|(w, b)| w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + b)
            .collect();
        sum += s * by_definition(loss, *y, &classes, &eta);
    }
    let square: f64 = coef.iter().flatten().map(|w| w * w).sum();
    sum / data.s.iter().sum::<f64>() + 0.5 * l2 * square
}

fn by_definition(loss: Loss, y: f64, classes: &[f64], eta: &[f64]) -> f64 {
    let r = eta[0] - y;
    match loss {
        Loss::Squared => 0.5 * r * r,
        Loss::Logistic => {
            let sign = if y == classes[1] { -1.0 } else { 1.0 };
            (1.0 + (sign * eta[0]).exp()).ln()
        }
        Loss::Softmax => {
            let own = classes.iter().position(|c| *c == y).unwrap();
            eta.iter().map(|e| e.exp()).sum::<f64>().ln() - eta[own]
        }
        Loss::Poisson => eta[0].exp() - y * eta[0],
        Loss::Huber { delta } if r.abs() <= delta => 0.5 * r * r,
        Loss::Huber { delta } => delta * r.abs() - 0.5 * delta * delta,
        Loss::PseudoHuber { delta } => delta * delta * ((1.0 + (r / delta).powi(2)).sqrt() - 1.0),
    }
}

/// The dense Hessian, column by column from products.
pub(crate) fn hessian(p: &Glm<f64>, x: &[f64]) -> faer::Mat<f64> {
    let mut h = faer::Mat::zeros(p.dim(), p.dim());
    quadric_linalg::dense_by_columns(&p.hessian(x).unwrap(), h.as_mut()).unwrap();
    h
}

/// `-H⁻¹ g` by Gaussian elimination with partial pivoting.
pub(crate) fn newton_step(h: &faer::Mat<f64>, g: &[f64]) -> Vec<f64> {
    let n = g.len();
    let mut a: Vec<Vec<f64>> = (0..n)
        .map(|i| (0..n).map(|j| h[(i, j)]).chain([-g[i]]).collect())
        .collect();
    for c in 0..n {
        let pivot = (c..n)
            .max_by(|&i, &j| a[i][c].abs().total_cmp(&a[j][c].abs()))
            .unwrap();
        a.swap(c, pivot);
        for i in c + 1..n {
            let factor = a[i][c] / a[c][c];
            for j in c..=n {
                a[i][j] -= factor * a[c][j];
            }
        }
    }
    for c in (0..n).rev() {
        let known: f64 = (c + 1..n).map(|j| a[c][j] * a[j][n]).sum();
        a[c][n] = (a[c][n] - known) / a[c][c];
    }
    a.iter().map(|row| row[n]).collect()
}

/// A plain damped Newton method in f64 on the problem's own derivatives, with a shift of the Hessian that grows where a
/// step fails: slow, simple, and independent of the certificates it is used to check.
pub(crate) fn minimise(p: &Glm<f64>) -> Vec<f64> {
    let mut x = p.start();
    let mut g = vec![0.0; x.len()];
    let mut shift = 1e-14;
    for _ in 0..500 {
        let f = p.value_grad(&x, &mut g).unwrap();
        let mut h = hessian(p, &x);
        let trace: f64 = (0..x.len()).map(|i| h[(i, i)]).sum();
        for i in 0..x.len() {
            h[(i, i)] += shift * trace.max(1e-3) / x.len() as f64;
        }
        let d = newton_step(&h, &g);
        let slope = vector::dot(&g, &d);
        let mut line = p.restrict(&x, &d).unwrap().unwrap();
        let mut alpha = 1.0;
        while alpha > 1e-3 && line.change(alpha).unwrap() > 0.1 * alpha * slope {
            alpha *= 0.5;
        }
        if slope.abs() < 1e-28 * f.abs() || shift > 1e8 {
            break;
        }
        if alpha <= 1e-3 {
            shift *= 100.0;
            continue;
        }
        shift = (0.01 * shift).max(1e-14);
        vector::axpy(alpha, &d, &mut x);
    }
    x
}
