//! The default method on real data: optima known to ten digits or more, from the features as they are in the files.

use quadric_core::{AnyMethod, Budget, DataMatrix, DenseRows, Driver, Outcome, Problem, Status};
use quadric_data::Dataset;
use quadric_linalg::random::SeedTree;
use quadric_models::{Glm, GlmOptions, Loss};
use quadric_opt::newton::{GscNewton, LinearSolver};
use quadric_opt::registry;
use serde_json::Value;

pub(crate) fn problem(data: &Dataset, loss: Loss, l2: f64, intercept: bool) -> Glm<f64> {
    let options = GlmOptions {
        loss,
        l2,
        intercept,
    };
    Glm::new(data.x.clone(), &data.target, None, &options).expect("valid data")
}

fn solve(glm: &Glm<f64>) -> Outcome<f64> {
    let method = registry::auto(glm as &dyn Problem<f64>, &Value::Null)
        .expect("curvature")
        .1;
    method
        .run(&mut Driver::default(), glm.start(), glm)
        .expect("runs")
}

/// By `newton`, its systems solved in this way.
fn solve_by(linear_solver: LinearSolver, glm: &Glm<f64>) -> Outcome<f64> {
    let method = GscNewton {
        linear_solver,
        ..GscNewton::default()
    };
    Driver::default()
        .run(&method, glm.start(), glm)
        .expect("runs")
}

/// Specification B.7.9: optima at l2 = 1e-2, 1e-6, 1e-10, certified in extended precision.
const OPTIMA: [(&str, [f64; 3]); 6] = [
    (
        "a9a",
        [3.69911632044e-1, 3.22670177907e-1, 3.22620738152e-1],
    ),
    (
        "mushrooms",
        [1.48965258688e-1, 4.41059708931e-4, 1.87053471177e-7],
    ),
    (
        "australian",
        [3.46875515628e-1, 3.07227298991e-1, 3.07221028396e-1],
    ),
    (
        "breast-cancer",
        [8.01894372849e-2, 7.53193269129e-2, 7.53187328074e-2],
    ),
    (
        "wdbc",
        [1.02997307213e-1, 4.66240397483e-2, 2.16643826961e-2],
    ),
    (
        "digits",
        [5.36682693128e-2, 8.12612314515e-5, 2.84289383729e-8],
    ),
];

#[test]
fn embedded_classification_sets_reach_their_certified_optima() {
    for (name, optima) in OPTIMA {
        let data = quadric_data::embedded(name).expect("an embedded set");
        let loss = if name == "digits" {
            Loss::Softmax
        } else {
            Loss::Logistic
        };
        for (l2, optimum) in [1e-2, 1e-6, 1e-10].into_iter().zip(optima) {
            let glm = problem(&data, loss, l2, true);
            let mut outcomes = vec![(solve(&glm), 45)];
            if name == "digits" {
                // The default takes limited-memory BFGS on a few inverses first, each step as dear as a pass over the data.
                outcomes[0].1 = 250;
                outcomes.push((solve_by(LinearSolver::Cholesky, &glm), 45));
            }
            for (out, most) in outcomes {
                let value = out.value.expect("a value");
                println!(
                    "{name} {l2:e}: {:?} {} steps, {:.2} passes, {:?}, off by {:e}, {:?}",
                    out.status,
                    out.iterations,
                    out.counts.passes,
                    out.elapsed,
                    value / optimum - 1.0,
                    out.certificate
                );
                assert_eq!(out.status, Status::Converged, "{name} at {l2:e}");
                // The optima are printed with twelve digits.
                assert!(
                    (value / optimum - 1.0).abs() < 1e-10,
                    "{name} at {l2:e}: {value:e}"
                );
                assert!(
                    out.iterations <= most,
                    "{name} at {l2:e}: {} steps",
                    out.iterations
                );
            }
        }
    }
}

