//! Values against the definition, gradients and Hessians against central differences, for every loss.

use crate::common::*;
use faer::Mat;
use quadric_core::{
    DataMatrix, FiniteSum, LinearOperator, Objective, Problem, Scalar, Smooth, TwiceSmooth, vector,
};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{apply_vector, dense_by_columns};
use quadric_models::{Glm, GlmOptions, Loss};

fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    let scale = a.abs().max(b.abs()).max(1.0);
    assert!(
        (a - b).abs() <= tolerance * scale,
        "{what}: {a:e} is not {b:e}"
    );
}

#[test]
fn values_follow_the_definition() {
    let mut stream = stream("definition");
    for loss in LOSSES {
        for intercept in [true, false] {
            let data = random_data(loss, 41, 5, &mut stream);
            let p = glm(&data, loss, 0.03, intercept);
            for _ in 0..20 {
                let x = normals(p.dim(), 0.5, &mut stream);
                let model = p.model(&x);
                let expected = objective(&data, loss, 0.03, &model.coef, &model.intercept);
                close(p.value(&x).unwrap(), expected, 1e-13, loss.name());
                let back = p.point(&model).unwrap();
                for (a, b) in back.iter().zip(&x) {
                    close(*a, *b, 1e-12, "point of model");
                }
            }
        }
    }
}

#[test]
fn gradients_and_hessians_are_derivatives() {
    let mut stream = stream("differences");
    for loss in LOSSES {
        for intercept in [true, false] {
            let data = random_data(loss, 37, 4, &mut stream);
            let p = glm(&data, loss, 0.02, intercept);
            for _ in 0..20 {
                check_derivatives(&p, &normals(p.dim(), 0.5, &mut stream), loss, &mut stream);
            }
        }
    }
}

fn check_derivatives(
    p: &Glm<f64>,
    x: &[f64],
    loss: Loss,
    stream: &mut quadric_core::random::Stream,
) {
    let (step, n) = (1e-5, x.len());
    let d = normals(n, 1.0, stream);
    let moved = |alpha: f64| -> Vec<f64> { x.iter().zip(&d).map(|(x, d)| x + alpha * d).collect() };
    let (mut g, mut up, mut down) = (vec![0.0; n], vec![0.0; n], vec![0.0; n]);
    let f = p.value_grad(x, &mut g).unwrap();
    close(f, p.value(x).unwrap(), 1e-14, "value with gradient");
    let high = p.value_grad(&moved(step), &mut up).unwrap();
    let low = p.value_grad(&moved(-step), &mut down).unwrap();
    close(
        vector::dot(&g, &d),
        (high - low) / (2.0 * step),
        1e-8,
        "gradient",
    );
    let h = p.hessian(x).unwrap();
    let mut product = vec![0.0; n];
    apply_vector(&h, &d, &mut product).unwrap();
    if !matches!(loss, Loss::Huber { .. }) {
        for i in 0..n {
            let difference = (up[i] - down[i]) / (2.0 * step);
            close(product[i], difference, 1e-6, "Hessian product");
        }
    }
    let (mut by_columns, mut direct) = (Mat::zeros(n, n), Mat::zeros(n, n));
    dense_by_columns(&h, by_columns.as_mut()).unwrap();
    h.dense(direct.as_mut()).unwrap();
    for i in 0..n {
        for j in 0..n {
            close(direct[(i, j)], by_columns[(i, j)], 1e-12, "dense Hessian");
            assert_eq!(direct[(i, j)], direct[(j, i)], "symmetry");
        }
    }
    let bend = vector::dot(&d, &product);
    let largest = (0..n).fold(0.0f64, |m, i| m.max(direct[(i, i)]));
    assert!(
        bend >= -1e-12 * largest * vector::dot(&d, &d),
        "PSD: {bend:e}"
    );
}

