//! What must not change the answer, and what must be refused.

use crate::common::*;
use quadric_core::{
    ApproximateInverse, Error, ErrorKind, FiniteSum, LinearOperator, Objective, Problem, Smooth,
    TwiceSmooth, vector,
};
use quadric_linalg::apply_vector;
use quadric_models::{Glm, GlmOptions, LinearModel, Loss};

fn close(a: f64, b: f64, tolerance: f64, what: &str) {
    let scale = a.abs().max(b.abs()).max(1e-3);
    assert!(
        (a - b).abs() <= tolerance * scale,
        "{what}: {a:e} is not {b:e}"
    );
}

fn fit(data: &Data, loss: Loss, l2: f64) -> (f64, LinearModel) {
    let p = glm(data, loss, l2, true);
    let x = minimise(&p);
    (p.value(&x).unwrap(), p.model(&x))
}

fn same_fit(a: &(f64, LinearModel), b: &(f64, LinearModel), what: &str) {
    close(a.0, b.0, 1e-10, what);
    let parts = |m: &LinearModel| [m.coef.concat(), m.intercept.clone()].concat();
    for (a, b) in parts(&a.1).iter().zip(&parts(&b.1)) {
        close(*a, *b, 1e-6, what);
    }
}

#[test]
fn t_n10_equivalent_data_have_the_same_optimum() {
    let mut stream = stream("equivalent");
    for loss in LOSSES {
        let mut data = random_data(loss, 40, 3, &mut stream);
        data.s = (0..40).map(|_| 1.0 + stream.below(3) as f64).collect();
        let plain = fit(&data, loss, 0.01);
        let pick = |rows: &[usize], s: Vec<f64>| Data {
            x: rows.iter().map(|&i| data.x[i].clone()).collect(),
            y: rows.iter().map(|&i| data.y[i]).collect(),
            s,
        };
        let order = stream.permutation(40);
        let permuted = pick(&order, order.iter().map(|&i| data.s[i]).collect());
        same_fit(&plain, &fit(&permuted, loss, 0.01), "rows permuted");
        let repeats: Vec<usize> = (0..40).flat_map(|i| vec![i; data.s[i] as usize]).collect();
        let repeated = pick(&repeats, vec![1.0; repeats.len()]);
        same_fit(&plain, &fit(&repeated, loss, 0.01), "weights as repeats");
        let mut scaled = data.clone();
        scaled.x.iter_mut().flatten().for_each(|v| *v *= 1e3);
        let (f, mut model) = fit(&scaled, loss, 1e4);
        model.coef.iter_mut().flatten().for_each(|w| *w *= 1e3);
        same_fit(&plain, &(f, model), "X scaled");
        let mut turned = data.clone();
        turned.x.iter_mut().for_each(|r| r.reverse());
        let (f, mut model) = fit(&turned, loss, 0.01);
        model.coef.iter_mut().for_each(|w| w.reverse());
        same_fit(&plain, &(f, model), "columns permuted");
    }
}

#[test]
fn rows_of_weight_zero_do_nothing() {
    let mut stream = stream("zero weights");
    for loss in LOSSES {
        let data = random_data(loss, 30, 3, &mut stream);
        let mut more = data.clone();
        for (at, y) in [(0, 77.0), (13, 1.0), (32, 4.0)] {
            more.x.insert(at, vec![1e9, -1e7, 3e200]);
            more.y.insert(at, y);
            more.s.insert(at, 0.0);
        }
        let (a, b) = (glm(&data, loss, 0.1, true), glm(&more, loss, 0.1, true));
        let x = normals(a.dim(), 0.3, &mut stream);
        let (mut ga, mut gb) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        assert_eq!(
            a.value_grad(&x, &mut ga).unwrap(),
            b.value_grad(&x, &mut gb).unwrap()
        );
        assert_eq!((ga, a.model(&x), a.terms()), (gb, b.model(&x), b.terms()));
    }
}

#[test]
fn t_n11_a_doubled_data_set_has_the_same_mean() {
    let mut stream = stream("doubled");
    for loss in LOSSES {
        let data = random_data(loss, 16, 2, &mut stream);
        let twice = Data {
            x: [data.x.clone(), data.x.clone()].concat(),
            y: [data.y.clone(), data.y.clone()].concat(),
            s: [data.s.clone(), data.s.clone()].concat(),
        };
        let (a, b) = (glm(&data, loss, 0.1, true), glm(&twice, loss, 0.1, true));
        let x = normals(a.dim(), 0.3, &mut stream);
        close(a.value(&x).unwrap(), b.value(&x).unwrap(), 1e-14, "mean");
    }
}

