//! Certificates never promise more than the truth, and hold at the optimum, with and without a penalty.

use crate::common::*;
use quadric_core::{Objective, Problem, SelfConcordant, Smooth, Tolerance, vector};
use quadric_models::{Glm, GlmOptions, Loss};

/// Data without separable classes, so that there is an optimum without a penalty.
fn mixed(loss: Loss, n: usize, d: usize, stream: &mut quadric_core::random::Stream) -> Data {
    let mut data = random_data(loss, n, d, stream);
    if loss == Loss::Softmax {
        data.y = (0..n).map(|_| [1.0, 4.0, 9.0][stream.below(3)]).collect();
    }
    data
}

#[test]
fn a_gap_without_penalty_is_never_below_the_truth() {
    let mut stream = stream("gaps without penalty");
    for loss in LOSSES {
        for intercept in [true, false] {
            let data = mixed(loss, 80, 3, &mut stream);
            let p = glm(&data, loss, 0.0, intercept);
            let optimum = minimise(&p);
            let best = p.value(&optimum).unwrap();
            let mut proven = 0;
            for power in 0..14 {
                let mut x = normals(p.dim(), 0.5f64.powi(2 * power), &mut stream);
                vector::axpy(1.0, &optimum, &mut x);
                let gap = p.gap(&x).unwrap().unwrap();
                let truth = p.value(&x).unwrap() - best;
                assert!(
                    gap.bound >= truth - 1e-14 * gap.scale,
                    "{loss}: {gap:?} below {truth:e}"
                );
                proven += usize::from(gap.bound.is_finite());
            }
            assert!(
                proven >= 5,
                "{loss}: only {proven} of 14 points have a bound"
            );
            let gap = p.gap(&optimum).unwrap().unwrap();
            assert!(
                gap.bound <= 1e-13 * gap.scale,
                "{loss}: {gap:?} at the optimum"
            );
        }
    }
}

#[test]
fn a_penalty_too_small_for_raw_units_is_certified_by_the_newton_decrement() {
    let mut stream = stream("tiny penalty");
    for loss in LOSSES {
        let data = mixed(loss, 80, 3, &mut stream);
        let p = glm(&data, loss, 1e-300, true);
        let gap = p.gap(&minimise(&p)).unwrap().unwrap();
        assert!(gap.bound <= 1e-13 * gap.scale, "{loss}: {gap:?}");
    }
}

/// Where a factorisation costs as much as a hundred products, strong convexity does.
#[test]
fn a_costly_factorisation_is_spared_where_a_few_steps_will_do() {
    let mut stream = stream("costly factorisation");
    let (n, d) = (1600, 400);
    let mut data = random_data(Loss::Logistic, n, d, &mut stream);
    for row in &mut data.x {
        let kept: Vec<usize> = (0..4).map(|_| stream.below(d)).collect();
        for (j, v) in row.iter_mut().enumerate() {
            if !kept.contains(&j) {
                *v = 0.0;
            }
        }
    }
    let p = glm_sparse(&data, Loss::Logistic, 1e-3, false);
    let optimum = minimise(&p);
    let mut x = normals(p.dim(), 5e-6, &mut stream);
    vector::axpy(1.0, &optimum, &mut x);
    let mut g = vec![0.0; p.dim()];
    let value = p.value_grad(&x, &mut g).unwrap();
    let decrement = vector::dot(&g, &newton_step(&hessian(&p, &x), &g)).abs();
    let gap = p.gap(&x).unwrap().unwrap();
    let truth = value - p.value(&optimum).unwrap();
    assert!(gap.bound >= truth - 1e-15, "{gap:?} below {truth:e}");
    assert!(
        gap.bound > 1.5 * decrement,
        "{gap:?} is the decrement {decrement:e}"
    );
    assert!(gap.bound <= 1e-3 * gap.scale, "{gap:?}");
}

/// What a tolerance accepts is proven without a factorisation, and still a bound; the sharp one is far below it.
#[test]
fn a_bound_need_not_be_sharper_than_the_tolerance() {
    let mut stream = stream("loose bounds");
    let data = random_data(Loss::Logistic, 80, 6, &mut stream);
    let p = glm(&data, Loss::Logistic, 1e-3, true);
    let optimum = minimise(&p);
    let mut x = normals(p.dim(), 1e-5, &mut stream);
    vector::axpy(1.0, &optimum, &mut x);
    let truth = p.value(&x).unwrap() - p.value(&optimum).unwrap();
    let sharp = p.gap(&x).unwrap().unwrap();
    let tolerance = Tolerance {
        relative: 1e-3,
        absolute: 0.0,
    };
    let loose = p.gap_within(&x, tolerance).unwrap().unwrap();
    assert_eq!(p.gap_within(&x, Tolerance::EXACT).unwrap(), Some(sharp));
    assert!(
        sharp.bound >= truth - 1e-15 && sharp.bound <= 3.0 * truth,
        "{sharp:?}, {truth:e}"
    );
    assert!(loose.bound > 2.0 * sharp.bound, "{loose:?}, {sharp:?}");
    assert!(tolerance.met(&loose.certificate(), 1.0), "{loose:?}");
}

