//! Newton for generalised self-concordant problems.

use crate::problems::{Logistic, wdbc};
use quadric_core::random::SeedTree;
use quadric_core::{
    Budget, Context, Control, Driver, Method, Outcome, Smooth, Status, Tolerance, vector,
};
use quadric_opt::config::Config;
use quadric_opt::newton::{GscNewton, Level, LinearSolver, Schedule};

fn fit(config: &GscNewton, problem: &Logistic<f64>) -> Outcome<f64> {
    let x0 = vec![0.0; problem.dim];
    Driver::default()
        .run(config, x0, problem)
        .expect("a valid configuration")
}

/// Specification B.7.1: optima of logistic regression without intercept, and the steps allowed.
const OPTIMA: [(f64, f64, u64); 5] = [
    (0.1, 0.209872430750, 12),
    (1e-2, 0.102416565756, 12),
    (1e-4, 0.043446314429, 14),
    (1e-6, 0.029228943232, 18),
    (1e-8, 0.024560864495, 24),
];

#[test]
fn breast_cancer_from_zero_for_eight_decades_of_l2() {
    let rows = wdbc();
    for cheap in [true, false] {
        for (l2, optimum, steps) in OPTIMA {
            let problem = Logistic {
                cheap,
                ..Logistic::new(rows.clone(), 30, l2)
            };
            let out = fit(&GscNewton::default(), &problem);
            println!(
                "{l2:e} cheap {cheap}: {} steps {:?}",
                out.iterations, out.counts
            );
            assert_eq!(out.status, Status::Converged);
            let value = out.value.expect("a value");
            assert!((value - optimum).abs() < 1e-12, "{value} at l2 = {l2:e}");
            assert!(
                out.iterations <= steps,
                "{} steps at l2 = {l2:e}",
                out.iterations
            );
        }
    }
}

/// `½log(1+e^w) + ½log(1+e^-w) + ½ l2 w²`: the loss of the rows +1 and -1.
fn two_rows(l2: f64) -> Logistic<f64> {
    Logistic::new(vec![1.0, -1.0], 1, l2)
}

/// Specification B.7.2: without a penalty, undamped Newton cycles between the two roots of sinh w = 2w, and diverges
/// from beyond them; the safeguarded step needs at most 14 steps from anywhere.
#[test]
fn one_dimension_where_undamped_newton_fails() {
    let derivative = |w: f64, l2: f64| 0.5 * (0.5 * w).tanh() + l2 * w;
    let undamped = |w: f64, l2: f64| {
        let curvature = 0.25 / (0.5 * w).cosh().powi(2) + l2;
        w - derivative(w, l2) / curvature
    };
    let cycle = 2.177_318_984_965_306_8;
    assert!((undamped(cycle, 0.0) + cycle).abs() < 1e-12);
    for start in [2.18, 5.0, 20.0, 100.0] {
        let (mut w, l2) = (start, 1e-6);
        for _ in 0..100 {
            w = undamped(w, l2);
        }
        let failed = w.is_nan() || derivative(w, l2).abs() > 1e-3;
        assert!(failed, "undamped Newton ends at {w} from {start}");
        for cheap in [true, false] {
            let problem = Logistic {
                cheap,
                ..two_rows(l2)
            };
            let mut steps = 0;
            let mut driver = Driver {
                callbacks: vec![Box::new(|p| {
                    steps = p.iteration;
                    let done = p.optimality.is_some_and(|g| g <= 1e-12);
                    Ok(if done {
                        Control::Stop
                    } else {
                        Control::Continue
                    })
                })],
                tolerance: Tolerance {
                    relative: 0.0,
                    absolute: 0.0,
                },
                ..Driver::default()
            };
            let out = driver
                .run(&GscNewton::default(), vec![start], &problem)
                .expect("runs");
            drop(driver);
            assert!(matches!(out.status, Status::Callback | Status::Converged));
            assert!(steps <= 14, "{steps} steps from {start}, cheap {cheap}");
        }
    }
}

