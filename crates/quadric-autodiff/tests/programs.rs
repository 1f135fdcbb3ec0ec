//! Whole programs: golden values, messages, threads, blocks, and random compositions of primitives.

mod common;
mod networks;

use common::random::check_bytes;
use common::{assert_close, dot};
use networks::{programs, small_networks};
use quadric_autodiff::{Array, Data, Executable, Kind, Program, Tensor, Windows};
use quadric_linalg::random::SeedTree;

/// Inputs of a network, as numbers in [-1, 1] and labels.
fn inputs(program: &Program, seed: u64) -> Vec<Array<f64>> {
    let seeds = SeedTree::new(seed);
    let all = program.inputs().iter().enumerate();
    all.map(|(i, input)| {
        let t = program.input_type(i);
        let mut stream = seeds.child(input.name()).stream(0);
        match t.kind {
            Kind::Index => Array::Index((0..t.len()).map(|_| stream.below(10) as i32).collect()),
            Kind::Float => Array::Float((0..t.len()).map(|_| 0.4 * stream.normal()).collect()),
        }
    })
    .collect()
}

fn outputs(program: &Program, inputs: &[Array<f64>]) -> Vec<Vec<f64>> {
    let given: Vec<Data<'_, f64>> = inputs.iter().map(Array::data).collect();
    let mut out: Vec<Vec<f64>> = (0..program.outputs())
        .map(|i| vec![f64::NAN; program.output_type(i).len()])
        .collect();
    let mut slots: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    let mut executable = Executable::new(program).expect("real outputs");
    executable.run(&given, &mut slots).expect("inputs fit");
    out
}

/// Loss, gradient and Hessian product, compiled, against the plain evaluation and against differences.
#[test]
fn networks_agree_with_plain_evaluation_and_differences() {
    let divided = programs::lstm(37, 8, 2, 32).expect("shapes fit");
    let all = small_networks().into_iter();
    for (name, network) in all.chain([("lstm in parts", divided)]) {
        let wrt = network.names();
        let gradient = network.loss.value_and_grad(&wrt).expect("names");
        let product = network.product();
        let at = inputs(&product, 3);
        let point = &at[..gradient.inputs().len()];
        for (program, values) in [(&gradient, point), (&product, &at[..])] {
            let given: Vec<Data<'_, f64>> = values.iter().map(Array::data).collect();
            let plain = program.run(&given).expect("inputs fit");
            for (found, expected) in outputs(program, values).iter().zip(&plain) {
                assert_close(name, found, expected.floats(), 1e-12);
            }
        }
        // Along the directions, the gradient of the loss is a difference, and the product one of gradients.
        let h = 1e-5;
        let moved = |h: f64| -> Vec<Array<f64>> {
            let mut moved = point.to_vec();
            for (x, v) in moved[2..].iter_mut().zip(&at[point.len()..]) {
                let Array::Float(x) = x else { continue };
                x.iter_mut().zip(v.floats()).for_each(|(x, v)| *x += h * v);
            }
            moved
        };
        let (up, down) = (
            outputs(&gradient, &moved(h)),
            outputs(&gradient, &moved(-h)),
        );
        let here = outputs(&gradient, point);
        let slope: f64 = here[1..]
            .iter()
            .zip(&at[point.len()..])
            .map(|(g, v)| dot(g, v.floats()))
            .sum();
        assert_close(name, &[slope], &[(up[0][0] - down[0][0]) / (2.0 * h)], 1e-7);
        for (i, found) in outputs(&product, &at).iter().enumerate() {
            let difference = up[i + 1]
                .iter()
                .zip(&down[i + 1])
                .map(|(u, d)| (u - d) / (2.0 * h));
            let difference: Vec<f64> = difference.collect();
            assert_close(&format!("{name}, {}", wrt[i]), found, &difference, 1e-6);
        }
    }
}

