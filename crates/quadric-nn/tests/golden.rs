//! The curvature of one small network in numbers computed elsewhere, and identities that hold for every network.

#![allow(clippy::print_stdout)]

mod common;

use common::{Case, close, columns, run};
use faer::{Mat, MatRef};
use quadric_autodiff::{Array, Program};
use quadric_linalg::algebra::Dense;
use quadric_linalg::dense::symmetric_eigen;
use quadric_linalg::estimate::{
    DensityOptions, LanczosQuadrature, Probe, TraceMethod, TraceOptions, TraceReport, gauss_rule,
    trace as estimate_trace,
};
use quadric_linalg::krylov::KrylovSpace;
use quadric_linalg::random::SeedTree;
use quadric_nn::layers::Activation;
use quadric_nn::models::mlp;
use quadric_nn::{Loss, Mode, Network};

/// Four inputs, five hidden units, three classes, twelve examples.
const SIZES: [usize; 3] = [4, 5, 3];
const N: usize = 12;

fn classifier(network: Network, x: Vec<f64>) -> Case {
    let mut case = Case::new(network, Loss::CROSS_ENTROPY, Mode::Evaluate, N);
    case.inputs = vec![Array::Float(x)];
    case.targets = Array::Index((0..N as i32).map(|i| i % 3).collect());
    case
}

/// The network and its parameters.
fn golden() -> (Case, Vec<f64>) {
    let network = mlp(&SIZES, Activation::Tanh).expect("sizes");
    let x = (0..N * 4).map(|at| (0.3 + 0.9 * (at / 4) as f64 + 1.3 * (at % 4) as f64).cos());
    let w = numbered(|k| 0.6 * (1.0 + 1.7 * k as f64).sin());
    (classifier(network, x.collect()), w)
}

/// A value for each parameter, by a numbering that has outputs before inputs.
fn numbered(value: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut w = Vec::new();
    for (first, inputs, outputs) in [(0, 4, 5), (25, 5, 3)] {
        let places = (0..inputs).flat_map(|i| (0..outputs).map(move |o| first + o * inputs + i));
        w.extend(places.map(&value));
        w.extend((0..outputs).map(|o| value(first + inputs * outputs + o)));
    }
    w
}

/// Eigenvalues, the largest first.
fn spectrum(a: MatRef<'_, f64>) -> Vec<f64> {
    let mut values = symmetric_eigen(a).expect("a finite matrix").values;
    values.sort_by(|a, b| b.total_cmp(a));
    values
}

fn square(values: &[f64]) -> Mat<f64> {
    let n = values.len().isqrt();
    Mat::from_fn(n, n, |i, j| values[i * n + j])
}

fn trace(a: MatRef<'_, f64>) -> f64 {
    (0..a.nrows()).map(|i| a[(i, i)]).sum()
}

/// Each to eleven digits of its own.
fn agree(what: &str, found: &[f64], expected: &[f64]) {
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        let error = (a - b).abs() / b.abs();
        assert!(error <= 1e-11, "{what} {i}: {a}, expected {b}");
    }
}

/// The logits of each example by the parameters, and their probabilities.
struct Linear {
    jacobian: Mat<f64>,
    probabilities: Mat<f64>,
}

impl Linear {
    fn new(case: &Case, w: &[f64]) -> Self {
        let program = case.output_program().linearize(&["w"]).expect("an input");
        let outputs = program.output_type(0).len();
        let by_columns = columns(&program, w);
        let logits = case.output(w);
        let exp = Mat::from_fn(N, 3, |n, c| logits[n * 3 + c].exp());
        let sum = |n: usize| (0..3).map(|c| exp[(n, c)]).sum::<f64>();
        Self {
            jacobian: Mat::from_fn(outputs, w.len(), |i, j| by_columns[j * outputs + i]),
            probabilities: Mat::from_fn(N, 3, |n, c| exp[(n, c)] / sum(n)),
        }
    }