#[test]
fn answers_do_not_depend_on_what_was_asked_before() {
    let mut stream = stream("memo");
    for loss in LOSSES {
        for n in [3, 40, 3000] {
            let data = random_data(loss, n.max(6), 4, &mut stream);
            let points: Vec<Vec<f64>> = {
                let p = glm(&data, loss, 0.1, true);
                (0..5).map(|_| normals(p.dim(), 0.3, &mut stream)).collect()
            };
            let ask = |p: &Glm<f64>, x: &[f64]| {
                let mut g = vec![0.0; x.len()];
                let with = p.value_grad(x, &mut g).unwrap();
                (
                    p.value(x).unwrap(),
                    with,
                    g,
                    p.gap(x).unwrap().unwrap(),
                    hessian(p, x),
                )
            };
            let warm = glm(&data, loss, 0.1, true);
            for x in points.iter().chain(points.iter().rev()) {
                let _ = (warm.gap(x).unwrap(), warm.value(x).unwrap());
                let fresh = glm(&data, loss, 0.1, true);
                let value_first = fresh.value(x).unwrap();
                assert_eq!(value_first, warm.value(x).unwrap());
                assert_eq!(
                    ask(&warm, x),
                    ask(&glm(&data, loss, 0.1, true), x),
                    "{loss}, n = {n}"
                );
                assert_eq!(ask(&warm, x), ask(&fresh, x), "{loss}, n = {n}");
            }
        }
    }
}

#[test]
fn batches_obey_their_law() {
    let mut stream = stream("batches");
    for loss in LOSSES {
        let data = random_data(loss, 24, 3, &mut stream);
        let p = glm(&data, loss, 0.1, true);
        let x = normals(p.dim(), 0.3, &mut stream);
        let all: Vec<usize> = (0..24).collect();
        let (mut whole, mut part, mut mean) =
            (vec![0.0; x.len()], vec![0.0; x.len()], vec![0.0; x.len()]);
        let f = p.value_grad(&x, &mut whole).unwrap();
        let batch = p.batch(&all).unwrap();
        assert_eq!(
            batch.value_grad(&x, &mut part).unwrap(),
            f,
            "all rows are the whole"
        );
        assert_eq!(part, whole);
        assert!(batch.as_twice_smooth().is_some() && batch.as_finite_sum().is_some());
        assert_eq!(
            batch.as_self_concordant().is_some(),
            p.as_self_concordant().is_some()
        );
        let mut total = 0.0;
        for i in 0..24 {
            total += p.batch(&[i]).unwrap().value_grad(&x, &mut part).unwrap() / 24.0;
            vector::axpy(1.0 / 24.0, &part, &mut mean);
            if let Some(bound) = p.term_smoothness() {
                let mut there = vec![0.0; x.len()];
                let y = normals(x.len(), 0.3, &mut stream);
                p.batch(&[i]).unwrap().value_grad(&y, &mut there).unwrap();
                let (mut up, mut apart) = (there, y);
                vector::axpy(-1.0, &part, &mut up);
                vector::axpy(-1.0, &x, &mut apart);
                let slope = vector::norm2(&up) / vector::norm2(&apart);
                assert!(
                    slope <= bound * (1.0 + 1e-12),
                    "{loss}: {slope} above {bound}"
                );
            }
        }
        close(total, f, 1e-13, "mean of the terms");
        mean.iter()
            .zip(&whole)
            .for_each(|(a, b)| close(*a, *b, 1e-11, "mean of gradients"));
        assert_eq!(
            p.batch(&[24]).err().map(|e| e.kind()),
            Some(ErrorKind::Argument)
        );
        assert_eq!(
            p.batch(&[]).err().map(|e| e.kind()),
            Some(ErrorKind::Argument)
        );
    }
}

