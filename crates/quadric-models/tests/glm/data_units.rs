//! Matrices in the units of the data against dense ones, written down from the definition.

use crate::common::*;
use faer::Mat;
use quadric_core::{
    Backward, BoxOp, LinearOperator, Matrix, Model, Objective, Problem, Smooth, Targets,
};
use quadric_models::{GlmOptions, LinearModel, Loss, RawGlm};

const ROWS: usize = 31;
const FEATURES: usize = 4;
const L2: f64 = 0.03;

/// Slopes and second derivatives of the loss of a row by its predictors.
fn derivatives(loss: Loss, y: f64, classes: &[f64], eta: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let one = |slope: f64, bend: f64| (vec![slope], vec![vec![bend]]);
    let (u, r) = (eta[0], eta[0] - y);
    match loss {
        Loss::Squared => one(r, 1.0),
        Loss::Logistic => {
            let p = 1.0 / (1.0 + (-u).exp());
            one(p - f64::from(u8::from(y == classes[1])), p * (1.0 - p))
        }
        Loss::Softmax => {
            let sum: f64 = eta.iter().map(|e| e.exp()).sum();
            let p: Vec<f64> = eta.iter().map(|e| e.exp() / sum).collect();
            let unit = |a: bool| f64::from(u8::from(a));
            let slopes = (0..p.len()).map(|c| p[c] - unit(classes[c] == y));
            let row = |c: usize| (0..p.len()).map(move |e| (c, e));
            let bend = |(c, e): (usize, usize)| p[c] * (unit(c == e) - p[e]);
            let bends = (0..p.len()).map(|c| row(c).map(bend).collect());
            (slopes.collect(), bends.collect())
        }
        Loss::Poisson => one(u.exp() - y, u.exp()),
        Loss::Huber { delta } if r.abs() <= delta => one(r, 1.0),
        Loss::Huber { delta } => one(delta * r.signum(), 0.0),
        Loss::PseudoHuber { delta } => {
            let root = (1.0 + (r / delta).powi(2)).sqrt();
            one(r / root, root.powi(-3))
        }
    }
}

/// All that is needed of a problem, written down.
struct Dense {
    hessian: Mat<f64>,
    fisher: Mat<f64>,
    /// The gradients of the rows in the columns.
    gradients: Mat<f64>,
    jacobian: Mat<f64>,
    gradient: Mat<f64>,
}

fn written(data: &Data, loss: Loss, x: &[f64], intercept: bool) -> Dense {
    let mut classes = data.y.clone();
    classes.sort_by(f64::total_cmp);
    classes.dedup();
    let outputs = if loss == Loss::Softmax {
        classes.len()
    } else {
        1
    };
    let (n, d) = (data.y.len(), x.len());
    let total: f64 = data.s.iter().sum();
    let coefficients = outputs * FEATURES;
    let penalty = Mat::from_fn(d, 1, |i, _| if i < coefficients { L2 * x[i] } else { 0.0 });
    let point = Mat::from_fn(d, 1, |i, _| x[i]);
    let mut all = Dense {
        hessian: Mat::zeros(d, d),
        fisher: Mat::zeros(d, d),
        gradients: Mat::zeros(d, n),
        jacobian: Mat::zeros(n * outputs, d),
        gradient: penalty.clone(),
    };
    for i in 0..n {
        let jacobian = Mat::from_fn(outputs, d, |c, q| match q < coefficients {
            true if q / FEATURES == c => data.x[i][q % FEATURES],
            false if intercept && q - coefficients == c => 1.0,
            _ => 0.0,
        });
        let predictors = &jacobian * &point;
        let eta: Vec<f64> = predictors.col(0).iter().copied().collect();
        let (slopes, bends) = derivatives(loss, data.y[i], &classes, &eta);
        let share = data.s[i] / total;
        let slopes = Mat::from_fn(outputs, 1, |c, _| share * slopes[c]);
        let bends = Mat::from_fn(outputs, outputs, |c, e| share * bends[c][e]);
        let own = jacobian.transpose() * slopes;
        all.fisher += jacobian.transpose() * bends * &jacobian;
        all.gradient += &own;
        let g = own * faer::Scale(n as f64) + &penalty;
        all.gradients.col_mut(i).copy_from(g.col(0));
        all.jacobian
            .subrows_mut(i * outputs, outputs)
            .copy_from(jacobian);
    }
    all.hessian.copy_from(&all.fisher);
    (0..coefficients).for_each(|i| all.hessian[(i, i)] += L2);
    all
}

fn near(found: &Mat<f64>, expected: &Mat<f64>, what: &str) {
    let scale = expected.norm_max().max(f64::MIN_POSITIVE);
    let error = (found - expected).norm_max();
    assert!(
        error <= 1e-11 * scale,
        "{what}: off by {error:e} of {scale:e}"
    );
}