    /// The gradient of the loss of an example, if `label` is its class.
    fn gradient(&self, n: usize, label: usize) -> Vec<f64> {
        let slope = |c: usize| self.probabilities[(n, c)] - f64::from(c == label);
        self.back(n, slope)
    }

    /// The Jacobian of an example, transposed, times a vector.
    fn back(&self, n: usize, v: impl Fn(usize) -> f64) -> Vec<f64> {
        let entry = |j: usize| (0..3).map(|c| v(c) * self.jacobian[(3 * n + c, j)]).sum();
        (0..self.jacobian.ncols()).map(entry).collect()
    }

    /// The columns of the square root of the loss's Hessian in the logits, brought back to the parameters.
    fn roots(&self, n: usize) -> Vec<Vec<f64>> {
        let p = |c: usize| self.probabilities[(n, c)];
        let root = |c: usize| self.back(n, |k| p(c).sqrt() * (f64::from(c == k) - p(k)));
        (0..3).map(root).collect()
    }
}

/// The mean of `v vᵀ` over examples.
fn mean_square(vectors: &[Vec<f64>]) -> Mat<f64> {
    let n = vectors[0].len();
    let sum = |i: usize, j: usize| vectors.iter().map(|v| v[i] * v[j]).sum::<f64>();
    Mat::from_fn(n, n, |i, j| sum(i, j) / N as f64)
}

#[test]
fn curvature_in_numbers() {
    let (case, w) = golden();
    assert_eq!(w.len(), 43);
    let norm = |v: &[f64]| v.iter().map(|x| x * x).sum::<f64>().sqrt();
    agree(
        "loss",
        &run(&case.loss(), &[&w]),
        &[1.166_486_756_346_630_8],
    );
    let gradient = run(&case.gradient(), &[&w]);
    agree("gradient", &[norm(&gradient)], &[0.310_434_668_110_573_2]);
    let hessian = case.hessian(&w);
    agree("norm", &[norm(&hessian).powi(2)], &[2.241_447_139_223_75]);
    let hessian = square(&hessian);
    let values = spectrum(hessian.as_ref());
    let top = [
        1.032834482903,
        0.6010050486352,
        0.482722124431,
        0.4350805497688,
        0.3247087514534,
    ];
    let bottom = [-0.1968902471808, -0.1773888307297, -0.150249708343];
    agree("largest", &values, &top);
    agree(
        "smallest",
        &values.iter().rev().copied().collect::<Vec<_>>(),
        &bottom,
    );
    agree("trace", &[trace(hessian.as_ref())], &[2.820_752_093_929_33]);
    let log_det = values.iter().map(|v| (v + 2.0).ln()).sum::<f64>();
    agree("log det", &[log_det], &[30.984_458_889_660_097]);
    let ggn = square(&case.gauss_newton(&w));
    let values = spectrum(ggn.as_ref());
    agree("Gauss-Newton", &values, &[0.9976045606322]);
    agree("its trace", &[trace(ggn.as_ref())], &[3.101_813_415_562_81]);
    assert_eq!(values.iter().filter(|v| **v > 1e-12).count(), 24);
    // The last layer is linear.
    let last = |m: &Mat<f64>| m.submatrix(25, 25, 18, 18).to_owned();
    let (a, b) = (last(&hessian), last(&ggn));
    assert!((&a - &b).norm_max() < 1e-13);
    agree("last layer", &[trace(a.as_ref())], &[1.851_457_383_666_03]);
    agree(
        "last layer",
        &spectrum(a.as_ref()),
        &[0.609_814_424_449_579],
    );
}

#[test]
fn empirical_fisher_in_numbers() {
    let (case, w) = golden();
    let linear = Linear::new(&case, &w);
    let gradients: Vec<Vec<f64>> = (0..N).map(|n| linear.gradient(n, n % 3)).collect();
    let fisher = mean_square(&gradients);
    let values = spectrum(fisher.as_ref());
    agree(
        "empirical Fisher",
        &values,
        &[0.7811385905796, 0.7519953468603],
    );
    agree(
        "its trace",
        &[trace(fisher.as_ref())],
        &[3.360_315_310_480_63],
    );
    assert_eq!(values.iter().filter(|v| **v > 1e-12).count(), 12);
}

