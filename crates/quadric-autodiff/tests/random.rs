//! Random numbers as a part of programs: what they are, that they never change, and that derivatives see the same ones.

use quadric_autodiff::{Array, Data, Executable, Program, Tensor, Tracer};

/// The only output of a program of the input `key`, compiled and plain.
fn draw<F>(key: [i32; 2], f: F) -> Vec<f64>
where
    F: for<'t> FnOnce(&'t Tracer, Tensor<'t>) -> Tensor<'t>,
{
    let program = Program::trace(|t| vec![f(t, t.index_input("key", [2]))]);
    run(&program.expect("shapes fit"), &[Data::Index(&key)])
}

fn run(program: &Program, inputs: &[Data<'_, f64>]) -> Vec<f64> {
    let plain = program.run(inputs).expect("inputs fit");
    let mut out = vec![f64::NAN; plain[0].floats().len()];
    let mut compiled = Executable::new(program).expect("a real output");
    compiled.run(inputs, &mut [&mut out]).expect("inputs fit");
    assert_eq!(out.len(), plain[0].floats().len());
    let worst = out.iter().zip(plain[0].floats());
    let worst = worst.fold(0.0, |m: f64, (a, b)| m.max((a - b).abs()));
    assert!(worst <= 1e-12, "compiled and plain differ by {worst:e}");
    out
}

/// The words of the Random123 distribution for the counter 0 and the key 0.
#[test]
fn the_first_draw_is_a_known_answer() {
    let words = [0x6627_e8d5_u32, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
    let expected = words.map(|w| f64::from(w >> 8) * 2f64.powi(-24));
    assert_eq!(draw([0, 0], |t, key| t.random(key, [2, 2])), expected);
    // Numbers do not depend on the shape, and a second call draws others.
    let two = draw([0, 0], |t, key| {
        let (first, second) = (t.random(key, [3]), t.random(key, [3]));
        first.concat(&[second], 0)
    });
    assert_eq!(two[..3], expected[..3]);
    assert_ne!(two[3..], expected[..3]);
}

/// No version may change what a key draws. The numbers come from a Philox4x32-10 written anew, at the counters (0, 0, 1, 0) and
/// (1, 0, 1, 0) and the key (2026, 2³² - 7).
#[test]
fn draws_never_change() {
    let found = draw([2026, -7], |t, key| {
        let _ = t.random(key, [1]);
        t.random(key, [2, 3])
    });
    let found: Vec<u32> = found.iter().map(|v| (v * 2f64.powi(24)) as u32).collect();
    assert_eq!(found, PINNED);
}

#[rustfmt::skip]
const PINNED: [u32; 6] = [6_924_000, 13_537_541, 8_585_592, 15_391_988, 6_869_072, 14_306_035];

#[test]
fn draws_have_the_right_moments() {
    let n = 200_000;
    let close = |what: &str, values: &[f64], expected: f64, deviation: f64| {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        // Five standard errors.
        let bound = 5.0 * deviation / (values.len() as f64).sqrt();
        assert!((mean - expected).abs() <= bound, "{what}: {mean}");
    };
    let u = draw([11, 0], |t, key| t.random(key, [n]));
    assert!(u.iter().all(|v| (0.0..1.0).contains(v)));
    let powers = |k: i32| -> Vec<f64> { u.iter().map(|v| v.powi(k)).collect() };
    close("mean", &powers(1), 1.0 / 2.0, (1.0f64 / 12.0).sqrt());
    close("square", &powers(2), 1.0 / 3.0, (4.0f64 / 45.0).sqrt());
    close(
        "fourth power",
        &powers(4),
        1.0 / 5.0,
        (16.0f64 / 225.0).sqrt(),
    );
    // Neighbours, other calls, other seeds and other steps do not know each other.
    let others = [
        [&u[1..], &u[..1]].concat(),
        draw([11, 0], |t, key| {
            let _ = t.random(key, [n]);
            t.random(key, [n])
        }),
        draw([12, 0], |t, key| t.random(key, [n])),
        draw([11, 1], |t, key| t.random(key, [n])),
    ];
    for (i, other) in others.iter().enumerate() {
        let products = u.iter().zip(other).map(|(a, b)| (a - 0.5) * (b - 0.5));
        let products: Vec<f64> = products.collect();
        close(&format!("product {i}"), &products, 0.0, 1.0 / 12.0);
    }
    let z = draw([5, 3], |t, key| t.normal(key, [n]));
    let powers = |k: i32| -> Vec<f64> { z.iter().map(|v| v.powi(k)).collect() };
    close("normal mean", &powers(1), 0.0, 1.0);
    close("normal variance", &powers(2), 1.0, 2f64.sqrt());
    close("normal fourth moment", &powers(4), 3.0, 96f64.sqrt());
}

/// The same bits with any number of threads, and the same numbers in both precisions.
#[test]
fn threads_and_precision_change_nothing() {
    let program = Program::trace(|t| {
        let (x, key) = (t.input("x", [400, 301]), t.index_input("key", [2]));
        vec![t.random(key, [400, 301]), x.dropout(0.3, key)]
    });
    let program = program.expect("shapes fit");
    let key = [-3, 8];
    fn both<T: quadric_linalg::Scalar>(program: &Program, key: &[i32; 2]) -> [Vec<T>; 2] {
        let n = program.output_type(0).len();
        let x = vec![T::of(1.0); n];
        let inputs = [Data::Float(&x[..]), Data::Index(key)];
        let mut out = [vec![T::of(0.0); n], vec![T::of(0.0); n]];
        let [a, b] = &mut out;
        let mut compiled = Executable::new(program).expect("real outputs");
        compiled.run(&inputs, &mut [a, b]).expect("inputs fit");
        out
    }
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.expect("threads");
        pool.install(|| (both::<f64>(&program, &key), both::<f32>(&program, &key)))
    };
    let one = with(1);
    for threads in [2, 3, 8] {
        assert!(one == with(threads), "{threads} threads");
    }
    let ones = vec![1.0; one.0[0].len()];
    let plain = program.run::<f64>(&[Data::Float(&ones), Data::Index(&key)]);
    let plain = plain.expect("inputs fit");
    assert!(plain[0].floats() == one.0[0]);
    let ([wide, kept], [narrow, also]) = one;
    assert!(wide.iter().zip(&narrow).all(|(a, b)| *a == f64::from(*b)));
    let alike = |(a, b): (&f64, &f32)| (a - f64::from(*b)).abs() <= 1e-6;
    assert!(kept.iter().zip(&also).all(alike));
}

#[test]
fn dropout_keeps_the_mean() {
    let (n, rate) = (100_000, 0.3);
    let kept = draw([1, 1], |t, key| t.fill(1.0, [n]).dropout(rate, key));
    let value = kept.iter().copied().fold(0.0, f64::max);
    assert!((value * (1.0 - rate) - 1.0).abs() < 1e-7, "{value}");
    assert!(kept.iter().all(|&v| v == 0.0 || v == value));
    let share = kept.iter().filter(|&&v| v != 0.0).count() as f64 / n as f64;
    let deviation = (rate * (1.0 - rate) / n as f64).sqrt();
    assert!((share - (1.0 - rate)).abs() <= 5.0 * deviation, "{share}");
    let all = draw([1, 1], |t, key| t.fill(2.0, [4]).dropout(0.0, key));
    assert_eq!(all, [2.0; 4]);
    let rare = draw([1, 1], |t, key| {
        t.fill(1.0, [1000]).dropout(1.0 - 1e-12, key)
    });
    assert!(rare.iter().all(|v| v.is_finite()));
}

#[test]
fn wrong_rates_and_keys_are_refused() {
    for rate in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
        let program =
            Program::trace(|t| vec![t.input("x", [3]).dropout(rate, t.index_input("key", [2]))]);
        let text = program.expect_err("no rate").to_string();
        assert!(
            text.contains(&format!("dropout: the rate is {rate}")),
            "{text}"
        );
        assert!(text.contains("random.rs:"), "{text}");
    }
    let program = Program::trace(|t| vec![t.random(t.index_input("key", [3]), [4])]);
    let text = program.expect_err("no key").to_string();
    assert!(
        text.contains("random: takes a key, index[2], not index[3]"),
        "{text}"
    );
    let program = Program::trace(|t| vec![t.random(t.input("key", [2]), [4])]);
    let text = program.expect_err("no key").to_string();
    assert!(text.contains("not float[2]"), "{text}");
}