#[test]
fn preconditioners_are_inverses_or_close() {
    let mut stream = stream("preconditioners");
    for (loss, n, d) in [
        (Loss::Logistic, 12, 40),
        (Loss::Squared, 12, 40),
        (Loss::Softmax, 12, 40),
        (Loss::Softmax, 60, 4),
        (Loss::Logistic, 60, 4),
    ] {
        let data = random_data(loss, n, d, &mut stream);
        for (intercept, sparse_storage) in
            [(false, false), (false, true), (true, false), (true, true)]
        {
            let options = GlmOptions {
                loss,
                l2: 0.3,
                intercept,
            };
            let x = if sparse_storage {
                sparse(&data.x)
            } else {
                dense(&data.x)
            };
            let p = Glm::new(x, &data.y, Some(&data.s), &options).unwrap();
            let x = normals(p.dim(), 0.1, &mut stream);
            let inverse = p
                .preconditioner(&x, 0.01)
                .unwrap()
                .expect("a structured inverse")
                .operator;
            let h = p.hessian(&x).unwrap();
            let (v, mut hv, mut back) = (
                normals(x.len(), 1.0, &mut stream),
                vec![0.0; x.len()],
                vec![0.0; x.len()],
            );
            apply_vector(&h, &v, &mut hv).unwrap();
            vector::axpy(0.01, &v, &mut hv);
            apply_vector(&inverse, &hv, &mut back).unwrap();
            // All rows count exactly, but for those that the penalty outweighs.
            if loss != Loss::Softmax && !intercept && n < d {
                back.iter()
                    .zip(&v)
                    .for_each(|(a, b)| close(*a, *b, 2e-2, "nearly exact inverse"));
            }
            assert!(inverse.properties().psd);
            assert!(vector::dot(&back, &hv) > 0.0, "positive definite");
            let ratio = vector::dot(&hv, &back) / vector::dot(&hv, &v);
            assert!((0.3..3.0).contains(&ratio), "{loss}: {ratio}");
        }
    }
}

#[test]
fn smoothed_preconditioners_lead_from_the_point_to_equal_classes() {
    let mut stream = stream("smoothed preconditioners");
    let data = random_data(Loss::Softmax, 60, 4, &mut stream);
    let p = glm(&data, Loss::Softmax, 0.3, true);
    let x = normals(p.dim(), 1.0, &mut stream);
    let v = normals(p.dim(), 1.0, &mut stream);
    let applied = |inverse: Option<ApproximateInverse<f64>>| {
        let mut out = vec![0.0; v.len()];
        let operator = inverse.expect("a structured inverse").operator;
        apply_vector(&operator, &v, &mut out).unwrap();
        out
    };
    let smoothed = |smoothing: f64| applied(p.smoothed_preconditioner(&x, smoothing).unwrap());
    assert_eq!(smoothed(0.0), applied(p.preconditioner(&x, 0.0).unwrap()));
    let equal = applied(p.preconditioner(&p.start(), 0.0).unwrap());
    assert_eq!(smoothed(1.0), equal);
    // By blocks of all classes and by one that they share.
    let nearly = smoothed(1.0 - 1e-9);
    nearly
        .iter()
        .zip(&equal)
        .for_each(|(a, b)| close(*a, *b, 1e-5, "nearly equal classes"));
    for smoothing in [-0.1, 1.1, f64::NAN] {
        let refused = p.smoothed_preconditioner(&x, smoothing).err();
        assert_eq!(refused.map(|e| e.kind()), Some(ErrorKind::Argument));
    }
    let wide = random_data(Loss::Softmax, 12, 40, &mut stream);
    let wide = glm(&wide, Loss::Softmax, 0.3, true);
    let none = wide.smoothed_preconditioner(&wide.start(), 0.5).unwrap();
    assert!(none.is_none());
}

/// N03: margins from 1e3 to 1e150.
#[test]
fn t_n03_huge_margins_stay_finite_and_exact() {
    let data = Data {
        x: vec![vec![1.0], vec![-1.0]],
        y: vec![1.0, 0.0],
        s: vec![1.0, 1.0],
    };
    let p = glm(&data, Loss::Logistic, 0.0, false);
    let at = |w: f64| {
        let mut model = p.model(&p.start());
        model.coef[0][0] = w;
        let x = p.point(&model).unwrap();
        let mut g = [0.0];
        let f = p.value_grad(&x, &mut g).unwrap();
        (
            f,
            g[0] / p
                .point(&LinearModel {
                    coef: vec![vec![1.0]],
                    ..model
                })
                .unwrap()[0]
                .recip(),
        )
    };
    for size in [1e3, 1e8, 1e24, 1e150] {
        assert_eq!(at(-size).0, size, "a wrong margin costs itself");
        assert_eq!(at(size).0, 0.0);
        assert!(at(size).1.is_finite() && at(-size).1.is_finite());
    }
    for m in [41.0, 100.0, 600.0, 699.0] {
        close(
            at(m).0 / (-m).exp(),
            1.0,
            4.0 * f64::EPSILON,
            "a right margin costs exp(-m)",
        );
    }
    let mut product = [0.0];
    let h = p.hessian(&[1e150]).unwrap();
    apply_vector(&h, &[1.0], &mut product).unwrap();
    assert!(product[0] >= 0.0);
}