#[test]
fn the_other_classification_sets_converge() {
    for (name, loss) in [
        ("german.numer_scale", Loss::Logistic),
        ("iris", Loss::Softmax),
        ("wine_recognition", Loss::Softmax),
    ] {
        let data = quadric_data::embedded(name).expect("an embedded set");
        for l2 in [1e-2, 1e-6, 1e-10] {
            let out = solve(&problem(&data, loss, l2, true));
            println!("{name} {l2:e}: {:?} {} steps", out.status, out.iterations);
            assert_eq!(out.status, Status::Converged, "{name} at {l2:e}");
        }
    }
}

/// The features multiplied by one factor per column.
fn scaled(data: &Dataset, factor: impl Fn(usize) -> f64) -> Dataset {
    let (n, d) = (data.rows(), data.features());
    let mut values = vec![0.0; n * d];
    for i in 0..n {
        data.x.for_row(i, |j, v| values[i * d + j] = v * factor(j));
    }
    let x = DataMatrix::Dense(DenseRows::new(values, n, d).expect("the same shape"));
    Dataset { x, ..data.clone() }
}

/// Specification B.7.5: softmax regression on the digits with pixels in [0, 1].
#[test]
fn digits_by_softmax_regression() {
    let data = scaled(&quadric_data::embedded("digits").expect("embedded"), |_| {
        1.0 / 16.0
    });
    for (l2, optimum) in [(1e-2, 0.738514081875), (1e-4, 0.087345742988)] {
        let glm = problem(&data, Loss::Softmax, l2, true);
        let out = solve(&glm);
        let value = out.value.expect("a value");
        println!(
            "digits/16 {l2:e}: {} steps, {:?}, {value}",
            out.iterations, out.elapsed
        );
        assert_eq!(out.status, Status::Converged);
        assert!((value - optimum).abs() < 1e-11, "{value}");
        // The default takes cheaper steps before, and more of them.
        let direct = solve_by(LinearSolver::Cholesky, &glm);
        assert_eq!(direct.status, Status::Converged);
        assert!(direct.iterations <= 10, "{} steps", direct.iterations);
        let coef = glm.model(&out.x).coef;
        for j in 0..64 {
            let sum: f64 = coef.iter().map(|row| row[j]).sum();
            assert!(
                sum.abs() < 1e-8,
                "the coefficients of pixel {j} sum to {sum:e}"
            );
        }
    }
}

/// Specification B.7.6: the steps do not depend on the units of the features.
#[test]
fn unpenalised_diabetes_in_any_units() {
    let mut data = quadric_data::embedded("diabetes_lars").expect("an embedded set");
    data.target
        .iter_mut()
        .for_each(|y| *y = f64::from(*y > 140.0));
    let mut stream = quadric_core::random::SeedTree::new(5).stream(0);
    let exponents: Vec<f64> = (0..10).map(|_| 12.0 * stream.uniform() - 6.0).collect();
    for data in [data.clone(), scaled(&data, |j| 10f64.powf(exponents[j]))] {
        let mut driver = Driver {
            budget: Budget {
                iterations: Some(8),
                ..Budget::default()
            },
            ..Driver::default()
        };
        let glm = problem(&data, Loss::Logistic, 0.0, true);
        let out = driver
            .run(&GscNewton::default(), glm.start(), &glm)
            .expect("runs");
        let value = out.value.expect("a value");
        println!(
            "diabetes: {:?} {} steps, {value}",
            out.status, out.iterations
        );
        assert_eq!(out.status, Status::Converged);
        assert!((value - 0.473949505252).abs() < 1e-12, "{value}");
    }
}

/// Specification B.2.6: mushrooms and wdbc are separable with an intercept, a9a is quasi-separable; the
/// others are not.
#[test]
fn without_a_penalty_separable_sets_have_no_minimiser() {
    for (name, separable) in [
        ("mushrooms", true),
        ("wdbc", true),
        ("a9a", true),
        ("german.numer_scale", false),
        ("australian", false),
    ] {
        let data = quadric_data::embedded(name).expect("an embedded set");
        let out = solve(&problem(&data, Loss::Logistic, 0.0, true));
        println!(
            "{name}: {:?} {} steps, {:?}",
            out.status, out.iterations, out.reason
        );
        let expected = if separable {
            Status::Unbounded
        } else {
            Status::Converged
        };
        assert_eq!(out.status, expected, "{name}");
        assert!(out.iterations <= 60, "{name}: {} steps", out.iterations);
    }
}