/// Prepared once and applied to two directions, as fast and as small as can be, Hessian products are those of plain evaluation.
#[test]
fn computing_again_takes_less_memory_and_changes_nothing() {
    for (name, network) in small_networks() {
        let wrt = network.names();
        let product = network.product();
        let mut fast = Executable::new(&product).expect("real outputs");
        let mut small = Executable::compact(&product).expect("real outputs");
        assert!(small.memory() <= fast.memory(), "{name}");
        let at = inputs(&product, 3);
        let (point, first) = at.split_at(at.len() - wrt.len());
        let second = &inputs(&product, 4)[point.len()..];
        let given: Vec<Data<'_, f64>> = point.iter().map(Array::data).collect();
        for executable in [&mut fast, &mut small] {
            let mut prepared = executable.prepare(&given).expect("a point");
            for direction in [first, second] {
                let all = [point, direction].concat();
                let all: Vec<Data<'_, f64>> = all.iter().map(Array::data).collect();
                let plain = product.run(&all).expect("inputs fit");
                let room = plain.iter().map(|p| vec![f64::NAN; p.floats().len()]);
                let mut out: Vec<Vec<f64>> = room.collect();
                let mut slots: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
                let along: Vec<Data<'_, f64>> = direction.iter().map(Array::data).collect();
                prepared.apply(&along, &mut slots).expect("a direction");
                for (found, expected) in out.iter().zip(&plain) {
                    assert_close(name, found, expected.floats(), 1e-12);
                }
            }
        }
    }
}

/// The derivative of a Hessian product along a second direction, compiled, against differences of Hessian products.
#[test]
fn third_derivatives_agree_with_differences() {
    for (name, network) in small_networks() {
        let wrt = network.names();
        let product = network.product();
        let third = product.linearize(&wrt).expect("names");
        let at = inputs(&third, 3);
        let first = at.len() - wrt.len();
        let moved = |h: f64| -> Vec<Vec<f64>> {
            let mut moved = at[..first].to_vec();
            for (x, u) in moved[2..].iter_mut().zip(&at[first..]) {
                let Array::Float(x) = x else { continue };
                x.iter_mut().zip(u.floats()).for_each(|(x, u)| *x += h * u);
            }
            outputs(&product, &moved)
        };
        let h = 1e-5;
        let (up, down) = (moved(h), moved(-h));
        let (up, down) = (up.concat(), down.concat());
        let slopes = up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * h));
        let found = outputs(&third, &at).concat();
        assert!(found.iter().any(|v| v.abs() > 1e-2), "{name}");
        assert_close(name, &found, &slopes.collect::<Vec<f64>>(), 1e-6);
    }
}

/// Several directions at once give what each gives alone, and the product is symmetric.
#[test]
fn blocks_of_directions_equal_single_ones() {
    for (name, network) in small_networks() {
        let wrt = network.names();
        let product = network.product();
        let directions: Vec<String> = wrt.iter().map(|n| format!("d {n}")).collect();
        let directions: Vec<&str> = directions.iter().map(String::as_str).collect();
        let block = product.batch(&directions, 2).expect("names");
        let first = inputs(&product, 5);
        let second = inputs(&product, 6);
        let points = first.len() - wrt.len();
        let with = |directions: &[Array<f64>]| [&first[..points], directions].concat();
        let both: Vec<Array<f64>> = first[points..]
            .iter()
            .zip(&second[points..])
            .map(|(a, b)| Array::Float([a.floats(), b.floats()].concat()))
            .collect();
        let (u, v) = (
            outputs(&product, &first),
            outputs(&product, &with(&second[points..])),
        );
        for ((found, u), v) in outputs(&block, &with(&both)).iter().zip(&u).zip(&v) {
            assert_close(name, found, &[&u[..], v].concat(), 1e-12);
        }
        let pair = |h: &[Vec<f64>], d: &[Array<f64>]| -> f64 {
            h.iter().zip(d).map(|(h, d)| dot(h, d.floats())).sum()
        };
        let (left, right) = (pair(&u, &second[points..]), pair(&v, &first[points..]));
        assert_close(name, &[left], &[right], 1e-11);
    }
}

