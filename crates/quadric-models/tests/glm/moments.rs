//! Squared loss on tall, narrow data takes sums of products where sparse data take passes: both are the same problem.

use crate::common::*;
use quadric_core::{Problem, Smooth, TwiceSmooth, vector};
use quadric_models::{Glm, GlmOptions, Loss};

fn both(data: &Data, l2: f64, intercept: bool) -> [Glm<f64>; 2] {
    let options = GlmOptions {
        loss: Loss::Squared,
        l2,
        intercept,
    };
    [dense(&data.x), sparse(&data.x)]
        .map(|x| Glm::new(x, &data.y, Some(&data.s), &options).unwrap())
}

fn assert_close(a: f64, b: f64, size: f64, what: &str) {
    assert!((a - b).abs() <= 1e-11 * size, "{what}: {a} {b}");
}

/// Value, gradient, gap and line at zero and elsewhere, and products with the Hessian.
fn assert_same(sums: &Glm<f64>, passes: &Glm<f64>) {
    let n = sums.dim();
    let mut stream = stream("moments: points");
    for size in [0.0, 1e-3, 0.5] {
        let x = normals(n, size, &mut stream);
        let d = normals(n, 1.0, &mut stream);
        let (mut g, mut h) = (vec![0.0; n], vec![0.0; n]);
        let value = sums.value_grad(&x, &mut g).unwrap();
        let expected = passes.value_grad(&x, &mut h).unwrap();
        assert_close(value, expected, expected, "value");
        let largest = vector::max_abs(&h).max(expected.sqrt());
        for (a, b) in g.iter().zip(&h) {
            assert_close(*a, *b, largest, "gradient");
        }
        let (a, b) = (sums.gap(&x).unwrap(), passes.gap(&x).unwrap());
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_close(a.scale, b.scale, b.scale, "scale");
        assert!((a.bound - b.bound).abs() <= 1e-9 * b.bound || a.bound == b.bound);
        let mut a = sums.restrict(&x, &d).unwrap().unwrap();
        let mut b = passes.restrict(&x, &d).unwrap().unwrap();
        for step in [1e-6, 0.3, 2.0] {
            let (change, expected) = (a.change(step).unwrap(), b.change(step).unwrap());
            assert_close(change, expected, expected.abs() + value * step, "change");
            let (slope, expected) = (a.slope(step).unwrap(), b.slope(step).unwrap());
            assert_close(slope, expected, expected.abs() + value, "slope");
        }
    }
    let x = vec![0.0; n];
    let mut whole = faer::Mat::zeros(n, n);
    sums.hessian(&x).unwrap().dense(whole.as_mut()).unwrap();
    let (products, expected) = (hessian(sums, &x), hessian(passes, &x));
    let largest = (0..n).fold(0.0f64, |m, i| m.max(expected[(i, i)]));
    for i in 0..n {
        for j in 0..n {
            assert_close(products[(i, j)], expected[(i, j)], largest, "product");
            assert_close(whole[(i, j)], expected[(i, j)], largest, "dense");
        }
    }
}

#[test]
fn sums_of_products_are_passes() {
    let mut stream = stream("moments");
    for intercept in [true, false] {
        let data = random_data(Loss::Squared, 300, 7, &mut stream);
        let [sums, passes] = both(&data, 0.01, intercept);
        assert_same(&sums, &passes);
        // Sums are shared between strengths of the penalty, not between choices of rows.
        assert_same(&sums.with_l2(3.0).unwrap(), &passes.with_l2(3.0).unwrap());
        let odd = |i: usize| i % 2 == 1;
        assert_same(&sums.only(odd).unwrap(), &passes.only(odd).unwrap());
    }
}

/// The value of a close fit is lost in sums of products; its gap must not be.
#[test]
fn close_fits_are_measured_by_their_residuals() {
    let mut stream = stream("close fits");
    let mut data = random_data(Loss::Squared, 300, 7, &mut stream);
    for (y, x) in data.y.iter_mut().zip(&data.x) {
        *y = 5.0 + x.iter().sum::<f64>() + 1e-3 * stream.normal();
    }
    let [sums, passes] = both(&data, 0.0, true);
    let x = minimise(&passes);
    let (a, b) = (
        sums.gap(&x).unwrap().unwrap(),
        passes.gap(&x).unwrap().unwrap(),
    );
    assert!(b.scale < 1e-6, "{b:?}");
    assert_close(a.scale, b.scale, b.scale, "scale");
    let value = |p: &Glm<f64>| p.value_grad(&x, &mut vec![0.0; x.len()]).unwrap();
    assert_close(value(&sums), value(&passes), b.scale, "value");
}

/// What is remembered of a point is not of another strength of the penalty.
#[test]
fn a_new_penalty_is_a_new_gradient() {
    let mut stream = stream("penalties");
    for loss in LOSSES {
        let data = random_data(loss, 60, 5, &mut stream);
        let mut changed = glm(&data, loss, 0.1, true);
        let x = normals(changed.dim(), 0.3, &mut stream);
        let (mut g, mut h) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        changed.value_grad(&x, &mut g).unwrap();
        changed.set_l2(2.0).unwrap();
        let value = changed.value_grad(&x, &mut g).unwrap();
        let fresh = changed.with_l2(2.0).unwrap();
        assert_eq!(value, fresh.value_grad(&x, &mut h).unwrap(), "{loss}");
        assert_eq!(g, h, "{loss}");
    }
}