/// Specification B.7.4: the published schedule with exact steps takes 1,403 decreases, and every level ends far inside the
/// region of quadratic convergence.
#[test]
fn the_published_schedule_takes_the_published_number_of_levels() {
    let problem = Logistic::new(wdbc(), 30, 1e-2);
    let radius = problem
        .rows
        .chunks(30)
        .map(vector::norm2)
        .fold(0.0, f64::max);
    assert!((radius - 20.5).abs() < 0.1, "{radius}");
    let method = GscNewton {
        schedule: Schedule::Paper,
        l2: 1e-2,
        radius,
        ..GscNewton::default()
    };
    let mut cx = Context::new(SeedTree::new(0));
    let mut x = vec![0.0; 30];
    let (mut s, _) = method.init(&problem, &mut x, &mut cx).expect("valid");
    let mut checked = 0;
    loop {
        cx.it += 1;
        method
            .step(&problem, &mut x, &mut s, &mut cx)
            .expect("a step");
        if s.path.steps == 1 && s.path.mu > 0.0 {
            continue;
        }
        if s.path.mu == 0.0 {
            break;
        }
        if s.path.level % 100 == 1 {
            // After two steps at the last level: its decrement against its region.
            let at = level_before(&s.path, 1e-2, radius, vector::norm2(&x));
            let ratio = decrement_ratio(&problem, &x, at - 1e-2);
            assert!(ratio <= 1.0 / 21.0, "{ratio} after level {}", s.path.level);
            checked += 1;
        }
    }
    assert!(
        s.path.level.abs_diff(1403) <= 1,
        "{} decreases",
        s.path.level
    );
    assert!(checked >= 14);
}

/// The level that the published rule left for the present one.
fn level_before(path: &quadric_opt::newton::Path, l2: f64, radius: f64, norm: f64) -> f64 {
    let m = 7.0 * radius * norm;
    (path.mu + l2) * (1.0 + m) / (1.0 / 3.0 + m)
}

/// Newton decrement over the radius of the Dikin ellipsoid, for the problem with `mu/2 ‖w‖²` added.
fn decrement_ratio(problem: &Logistic<f64>, w: &[f64], mu: f64) -> f64 {
    let d = problem.dim;
    let mut h = problem.matrix(w);
    (0..d).for_each(|j| h[(j, j)] += mu);
    // Cholesky factor in place, then |L⁻¹v|.
    for j in 0..d {
        for i in j..d {
            let dot: f64 = (0..j).map(|k| h[(i, k)] * h[(j, k)]).sum();
            let v = h[(i, j)] - dot;
            h[(i, j)] = if i == j { v.sqrt() } else { v / h[(j, j)] };
        }
    }
    let norm = |v: &[f64]| {
        let mut u = v.to_vec();
        for i in 0..d {
            let dot: f64 = (0..i).map(|k| h[(i, k)] * u[k]).sum();
            u[i] = (u[i] - dot) / h[(i, i)];
        }
        vector::norm2(&u)
    };
    let mut g = vec![0.0; d];
    problem.value_grad(w, &mut g).expect("finite");
    vector::axpy(mu, w, &mut g);
    norm(&g) * problem.rows.chunks(d).map(norm).fold(0.0, f64::max)
}

#[test]
fn other_schedules_end_at_the_same_optimum() {
    let problem = Logistic::new(wdbc(), 30, 1e-2);
    let list = |levels: &[(f64, u64)]| -> Vec<Level> {
        let level = |&(mu, steps)| Level {
            mu,
            steps,
            cg: None,
        };
        levels.iter().map(level).collect()
    };
    for method in [
        GscNewton {
            schedule: Schedule::Direct,
            ..GscNewton::default()
        },
        GscNewton {
            schedule: Schedule::List,
            levels: list(&[(10.0, 1), (1.0, 1), (0.1, 2)]),
            ..GscNewton::default()
        },
        GscNewton {
            schedule: Schedule::Measured,
            linear_solver: LinearSolver::Cholesky,
            l2: 1e-2,
            ..GscNewton::default()
        },
    ] {
        let out = fit(&method, &problem);
        println!("{:?}: {} steps", method.schedule, out.iterations);
        assert_eq!(out.status, Status::Converged, "{:?}", method.schedule);
        let value = out.value.expect("a value");
        assert!((value - 0.102416565756).abs() < 1e-12, "{value}");
    }
}

/// Without curvature in some directions the optimum is a plane; duplicated columns make one.
#[test]
fn singular_hessians_converge() {
    let rows = wdbc();
    let mut twice = Vec::new();
    for row in rows.chunks(30) {
        twice.extend_from_slice(&row[..5]);
        twice.extend_from_slice(&row[..5]);
        twice.push(0.0);
    }
    let five: Vec<f64> = rows.chunks(30).flat_map(|r| r[..5].to_vec()).collect();
    let reference = fit(&GscNewton::default(), &Logistic::new(five, 5, 0.0));
    let out = fit(&GscNewton::default(), &Logistic::new(twice, 11, 0.0));
    assert_eq!(reference.status, Status::Converged);
    assert_eq!(out.status, Status::Converged, "{:?}", out.certificate);
    let difference = out.value.expect("a value") - reference.value.expect("a value");
    assert!(difference.abs() < 1e-13, "{difference:e}");
    assert!(
        vector::norm2(&out.x) < 1e3 && out.iterations < 20,
        "{} steps",
        out.iterations
    );
}