/// Gauss-Newton products from the parts: of the output's Jacobian and the Hessian of the loss in the output.
#[test]
fn a_gauss_newton_product_is_a_composition() {
    let product = Program::trace(|t| {
        let (x, w, v) = (
            t.input("x", [4, 3]),
            t.input("w", [3, 5]),
            t.direction("v", [3, 5]),
        );
        let logits = x.matmul(w).tanh();
        let moved = t.jvp(&[logits], &[w], &[v]);
        let loss = logits
            .cross_entropy(t.index_constant(&[0, 4, 2, 2], [4]))
            .mean_all();
        let gradient = t.grad(loss, &[logits]);
        let curved = t.jvp(&gradient, &[logits], &moved);
        t.vjp(&[logits], &[w], &curved)
    })
    .expect("shapes fit");
    let at = inputs(&product, 8);
    let found = outputs(&product, &at);
    // Jᵀ (diag p - p pᵀ) J v / 4, by hand.
    let (x, w, v) = (at[0].floats(), at[1].floats(), at[2].floats());
    let mut expected = vec![0.0; 15];
    for row in x.chunks_exact(3) {
        let column = |m: &[f64], j: usize| (0..3).map(|i| row[i] * m[i * 5 + j]).sum::<f64>();
        let y: Vec<f64> = (0..5).map(|j| column(w, j).tanh()).collect();
        let d: Vec<f64> = (0..5).map(|j| (1.0 - y[j] * y[j]) * column(v, j)).collect();
        let sum: f64 = y.iter().map(|y| y.exp()).sum();
        let p: Vec<f64> = y.iter().map(|y| y.exp() / sum).collect();
        let mean = dot(&p, &d);
        for (i, j) in (0..3).flat_map(|i| (0..5).map(move |j| (i, j))) {
            expected[i * 5 + j] += row[i] * (1.0 - y[j] * y[j]) * p[j] * (d[j] - mean) / 4.0;
        }
    }
    assert_close("Gauss-Newton", &found[0], &expected, 1e-12);

    // The direction that was traced is one: what belongs to the point is not computed anew for it.
    assert!(product.flops_along_directions() < product.flops());
    let mut executable = Executable::new(&product).expect("real outputs");
    let mut prepared = executable
        .prepare(&[at[0].data(), at[1].data()])
        .expect("a point");
    let mut out = vec![f64::NAN; 15];
    for _ in 0..2 {
        prepared
            .apply(&[at[2].data()], &mut [&mut out])
            .expect("a direction");
        assert_eq!(out, found[0]);
    }
}

/// For a network with ten classes, at a point: the probabilities of each sample's classes, and the slopes of their logarithms
/// with respect to all parameters, less those of the first class. From losses and gradients alone: a loss with one label
/// changed differs by the logarithm of two probabilities.
fn slopes_of_classes(
    network: &programs::Network,
    point: &[Array<f64>],
) -> Vec<(Vec<f64>, Vec<Vec<f64>>)> {
    let gradient = network
        .loss
        .value_and_grad(&network.names())
        .expect("names");
    let samples = gradient.input_type(1).len();
    let at = |sample: usize, class: i32| -> Vec<f64> {
        let mut labels = vec![0; samples];
        labels[sample] = class;
        let mut given = point.to_vec();
        given[1] = Array::Index(labels);
        outputs(&gradient, &given).concat()
    };
    let base = at(0, 0);
    let of_sample = |sample: usize| {
        let less = |class: i32| -> Vec<f64> {
            let moved = at(sample, class);
            let pairs = base.iter().zip(&moved);
            pairs.map(|(b, m)| samples as f64 * (b - m)).collect()
        };
        let all: Vec<Vec<f64>> = (0..10).map(less).collect();
        let sum: f64 = all.iter().map(|l| l[0].exp()).sum();
        let probabilities = all.iter().map(|l| l[0].exp() / sum).collect();
        (probabilities, all.iter().map(|l| l[1..].to_vec()).collect())
    };
    (0..samples).map(of_sample).collect()
}

/// The program that the bench measures is Jᵀ (diag p - p pᵀ) J v / n, with a dense Jacobian from gradients.
#[test]
fn gauss_newton_products_of_networks_equal_dense_ones() {
    for (name, network) in small_networks() {
        let product = &network.gauss_newton;
        let at = inputs(product, 9);
        let (point, v) = at.split_at(at.len() - network.parameters.len());
        let v: Vec<f64> = v.iter().flat_map(Array::floats).copied().collect();
        let samples = slopes_of_classes(&network, point);
        let mut expected = vec![0.0; v.len()];
        for (p, slopes) in &samples {
            let moved: Vec<f64> = slopes.iter().map(|row| dot(row, &v)).collect();
            let mean = dot(p, &moved);
            for ((p, row), m) in p.iter().zip(slopes).zip(&moved) {
                let weight = p * (m - mean) / samples.len() as f64;
                let pairs = expected.iter_mut().zip(row);
                pairs.for_each(|(e, s)| *e += weight * s);
            }
        }
        assert_close(name, &outputs(product, &at).concat(), &expected, 1e-10);
        let given: Vec<Data<'_, f64>> = at.iter().map(Array::data).collect();
        let plain = product.run(&given).expect("inputs fit");
        let plain: Vec<f64> = plain.iter().flat_map(Array::floats).copied().collect();
        assert_close(name, &plain, &expected, 1e-10);
    }
}