fn dense(op: &BoxOp<'_, f64>) -> Mat<f64> {
    let (m, n) = op.shape();
    let mut out = Mat::zeros(m, n);
    op.dense(out.as_mut()).unwrap();
    out
}

/// The adjoint of an operator, written down.
fn adjoint(op: &BoxOp<'_, f64>) -> Mat<f64> {
    let (m, n) = op.shape();
    let mut out = Mat::zeros(n, m);
    op.apply_adjoint(Mat::identity(m, m).as_ref(), out.as_mut())
        .unwrap();
    out.transpose().to_owned()
}

fn problem(data: &Data, loss: Loss, intercept: bool, is_sparse: bool) -> RawGlm<f64> {
    let options = GlmOptions {
        loss,
        l2: L2,
        intercept,
    };
    let x = match is_sparse {
        true => sparse(&data.x),
        false => crate::common::dense(&data.x),
    };
    RawGlm::new(x, &data.y, Some(&data.s), &options).unwrap()
}

#[test]
fn matrices_are_those_of_the_definition() {
    let mut stream = stream("data units");
    for loss in LOSSES {
        for (intercept, is_sparse) in [(true, false), (false, false), (true, true)] {
            let mut data = random_data(loss, ROWS, FEATURES, &mut stream);
            data.s[0] = 2.0;
            let p = problem(&data, loss, intercept, is_sparse);
            let x = normals(p.dim(), 0.01, &mut stream);
            let expected = written(&data, loss, &x, intercept);
            let what =
                |of: &str| format!("{of}, {loss}, intercept {intercept}, sparse {is_sparse}");
            let of = |m: Matrix| dense(&p.matrix(&x, m).unwrap());
            near(&of(Matrix::Hessian), &expected.hessian, &what("Hessian"));
            near(&of(Matrix::GaussNewton), &expected.hessian, &what("GGN"));
            match p.matrix(&x, Matrix::Fisher) {
                Ok(op) => near(&dense(&op), &expected.fisher, &what("Fisher")),
                Err(e) => assert!(loss.name().contains("huber"), "{e}"),
            }
            let g = &expected.gradients;
            let second = g * g.transpose() * faer::Scale(1.0 / ROWS as f64);
            let mean = &expected.gradient;
            near(&of(Matrix::EmpiricalFisher), &second, &what("empirical"));
            let covariance = second - mean * mean.transpose();
            near(&of(Matrix::Covariance), &covariance, &what("covariance"));
            let gradients = || p.gradients(&x, Targets::Data).unwrap();
            near(&dense(&gradients()), g, &what("gradients"));
            near(&adjoint(&gradients()), g, &what("adjoint of gradients"));
            let jacobian = || p.jacobian(&x).unwrap();
            near(&dense(&jacobian()), &expected.jacobian, &what("Jacobian"));
            near(
                &adjoint(&jacobian()),
                &expected.jacobian,
                &what("adjoint of it"),
            );
            let mut gradient = vec![0.0; x.len()];
            let value = p.value_grad(&x, &mut gradient).unwrap();
            let gradient = Mat::from_fn(x.len(), 1, |i, _| gradient[i]);
            near(&gradient, mean, &what("gradient"));
            let coef: Vec<Vec<f64>> = x[..p.layout().segments()[0].len()]
                .chunks(FEATURES)
                .map(<[f64]>::to_vec)
                .collect();
            let intercepts = match intercept {
                true => x[coef.len() * FEATURES..].to_vec(),
                false => vec![0.0; coef.len()],
            };
            let truth = objective(&data, loss, L2, &coef, &intercepts);
            assert!(
                (value - truth).abs() < 1e-13 * truth.abs(),
                "{}",
                what("value")
            );
            assert_eq!(value, p.value(&x).unwrap());
        }
    }
}

/// What a fit writes down is a point with the same value.
#[test]
fn a_model_is_a_point() {
    let mut stream = stream("models");
    for loss in LOSSES {
        let data = random_data(loss, ROWS, FEATURES, &mut stream);
        let fitted = glm(&data, loss, L2, true);
        let p = problem(&data, loss, true, false);
        let x = minimise(&fitted);
        let model = fitted.model(&x);
        let point = p.point(&model).unwrap();
        let (a, b) = (fitted.value(&x).unwrap(), p.value(&point).unwrap());
        assert!((a - b).abs() < 1e-12 * a.abs(), "{loss}: {a}, {b}");
        let mut g = p.zero();
        p.value_grad(&point, &mut g).unwrap();
        assert!(g.iter().all(|g| g.abs() < 1e-8), "{loss}: {g:?}");
        assert_eq!(p.accuracy(&point).unwrap().is_some(), loss.is_classifier());
        let short = LinearModel {
            coef: model.coef.iter().map(|row| row[1..].to_vec()).collect(),
            ..model
        };
        assert!(p.point(&short).is_err());
    }
}