/// Two rows x = 1e5 and 2.5e-6, both positive, l2 = 1e-13: at w = 2.51e-4 the squared Newton decrement is 2.5e-11 and the
/// true gap 0.257. (A third row of weight 1e-300 brings the second class that a classifier needs.)
#[test]
fn a_small_newton_decrement_alone_proves_nothing() {
    let data = Data {
        x: vec![vec![1e5], vec![2.5e-6], vec![0.0]],
        y: vec![1.0, 1.0, 0.0],
        s: vec![1.0, 1.0, 1e-300],
    };
    let p = glm(&data, Loss::Logistic, 1e-13, false);
    let mut model = p.model(&p.start());
    model.coef[0][0] = 2.51e-4;
    let x = p.point(&model).unwrap();
    let mut g = vec![0.0];
    p.value_grad(&x, &mut g).unwrap();
    let square = g[0] * g[0] / hessian(&p, &x)[(0, 0)];
    assert!((2.4e-11..2.6e-11).contains(&square), "decrement {square:e}");
    let truth = 0.257;
    assert!(p.gap(&x).unwrap().unwrap().bound >= truth);
}

#[test]
fn duplicate_columns_without_penalty_are_certified() {
    let mut stream = stream("duplicates");
    for loss in LOSSES {
        let mut data = mixed(loss, 60, 3, &mut stream);
        for row in &mut data.x {
            row.push(row[0]);
            row.push(2.0 * row[1] - row[2]);
            row.push(0.0);
            row.push(7.0);
        }
        for build in [glm, glm_sparse] {
            let p = build(&data, loss, 0.0, true);
            let gap = p.gap(&minimise(&p)).unwrap().unwrap();
            assert!(gap.bound <= 1e-12 * gap.scale, "{loss}: {gap:?}");
        }
    }
}

fn glm_sparse(data: &Data, loss: Loss, l2: f64, intercept: bool) -> Glm<f64> {
    let options = GlmOptions {
        loss,
        l2,
        intercept,
    };
    Glm::new(sparse(&data.x), &data.y, Some(&data.s), &options).unwrap()
}

/// Rows, labels and whether some direction separates them; the second is quasi-complete.
fn separable() -> [Data; 2] {
    let complete = Data {
        x: (0..8)
            .map(|i| vec![f64::from(i), f64::from(i * i % 5)])
            .collect(),
        y: (0..8).map(|i| f64::from(u8::from(i >= 4))).collect(),
        s: vec![1.0; 8],
    };
    let quasi = Data {
        x: (0..10)
            .map(|i| vec![f64::from(u8::from(i < 4)), f64::from(i * i % 7)])
            .collect(),
        y: vec![1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0],
        s: vec![1.0; 10],
    };
    [complete, quasi]
}

#[test]
fn separable_data_are_never_certified_and_the_column_is_named() {
    for (data, text) in separable().iter().zip(["perfectly", "4 of 10 rows"]) {
        for loss in [Loss::Logistic, Loss::Softmax] {
            let p = glm(data, loss, 0.0, true);
            let p = p
                .with_feature_names(&["first".into(), "second".into()])
                .unwrap();
            let mut x = p.start();
            let mut g = vec![0.0; x.len()];
            for step in 0..60 {
                p.value_grad(&x, &mut g).unwrap();
                let gap = p.gap(&x).unwrap().unwrap();
                assert!(gap.bound > 1e-9 * gap.scale, "{loss}, step {step}: {gap:?}");
                let mut h = hessian(&p, &x);
                for i in 0..x.len() {
                    h[(i, i)] += 1e-18;
                }
                let d = newton_step(&h, &g);
                if !vector::all_finite(&d) {
                    break;
                }
                vector::axpy(1.0, &d, &mut x);
            }
        }
        let p = glm(data, Loss::Logistic, 0.0, true);
        let p = p
            .with_feature_names(&["first".into(), "second".into()])
            .unwrap();
        let mut model = p.model(&p.start());
        (model.coef[0][0], model.intercept[0]) =
            (1.0, if text == "perfectly" { -3.5 } else { 0.0 });
        let why = p
            .recession(&p.point(&model).unwrap())
            .unwrap()
            .expect("a direction of recession");
        assert!(
            why.contains("column `first`") && why.contains(text),
            "{why}"
        );
        model.coef[0][0] = -1.0;
        assert_eq!(p.recession(&p.point(&model).unwrap()).unwrap(), None);
        let p = glm(data, Loss::Logistic, 1e-9, true);
        model.coef[0][0] = 1.0;
        assert_eq!(
            p.recession(&p.point(&model).unwrap()).unwrap(),
            None,
            "with a penalty"
        );
    }
}