/// One layer: inputs with a 1 behind them, square roots at its outputs, and its block of the Gauss-Newton matrix in the order
/// outputs, inputs, bias.
struct Layer {
    inputs: Vec<Vec<f64>>,
    roots: Vec<Vec<f64>>,
    block: Mat<f64>,
}

fn layers(case: &Case, w: &[f64]) -> [Layer; 2] {
    let linear = Linear::new(case, w);
    let ggn = square(&case.gauss_newton(w));
    let Array::Float(x) = &case.inputs[0] else {
        panic!("real numbers");
    };
    [0, 1].map(|layer| {
        let (inputs, outputs) = (SIZES[layer], SIZES[layer + 1]);
        let first = [0, 25][layer];
        let bias = first + inputs * outputs;
        let input = |n: usize, i: usize| match layer {
            _ if i == inputs => 1.0,
            0 => x[n * inputs + i],
            // The derivative of the first logit by its weights.
            _ => linear.jacobian[(3 * n, first + i * outputs)],
        };
        let input = |n: usize| (0..=inputs).map(|i| input(n, i)).collect();
        let roots = (0..N).flat_map(|n| linear.roots(n));
        let place = |at: usize| match (at / (inputs + 1), at % (inputs + 1)) {
            (o, i) if i == inputs => bias + o,
            (o, i) => first + i * outputs + o,
        };
        let size = outputs * (inputs + 1);
        Layer {
            inputs: (0..N).map(input).collect(),
            roots: roots.map(|r| r[bias..bias + outputs].to_vec()).collect(),
            block: Mat::from_fn(size, size, |i, j| ggn[(place(i), place(j))]),
        }
    })
}

fn kronecker(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let (m, n) = (b.nrows(), a.nrows() * b.nrows());
    Mat::from_fn(n, n, |i, j| a[(i / m, j / m)] * b[(i % m, j % m)])
}

#[test]
fn kronecker_factors_in_numbers() {
    let (case, w) = golden();
    let expected = [
        [
            1.251_882_321_218_57,
            0.351_536_730_658_590,
            0.510_141_376_331_192,
        ],
        [1.854_067_454_105_27, 0.595_783_925_024_767, f64::NAN],
    ];
    let corrected = [
        [1.250_356_031_896_77, 0.397_297_527_329_664],
        [1.851_457_383_666_03, 0.609_002_841_196_273],
    ];
    let distances = [[0.433185248446, 1.078298], [0.073104522390, 1.241437]];
    for (i, layer) in layers(&case, &w).iter().enumerate() {
        let (a, b) = (mean_square(&layer.inputs), mean_square(&layer.roots));
        let product = kronecker(&b, &a);
        let found = [
            trace(product.as_ref()),
            spectrum(product.as_ref())[0],
            product.norm_l2(),
        ];
        let known = expected[i].iter().filter(|v| !v.is_nan()).count();
        agree("factors", &found, &expected[i][..known]);
        let norm = layer.block.norm_l2();
        let distance = |m: Mat<f64>| (m - &layer.block).norm_l2() / norm;
        let found = [distance(product), distance(kronecker(&a, &b))];
        assert!((found[0] - distances[i][0]).abs() < 1e-11, "{found:?}");
        assert!((found[1] - distances[i][1]).abs() < 1e-6, "{found:?}");
        // Eigenvalues corrected in the basis of the factors.
        let basis = |m: &Mat<f64>| symmetric_eigen(m.as_ref()).expect("finite").vectors;
        let (ua, ub) = (basis(&a), basis(&b));
        let inside = |u: &Mat<f64>, v: &[f64], k: usize| {
            let product: f64 = v.iter().enumerate().map(|(i, x)| u[(i, k)] * x).sum();
            product * product
        };
        let mut values = Vec::new();
        for p in 0..b.nrows() {
            for q in 0..a.nrows() {
                let terms = layer.roots.iter().enumerate();
                let terms =
                    terms.map(|(r, d)| inside(&ub, d, p) * inside(&ua, &layer.inputs[r / 3], q));
                values.push(terms.sum::<f64>() / N as f64);
            }
        }
        let largest = values.iter().copied().fold(0.0, f64::max);
        agree("corrected", &[values.iter().sum(), largest], &corrected[i]);
        agree(
            "block",
            &[values.iter().sum()],
            &[trace(layer.block.as_ref())],
        );
    }
}