/// A network with two masks and noise, and its loss.
fn network(t: &Tracer) -> Vec<Tensor<'_>> {
    let key = t.index_input("key", [2]);
    let (x, w, v) = (
        t.input("x", [16, 6]),
        t.input("w", [6, 12]),
        t.input("v", [12, 3]),
    );
    let noisy = x + t.normal(key, [16, 6]) * 0.1;
    let hidden = noisy.dropout(0.2, key).matmul(w).tanh().dropout(0.5, key);
    vec![hidden.matmul(v).square().mean_all()]
}

fn waves(n: usize, speed: f64) -> Vec<f64> {
    (0..n).map(|i| (0.3 + speed * i as f64).sin()).collect()
}

/// The Hessian product against differences of the gradient: masks are the same in value, gradient and product.
#[test]
fn derivatives_see_the_same_masks() {
    let loss = Program::trace(network).expect("shapes fit");
    let gradient = loss.grad(&["w"]).expect("a number");
    let product = gradient.linearize(&["w"]).expect("an input");
    let (x, w, v, d) = (
        waves(96, 1.7),
        waves(72, 0.9),
        waves(36, 2.3),
        waves(72, 3.1),
    );
    let key = [4, 9];
    let with = |program: &Program, key: &[i32; 2], w: &[f64], more: &[Data<'_, f64>]| {
        let all = [
            &[
                Data::Index(key),
                Data::Float(&x),
                Data::Float(w),
                Data::Float(&v),
            ],
            more,
        ];
        run(program, &all.concat())
    };
    let h = 1e-5;
    let moved = |h: f64| -> Vec<f64> { w.iter().zip(&d).map(|(w, d)| w + h * d).collect() };
    let (up, down) = (moved(h), moved(-h));
    let slope = |program: &Program| -> Vec<f64> {
        let (up, down) = (
            with(program, &key, &up, &[]),
            with(program, &key, &down, &[]),
        );
        up.iter()
            .zip(&down)
            .map(|(u, d)| (u - d) / (2.0 * h))
            .collect()
    };
    let g = with(&gradient, &key, &w, &[]);
    let along: f64 = g.iter().zip(&d).map(|(g, d)| g * d).sum();
    assert!((along - slope(&loss)[0]).abs() <= 1e-8, "{along}");
    let found = with(&product, &key, &w, &[Data::Float(&d)]);
    for (a, b) in found.iter().zip(slope(&gradient)) {
        assert!((a - b).abs() <= 1e-8, "{a} is not {b}");
    }
    assert!(found.iter().any(|v| v.abs() > 1e-3));
    // Another step of training has other masks.
    assert_ne!(with(&loss, &key, &w, &[]), with(&loss, &[4, 10], &w, &[]));
    assert_eq!(with(&loss, &key, &w, &[]), with(&loss, &key, &w, &[]));
}