#[test]
fn an_empty_poisson_group_is_named() {
    let data = Data {
        x: (0..8)
            .map(|i| vec![f64::from(i / 4), f64::from(i % 4)])
            .collect(),
        y: vec![3.0, 2.0, 5.0, 4.0, 0.0, 0.0, 0.0, 0.0],
        s: vec![1.0; 8],
    };
    let p = glm(&data, Loss::Poisson, 0.0, true);
    let mut model = p.model(&p.start());
    (model.coef[0][0], model.intercept[0]) = (-1.0, 0.0);
    let d = p.point(&model).unwrap();
    let why = p.recession(&d).unwrap().expect("a direction of recession");
    assert!(why.contains("column 1 singles out 4 of 8 rows"), "{why}");
    let up: Vec<f64> = d.iter().map(|v| -v).collect();
    assert_eq!(p.recession(&up).unwrap(), None);
    let zeros = Data {
        y: vec![0.0; 8],
        ..data
    };
    let p = glm(&zeros, Loss::Poisson, 1.0, true);
    assert!(
        p.recession(&p.start())
            .unwrap()
            .expect("no minimiser")
            .contains("every count is zero")
    );
    assert_eq!(p.gap(&p.start()).unwrap().unwrap().bound, f64::INFINITY);
}

#[test]
fn exact_fits_converge() {
    let x: Vec<Vec<f64>> = (0..20).map(|i| vec![1.6e12 + 1e6 * f64::from(i)]).collect();
    let y = x.iter().map(|r| 0.004 * (r[0] - 1.6e12) + 2.0).collect();
    let data = Data {
        x,
        y,
        s: vec![1.0; 20],
    };
    for loss in [
        Loss::Squared,
        Loss::Huber { delta: 1.0 },
        Loss::PseudoHuber { delta: 1.0 },
    ] {
        let p = glm(&data, loss, 0.0, true);
        let x = minimise(&p);
        let gap = p.gap(&x).unwrap().unwrap();
        assert!(gap.bound <= 1e-10 * gap.scale, "{loss}: {gap:?}");
        let slope = p.model(&x).coef[0][0];
        assert!((slope / 0.004 - 1.0).abs() < 1e-6, "{loss}: slope {slope}");
    }
}

#[test]
fn models_without_features_are_exact() {
    let logistic = Data {
        x: vec![vec![]; 4],
        y: vec![0.0, 1.0, 1.0, 1.0],
        s: vec![1.0; 4],
    };
    let poisson = Data {
        y: vec![0.0, 1.0, 1.0, 2.0],
        ..logistic.clone()
    };
    for (data, loss, intercept) in [
        (logistic, Loss::Logistic, 3f64.ln()),
        (poisson, Loss::Poisson, 0.0),
    ] {
        for l2 in [0.0, 1e-3] {
            let p = glm(&data, loss, l2, true);
            let x = minimise(&p);
            assert!((p.model(&x).intercept[0] - intercept).abs() < 1e-12);
            let gap = p.gap(&x).unwrap().unwrap();
            assert!(gap.bound <= 1e-14 * gap.scale, "{gap:?}");
        }
    }
}

/// B.7.3: along the Newton direction the step ln(1 + beta) / beta decreases F by at least
/// `ν² ((1 + beta) ln(1 + beta) - beta) / beta²`.
#[test]
fn the_guaranteed_decrease_is_guaranteed() {
    let mut stream = stream("decrease");
    let mut checked = 0;
    for round in 0..1000 {
        let loss = [
            Loss::Logistic,
            Loss::Softmax,
            Loss::Poisson,
            Loss::PseudoHuber { delta: 0.7 },
        ][round % 4];
        let data = random_data(loss, 12, 2, &mut stream);
        let l2 = 10f64.powi(-(stream.below(9) as i32));
        let p = glm(&data, loss, l2, round % 3 > 0);
        let dim = p.dim();
        let mut g = vec![0.0; dim];
        for _ in 0..100 {
            let x = normals(dim, 10f64.powf(2.0 * stream.uniform() - 1.0), &mut stream);
            let f = p.value_grad(&x, &mut g).unwrap();
            let h = hessian(&p, &x);
            let d = newton_step(&h, &g);
            let mut hd = vec![0.0; dim];
            for i in 0..dim {
                hd[i] = (0..dim).map(|j| h[(i, j)] * d[j]).sum();
            }
            // For inexact directions: a = dᵀ H d, u = -beta gᵀ d / a, t = ln(1 + u) / beta.
            let (a, beta) = (vector::dot(&d, &hd), p.concordance(&d).unwrap());
            let u = -beta * vector::dot(&g, &d) / a;
            // Curvature along d that is lost in the rounding of H says nothing.
            let size = (0..dim).fold(0.0f64, |m, i| m.max(h[(i, i)])) * vector::dot(&d, &d);
            if !(a > 1e-6 * size && u > 0.0 && beta.is_finite()) {
                continue;
            }
            checked += 1;
            let t = u.ln_1p() / beta;
            let bound = a * ((1.0 + u) * u.ln_1p() - u) / (beta * beta);
            let mut line = p.restrict(&x, &d).unwrap().unwrap();
            let decrease = -line.change(t).unwrap();
            assert!(
                decrease >= bound - 1e-12 * f.abs().max(1.0),
                "{loss}, round {round}: {decrease:e} is less than {bound:e}"
            );
        }
    }
    println!("{checked} of 100000 points checked");
    assert!(checked > 50_000);
}