#[test]
fn sparse_equals_dense() {
    let mut stream = stream("sparse");
    for loss in LOSSES {
        for intercept in [true, false] {
            let data = random_data(loss, 50, 6, &mut stream);
            let options = GlmOptions {
                loss,
                l2: 0.1,
                intercept,
            };
            let build = |x: DataMatrix<f64>| Glm::new(x, &data.y, Some(&data.s), &options).unwrap();
            let (a, b) = (build(dense(&data.x)), build(sparse(&data.x)));
            let x = normals(a.dim(), 0.5, &mut stream);
            assert_eq!(a.model(&x), b.model(&x), "the same coordinates");
            let (mut ga, mut gb) = (vec![0.0; x.len()], vec![0.0; x.len()]);
            let fa = a.value_grad(&x, &mut ga).unwrap();
            let fb = b.value_grad(&x, &mut gb).unwrap();
            close(fa, fb, 1e-13, "value");
            let (mut ha, mut hb) = (Mat::zeros(x.len(), x.len()), Mat::zeros(x.len(), x.len()));
            a.hessian(&x).unwrap().dense(ha.as_mut()).unwrap();
            b.hessian(&x).unwrap().dense(hb.as_mut()).unwrap();
            for i in 0..x.len() {
                close(ga[i], gb[i], 1e-12, "gradient");
                for j in 0..x.len() {
                    close(ha[(i, j)], hb[(i, j)], 1e-12, "Hessian");
                }
            }
        }
    }
}

#[test]
fn single_precision_follows_double() {
    let mut stream = stream("f32");
    for loss in LOSSES {
        let data = random_data(loss, 60, 5, &mut stream);
        let options = GlmOptions {
            loss,
            l2: 0.1,
            intercept: true,
        };
        let wide = glm(&data, loss, 0.1, true);
        let narrow: Glm<f32> = Glm::new(dense(&data.x), &data.y, Some(&data.s), &options).unwrap();
        let x = normals(wide.dim(), 0.5, &mut stream);
        let x32: Vec<f32> = x.iter().map(|v| f32::of(*v)).collect();
        let (mut g, mut g32) = (vec![0.0; x.len()], vec![0.0f32; x.len()]);
        let f = wide.value_grad(&x, &mut g).unwrap();
        close(f, narrow.value_grad(&x32, &mut g32).unwrap(), 1e-5, "value");
        for (a, b) in g.iter().zip(&g32) {
            close(*a, f64::from(*b), 1e-4, "gradient");
        }
    }
}

#[test]
fn lines_follow_values() {
    let mut stream = stream("lines");
    for loss in LOSSES {
        let data = random_data(loss, 45, 5, &mut stream);
        let p = glm(&data, loss, 0.05, true);
        for _ in 0..20 {
            let (x, d) = (
                normals(p.dim(), 0.4, &mut stream),
                normals(p.dim(), 0.4, &mut stream),
            );
            let f = p.value(&x).unwrap();
            let mut line = p.restrict(&x, &d).unwrap().unwrap();
            for alpha in [1.0, 0.3, 1e-3, -0.5, 7.0] {
                let moved: Vec<f64> = x.iter().zip(&d).map(|(x, d)| x + alpha * d).collect();
                let mut g = vec![0.0; x.len()];
                let there = p.value_grad(&moved, &mut g).unwrap();
                let scale = f.abs().max(there.abs());
                let error = (line.change(alpha).unwrap() - (there - f)).abs();
                assert!(
                    error <= 1e-12 * scale,
                    "{loss} change at {alpha}: {error:e}"
                );
                let slope = vector::dot(&g, &d);
                close(line.slope(alpha).unwrap(), slope, 1e-11, "slope");
            }
            assert_eq!(line.change(0.0).unwrap(), 0.0);
        }
    }
}

#[test]
fn a_gap_is_never_below_the_truth() {
    let mut stream = stream("gaps");
    for loss in LOSSES {
        for (l2, intercept) in [(0.5, true), (1e-3, true), (1e-3, false)] {
            let data = random_data(loss, 40, 4, &mut stream);
            let p = glm(&data, loss, l2, intercept);
            let optimum = minimise(&p);
            let best = p.value(&optimum).unwrap();
            for power in 0..12 {
                let mut x = normals(p.dim(), 0.5f64.powi(2 * power), &mut stream);
                vector::axpy(1.0, &optimum, &mut x);
                let gap = p.gap(&x).unwrap().unwrap();
                let truth = p.value(&x).unwrap() - best;
                assert!(
                    gap.bound >= truth - 1e-14 * best.abs(),
                    "{loss}, l2 = {l2}: the bound {:e} is below {truth:e}",
                    gap.bound
                );
            }
            let gap = p.gap(&optimum).unwrap().unwrap();
            assert!(
                gap.bound <= 1e-12 * gap.scale,
                "{loss}, l2 = {l2}: {gap:?} at the optimum"
            );
        }
    }
}