#[test]
fn separable_classes_without_penalty_are_unbounded() {
    // All margins grow along (1, 1); in the second set one row stays at zero along the only direction of recession.
    let separable = vec![1.0, 0.5, 0.3, 1.0, 2.0, 1.0];
    let quasi = vec![1.0, 0.0, 2.0, 0.0, 0.0, 1.0, 0.0, -1.0];
    for rows in [separable, quasi] {
        for linear_solver in [LinearSolver::Cholesky, LinearSolver::Cg] {
            let method = GscNewton {
                linear_solver,
                ..GscNewton::default()
            };
            let out = fit(&method, &Logistic::new(rows.clone(), 2, 0.0));
            assert_eq!(out.status, Status::Unbounded, "{linear_solver:?}");
            assert!(out.reason.expect("a reason").contains("separable"));
            assert!(
                out.iterations <= 20,
                "{linear_solver:?}: {} steps",
                out.iterations
            );
        }
    }
}

#[test]
fn the_optimum_as_a_start_needs_no_step() {
    let problem = Logistic::new(wdbc(), 30, 1e-4);
    let best = fit(&GscNewton::default(), &problem).x;
    let out = Driver::default()
        .run(&GscNewton::default(), best, &problem)
        .expect("runs");
    assert_eq!((out.status, out.iterations), (Status::Converged, 0));
}

#[test]
fn single_precision_reaches_single_precision() {
    let rows: Vec<f32> = wdbc().into_iter().map(|v| v as f32).collect();
    let problem = Logistic::<f32>::new(rows, 30, 1e-2);
    let mut driver = Driver {
        tolerance: Tolerance {
            relative: 1e-5,
            absolute: 0.0,
        },
        ..Driver::default()
    };
    let out = driver
        .run(&GscNewton::default(), vec![0.0; 30], &problem)
        .expect("runs");
    assert_eq!(out.status, Status::Converged);
    assert!((out.value.expect("a value") - 0.102416565756).abs() < 1e-6);
    // And it stops by itself where single precision ends.
    driver.tolerance.relative = 1e-14;
    let out = driver
        .run(&GscNewton::default(), vec![0.0; 30], &problem)
        .expect("runs");
    assert!(out.iterations < 30);
}

#[test]
fn evaluation_limits_are_exact() {
    let problem = Logistic {
        cheap: false,
        ..Logistic::new(wdbc(), 30, 1e-8)
    };
    for limit in 1..12 {
        let mut driver = Driver {
            budget: Budget {
                evaluations: Some(limit),
                ..Budget::default()
            },
            ..Driver::default()
        };
        let out = driver
            .run(&GscNewton::default(), vec![0.0; 30], &problem)
            .expect("runs");
        assert_eq!(out.status, Status::MaxEvaluations);
        assert_eq!(out.counts.evaluations(), limit);
    }
}

#[test]
fn every_fault_of_a_configuration_is_reported() {
    let method = GscNewton {
        schedule: Schedule::Measured,
        levels: vec![Level {
            mu: -1.0,
            steps: 0,
            cg: Some(0),
        }],
        forcing: 1.5,
        decrease: f64::NAN,
        max_cg: 0,
        l2: f64::INFINITY,
        ..GscNewton::default()
    };
    let text = method.validate().expect_err("faults").to_string();
    for name in [
        "levels",
        "levels[0]",
        "forcing",
        "decrease",
        "max_cg",
        "`l2`",
        "linear_solver",
    ] {
        assert!(text.contains(name), "`{name}` is missing in: {text}");
    }
    let problem = Logistic::new(vec![1.0], 1, 1.0);
    assert!(Driver::default().run(&method, vec![0.0], &problem).is_err());
    let small = GscNewton {
        linear_solver: LinearSolver::Cholesky,
        max_dense: 5,
        ..GscNewton::default()
    };
    let problem = Logistic::new(wdbc(), 30, 1.0);
    let e = Driver::default()
        .run(&small, vec![0.0; 30], &problem)
        .expect_err("too large");
    assert!(e.to_string().contains("max_dense"), "{e}");
    GscNewton::default()
        .validate()
        .expect("the defaults are valid");
}