/// N04: predictors of 1e4, and a thousand classes.
#[test]
fn t_n04_softmax_survives_large_predictors() {
    let data = Data {
        x: vec![vec![1e4], vec![0.0], vec![-1e4]],
        y: vec![0.0, 1.0, 2.0],
        s: vec![1.0; 3],
    };
    let p = glm(&data, Loss::Softmax, 0.0, true);
    let mut stream = stream("large predictors");
    for _ in 0..20 {
        let x = normals(p.dim(), 1e4, &mut stream);
        let mut g = vec![0.0; x.len()];
        assert!(p.value_grad(&x, &mut g).unwrap().is_finite() && vector::all_finite(&g));
        let model = p.model(&x);
        let prediction = model.predict(&dense(&data.x)).unwrap();
        for row in prediction.probabilities.unwrap() {
            close(row.iter().sum(), 1.0, 1e-14, "probabilities");
        }
    }
    let many = Data {
        x: (0..1000).map(|i| vec![f64::from(i % 7)]).collect(),
        y: (0..1000).map(f64::from).collect(),
        s: vec![1.0; 1000],
    };
    let p = glm(&many, Loss::Softmax, 1.0, true);
    let mut g = vec![0.0; p.dim()];
    close(
        p.value_grad(&p.start(), &mut g).unwrap(),
        1000f64.ln(),
        1e-13,
        "uniform",
    );
}

/// N12: coefficients shrink monotonically from no penalty to one of 1e300.
#[test]
fn t_n12_extreme_penalties() {
    let mut stream = stream("penalties");
    for loss in LOSSES {
        let mut data = random_data(loss, 40, 3, &mut stream);
        if loss == Loss::Softmax {
            data.y = (0..40).map(|_| stream.below(3) as f64).collect();
        }
        let mut last = f64::INFINITY;
        for power in [-300, -100, -20, -8, -3, 0, 3, 8, 20, 100, 300] {
            let (f, model) = fit(&data, loss, 10f64.powi(power));
            let norm = vector::norm2(&model.coef.concat());
            assert!(
                f.is_finite() && norm <= last * (1.0 + 1e-7),
                "{loss}, 1e{power}: {norm} after {last}"
            );
            last = norm;
        }
        assert!(last < 1e-295, "{loss}: {last:e} is left");
    }
}

#[test]
fn features_of_any_size_are_accepted() {
    let mut first = None;
    for size in [1.0, 1e-300, 1e-150, 1e100, 1e300] {
        let data = Data {
            x: vec![vec![0.0], vec![size], vec![0.3 * size], vec![0.6 * size]],
            y: vec![0.0, 1.0, 1.0, 0.0],
            s: vec![1.0; 4],
        };
        let (f, model) = fit(&data, Loss::Logistic, 0.0);
        close(
            f,
            *first.get_or_insert(f),
            1e-12,
            "the loss does not depend on units",
        );
        assert!(model.coef[0][0].is_finite() && model.intercept[0].is_finite());
    }
}

fn refused(data: &Data, options: GlmOptions) -> Error {
    Glm::new(dense::<f64>(&data.x), &data.y, Some(&data.s), &options)
        .err()
        .expect("an error")
}