#[test]
fn conjugate_gradients_on_sparse_and_badly_scaled_data() {
    for (name, optima) in &OPTIMA[..5] {
        let data = quadric_data::embedded(name).expect("an embedded set");
        for (l2, optimum) in [1e-2, 1e-6].into_iter().zip(optima) {
            let glm = problem(&data, Loss::Logistic, l2, true);
            let out = solve_by(LinearSolver::Cg, &glm);
            let value = out.value.expect("a value");
            println!(
                "{name} {l2:e} cg: {:?} {} steps, {:?}, {:?}, off by {:e}",
                out.status,
                out.iterations,
                out.counts,
                out.elapsed,
                value / optimum - 1.0
            );
            assert_eq!(out.status, Status::Converged, "{name} at {l2:e}");
            assert!((value / optimum - 1.0).abs() < 1e-10, "{name} at {l2:e}");
        }
    }
}

#[test]
fn other_losses_and_conjugate_gradients() {
    let data = quadric_data::embedded("diabetes_lars").expect("an embedded set");
    for (loss, steps) in [
        (Loss::Squared, 2),
        (Loss::Poisson, 15),
        (Loss::Huber { delta: 20.0 }, 25),
        (Loss::PseudoHuber { delta: 20.0 }, 25),
    ] {
        let glm = problem(&data, loss, 1e-3, true);
        let dense = solve(&glm);
        println!(
            "{}: {:?} {} steps",
            loss.name(),
            dense.status,
            dense.iterations
        );
        assert_eq!(dense.status, Status::Converged, "{}", loss.name());
        assert!(
            dense.iterations <= steps,
            "{}: {} steps",
            loss.name(),
            dense.iterations
        );
        if (&glm as &dyn Problem<f64>).as_self_concordant().is_none() {
            continue;
        }
        let method = GscNewton {
            linear_solver: LinearSolver::Cg,
            ..GscNewton::default()
        };
        let out = AnyMethod::run(&method, &mut Driver::default(), glm.start(), &glm).expect("runs");
        println!(
            "  cg: {:?} {} steps {:?}",
            out.status, out.iterations, out.counts
        );
        assert_eq!(out.status, Status::Converged, "{} by cg", loss.name());
        let difference = out.value.expect("a value") / dense.value.expect("a value") - 1.0;
        assert!(difference.abs() < 1e-10, "{}: {difference:e}", loss.name());
    }
}