/// The matrix of a small network, column by column.
#[test]
fn a_gauss_newton_matrix_is_symmetric_and_positive_semidefinite() {
    let network = programs::mlp(6, &[3, 4, 10]).expect("shapes fit");
    let at = inputs(&network.gauss_newton, 10);
    let (point, directions) = at.split_at(at.len() - network.parameters.len());
    let sizes: Vec<usize> = directions.iter().map(|d| d.floats().len()).collect();
    let n = sizes.iter().sum();
    let mut columns = Vec::new();
    for k in 0..n {
        let unit: Vec<f64> = (0..n).map(|i| f64::from(u8::from(i == k))).collect();
        let mut rest = &unit[..];
        let mut given = point.to_vec();
        for &size in &sizes {
            let (head, tail) = rest.split_at(size);
            given.push(Array::Float(head.to_vec()));
            rest = tail;
        }
        columns.push(outputs(&network.gauss_newton, &given).concat());
    }
    let matrix = faer::Mat::from_fn(n, n, |i, j| columns[j][i]);
    let most = matrix.norm_max();
    let skew = (matrix.as_ref() - matrix.transpose()).norm_max();
    assert!(skew <= 1e-14 * most, "{skew}");
    let values = matrix.self_adjoint_eigenvalues(faer::Side::Lower);
    let values = values.expect("a symmetric matrix");
    assert!(values[0] >= -1e-14 * values[n - 1], "{values:?}");
    // Six samples with nine independent logits each.
    let rank = values.iter().filter(|v| **v > 1e-12 * values[n - 1]);
    assert!(rank.count() <= 54);
}

/// The network N1 and its golden values: an MLP 4-5-3 with tanh and mean cross-entropy.
#[test]
fn the_reference_network_has_its_golden_values() {
    let loss = Program::trace(|t| {
        let x = t.input("x", [12, 4]);
        let (w1, b1) = (t.input("w1", [5, 4]), t.input("b1", [5]));
        let (w2, b2) = (t.input("w2", [3, 5]), t.input("b2", [3]));
        let h = (x.matmul(w1.transpose()) + b1).tanh();
        let labels: Vec<i32> = (0..12).map(|i| i % 3).collect();
        let logits = h.matmul(w2.transpose()) + b2;
        vec![
            logits
                .cross_entropy(t.index_constant(&labels, [12]))
                .mean_all(),
        ]
    })
    .expect("shapes fit");
    let wrt = ["w1", "b1", "w2", "b2"];
    let theta: Vec<f64> = (0..43)
        .map(|k| 0.6 * (1.0 + 1.7 * f64::from(k)).sin())
        .collect();
    let x = (0..48).map(|at| (0.3 + 0.9 * f64::from(at / 4) + 1.3 * f64::from(at % 4)).cos());
    let cut = |v: &[f64]| -> Vec<Array<f64>> {
        let parts = [0..20, 20..25, 25..40, 40..43].map(|r| Array::Float(v[r].to_vec()));
        parts.into()
    };
    let point = [vec![Array::Float(x.collect())], cut(&theta)].concat();
    let found = outputs(&loss.value_and_grad(&wrt).expect("names"), &point);
    assert_close("loss", &found[0], &[1.166_486_756_346_630_8], 1e-13);
    let norm = found[1..].iter().map(|g| dot(g, g)).sum::<f64>().sqrt();
    assert!(
        (norm / 0.310_434_668_110_573_2 - 1.0).abs() < 1e-11,
        "{norm}"
    );

    let product = loss
        .grad(&wrt)
        .and_then(|g| g.linearize(&wrt))
        .expect("names");
    let (mut trace, mut square) = (0.0, 0.0);
    for k in 0..43 {
        let mut unit = vec![0.0; 43];
        unit[k] = 1.0;
        let column = outputs(&product, &[&point[..], &cut(&unit)].concat()).concat();
        trace += column[k];
        square += dot(&column, &column);
    }
    assert!(
        (trace / 2.820_752_093_929_33 - 1.0).abs() < 1e-11,
        "{trace}"
    );
    assert!(
        (square / 2.241_447_139_223_75 - 1.0).abs() < 1e-11,
        "{square}"
    );
}