/// In a scan a key from outside gives one mask for all steps; keys that are scanned over give one for each step.
#[test]
fn scans_say_which_mask_a_step_has() {
    let program = Program::trace(|t| {
        let (key, keys) = (t.index_input("key", [2]), t.index_input("keys", [4, 2]));
        let rows = t.input("x", [4, 5]);
        let (_, stacks) = t.scan(&[], &[rows, keys], |_, s| {
            let own = s[0].tracer().random(s[1], [5]);
            (vec![], vec![s[0] + s[0].tracer().random(key, [5]), own])
        });
        vec![stacks[0].concat(&[stacks[1]], 0)]
    });
    let (key, keys) = ([1, 2], [1, 2, 3, 4, 1, 2, 9, 9]);
    let inputs = [
        Data::Index(&key[..]),
        Data::Index(&keys),
        Data::Float(&[0.0; 20]),
    ];
    let found = run(&program.expect("shapes fit"), &inputs);
    let rows: Vec<&[f64]> = found.chunks_exact(5).collect();
    assert!(rows[..4].iter().all(|r| *r == rows[0]));
    // The streams of the two calls: the first in the body, and the second.
    let of = |key: [i32; 2]| {
        let program = Program::trace(|t| {
            let key = t.index_input("key", [2]);
            let own = t.random(key, [5]);
            vec![own.concat(&[t.random(key, [5])], 0)]
        });
        run(&program.expect("shapes fit"), &[Data::Index(&key)])
    };
    assert_eq!(rows[0], &of(key)[5..]);
    for (row, key) in rows[4..].iter().zip(keys.chunks_exact(2)) {
        assert_eq!(*row, &of([key[0], key[1]])[..5]);
    }
    assert_eq!(rows[4], rows[6]);
    assert_ne!(rows[4], rows[5]);
}

/// Keys with axes in front draw for each; what does not depend on a batch is drawn once for all.
#[test]
fn each_key_draws_for_itself() {
    let keys = [1, 2, 3, 4];
    let program = Program::trace(|t| vec![t.random(t.index_input("keys", [2, 2]), [3])]);
    let found = run(&program.expect("shapes fit"), &[Data::Index(&keys)]);
    assert_eq!(found[..3], draw([1, 2], |t, key| t.random(key, [3])));
    assert_eq!(found[3..], draw([3, 4], |t, key| t.random(key, [3])));
    let program = Program::trace(|t| {
        let (x, key) = (t.input("x", [3]), t.index_constant(&[1, 2], [2]));
        vec![x + t.random(key, [3])]
    });
    let wide = program.and_then(|p| p.batch(&["x"], 2)).expect("an input");
    let rows = wide.run(&[Data::Float(&[0.0_f64; 6])]).expect("inputs fit");
    let Array::Float(rows) = &rows[0] else {
        panic!("real numbers");
    };
    assert_eq!(rows[..3], rows[3..]);
}