/// Sparse rows whose norms spread over three decades, more features than rows: most are classified beyond doubt before
/// the others matter, and steps that the Hessian at a point proposes throw them back. Damping, the best length along each
/// direction and the exact rows of the preconditioner keep the number of steps small.
#[test]
fn rows_of_very_different_norms_by_conjugate_gradients() {
    const SEED: u64 = 20_261_125;
    let (n, d, classes) = (300, 400, 4);
    let mut stream = SeedTree::new(SEED).child("heavy rows").stream(0);
    let (mut starts, mut columns, mut values) = (vec![0u32], Vec::new(), Vec::new());
    let mut target = Vec::new();
    for _ in 0..n {
        let class = (stream.uniform() * classes as f64).floor();
        let size = 10f64.powf(3.0 * stream.uniform().powi(3));
        let mut row: Vec<u32> = (0..12)
            .map(|t| {
                let common = t < 4;
                let range = if common { 20.0 } else { d as f64 };
                ((stream.uniform() * range) as u32 + if common { 5 * class as u32 } else { 0 })
                    .min(d as u32 - 1)
            })
            .collect();
        row.sort_unstable();
        row.dedup();
        values.extend(row.iter().map(|_| (size * stream.uniform()).ceil()));
        columns.extend(row);
        starts.push(columns.len() as u32);
        target.push(class);
    }
    let x = DataMatrix::sparse(starts, columns, values, n, d).expect("a sparse matrix");
    let data = Dataset::new("heavy rows", x, target).expect("a data set");
    for l2 in [1e-2, 1e-5, 1e-8] {
        let glm = problem(&data, Loss::Softmax, l2, true);
        let made = std::sync::Mutex::new(0.0);
        let run = |linear_solver| {
            let method = GscNewton {
                linear_solver,
                ..GscNewton::default()
            };
            *made.lock().unwrap() = 0.0;
            let count: quadric_core::Callback<'_> = Box::new(|progress| {
                let new = progress.notes.iter().filter(|n| n.0 == "preconditioner");
                *made.lock().unwrap() += new.map(|n| n.1).sum::<f64>();
                Ok(quadric_core::Control::Continue)
            });
            let mut driver = Driver {
                callbacks: vec![count],
                ..Driver::default()
            };
            driver.run(&method, glm.start(), &glm).expect("runs")
        };
        let (exact, iterative) = (run(LinearSolver::Cholesky), run(LinearSolver::Cg));
        let (made, steps) = (*made.lock().unwrap(), iterative.iterations as f64);
        assert!(made >= 1.0 && made < steps, "{made} made in {steps} steps");
        println!(
            "seed {SEED}, l2 = {l2:e}: {} and {} steps, {} products",
            exact.iterations, iterative.iterations, iterative.counts.products
        );
        for out in [&exact, &iterative] {
            assert_eq!(out.status, Status::Converged, "l2 = {l2:e}");
        }
        let (a, b) = (exact.value.expect("F"), iterative.value.expect("F"));
        assert!((a / b - 1.0).abs() < 1e-9, "l2 = {l2:e}: {a:e}, {b:e}");
        let (steps, products) = (iterative.iterations, iterative.counts.products);
        assert!(
            steps <= 40 && products <= 600,
            "{steps} steps, {products} products"
        );
    }
}

/// Counts of words by Zipf's law, a few of them large: the words share a unit, and in coordinates that spoil it the penalty is
/// uneven, so that L-BFGS needs ten times as many passes.
#[test]
fn counts_of_words_keep_their_common_unit() {
    const SEED: u64 = 20_261_130;
    let (n, d, classes) = (600, 3000, 5);
    let mut stream = SeedTree::new(SEED).child("words").stream(0);
    let (mut starts, mut columns, mut values) = (vec![0u32], Vec::new(), Vec::new());
    let mut target = Vec::new();
    for _ in 0..n {
        let class = (stream.uniform() * classes as f64).floor();
        let length = (10.0 / stream.uniform().powf(0.7)).min(2000.0) as usize;
        let mut words: Vec<u32> = (0..length)
            .map(|_| {
                let rank = (d as f64).powf(stream.uniform()) - 1.0;
                let own = stream.uniform() < 0.2;
                let moved = rank + if own { 10.0 + 7.0 * class } else { 0.0 };
                moved.min(d as f64 - 1.0) as u32
            })
            .collect();
        words.sort_unstable();
        for equal in words.chunk_by(|a, b| a == b) {
            columns.push(equal[0]);
            values.push(equal.len() as f64);
        }
        starts.push(columns.len() as u32);
        target.push(class);
    }
    let largest = values.iter().fold(0.0, |a: f64, b| a.max(*b));
    let x = DataMatrix::sparse(starts, columns, values, n, d).expect("a sparse matrix");
    let data = Dataset::new("words", x, target).expect("a data set");
    let glm = problem(&data, Loss::Softmax, 1e-2, true);
    let mut passes = Vec::new();
    for name in ["l-bfgs", "newton"] {
        let method = registry::build(name, &Value::Null).expect("a method");
        let mut driver = Driver::default();
        let out = method.run(&mut driver, glm.start(), &glm).expect("runs");
        assert_eq!(out.status, Status::Converged, "{name}, seed {SEED}");
        passes.push(out.counts.passes);
    }
    println!("seed {SEED}, counts up to {largest}: {passes:?} passes of L-BFGS and Newton");
    assert!(passes[0] <= 250.0 && passes[1] <= 130.0, "{passes:?}");
}
