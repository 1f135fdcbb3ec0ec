//! The quasi-Newton matrices themselves.

use crate::support::functions::Function;
use faer::{Mat, Side};
use quadric_core::random::SeedTree;
use quadric_core::{Context, Direction, Point, Smooth};
use quadric_opt::quasi_newton::{InverseEstimate, Lbfgs};

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// Secant equation, symmetry to the last bit, positive definiteness after a thousand updates.
#[test]
fn t_ratio_bfgs_matrix() {
    for n in [1, 2, 3, 5, 10, 33, 64, 100] {
        let mut stream = SeedTree::new(3).child("pairs").stream(n as u64);
        // Curvatures from 1 to 1e4, a new pair each time along a random direction with a few percent of noise.
        let c: Vec<f64> = (0..n)
            .map(|i| 1e4f64.powf(i as f64 / n.max(2) as f64))
            .collect();
        let mut b = InverseEstimate::new(n);
        let mut product = vec![0.0; n];
        for _ in 0..1000 {
            let s: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
            let y: Vec<f64> = (0..n)
                .map(|i| c[i] * s[i] * (1.0 + 0.02 * stream.uniform()))
                .collect();
            assert!(b.update(&s, &y));
            b.apply(&y, &mut product);
            let miss: Vec<f64> = product.iter().zip(&s).map(|(p, s)| p - s).collect();
            // In units of eps, scaled by the size of the terms that cancel.
            let ratio = norm(&miss) / (norm(&s) * f64::EPSILON);
            assert!(ratio < 1e3, "n = {n}: secant equation off by {ratio} eps");
        }
        let dense = Mat::from_fn(n, n, |i, j| b.entry(i, j));
        for i in 0..n {
            for j in 0..i {
                assert_eq!(dense[(i, j)].to_bits(), dense[(j, i)].to_bits());
            }
        }
        let values = dense.self_adjoint_eigenvalues(Side::Lower).unwrap();
        assert!(
            values[0] > 0.0,
            "n = {n}: smallest eigenvalue {:e}",
            values[0]
        );
    }
}

/// With exact line searches on a quadratic, n pairs of conjugate steps give the inverse Hessian.
#[test]
fn bfgs_learns_a_quadratic() {
    // Coordinate steps are conjugate for a diagonal Hessian.
    let c = [1.0, 10.0, 100.0];
    let mut b = InverseEstimate::new(3);
    for i in 0..3 {
        let mut s = [0.0; 3];
        let mut y = [0.0; 3];
        (s[i], y[i]) = (0.5, 0.5 * c[i]);
        assert!(b.update(&s, &y));
    }
    for i in 0..3 {
        for j in 0..3 {
            let exact = if i == j { 1.0 / c[i] } else { 0.0 };
            assert!((b.entry(i, j) - exact).abs() < 1e-15);
        }
    }
}

/// The direction of L-BFGS is that of the dense formula over the same pairs.
#[test]
fn lbfgs_equals_the_dense_formula() {
    let f = Function::named("rosenbrock", 6).unwrap();
    let method = Lbfgs { memory: 4 };
    let mut cx = Context::new(SeedTree::new(0));
    let mut stream = SeedTree::new(9).child("walk").stream(0);
    let mut x: Vec<f64> = (0..6).map(|_| 1.0 + 0.05 * stream.normal()).collect();
    let mut state = method.init(&f, &x, &mut cx).unwrap();
    let (mut g, mut d) = (vec![0.0; 6], vec![0.0; 6]);
    let mut points: Vec<(Vec<f64>, Vec<f64>)> = Vec::new();
    for _ in 0..12 {
        let value = f.value_grad(&x, &mut g).unwrap();
        let at = Point {
            x: &x,
            f: value,
            g: &g,
        };
        method
            .direction(&f, &mut state, at, &mut d, &mut cx)
            .unwrap();
        points.push((x.clone(), g.clone()));
        let expected = dense_direction(&points, 4);
        for (d, e) in d.iter().zip(&expected) {
            assert!((d - e).abs() <= 1e-9 * norm(&expected), "{d} is not {e}");
        }
        for (x, d) in x.iter_mut().zip(&d) {
            *x += 0.3 * d + 1e-3 * stream.normal();
        }
    }
}

/// `-H g` with H from the last pairs of positive curvature, as an explicit product of matrices.
fn dense_direction(points: &[(Vec<f64>, Vec<f64>)], memory: usize) -> Vec<f64> {
    let n = points[0].0.len();
    let column = |v: Vec<f64>| Mat::from_fn(n, 1, |i, _| v[i]);
    let minus = |a: &[f64], b: &[f64]| column(a.iter().zip(b).map(|(a, b)| a - b).collect());
    let pairs: Vec<(Mat<f64>, Mat<f64>)> = points
        .windows(2)
        .map(|w| (minus(&w[1].0, &w[0].0), minus(&w[1].1, &w[0].1)))
        .collect();
    // A skipped pair takes a place in the ring like any other.
    let recent: Vec<_> = pairs.iter().rev().take(memory).rev().collect();
    let dot = |a: &Mat<f64>, b: &Mat<f64>| (a.transpose() * b)[(0, 0)];
    let good: Vec<_> = recent
        .into_iter()
        .filter(|(s, y)| dot(s, y) > 0.0)
        .collect();
    let g = column(points[points.len() - 1].1.clone());
    let Some((s, y)) = good.last() else {
        let scale = dot(&g, &g).sqrt();
        return (0..n).map(|i| -g[(i, 0)] / scale).collect();
    };
    let identity = Mat::<f64>::identity(n, n);
    let mut h = &identity * faer::Scale(dot(s, y) / dot(y, y));
    for (s, y) in good {
        let rho = 1.0 / dot(s, y);
        let v = &identity - (y * s.transpose()) * faer::Scale(rho);
        h = v.transpose() * &h * &v + (s * s.transpose()) * faer::Scale(rho);
    }
    (0..n).map(|i| -(&h * &g)[(i, 0)]).collect()
}

/// Pairs of zero, negative and vanishing curvature are skipped; the direction stays one of descent and finite.
#[test]
fn t_s07_degenerate_pairs() {
    let f = Function::named("quadratic", 2).unwrap();
    let mut cx = Context::new(SeedTree::new(0));
    let bad: [([f64; 2], [f64; 2]); 7] = [
        ([1.0, 0.0], [0.0, 1.0]),
        ([1.0, 0.0], [-1.0, 0.0]),
        ([1e-160, 0.0], [1e-160, 0.0]),
        ([1e-320, 0.0], [1e-320, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1e200, 0.0], [1e200, 0.0]),
        ([1.0, 0.0], [f64::NAN, 0.0]),
    ];
    for (s, y) in bad {
        assert!(!InverseEstimate::new(2).update(&s, &y), "{s:?} {y:?}");
        let method = Lbfgs { memory: 3 };
        let mut state = method.init(&f, &[0.0, 0.0], &mut cx).unwrap();
        let mut d = [0.0; 2];
        // The second gradient is the first plus y.
        let (g0, g1) = ([1.0, 1.0], [1.0 + y[0], 1.0 + y[1]]);
        for (x, g) in [([0.0, 0.0], g0), (s, g1)] {
            let at = Point {
                x: &x,
                f: 0.0,
                g: &g,
            };
            method
                .direction(&f, &mut state, at, &mut d, &mut cx)
                .unwrap();
            if g.iter().all(|v| v.is_finite()) {
                let slope = d[0] * g[0] + d[1] * g[1];
                assert!(slope < 0.0 && slope.is_finite(), "{s:?} {y:?}: {d:?}");
            }
        }
    }
}