#[test]
fn t_n15_single_precision_is_certified_to_its_own_accuracy() {
    let mut stream = stream("f32 gaps");
    for loss in LOSSES {
        let data = random_data(loss, 60, 4, &mut stream);
        let options = GlmOptions {
            loss,
            l2: 0.1,
            intercept: true,
        };
        let wide = glm(&data, loss, 0.1, true);
        let optimum = minimise(&wide);
        for x in [dense::<f32>(&data.x), sparse::<f32>(&data.x)] {
            let narrow = Glm::new(x, &data.y, Some(&data.s), &options).unwrap();
            let x: Vec<f32> = optimum.iter().map(|v| f32::of(*v)).collect();
            let gap = narrow.gap(&x).unwrap().unwrap();
            assert!(gap.bound <= 1e-7 * gap.scale, "{loss}: {gap:?}");
        }
    }
}

/// More rows than one task takes, and threads that do not divide them.
#[test]
fn bits_do_not_depend_on_threads() {
    let mut stream = stream("threads");
    for loss in LOSSES {
        let data = random_data(loss, 9001, 5, &mut stream);
        let x = normals(glm(&data, loss, 0.1, true).dim(), 0.2, &mut stream);
        let answers = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let p = glm(&data, loss, 0.1, true);
                let mut g = vec![0.0; x.len()];
                let f = p.value_grad(&x, &mut g).unwrap();
                let mut line = p.restrict(&x, &g).unwrap().unwrap();
                let along = (line.change(-0.3).unwrap(), line.slope(-0.3).unwrap());
                (f, p.gap(&x).unwrap(), along, hessian(&p, &x), g)
            })
        };
        let one = answers(1);
        for threads in [2, 3, 8] {
            assert_eq!(answers(threads), one, "{loss}, {threads} threads");
        }
    }
}

/// Mixed rows estimate the Hessian without bias: every entry's mean over many draws is within six standard errors (a
/// false alarm in about 10⁻⁷ of all streams).
#[test]
fn mixed_rows_estimate_the_hessian() {
    const DRAWS: u64 = 300;
    let mut stream = stream("mixed");
    for loss in LOSSES {
        let data = random_data(loss, 70, 4, &mut stream);
        for storage in [dense, sparse] {
            let options = GlmOptions {
                loss,
                l2: 0.1,
                intercept: true,
            };
            let p = Glm::<f64>::new(storage(&data.x), &data.y, Some(&data.s), &options).unwrap();
            let x = normals(p.dim(), 0.3, &mut stream);
            let seeds = SeedTree::new(stream.bits());
            if loss == Loss::Softmax {
                assert!(p.mixed(&x, 30, seeds).unwrap().is_none());
                continue;
            }
            let h = hessian(&p, &x);
            let n = x.len();
            let (mut sum, mut squares) = (Mat::<f64>::zeros(n, n), Mat::<f64>::zeros(n, n));
            for draw in 0..DRAWS {
                let mixed = p.mixed(&x, 30, seeds.child(&draw.to_string())).unwrap();
                let mixed = mixed.expect("one predictor");
                assert_eq!(mixed.terms(), 30);
                let mut one = Mat::zeros(n, n);
                let op = mixed.as_twice_smooth().unwrap().hessian(&x).unwrap();
                op.dense(one.as_mut()).unwrap();
                for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                    sum[(i, j)] += one[(i, j)] - h[(i, j)];
                    squares[(i, j)] += (one[(i, j)] - h[(i, j)]).powi(2);
                }
            }
            for (i, j) in (0..n).flat_map(|i| (0..n).map(move |j| (i, j))) {
                let bound = 6.0 * squares[(i, j)].sqrt() + 1e-12 * h[(i, j)].abs() * DRAWS as f64;
                assert!(
                    sum[(i, j)].abs() <= bound,
                    "{loss}: {} at ({i}, {j})",
                    sum[(i, j)]
                );
            }
        }
    }
}