#[test]
fn bad_input_is_refused_with_its_place() {
    let good = Data {
        x: vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 7.0]],
        y: vec![0.0, 1.0, 1.0],
        s: vec![1.0; 3],
    };
    let logistic = GlmOptions::default();
    let with = |loss: Loss| GlmOptions { loss, ..logistic };
    let check = |data: &Data, options, kind, text: &str| {
        let e = refused(data, options);
        assert!(
            e.kind() == kind && e.to_string().contains(text),
            "{e:?} lacks `{text}`"
        );
    };
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut d = good.clone();
        d.x[1][1] = bad;
        check(&d, logistic, ErrorKind::NonFinite, "(1, 1)");
        let mut d = good.clone();
        d.y[2] = bad;
        check(&d, logistic, ErrorKind::NonFinite, "target (row) at 2");
        let mut d = good.clone();
        d.s[0] = bad;
        check(&d, logistic, ErrorKind::NonFinite, "weight (row) at 0");
        check(
            &good,
            GlmOptions {
                l2: bad,
                ..logistic
            },
            ErrorKind::Argument,
            "`l2`",
        );
    }
    check(
        &good,
        GlmOptions {
            l2: -1.0,
            ..logistic
        },
        ErrorKind::Argument,
        "`l2` is -1",
    );
    check(
        &good,
        with(Loss::Huber { delta: 0.0 }),
        ErrorKind::Argument,
        "`delta` is 0",
    );
    let y = |y: [f64; 3]| Data {
        y: y.to_vec(),
        ..good.clone()
    };
    check(
        &y([1.0; 3]),
        logistic,
        ErrorKind::Data,
        "every row has the label 1",
    );
    check(
        &y([0.5, 1.0, 2.0]),
        logistic,
        ErrorKind::Data,
        "row 0 is 0.5",
    );
    check(
        &y([0.0, 1.0, 2.0]),
        logistic,
        ErrorKind::Data,
        "use the loss softmax",
    );
    check(
        &y([0.0, -1.0, 2.0]),
        with(Loss::Poisson),
        ErrorKind::Data,
        "row 1 is -1",
    );
    let s = |s: [f64; 3]| Data {
        s: s.to_vec(),
        ..good.clone()
    };
    check(
        &s([1.0, -2.0, 1.0]),
        logistic,
        ErrorKind::Data,
        "weight of row 1 is -2",
    );
    check(
        &s([0.0; 3]),
        logistic,
        ErrorKind::Data,
        "all sample weights are zero",
    );
    check(
        &s([1.0, 0.0, 0.0]),
        logistic,
        ErrorKind::Data,
        "every row has the label 0",
    );
    let empty = Data {
        x: vec![],
        y: vec![],
        s: vec![],
    };
    check(&empty, logistic, ErrorKind::Data, "no rows");
    let bare = Data {
        x: vec![vec![]; 3],
        ..good.clone()
    };
    let options = GlmOptions {
        intercept: false,
        ..logistic
    };
    check(&bare, options, ErrorKind::Data, "no feature column");
    let short = Data {
        y: vec![0.0, 1.0],
        ..good.clone()
    };
    check(&short, logistic, ErrorKind::Shape, "the target has shape 2");
    let p = glm(&good, Loss::Logistic, 0.1, true);
    assert_eq!(
        p.value(&[0.0]).err().map(|e| e.kind()),
        Some(ErrorKind::Shape)
    );
    let model = p.model(&p.start());
    let narrow = dense(&[vec![1.0]]);
    assert_eq!(
        model.predict(&narrow).err().map(|e| e.kind()),
        Some(ErrorKind::Shape)
    );
    let other = LinearModel {
        classes: Some(vec![0.0, 2.0]),
        ..model
    };
    assert!(p.point(&other).is_err());
}

#[test]
fn predictions_are_labels_or_means() {
    let data = Data {
        x: vec![vec![0.0], vec![1.0], vec![2.0], vec![3.0]],
        y: vec![5.0, 2.0, 5.0, 5.0],
        s: vec![1.0; 4],
    };
    let (_, model) = fit(&data, Loss::Logistic, 0.1);
    assert_eq!(
        model.classes,
        Some(vec![2.0, 5.0]),
        "ascending, whatever comes first"
    );
    let prediction = model.predict(&dense(&[vec![1e6], vec![-1e6]])).unwrap();
    assert_eq!(prediction.predictions, [5.0, 2.0]);
    assert_eq!(prediction.probabilities.unwrap()[0], [0.0, 1.0]);
    let (_, model) = fit(&data, Loss::Poisson, 0.1);
    let prediction = model.predict(&dense(&data.x)).unwrap();
    assert!(prediction.probabilities.is_none());
    close(
        prediction.predictions.iter().sum::<f64>(),
        17.0,
        1e-9,
        "the free intercept fits the mean",
    );
}