/// A random network with rectifiers, and its point.
fn random(seed: u64, sizes: [usize; 3], activation: Activation) -> (Case, Vec<f64>) {
    let network = mlp(&sizes, activation).expect("sizes");
    let w: Vec<f64> = network.initial(seed);
    let x = common::waves(N * sizes[0], 0.7 + seed as f64);
    (classifier(network, x), w)
}

#[test]
fn identities() {
    for seed in 0..8 {
        let (m, h) = (3 + seed as usize, 9 - seed as usize / 2);
        let (case, w) = random(seed, [m, h, 3], Activation::Relu);
        let product = case.gradient().linearize(&["w"]).expect("an input");
        let times = |v: &[f64]| run(&product, &[&w, v]);
        let (first, last) = ((m + 1) * h, (m + 1) * h + 3 * h);
        let what = |name: &str| format!("{name}, seed {seed}");
        // The same added to all logits.
        let mut shift = vec![0.0; w.len()];
        for at in first..last {
            shift[at] = (1.3 * ((at - first) / 3) as f64).cos();
        }
        let moved = times(&shift);
        assert!(moved.iter().all(|v| v.abs() < 1e-12), "{}", what("shift"));
        // A hidden layer made larger, the next as much smaller.
        let gradient = run(&case.gradient(), &[&w]);
        let signed = |v: &[f64], sign: f64| -> Vec<f64> {
            let factor = |at: usize| match at {
                at if at < first => sign,
                at if at < last => -sign,
                _ => 0.0,
            };
            v.iter().enumerate().map(|(at, v)| factor(at) * v).collect()
        };
        let found = times(&signed(&w, 1.0));
        close(&what("scale"), &found, &signed(&gradient, -1.0), 1e-9);
        let (u, v) = (common::waves(w.len(), 0.1), common::waves(w.len(), 5.0));
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let pair = (dot(&u, &times(&v)), dot(&v, &times(&u)));
        assert!(
            (pair.0 - pair.1).abs() < 1e-11,
            "{}: {pair:?}",
            what("symmetry")
        );
        // Two products at once.
        let block = product.batch(&["d w"], 2).expect("a direction");
        let found = run(&block, &[&w, &[&u[..], &v].concat()]);
        close(
            &what("block"),
            &found,
            &[times(&u), times(&v)].concat(),
            1e-13,
        );
    }
}

/// A penalty `δ/2 |w|²` adds δ times the direction to a product.
#[test]
fn penalties_shift_the_hessian() {
    for seed in 0..4 {
        let (case, w) = random(seed, [4, 6, 3], Activation::Tanh);
        let delta = 0.3;
        let penalised = Program::trace(|t| {
            let w = t.input("w", [w.len()]);
            vec![case.at(t, w).1 + w.square().sum_all() * (0.5 * delta)]
        });
        let penalised = penalised.expect("shapes fit").grad(&["w"]);
        let product = |gradient: &Program| gradient.linearize(&["w"]).expect("an input");
        let v = common::waves(w.len(), 5.0);
        let plain = run(&product(&case.gradient()), &[&w, &v]);
        let found = run(&product(&penalised.expect("a number")), &[&w, &v]);
        let expected: Vec<f64> = plain.iter().zip(&v).map(|(h, v)| h + delta * v).collect();
        close(&format!("seed {seed}"), &found, &expected, 1e-14);
    }
}