/// Drawn targets: the same gradients one by one, and the Fisher matrix in the mean.
#[test]
fn drawn_targets_have_the_fisher_matrix() {
    let mut stream = stream("draws");
    for loss in LOSSES {
        let data = random_data(loss, ROWS, FEATURES, &mut stream);
        let p = problem(&data, loss, true, false);
        let x = normals(p.dim(), 0.01, &mut stream);
        let sampled = |draws| p.matrix(&x, Matrix::SampledFisher { draws, seed: 5 });
        if !matches!(loss, Loss::Squared | Loss::Logistic | Loss::Softmax) {
            assert!(sampled(1).is_err(), "{loss}");
            continue;
        }
        let (one, draw) = (
            dense(&sampled(1).unwrap()),
            Targets::Sampled { draw: 0, seed: 5 },
        );
        let mut g = dense(&p.gradients(&x, draw).unwrap());
        let total: f64 = data.s.iter().sum();
        for (i, s) in data.s.iter().enumerate() {
            // From N s/Σs times the slope to the root of s/Σs times it.
            let factor = (s / total).sqrt() / (ROWS as f64 * s / total);
            g.col_mut(i).iter_mut().for_each(|g| *g *= factor);
        }
        near(&(&g * g.transpose()), &one, "one draw");
        let fisher = dense(&p.matrix(&x, Matrix::Fisher).unwrap());
        let mean = dense(&sampled(4000).unwrap());
        let error = (&mean - &fisher).norm_l2() / fisher.norm_l2();
        assert!(error < 0.05, "{loss}: off by {error} (seed 5)");
    }
}

/// What goes through the one layer makes up the gradient and the Fisher matrix.
#[test]
fn taps_add_up() {
    let mut stream = stream("taps");
    for loss in LOSSES {
        let data = random_data(loss, ROWS, FEATURES, &mut stream);
        let p = problem(&data, loss, true, false);
        let x = normals(p.dim(), 0.01, &mut stream);
        let expected = written(&data, loss, &x, true);
        let d = p.dim();
        let weight = p.weight().unwrap();
        let columns = |backward| {
            let mut all: Vec<Mat<f64>> = Vec::new();
            p.taps(&x, backward, &mut |tap| {
                assert!(tap.transposed && tap.bias == Some(1) && tap.shared == 1);
                for g in tap.gradients {
                    let outputs = g.ncols();
                    all.push(Mat::from_fn(d, g.nrows(), |q, i| {
                        match q < outputs * FEATURES {
                            true => g[(i, q / FEATURES)] * tap.inputs[(i, q % FEATURES)],
                            false => g[(i, q - outputs * FEATURES)],
                        }
                    }));
                }
                Ok(())
            })
            .map(|()| all)
        };
        let mut gradient = Mat::zeros(d, 1);
        for block in columns(Backward::Gradient(Targets::Data)).unwrap() {
            let ones = Mat::from_fn(block.ncols(), 1, |_, _| 1.0 / weight);
            gradient += block * ones;
        }
        for i in 0..expected.jacobian.ncols() - expected.jacobian.nrows() / ROWS {
            gradient[(i, 0)] += L2 * x[i];
        }
        near(&gradient, &expected.gradient, "gradient");
        let Ok(blocks) = columns(Backward::Fisher) else {
            assert!(loss.name().contains("huber"));
            continue;
        };
        let mut fisher = Mat::zeros(d, d);
        for block in blocks {
            fisher += &block * block.transpose() * faer::Scale(1.0 / weight);
        }
        near(&fisher, &expected.fisher, "Fisher");
        // The same sums of squares, and the Hessian without the penalty, segment by segment.
        let traces = |m: &Mat<f64>| {
            let of = |s: &quadric_core::Segment| s.range().map(|i| m[(i, i)]).sum::<f64>();
            let all = p.layout().segments().iter().map(of);
            Mat::from_fn(2, 1, |i, _| all.clone().nth(i).unwrap())
        };
        let column = |v: &[f64]| Mat::from_fn(2, 1, |i, _| v[i] / weight);
        let squares = p.squares(&x, Backward::Fisher).unwrap();
        near(&column(&squares), &traces(&expected.fisher), "squares");
        let forms = p.forms(&x, Matrix::Hessian, 0..2, 1).unwrap();
        near(&column(&forms[1]), &traces(&expected.fisher), "traces");
        assert!(dense(&p.matrix(&x, Matrix::Functional).unwrap()).norm_max() == 0.0);
        assert!(p.forms(&x, Matrix::Fisher, 0..1, 1).is_err());
    }
}