/// The same bits for any number of threads, in both precisions, on sizes that are cut in tasks.
#[test]
fn threads_do_not_change_bits() {
    let network = programs::mlp(300, &[64, 200, 90, 10]).expect("shapes fit");
    let images = programs::resnet(9, 16, 1, 16).expect("shapes fit");
    let sequences = programs::lstm(67, 8, 2, 32).expect("shapes fit");
    for network in [network, images, sequences] {
        let product = network.product();
        let at = inputs(&product, 4);
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .expect("threads");
            pool.install(|| outputs(&product, &at))
        };
        let one = with(1);
        for threads in [2, 3, 8] {
            assert!(one == with(threads), "{threads} threads");
        }
    }
}

/// The `trace` closure of a message that must come.
fn message<F>(f: F) -> String
where
    F: for<'t> FnOnce(&'t quadric_autodiff::Tracer) -> Vec<Tensor<'t>>,
{
    Program::trace(f)
        .expect_err("shapes do not fit")
        .to_string()
}

#[test]
fn wrong_shapes_name_the_operation_and_the_line() {
    let line = line!() + 1;
    let text = message(|t| vec![t.input("x", [2, 3]).matmul(t.input("w", [4, 5]))]);
    assert!(
        text.contains("matmul") && text.contains("3 and 4"),
        "{text}"
    );
    assert!(text.contains(&format!("programs.rs:{line}:")), "{text}");

    let line = line!() + 1;
    let text = message(|t| vec![t.input("x", [2, 3]) + t.input("b", [2])]);
    assert!(
        text.contains("add") && text.contains("[2, 3] and [2]"),
        "{text}"
    );
    assert!(text.contains(&format!("programs.rs:{line}:")), "{text}");

    let text = message(|t| vec![t.input("x", [2, 3]).reshape([4])]);
    assert!(
        text.contains("reshape") && text.contains("6 entries"),
        "{text}"
    );
    let line = line!() + 1;
    let text = message(|t| vec![t.input("x", [2, 3]).sum(&[2])]);
    assert!(text.contains("sum") && text.contains("no axis 2"), "{text}");
    assert!(text.contains(&format!("programs.rs:{line}:")), "{text}");
    let line = line!() + 1;
    let text = message(|t| vec![t.input("x", [2, 3]).permute(&[0, 2])]);
    assert!(text.contains(&format!("programs.rs:{line}:")), "{text}");
    let line = line!() + 1;
    let text = message(|t| vec![t.input("x", [2, 3]).avg_pool([1, 1], Windows::default())]);
    assert!(text.contains(&format!("programs.rs:{line}:")), "{text}");
    let text = message(|t| {
        let kernel = t.input("k", [3, 3, 4, 8]);
        vec![
            t.input("x", [1, 8, 8, 3])
                .conv2d(kernel, Windows::default()),
        ]
    });
    assert!(
        text.contains("conv2d") && text.contains("3 channels"),
        "{text}"
    );
    let text = message(|t| {
        let mut kept = None;
        let x = t.input("x", [2, 3]);
        t.scan(&[], &[x], |_, s| {
            kept = Some(s[0].exp());
            (vec![], vec![s[0]])
        });
        vec![kept.expect("the body ran").sin()]
    });
    assert!(text.contains("scan that has ended"), "{text}");
}