#[test]
fn fisher_matrices() {
    for seed in 0..4 {
        let (case, w) = random(seed, [4, 6, 3], Activation::Tanh);
        let linear = Linear::new(&case, &w);
        // The labels drawn by the network itself: exactly the Gauss-Newton matrix.
        let weighted = |n: usize, c: usize| {
            let weight = linear.probabilities[(n, c)].sqrt();
            linear
                .gradient(n, c)
                .iter()
                .map(|g| weight * g)
                .collect::<Vec<f64>>()
        };
        let all: Vec<Vec<f64>> = (0..3 * N).map(|at| weighted(at / 3, at % 3)).collect();
        let ggn = square(&case.gauss_newton(&w));
        let distance = (mean_square(&all) - &ggn).norm_max();
        assert!(distance < 1e-12, "seed {seed}: {distance:e}");
        // The labels of the data: centred it is a covariance, and has the spectrum of the products of gradients.
        let gradients: Vec<Vec<f64>> = (0..N).map(|n| linear.gradient(n, n % 3)).collect();
        let fisher = mean_square(&gradients);
        let mean = run(&case.gradient(), &[&w]);
        let centred = Mat::from_fn(w.len(), w.len(), |i, j| fisher[(i, j)] - mean[i] * mean[j]);
        let least = spectrum(centred.as_ref()).pop().expect("a matrix");
        assert!(least > -1e-13, "seed {seed}: {least:e}");
        let dot = |i: usize, j: usize| {
            let pairs = gradients[i].iter().zip(&gradients[j]);
            pairs.map(|(a, b)| a * b).sum::<f64>() / N as f64
        };
        let kernel = Mat::from_fn(N, N, dot);
        let (small, large) = (spectrum(kernel.as_ref()), spectrum(fisher.as_ref()));
        close(&format!("spectra, seed {seed}"), &large[..N], &small, 1e-12);
    }
}

/// The Hessian as an operator; its two triangles differ by rounding.
fn operator(case: &Case, w: &[f64]) -> Dense<f64> {
    let h = square(&case.hessian(w));
    let n = w.len();
    Dense::symmetric(Mat::from_fn(n, n, |i, j| h[(i.max(j), i.min(j))])).expect("symmetric")
}

/// Five Lanczos steps from a start are the Gauss rule of its spectral distribution.
#[test]
fn quadrature_in_numbers() {
    let (case, w) = golden();
    let op = operator(&case, &w);
    let start = numbered(|k| (1.0 + 2.3 * k as f64).sin().signum() / 43f64.sqrt());
    let mut space = KrylovSpace::new();
    space.start(&start).expect("a finite start");
    for _ in 0..5 {
        assert!(space.extend(&op).expect("finite products"));
    }
    let rule = gauss_rule(space.diagonal(), &space.beside()[..4]).expect("a rule");
    let nodes = [
        -0.128_524_447_243_52,
        0.001_442_357_754_56,
        0.252_437_061_326_57,
        0.575_536_209_774_36,
        1.032_383_880_931_54,
    ];
    close("nodes", &rule.nodes, &nodes, 1e-11);
    let moments = [
        1.0,
        0.004_048_002_942_087,
        0.031_863_870_266_09,
        0.019_121_282_990_92,
        0.017_073_726_635_85,
        0.015_763_755_944_12,
        0.015_332_103_782_63,
        0.015_291_845_652_83,
        0.015_483_019_322_55,
        0.015_810_220_046_69,
    ];
    for (degree, expected) in moments.iter().enumerate() {
        let found = rule.sum(|t| t.powi(degree as i32));
        assert!((found - expected).abs() < 1e-11, "moment {degree}: {found}");
    }
}

