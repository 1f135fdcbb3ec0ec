//! Dense data with more features than rows are fitted in the span of the rows; sparse data never are, and tell the truth.

use crate::common::*;
use quadric_core::{Objective, Problem};
use quadric_models::{Glm, GlmOptions, Loss};

const ROWS: usize = 14;
const FEATURES: usize = 40;

/// Wide data with a feature that never changes.
fn wide_data(loss: Loss) -> Data {
    let mut data = random_data(loss, ROWS, FEATURES, &mut stream("wide"));
    data.x.iter_mut().for_each(|row| row[7] = 0.3);
    data
}

fn both(data: &Data, loss: Loss, l2: f64, intercept: bool) -> (Glm<f64>, Glm<f64>) {
    let options = GlmOptions {
        loss,
        l2,
        intercept,
    };
    let whole = Glm::new(sparse(&data.x), &data.y, Some(&data.s), &options).unwrap();
    (glm(data, loss, l2, intercept), whole)
}

#[test]
fn the_span_of_the_rows_holds_the_optimum() {
    for loss in LOSSES {
        for intercept in [true, false] {
            let data = wide_data(loss);
            let (p, whole) = both(&data, loss, 0.05, intercept);
            let outputs = whole.dim() / (FEATURES + usize::from(intercept));
            assert_eq!(p.dim(), outputs * (ROWS + usize::from(intercept)));
            let (x, truth) = (minimise(&p), minimise(&whole));
            let (model, expected) = (p.model(&x), whole.model(&truth));
            let defined = |m: &quadric_models::LinearModel| {
                objective(&data, loss, 0.05, &m.coef, &m.intercept)
            };
            let (f, best) = (p.value(&x).unwrap(), defined(&expected));
            assert!((f - best).abs() <= 1e-10 * best.abs(), "{loss}: {f} {best}");
            assert!((defined(&model) - f).abs() <= 1e-12 * f.abs(), "{loss}");
            let parts = model.coef.concat().into_iter().zip(expected.coef.concat());
            for (a, b) in parts {
                assert!((a - b).abs() <= 1e-6 * (1e-2 + b.abs()), "{loss}: {a} {b}");
            }
            let gap = p.gap(&x).unwrap().unwrap();
            assert!(gap.bound <= 1e-10 * gap.scale, "{loss}: {gap:?}");
        }
    }
}

#[test]
fn points_models_and_gradients_mean_the_same_in_both_coordinates() {
    let mut stream = stream("wide points");
    for loss in LOSSES {
        let data = wide_data(loss);
        let (p, whole) = both(&data, loss, 0.05, true);
        let model = p.model(&normals(p.dim(), 0.1, &mut stream));
        let (x, there) = (p.point(&model).unwrap(), whole.point(&model).unwrap());
        let (f, truth) = (p.value(&x).unwrap(), whole.value(&there).unwrap());
        assert!(
            (f - truth).abs() <= 1e-11 * truth.abs(),
            "{loss}: {f} {truth}"
        );
        let (g, truth) = (
            p.gradient_norm(&x).unwrap(),
            whole.gradient_norm(&there).unwrap(),
        );
        assert!((g - truth).abs() <= 1e-9 * truth, "{loss}: {g} {truth}");
    }
}

#[test]
fn features_of_the_span_have_their_names_and_numbers() {
    let data = wide_data(Loss::Logistic);
    let (p, whole) = both(&data, Loss::Logistic, 0.05, true);
    assert_eq!(p.l2_path(), whole.l2_path());
    let names: Vec<String> = (0..FEATURES).map(|j| format!("gene{j}")).collect();
    let free = p.with_feature_names(&names).unwrap().with_l2(0.0).unwrap();
    // So few rows are always separable.
    let mut towards = whole.model(&whole.start());
    let sign = |y: f64| if y == data.y[1] { 1.0 } else { -1.0 };
    let solve = |target: Vec<f64>| {
        let data = Data {
            y: target,
            ..data.clone()
        };
        let p = glm(&data, Loss::Squared, 1e-9, true);
        p.model(&minimise(&p))
    };
    let line = solve(data.y.iter().map(|y| sign(*y)).collect());
    (towards.coef, towards.intercept) = (line.coef, line.intercept);
    let why = free.recession(&free.point(&towards).unwrap()).unwrap();
    let why = why.unwrap();
    assert!(
        why.contains("gene") && why.contains("separates the classes perfectly"),
        "{why}"
    );
}

#[test]
fn sizes_at_both_ends_of_the_range_survive_the_change_to_the_span() {
    for size in [1e-150, 1e150] {
        let mut data = wide_data(Loss::Logistic);
        let plain = glm(&data, Loss::Logistic, 0.05, true);
        let best = plain.value(&minimise(&plain)).unwrap();
        data.x.iter_mut().flatten().for_each(|v| *v *= size);
        let p = glm(&data, Loss::Logistic, 0.05 * size * size, true);
        let f = p.value(&minimise(&p)).unwrap();
        assert!((f - best).abs() <= 1e-10 * best, "{size}: {f} {best}");
    }
}