#[test]
fn sizes_that_overflow_end_the_trace() {
    let huge = 1 << 63;
    type Call = for<'t> fn(Tensor<'t>, usize) -> Tensor<'t>;
    let calls: [(&str, Call); 9] = [
        ("reshape", |x, n| x.reshape([n, 2])),
        ("broadcast", |x, n| x.broadcast_to([n, 2, 3])),
        ("pad", |x, n| x.pad(0, n, n)),
        ("slice", |x, n| x.slice(0, n..n + 1)),
        ("slice", |x, n| x.slice_steps(0, n, 2, n)),
        ("slice", |x, _| x.slice(0, 5..5)),
        ("slice", |x, _| x.slice_steps(0, 0, 1, 0)),
        ("constant", |x, n| x.tracer().fill(1.0, [0, n, 2])),
        ("concat", |x, _| x.sum(&[1]).concat(&[x.sum_all()], 0)),
    ];
    for (i, (name, call)) in calls.into_iter().enumerate() {
        let text = message(|t| vec![call(t.input("x", [2, 3]), huge)]);
        assert!(text.contains(name), "call {i}: {text}");
    }
    let text = message(|t| vec![t.iota([2, 1 << 31])]);
    assert!(text.contains("constant: index[2, "), "{text}");
    let text = message(|t| vec![t.input("x", [huge, 2])]);
    assert!(text.contains("input") && text.contains("memory"), "{text}");
    // A step that is never taken may be long.
    let one = Program::trace(|t| vec![t.input("x", [4]).slice_steps(0, 3, 1, huge).sum_all()]);
    let gradient = one.and_then(|p| p.grad(&["x"])).expect("an entry");
    let found = outputs(&gradient, &[Array::Float(vec![1.0; 4])]);
    assert_eq!(found[0], [0.0, 0.0, 0.0, 1.0]);
}

#[test]
fn wrong_inputs_and_names_are_refused() {
    let program = Program::trace(|t| vec![t.input("x", [2]).sum_all()]).expect("shapes fit");
    let text = program.grad(&["y"]).expect_err("no such input").to_string();
    assert!(text.contains("`grad` is y") && text.contains("x"), "{text}");
    let short = [1.0];
    let text = program
        .run(&[(&short[..]).into()])
        .expect_err("too short")
        .to_string();
    assert!(
        text.contains("input `x` is given 1 real numbers; it is float[2]"),
        "{text}"
    );
    let mut compiled = Executable::<f64>::new(&program).expect("a real output");
    let two = [1.0, 2.0];
    assert!(
        compiled
            .run(&[(&two[..]).into()], &mut [&mut [0.0, 0.0]])
            .is_err()
    );
    let vector = Program::trace(|t| vec![t.input("x", [2]).exp()]).expect("shapes fit");
    let text = vector
        .grad(&["x"])
        .expect_err("no single number")
        .to_string();
    assert!(text.contains("float[2]"), "{text}");
}

/// The page about the engine shows a program as it is printed.
#[test]
fn the_page_shows_the_program() {
    let loss = Program::trace(|t| {
        let (x, w) = (t.input("x", [2, 3]), t.input("w", [3, 1]));
        vec![x.matmul(w).tanh().square().mean_all()]
    })
    .expect("shapes fit");
    let page = include_str!("../../../docs/engine.md");
    assert!(page.contains(&loss.to_string()), "{loss}");
}

#[test]
fn random_programs_pass_all_checks() {
    for seed in 1..=200 {
        println!("seed {seed}");
        let mut stream = SeedTree::new(seed).child("program").stream(0);
        let bytes: Vec<u8> = (0..120).map(|_| stream.below(256) as u8).collect();
        check_bytes(&bytes);
    }
}

/// Sums of products, of which some are read elsewhere, come early or late, or are sums themselves.
#[test]
fn products_are_added_where_they_are_computed() {
    let program = Program::trace(|t| {
        let [a, b, c] = ["a", "b", "c"].map(|name| t.input(name, [40, 40]));
        let lone = a.matmul(b) + b.matmul(c);
        let read = a.matmul(c);
        let chain = c.matmul(a) + (lone + b.matmul(a));
        let both = (a.matmul(a) + b.matmul(b)) + (c.matmul(c) + c.matmul(b));
        let (last, stacks) = t.scan(
            &[a],
            &[b.expand(0).concat(&[c.expand(0)], 0)],
            |carry, slice| {
                let next = (carry[0].matmul(slice[0]) + slice[0].matmul(carry[0])) * 0.05;
                (vec![next], vec![next.matmul(b) + slice[0].matmul(c)])
            },
        );
        let weights = last[0].square().sum_all() + stacks[0].sin().sum_all();
        let mut found = vec![chain, both, read + read.transpose(), read];
        found.extend(t.grad(weights, &[a, b, c]));
        found
    });
    let program = program.expect("shapes fit");
    let at = inputs(&program, 5);
    let given: Vec<Data<'_, f64>> = at.iter().map(Array::data).collect();
    let plain = program.run(&given).expect("inputs fit");
    for (i, found) in outputs(&program, &at).iter().enumerate() {
        assert_close(&i.to_string(), found, plain[i].floats(), 1e-12);
    }
}