/// Random networks and random starts, seeds 0 to 3: moments up to twice the number of steps, less one.
#[test]
fn quadrature_of_random_networks() {
    for seed in 0..4 {
        let (case, w) = random(seed, [4, 6, 3], Activation::Tanh);
        let op = operator(&case, &w);
        for steps in 1..=6 {
            let options = DensityOptions {
                probes: 2,
                steps,
                dense: 0,
                ..DensityOptions::default()
            };
            let mut run = LanczosQuadrature::start(&op, None, &options, SeedTree::new(seed))
                .expect("a start");
            let starts = run.state().vectors.clone();
            while run.step().expect("finite products") {}
            let density = run.density().expect("steps");
            for (z, rule) in starts.chunks_exact(w.len()).zip(&density.rules) {
                let z = faer::ColRef::from_slice(z);
                let mut power = z.to_owned();
                for degree in 0..2 * steps {
                    let found = rule.sum(|t| t.powi(degree as i32));
                    let expected = z.transpose() * &power;
                    assert!((found - expected).abs() < 1e-9, "{seed} {steps} {degree}");
                    power = op.matrix() * power;
                }
            }
        }
    }
}

/// The variance of random quadratic forms, and how often the intervals contain the trace.
#[test]
fn trace_estimates_in_numbers() {
    let (case, w) = golden();
    let op = operator(&case, &w);
    let exact = 2.820_752_093_929_33;
    let estimate = |method, probe, max_products, seed| -> TraceReport {
        let options = TraceOptions {
            method,
            probe,
            target: 0.0,
            max_products,
            ..TraceOptions::default()
        };
        let seed = SeedTree::new(seed).child("golden");
        estimate_trace(&op, &options, seed).expect("an estimate")
    };
    let variances = [
        (Probe::Rademacher, 3.844_335_724_346_98),
        (Probe::Gaussian, 4.482_894_278_447_51),
    ];
    for (probe, variance) in variances {
        let total = estimate(TraceMethod::Hutchinson, probe, 20_000, 1).total;
        // Half the interval is t s/√k, and t that of the normal distribution.
        let found = (total.half_width() / 1.960_1).powi(2) * 20_000.0;
        assert!((found / variance - 1.0).abs() < 0.05, "{probe:?}: {found}");
        let error = (total.value - exact).abs() / (variance / 20_000.0).sqrt();
        assert!(error < 4.0, "{probe:?}: {error} standard errors");
    }
    // Seeds 0 to 1,999. The interval of the last is made to be too wide rather than too narrow.
    let cases = [
        (TraceMethod::Hutchinson, Probe::Rademacher, 50, 0.93..0.97),
        (TraceMethod::Hutchinson, Probe::Gaussian, 5, 0.91..0.97),
        (TraceMethod::XTrace, Probe::Sphere, 20, 0.93..0.99),
    ];
    for (method, probe, products, expected) in cases {
        let hits = (0..2000).filter(|seed| {
            let report = estimate(method, probe, products, *seed);
            assert!(!report.exact && report.products == products);
            report.total.contains(exact)
        });
        let part = hits.count() as f64 / 2000.0;
        println!("{method:?} {probe:?} {products}: {part}");
        assert!(expected.contains(&part), "{method:?} {probe:?}: {part}");
    }
}

/// Products of the layers, counted: two for the first layer and three for others in a gradient; two and six in a Hessian product
/// at a prepared point. Parameters that lie in one vector cost nothing.
#[test]
fn costs_follow_the_formula() {
    let network = mlp(&[784, 512, 512, 10], Activation::Tanh).expect("sizes");
    let case = Case::new(network, Loss::CROSS_ENTROPY, Mode::Evaluate, 512);
    let layer = |m: u64, n: u64| 2 * 512 * m * n;
    let (first, others) = (layer(784, 512), layer(512, 512) + layer(512, 10));
    let close = |found: u64, exact: u64| found >= exact && found < exact + exact / 100;
    let gradient = case.gradient();
    assert!(
        close(gradient.flops(), 2 * first + 3 * others),
        "{}",
        gradient.flops()
    );
    let product = gradient.linearize(&["w"]).expect("an input");
    let along = product.flops_along_directions();
    assert!(close(along, 2 * first + 6 * others), "{along}");
}
